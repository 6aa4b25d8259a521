"""`motive zoo make` and `motive zoo train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from motive.cli.console import emit, progress_bars
from motive.cli.options import Common, named_values
from motive.errors import UsageError

app = App(name="zoo", help="MotionZoo: labelled synthetic motion clips, and wan-nano.")


Mixture = Annotated[
    list[str] | None,
    Parameter(
        help="MOTION=WEIGHT: how often a motion is shown; 1 where it is not named.",
        consume_multiple=True,
        negative_iterable=(),
    ),
]


@app.command
def make(
    out: Path,
    *,
    clips: Annotated[int, Parameter(help="How many; the ten motions take turns.")] = 100,
    split: Annotated[
        str, Parameter(help="pretrain, candidates, queries or test; splits share no seed.")
    ] = "candidates",
    seed: Annotated[int, Parameter(help="Same seed, same clips.")] = 0,
    size: Annotated[int, Parameter(help="Width and height in pixels.")] = 64,
    frames: Annotated[int, Parameter(help="Frames per clip, 4k+1.")] = 17,
    decoys: Annotated[
        float, Parameter(help="Share of clips that are static, camera-only or in a corner.")
    ] = 0.0,
    mixture: Mixture = None,
    wrong_captions: Annotated[float, Parameter(help="Share naming another motion.")] = 0.0,
    missing_captions: Annotated[float, Parameter(help="Share left empty.")] = 0.0,
    truth: Annotated[
        bool,
        Parameter(help="Also write exact flow, object masks and camera poses.", negative=""),
    ] = False,
    workers: Annotated[int, Parameter(help="Processes.")] = 1,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Render labelled motion clips (ten motion types) with captions, as mp4 and metadata.jsonl.

    For example:

        motive zoo make zoo/candidates --clips 420 --decoys 0.1 --truth
        motive zoo make zoo/poor --split pretrain --clips 3000 --mixture spin=0.1 swing=0.1

    Args:
        out: Folder of the data set; clips already there are kept.
    """
    from motive.zoo.make import MOTIONS, make_zoo

    with progress_bars(common.json) as bars:
        made = make_zoo(
            out,
            clips,
            split=split,
            seed=seed,
            size=size,
            frames=frames,
            decoys=decoys,
            mixture=None if not mixture else dict.fromkeys(MOTIONS, 1.0) | _weights(mixture),
            wrong_captions=wrong_captions,
            missing_captions=missing_captions,
            truth=truth,
            workers=workers,
            on_progress=lambda done, total: bars("rendering", done, total),
        )
    lines = [f"{made.made} clips rendered, {made.skipped} already there: {made.folder}"]
    if truth:
        lines.append(f"{made.truths} files of ground truth written: {made.folder / 'truth'}")
    result = {
        "folder": str(made.folder),
        "made": made.made,
        "skipped": made.skipped,
        "truths": made.truths,
    }
    emit({**result, "per_motion": made.per_motion}, common.json, lines)


@app.command
def train(
    out: Path,
    *,
    data: Annotated[Path, Parameter(help="A MotionZoo folder, or any captioned clips.")],
    start: Annotated[
        Path | None,
        Parameter(name="--from", help="Train the transformer of this pipeline folder further."),
    ] = None,
    mixture: Mixture = None,
    vae_steps: Annotated[
        int, Parameter(help="Updates of the VAE, then as many of its decoder alone.")
    ] = 4000,
    text_steps: Annotated[int, Parameter(help="Updates of the text encoder alone.")] = 700,
    steps: Annotated[int, Parameter(help="Updates of the transformer.")] = 12000,
    batch_size: Annotated[int, Parameter(help="Clips per update of the transformer.")] = 16,
    device: Annotated[str, Parameter(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, Parameter(help="Of weights, batches and noise.")] = 0,
    threads: Annotated[int | None, Parameter(help="CPU threads; default: all.")] = None,
    common: Common = Common(),  # noqa: B008
) -> None:
    """Train wan-nano, a small Wan 2.1 pipeline, from captioned clips; resumable.

    For example:

        motive zoo make zoo/pretrain --clips 3000 --split pretrain --workers 2
        motive zoo train my-nano --data zoo/pretrain
        motive zoo train base --data zoo/pretrain --mixture bounce=0.1 spin=0.1
        motive zoo train better --data zoo/pretrain --from base --steps 4000

    Args:
        out: Pipeline folder to write; checkpoints are kept beside it.
    """
    from motive.zoo.nano_train import train_wan_nano

    with progress_bars(common.json) as bars:
        trained = train_wan_nano(
            data,
            out,
            vae_steps=vae_steps,
            text_steps=text_steps,
            steps=steps,
            batch_size=batch_size,
            mixture=None if not mixture else _weights(mixture),
            start=start,
            device=device,
            seed=seed,
            threads=threads,
            on_progress=lambda now: bars(now.stage, now.step, now.steps),
        )
    emit({"folder": str(out), **vars(trained)}, common.json, [f"pipeline written: {out}"])


def _weights(mixture: list[str]) -> dict[str, float]:
    weights = {}
    for name, value in named_values(mixture, "--mixture", "spin=0.1"):
        try:
            weights[name] = float(value)
        except ValueError:
            raise UsageError(f"--mixture {name}={value}: the weight must be a number") from None
    return weights
