"""`motive finetune`: train a model on a selection, or on any clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from motive.backbones import load_backbone
from motive.cli.console import emit, list_problems, progress_bars
from motive.cli.options import Common, given, options_of
from motive.errors import ModelError, UsageError
from motive.finetuning import FinetuneConfig, Finetuned
from motive.finetuning import finetune as train
from motive.runs import Run, scored_standard, selected_clips

FinetuneOptions = options_of(FinetuneConfig)


def finetune(
    *,
    data: Annotated[
        str,
        Parameter(
            help="Clips to train on: a run folder (its selection), a folder of videos, or a list "
            "(CSV, JSON, JSONL, ...)."
        ),
    ],
    out: Annotated[Path, Parameter(help="Folder for the model, checkpoints and curves.")],
    selection: Annotated[
        Path | None,
        Parameter(help="With a run: another CSV with a clip_id column than its selection.csv."),
    ] = None,
    held_out: Annotated[
        str | None,
        Parameter(help="Clips that are not trained on, whose loss is measured on the way."),
    ] = None,
    samples: Annotated[
        Path | None, Parameter(help="Prompts (txt, csv, jsonl) to make videos from on the way.")
    ] = None,
    cache: Annotated[
        Path | None,
        Parameter(help="Folder with encoded clips; default: the run's, or one in --out."),
    ] = None,
    options: FinetuneOptions = FinetuneOptions(),  # type: ignore[valid-type]  # noqa: B008
    common: Common = Common(),  # noqa: B008
) -> None:
    """Fine-tune a video diffusion model on clips: the full transformer, or LoRA adapters.

    The number of updates is fixed, whatever the number of clips, so that selections are compared
    at equal cost. The result is an ordinary diffusers pipeline folder (or LoRA file), with the
    losses on a page to open. Run the same command again to continue after an interruption: the
    result is the same, bit for bit. Several GPUs: accelerate launch -m motive.cli.main finetune ...

    For example:

        motive finetune --data runs/mine --out tuned/ --steps 1000
        motive finetune --data selection.jsonl --out tuned/ --lr 1e-4 --batch 8 --ema 0.99
        motive finetune --data runs/wan --out lora/ --lora 32 --samples prompts.txt
    """
    with progress_bars(common.json) as bars:
        asked: dict[str, Any] = given(options)
        clips: Any = data
        more: dict[str, Any] = {"cache": cache}
        if _is_run(Path(data)):
            run = Run(data)
            asked = {"model": run.config.model, **asked}
            clips = selected_clips(run, selection)
            more = {"cache": cache or run.cache.folder, "standard": scored_standard(run)}
        elif selection is not None:
            raise UsageError(f"--selection {selection}: only with --data RUN; {data} is no run")
        tuned = train(
            FinetuneConfig(**asked),
            clips,
            out,
            held_out=held_out,
            samples=samples,
            on_progress=bars,
            **more,
        )
    if tuned.reports:
        emit(_result(tuned), common.json, _lines(tuned))


def _is_run(folder: Path) -> bool:
    return (folder / "config.yaml").is_file() and (folder / "clips.lance").exists()


def _result(tuned: Finetuned) -> dict[str, Any]:
    record = tuned.record
    return {
        "out": str(tuned.out),
        "pipeline": None if tuned.pipeline is None else str(tuned.pipeline),
        "lora": None if tuned.lora is None else str(tuned.lora),
        "steps": tuned.steps,
        "resumed_at": tuned.resumed_at,
        "clips": len(record["clips"]),
        "left_out": record["left_out"],
        "duplicates": record["duplicates"],
        "loss": record["curves"]["losses"][-1],
        "held_out": record["curves"]["held_out"],
        "seconds": round(record["curves"]["seconds"], 3),
        "page": str(tuned.page),
    }


def _lines(tuned: Finetuned) -> list[str]:
    record = tuned.record
    done = tuned.steps - tuned.resumed_at
    lines = [
        f"{tuned.steps} updates on {len(record['clips'])} clips ({done} now, {tuned.resumed_at} "
        f"already there) in {record['curves']['seconds']:.1f} s",
        *list_problems(
            [(entry["source"], entry["reason"]) for entry in record["left_out"]],
            [(entry["source"], entry["same_as"]) for entry in record["duplicates"]],
        ),
    ]
    points = record["curves"]["held_out"]
    if len(points) > 1:
        before, after = (sum(losses) / len(losses) for _, losses in (points[0], points[-1]))
        lines.append(f"held-out loss: {before:.4f} before, {after:.4f} after")
    lines.append(f"curves: {tuned.page}")
    if tuned.lora is not None:
        lines.append(f"adapters: {tuned.lora}")
        lines += _next(record["model"], f"--lora {tuned.lora} ")
    if tuned.pipeline is not None:
        lines.append(f"pipeline: {tuned.pipeline}")
        lines += _next(str(tuned.pipeline))
    return lines


def _next(model: str, lora: str = "") -> list[str]:
    try:
        load_backbone(model, device="cpu").check_sampling()
    except ModelError:
        return []
    return [f"next: motive generate --model {model} {lora}--prompts prompts.txt --out videos/"]
