"""`motive doctor`: what is installed, what is missing, and how to get it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from motive.backbones import EMBEDDED_MODELS, load_backbone
from motive.cli.console import emit
from motive.cli.options import Common
from motive.errors import MotiveError, UsageError
from motive.motion import TRACKERS
from motive.runs.config import versions


@dataclass(frozen=True)
class _Check:
    name: str
    ok: bool
    text: str


def doctor(
    *,
    model: Annotated[
        str | None, Parameter(help="Also open this model and say what was recognised.")
    ] = None,
    weights: Annotated[
        str | None, Parameter(help="With --model: do these fine-tuned weights fit it?")
    ] = None,
    lora: Annotated[str | None, Parameter(help="With --model: does this LoRA fit it?")] = None,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Show versions, devices, video codecs, trackers, extras and the embedded model.

    For example:

        motive doctor
        motive doctor --model path/to/Wan2.1-T2V-1.3B-Diffusers
    """
    if model is None and (weights or lora):
        raise UsageError("--weights and --lora go on top of a model: give --model too")
    checks = [*_machine(), *_video(), *_trackers(), *_extras()]
    checks += [_model(name) for name in EMBEDDED_MODELS]
    if model:
        checks.append(_model(model, weights, lora))
    lines = [f"{'ok ' if check.ok else 'no '} {check.name}: {check.text}" for check in checks]
    found = versions()
    lines += [f"    {name} {version}" for name, version in found.items()]
    result = {
        "checks": [{"name": c.name, "ok": c.ok, "text": c.text} for c in checks],
        "versions": found,
    }
    emit(result, common.json, lines)
    wanted = checks[-1]
    if model and not wanted.ok:
        raise MotiveError(wanted.text)


def _machine() -> list[_Check]:
    import torch

    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name(0) if cuda else "no CUDA device; the CPU is used"
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        _Check(
            "machine", True, f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
        ),
        _Check("device", True, device),
        _Check("disk", free > 2, f"{free:.0f} GB free here"),
    ]


def _video() -> list[_Check]:
    import av

    found = [name for name in ("h264", "hevc", "av1", "vp9") if name in av.codecs_available]
    encoder = "libx264" in av.codecs_available
    return [
        _Check("video decoding", len(found) == 4, f"PyAV {av.__version__}: {', '.join(found)}"),
        _Check("video encoding", encoder, "libx264" if encoder else "no libx264 in this PyAV"),
    ]


def _trackers() -> list[_Check]:
    return [_Check(f"tracker {name}", *card.state()) for name, card in TRACKERS.items()]


def _extras() -> list[_Check]:
    found = all(importlib.util.find_spec(name) is not None for name in ("newton", "warp"))
    text = (
        "newton and warp" if found else "missing; pip install 'motive-video[zoo]' to render clips"
    )
    return [_Check("extra zoo", found, text)]


def _model(name: str, weights: str | None = None, lora: str | None = None) -> _Check:
    import torch

    try:
        backbone = load_backbone(name, weights=weights, lora=lora)
        standard = backbone.standard
        size = backbone.parameter_count()
        if name in EMBEDDED_MODELS or weights or lora:
            backbone.transformer  # noqa: B018 - does it load, and does the checkpoint fit?
        grid = "x".join(map(str, backbone.latent_grid(standard)))
        sigma = backbone.sigma_fix
        expert = f", expert {backbone.expert_text}" if backbone.expert_text else ""
        told = float(backbone.model_timestep(torch.tensor([sigma], dtype=torch.float64))[0])
    except MotiveError as error:
        return _Check(f"model {name}", False, str(error))
    return _Check(
        f"model {name}",
        True,
        f"{backbone.family}, {size:,} parameters, {standard.frames} frames of "
        f"{standard.width}x{standard.height} at {standard.fps:g} fps, latent grid {grid}, "
        f"target {backbone.target_name}, t_fix {1000 * sigma:g} (sigma {sigma:g}; the model's own "
        f"timestep {told:g}){expert}",
    )
