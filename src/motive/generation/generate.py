"""`motive generate`: prompts and seeds to videos in a folder, resumable.

Invariant: a video's file appears whole, and its row after it. So a run that was killed at any
moment continues with the first video that is missing, and no finished one is made again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motive.backbones import Backbone, load_backbone
from motive.backbones.lora import load_lora, lora_digest
from motive.clips import write_mp4
from motive.errors import UsageError
from motive.generation.manifest import ROWS, Manifest
from motive.generation.prompts import Prompt, PromptList, read_prompts
from motive.generation.sampling import VideoSampler, noise_seed

_LOG = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]  # stage, done, total
_NAME_BYTES = 255  # of a file name, on every common system
_SLUG = 60  # characters of the prompt in a file name


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class GenerateConfig:
    """Every option of a generation. Each field's help text is its metadata entry "help"."""

    model: str = _option("wan-nano", "Diffusers pipeline folder, hub id or embedded name.")
    lora: str | None = _option(None, "Adapters: a .safetensors file, or a folder with one.")
    seeds: tuple[int, ...] = _option((0,), "One video per prompt and seed; for example 0,1,2.")
    frames: int | None = _option(None, "Frames, 4k+1; default: the model's own length.")
    fps: float | None = _option(None, "Frames per second written to the file; default: model's.")
    height: int | None = _option(None, "Pixels; default: the model's own size.")
    width: int | None = _option(None, "Pixels; default: the model's own size.")
    steps: int | None = _option(None, "Denoising steps; default: the pipeline's own (Wan: 50).")
    guidance: float | None = _option(
        None, "Classifier-free guidance, 1 for none; default: the pipeline's own (Wan: 5)."
    )
    negative: str = _option("", "Text that guidance leads away from.")
    batch: int = _option(4, "Videos generated at once; changes rounding and speed only.")
    naming: str = _option(
        "prompt", "Of the files: prompt (shortened), or vbench: PROMPT-INDEX.mp4, as VBench reads."
    )
    dtype: str = _option("float32", "Transformer precision: float32, bfloat16 or float16.")
    device: str = _option("auto", "auto, cpu, cuda or cuda:N.")

    def __post_init__(self) -> None:
        """Check every value that can be checked without the model."""
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            given = ",".join(map(str, self.seeds)) or "none"
            raise UsageError(f"--seeds {given}: give at least one, each once, none negative")
        if self.batch < 1:
            raise UsageError(f"--batch {self.batch}: must be at least 1")
        if self.naming not in ("prompt", "vbench"):
            raise UsageError(f"--naming {self.naming}: choose one of prompt, vbench")


@dataclass(frozen=True)
class Generated:
    """What is in the folder now.

    Attributes:
        folder: Where the videos are.
        videos: One row per asked video, in the order of the prompts and seeds: file_name, prompt,
            seed, noise_seed, the prompt's other columns.
        made: Videos made now.
        reused: Videos that were there.
        notes: What was left out of the list of prompts, one line each.
        seconds: Wall time.
    """

    folder: Path
    videos: list[dict[str, Any]]
    made: int
    reused: int
    notes: list[str]
    seconds: float


def generate(
    config: GenerateConfig,
    prompts: str | os.PathLike[str] | Iterable[str | Prompt] | PromptList,
    out: str | os.PathLike[str],
    *,
    backbone: Backbone | None = None,
    on_progress: Progress | None = None,
) -> Generated:
    """Generate one video per prompt and seed; what is finished is kept.

    Args:
        config: How.
        prompts: A list file (see `read_prompts`), or the prompts.
        out: Folder for the videos, `metadata.jsonl` and `generation.json`; new, or begun by the
            same settings. More prompts and seeds can be added later.
        backbone: The model of `config.model`, if it is open already.
        on_progress: Called as (stage, done, total).

    Raises:
        DatasetError: No prompts.
        UsageError: An option is out of range, or a prompt cannot be a file name.
        FingerprintError: The folder holds videos made under other settings.
        ModelError: The model or the adapters cannot be loaded.
        MotiveError: The disk is full, or memory is.
    """
    listed = prompts if isinstance(prompts, PromptList) else read_prompts(prompts)
    names = file_names(listed.prompts, config.seeds, config.naming)
    opened = backbone or load_backbone(config.model, device=config.device, dtype=config.dtype)
    sampler = VideoSampler(
        opened,
        opened.standard.changed(config.frames, config.fps, config.height, config.width),
        steps=config.steps,
        guidance=config.guidance,
        negative=config.negative,
    )
    settings: dict[str, Any] = {"weights": opened.fingerprint()}
    if config.lora is None:
        return make_videos(sampler, listed, config, Path(out), settings, names, on_progress)
    lora = Path(config.lora)
    settings["lora"] = lora_digest(lora)
    try:
        return make_videos(
            sampler,
            listed,
            config,
            Path(out),
            settings,
            names,
            on_progress,
            before=lambda: load_lora(opened, sampler.pipeline, lora),
        )
    finally:
        if "pipeline" in vars(sampler):
            sampler.pipeline.unload_lora_weights()


