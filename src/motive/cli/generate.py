"""`motive generate`: videos from prompts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from motive.cli.console import emit, progress_bars
from motive.cli.options import Common, given, options_of
from motive.errors import UsageError
from motive.generation import GenerateConfig
from motive.generation import generate as make

GenerateOptions = options_of(GenerateConfig, without=("seeds",))


def generate(
    *,
    prompts: Annotated[
        Path, Parameter(help="One prompt per line, or CSV / JSON / JSONL with a column prompt.")
    ],
    out: Annotated[Path, Parameter(help="Folder for the videos and metadata.jsonl.")],
    seeds: Annotated[str, Parameter(help="One video per prompt and seed: 0,1,2.")] = "0",
    options: GenerateOptions = GenerateOptions(),  # type: ignore[valid-type]  # noqa: B008
    common: Common = Common(),  # noqa: B008
) -> None:
    """Generate videos with a model's own pipeline, one per prompt and seed.

    metadata.jsonl names the prompt, seed and noise of every video, generation.json the settings and
    the model's fingerprint. Finished videos are kept: run the same command again to continue after
    an interruption, or with more prompts and seeds.

    For example:

        motive generate --model wan-nano --prompts prompts.txt --out videos/ --steps 30 --guidance 3
        motive generate --model tuned/pipeline --prompts prompts.csv --out videos/ --seeds 0,1,2
        motive generate --model base --lora tuned/lora --prompts p.txt --out v/ --naming vbench
    """
    config = GenerateConfig(seeds=_seeds(seeds), **given(options))
    with progress_bars(common.json) as bars:
        found = make(config, prompts, out, on_progress=bars)
    lines = [
        f"{len(found.videos)} videos in {out} ({found.made} new, {found.reused} already there) in "
        f"{found.seconds:.1f} s",
        *(f"note: {prompts}: {note}" for note in found.notes),
        f"what each of them is: {out / 'metadata.jsonl'}",
    ]
    result = {
        "out": str(out),
        "videos": found.videos,
        "made": found.made,
        "reused": found.reused,
        "notes": found.notes,
        "seconds": round(found.seconds, 3),
    }
    emit(result, common.json, lines)


def _seeds(text: str) -> tuple[int, ...]:
    parts = [part for part in re.split(r"[,\s]+", text) if part]
    if not parts or not all(part.isdecimal() for part in parts):
        raise UsageError(f"--seeds {text}: give whole numbers with commas between, such as 0,1,2")
    return tuple(int(part) for part in parts)
