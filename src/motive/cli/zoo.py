"""`motive zoo make` and `motive zoo train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from motive.cli.console import emit, progress_bars
from motive.cli.options import Common

app = App(name="zoo", help="MotionZoo: labelled synthetic motion clips, and wan-nano.")


@app.command
def make(
    out: Path,
    *,
    clips: Annotated[int, Parameter(help="How many; clip k shows motion k mod 10.")] = 100,
    split: Annotated[
        str, Parameter(help="pretrain, candidates, queries or test; splits share no seed.")
    ] = "candidates",
    seed: Annotated[int, Parameter(help="Same seed, same clips.")] = 0,
    size: Annotated[int, Parameter(help="Width and height in pixels.")] = 64,
    frames: Annotated[int, Parameter(help="Frames per clip, 4k+1.")] = 17,
    workers: Annotated[int, Parameter(help="Processes.")] = 1,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Render labelled motion clips (ten motion types) with captions, as mp4 and metadata.jsonl.

    For example:

        motive zoo make zoo/candidates --clips 420

    Args:
        out: Folder of the data set; clips already there are kept.
    """
    from motive.zoo.make import make_zoo

    with progress_bars(common.json) as bars:
        made = make_zoo(
            out,
            clips,
            split=split,
            seed=seed,
            size=size,
            frames=frames,
            workers=workers,
            on_progress=lambda done, total: bars("rendering", done, total),
        )
    lines = [f"{made.made} clips rendered, {made.skipped} already there: {made.folder}"]
    result = {"folder": str(made.folder), "made": made.made, "skipped": made.skipped}
    emit({**result, "per_motion": made.per_motion}, common.json, lines)


@app.command
def train(
    out: Path,
    *,
    data: Annotated[Path, Parameter(help="A MotionZoo folder, or any captioned clips.")],
    vae_steps: Annotated[int, Parameter(help="Updates of the VAE.")] = 3000,
    steps: Annotated[int, Parameter(help="Updates of the transformer and text encoder.")] = 20000,
    batch_size: Annotated[int, Parameter(help="Clips per update of the transformer.")] = 32,
    seed: Annotated[int, Parameter(help="Of weights, batches and noise.")] = 0,
    threads: Annotated[int | None, Parameter(help="CPU threads; default: all.")] = None,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Train wan-nano, a small Wan 2.1 pipeline, from captioned clips; resumable.

    For example:

        motive zoo make zoo/pretrain --clips 3000 --split pretrain --workers 2
        motive zoo train my-nano --data zoo/pretrain

    Args:
        out: Pipeline folder to write; checkpoints are kept beside it.
    """
    from motive.zoo.nano_train import train_wan_nano

    with progress_bars(common.json) as bars:
        trained = train_wan_nano(
            data,
            out,
            vae_steps=vae_steps,
            steps=steps,
            batch_size=batch_size,
            seed=seed,
            threads=threads,
            on_progress=lambda now: bars(now.stage, now.step, now.steps),
        )
    emit({"folder": str(out), **vars(trained)}, common.json, [f"pipeline written: {out}"])
