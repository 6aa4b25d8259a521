"""One clip at the sizes of published models, from cached latents to a feature, or from pixels.

Weights are random: architecture and shapes are all that time and memory depend on. Everything else
is the family's own: a pipeline folder without weights is written and opened by its class. "plain"
is one forward and backward pass whose gradients are freed as they come, the least that any method
must do; "feature" is the same with the projection. Each row holds seconds per clip and the most
memory that was in use beyond the weights. With --encoders also what comes before it: the clip
through the VAE and one caption through the text encoder, each loaded, measured and released before
the transformer is made, as in a run. Run it where the model fits, for example

    python benchmarks/model_scale_gpu.py --model Wan2.1-T2V-1.3B --encoders
    python benchmarks/model_scale_gpu.py --model LTX-Video-2B --encoders
    python benchmarks/model_scale_gpu.py --model Wan2.1-T2V-14B --rounds 2
    python benchmarks/model_scale_gpu.py --model tiny --device cpu --encoders --curve
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from measuring import gradients_freed, save, side_by_side
from motive.backbones import TextEmbedding
from motive.backbones.base import DiffusersBackbone
from motive.clips import ClipStandard
from motive.gradients import (
    ClipInputs,
    Featurizer,
    Objective,
    fixed_noise,
    location_error,
    motion_weighted_loss,
)
from motive.gradients.execution import checkpointed
from motive.memory import PeakMemory
from motive.projection import BlockedFastfood
from random_models import MODELS, RandomWeights, latent_shape, opened, sizes, tokens_of

NOT_INCLUDED = "decoding of the video file, tokenizing, motion weights"


def clip_of(
    backbone: DiffusersBackbone,
    latents: torch.Tensor | None = None,
    text: TextEmbedding | None = None,
) -> ClipInputs:
    """What the cache would give of one clip; random where it has not been computed."""
    generator = torch.Generator().manual_seed(0)
    shape = latent_shape(backbone)
    if latents is None:
        latents = torch.randn(shape, generator=generator)
    if text is None:
        text = backbone.encode_text("any")
        backbone.release_encoders()
    weights = torch.rand(shape[1:], generator=generator)
    return ClipInputs(latents, text, weights, backbone.standard.frames)


def encoded(
    backbone: RandomWeights, rounds: int
) -> tuple[torch.Tensor, TextEmbedding, dict[str, dict[str, Any]]]:
    """One clip through the VAE, then one caption through the text encoder.

    Returns:
        Latents, text embedding, and a row of measurements for each.
    """
    clip = backbone.standard
    pixels = torch.randint(
        256,
        (clip.frames, clip.height, clip.width, 3),
        generator=torch.Generator().manual_seed(0),
        dtype=torch.uint8,
    )
    latents, video = _encoder(backbone, "vae", lambda: backbone.encode_video(pixels), rounds)
    text, caption = _encoder(backbone, "text_encoder", lambda: backbone.encode_text("any"), rounds)
    return latents, text, {"video": video, "caption": caption}


def _encoder(
    backbone: RandomWeights, part: str, call: Callable[[], Any], rounds: int
) -> tuple[Any, dict[str, Any]]:
    """What an encoder makes, and its measurements; it is loaded for that and released."""
    seconds = side_by_side({part: call}, rounds)[part]  # its warm-up loads
    with PeakMemory(backbone.device) as memory:
        result = call()
    backbone.release_encoders()
    return result, {
        **backbone.made[part],
        "seconds": seconds,
        "peak_bytes_beyond_weights": memory.bytes,
    }


def plain_pass(backbone: DiffusersBackbone, clip: ClipInputs, noise: torch.Tensor) -> None:
    """Forward and backward without any projection."""
    clean, sigma = clip.latents[None], backbone.sigma_fix
    noisy = backbone.add_noise(clean, noise, sigma)
    prediction = backbone.predict(noisy, sigma, clip.text.padded()[None])
    error = location_error(prediction, backbone.target(clean, noise, sigma).to(prediction))
    assert clip.weights is not None
    weights = clip.weights[None, -error.shape[1] :]  # a family may be given frame 0
    motion_weighted_loss(error, weights, clip.frames).sum().backward()
    if backbone.device.type == "cuda":
        torch.cuda.synchronize()


def measured(
    backbone: DiffusersBackbone, clip: ClipInputs, checkpointing: bool, rounds: int
) -> dict[str, Any]:
    """Seconds and memory of both rows, in turn, after one untimed pass of each."""
    model = backbone.transformer
    objective = Objective(timesteps=(1000.0 * backbone.sigma_fix,))
    featurizer = Featurizer(backbone, BlockedFastfood(512), objective, checkpointing=checkpointing)
    noise = fixed_noise((1, *clip.latents.shape), objective.noise_seed)

    def plain() -> None:
        saving = checkpointed(model) if checkpointing else nullcontext()
        with gradients_freed(model), saving:
            plain_pass(backbone, clip, noise)

    def feature() -> None:
        with featurizer.ready():
            featurizer.feature(*clip)

    calls: dict[str, Callable[[], object]] = {"plain": plain, "feature": feature}
    seconds = side_by_side(calls, rounds)
    memory = {}
    for name, call in calls.items():
        with PeakMemory(backbone.device) as peak:
            call()
        memory[name] = peak.bytes
    return {
        **sizes(model),
        "clip": asdict(backbone.standard),
        "latents": list(clip.latents.shape),
        "tokens": tokens_of(backbone),
        "checkpointing": checkpointing,
        "seconds": seconds,
        "ratio": seconds["feature"]["median"] / seconds["plain"]["median"],
        "peak_bytes_beyond_weights": memory,
    }


def curve(device: torch.device, dtype: torch.dtype, rounds: int) -> list[dict[str, Any]]:
    """Both rows while the parameters grow at fixed tokens, and the tokens at fixed parameters."""
    rows = []
    tiny = MODELS["tiny"]
    for heads, side in ((2, 8), (4, 8), (8, 8), (16, 8), (4, 4), (4, 16), (4, 32)):
        model = replace(
            tiny,
            transformer={**tiny.transformer, "num_attention_heads": heads, "ffn_dim": 48 * heads},
            standard=ClipStandard(frames=9, fps=16.0, height=8 * side, width=8 * side),
        )
        with TemporaryDirectory() as folder:
            backbone = opened(model, Path(folder), device, dtype)
            row = measured(backbone, clip_of(backbone), False, rounds)
        rows.append({"heads": heads, **row})
        show(f"{heads} heads, {row['tokens']} tokens", row)
    return rows


def show(name: str, row: dict[str, Any]) -> None:
    """One line per measurement."""
    print(
        f"{name}: {_weights(row)}; "
        + "; ".join(
            f"{key} {_cost(row['seconds'][key], row['peak_bytes_beyond_weights'][key])}"
            for key in row["seconds"]
        )
        + f"; ratio {row['ratio']:.3f}"
    )


def _weights(row: dict[str, Any]) -> str:
    return f"{row['parameters']:,} parameters ({row['weight_bytes'] / 2**30:.3g} GB)"


def _cost(seconds: dict[str, float], memory: int | None) -> str:
    used = "memory not measured" if memory is None else f"{memory / 2**20:.0f} MB"
    return f"{seconds['median']:.4g} s, {used}"


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure one model.

    Raises:
        SystemExit: It has another number of parameters than published.
    """
    model = MODELS[options.model]
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    backbone = opened(
        model, folder, device, dtype, encoders=options.encoders, offload=options.offload
    )
    count = backbone.parameter_count()
    if model.parameters not in (None, count):
        raise SystemExit(f"{options.model}: {count:,} parameters, not {model.parameters:,}")
    rows: dict[str, dict[str, Any]] = {}
    clip = None
    if options.encoders:
        latents, text, rows = encoded(backbone, options.rounds)
        clip = clip_of(backbone, latents, text)
        for name, part in rows.items():
            cost = _cost(part["seconds"], part["peak_bytes_beyond_weights"])
            print(f"{options.model}, {name} encoder: {_weights(part)}; {cost}")
    checkpointing = not options.no_checkpointing or options.offload
    row = measured(backbone, clip or clip_of(backbone), checkpointing, options.rounds)
    show(options.model, row)
    results = {"model": options.model, "family": backbone.family, "dtype": options.dtype}
    results |= {"offload": options.offload, **row}
    if options.encoders:
        total = sum(part["seconds"]["median"] for part in rows.values())
        total += row["seconds"]["feature"]["median"]
        results["encoders"] = rows
        results["end_to_end"] = {"seconds_per_clip": total, "not_included": NOT_INCLUDED}
        print(f"{options.model}: end to end {total:.4g} s per clip, without {NOT_INCLUDED}")
    return results


def main(arguments: list[str] | None = None) -> Path | None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=list(MODELS), default="Wan2.1-T2V-1.3B")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--encoders", action="store_true", help="also VAE and text encoder")
    parser.add_argument("--no-checkpointing", action="store_true", help="keep all activations")
    parser.add_argument("--offload", action="store_true", help="layers' weights in CPU memory")
    parser.add_argument("--curve", action="store_true", help="also scale a tiny model")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; try --model tiny --device cpu")
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        results = run(options, Path(folder))
    if options.curve:
        device, dtype = torch.device(options.device), getattr(torch, options.dtype)
        results["curve"] = curve(device, dtype, options.rounds)
    return None if options.no_save else save(f"model_scale_{options.model}", results)


if __name__ == "__main__":
    main()