def make_videos(
    sampler: VideoSampler,
    listed: PromptList,
    config: GenerateConfig,
    out: Path,
    settings: dict[str, Any],
    names: dict[tuple[str, int], str] | None = None,
    on_progress: Progress | None = None,
    *,
    before: Callable[[], object] | None = None,
) -> Generated:
    """`generate` with a sampler whose weights are what `settings` say they are.

    `before` is called before the first video that is missing, if there is one.
    """
    began = time.perf_counter()
    names = names or file_names(listed.prompts, config.seeds, config.naming)
    manifest = Manifest(
        out, {**settings, **sampler.settings(), "naming": config.naming}, {"model": config.model}
    )
    _check_owners(manifest, names)
    manifest.write()  # without a torn last line
    facts = {prompt.text: prompt.facts for prompt in listed.prompts}
    todo = [key for key in names if not manifest.finished(key)]
    if todo:
        sampler.embed(prompt for prompt, _ in todo)
        if before is not None:
            before()
    for first in range(0, len(todo), config.batch):
        batch = todo[first : first + config.batch]
        seeds = [noise_seed(*key) for key in batch]
        clips = sampler.videos([prompt for prompt, _ in batch], seeds)
        for (prompt, seed), number, pixels in zip(batch, seeds, clips, strict=True):
            name = names[prompt, seed]
            write_mp4(out / name, pixels, sampler.standard.fps)
            own = {"file_name": name, "prompt": prompt, "seed": seed, "noise_seed": number}
            manifest.add({**facts[prompt], **own})
        if on_progress is not None:
            on_progress("generating videos", first + len(batch), len(todo))
    manifest.write(names)
    strangers = len(manifest.rows) - len(names)
    if strangers > 0:
        _LOG.warning("%s: also holds %d videos that are not asked for now", out, strangers)
    return Generated(
        out,
        [manifest.rows[key] for key in names],
        len(todo),
        len(names) - len(todo),
        listed.notes(),
        time.perf_counter() - began,
    )


def file_names(
    prompts: Sequence[Prompt], seeds: Sequence[int], naming: str
) -> dict[tuple[str, int], str]:
    """File name of every (prompt, seed), prompt by prompt.

    Raises:
        UsageError: With VBench's naming, a prompt that cannot be a file name.

    Example:
        >>> file_names([Prompt("a ball rolls", 1)], [5, 6], "vbench")
        {('a ball rolls', 5): 'a ball rolls-0.mp4', ('a ball rolls', 6): 'a ball rolls-1.mp4'}
    """
    found = {}
    for prompt in prompts:
        for index, seed in enumerate(seeds):
            if naming == "vbench":
                name = f"{prompt.text}-{index}.mp4"
                _check_name(prompt, name)
            else:
                digest = hashlib.blake2b(prompt.text.encode("utf-8", "replace"), digest_size=4)
                slug = re.sub(r"[^a-z0-9]+", "-", prompt.text.lower())[:_SLUG].strip("-")
                name = f"{slug or 'prompt'}-{digest.hexdigest()}-seed{seed}.mp4"
            found[prompt.text, seed] = name
    return found


def _check_name(prompt: Prompt, name: str) -> None:
    bad = re.search(r'[/\\:*?"<>|\x00-\x1f]', name)
    if bad:
        reason = f"the character {bad.group()!r}"
    elif len(name.encode()) > _NAME_BYTES:
        reason = f"its {len(name.encode())} bytes (at most {_NAME_BYTES})"
    else:
        return
    raise UsageError(
        f"prompt in row {prompt.row} cannot be a file name for {reason}: {prompt.text:.60}; "
        f"shorten it, or leave --naming out ({ROWS} names each file's prompt)"
    )


def _check_owners(manifest: Manifest, names: dict[tuple[str, int], str]) -> None:
    """A file that is there must not be wanted for another seed (VBench counts seeds from 0)."""
    owners = {row["file_name"]: key for key, row in manifest.rows.items() if manifest.finished(key)}
    for key, name in names.items():
        owner = owners.get(name, key)
        if owner != key:
            raise UsageError(
                f"{manifest.folder / name}: was made with seed {owner[1]} and is now to be made "
                f"with seed {key[1]}; repeat the old --seeds first, or give another folder"
            )
