"""What a fine-tuning did: `finetune.json`, its curves, and the model card of its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motive.clips import Clip
from motive.errors import MotiveError
from motive.files import whole_file
from motive.finetuning.config import FinetuneConfig
from motive.finetuning.material import Sorted
from motive.versions import versions

RECORD = "finetune.json"


@dataclass
class Curves:
    """What was measured on the way.

    Attributes:
        losses: Training loss of every update.
        sigmas: Noise levels of the held-out loss.
        held_out_clips: How many clips it is the mean of.
        held_out: (updates done, loss at each noise level, mean over the held-out clips).
        samples: (updates done, folder of videos made then, below the output folder).
        seconds: Time spent training, over all starts.
    """

    losses: list[float] = field(default_factory=list)
    sigmas: list[float] = field(default_factory=list)
    held_out_clips: int = 0
    held_out: list[tuple[int, list[float]]] = field(default_factory=list)
    samples: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Curves:
        """From the JSON of `vars(curves)`."""
        return cls(
            list(values["losses"]),
            list(values["sigmas"]),
            int(values["held_out_clips"]),
            [(int(step), list(losses)) for step, losses in values["held_out"]],
            [(int(step), str(folder)) for step, folder in values["samples"]],
            float(values["seconds"]),
        )


def read_record(out: Path) -> dict[str, Any] | None:
    """`finetune.json` of an output folder, or None if there is none.

    Raises:
        MotiveError: It is damaged.
    """
    path = out / RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text("utf-8"))
        if not isinstance(record, dict) or "settings" not in record:
            raise ValueError("no settings in it")
    except (OSError, ValueError) as error:
        raise MotiveError(f"{path}: damaged ({error}); give another --out") from None
    return record


def write_record(
    out: Path,
    config: FinetuneConfig,
    settings: Mapping[str, Any],
    chosen: Sorted,
    step: int,
    curves: Curves,
    *,
    done: bool,
) -> dict[str, Any]:
    """Write `finetune.json` and return what is in it.

    Raises:
        MotiveError: It cannot be written.
    """
    record = {
        "done": done,
        "step": step,
        "model": config.model,
        "options": vars(config),
        "settings": dict(settings),
        "clips": [
            {"id": clip_id, **_source(clip), "caption": clip.caption}
            for clip_id, clip in chosen.clips.items()
        ],
        "left_out": [{"source": s, "reason": r} for s, r in chosen.left_out],
        "duplicates": [{"source": s, "same_as": f} for s, f in chosen.duplicates],
        "curves": vars(curves),
        "versions": versions(),
    }
    with whole_file(out / RECORD) as partial:
        partial.write_text(json.dumps(record, indent=1, ensure_ascii=True) + "\n", "utf-8")
    return record


def ids_digest(ids: Iterable[str]) -> str:
    """Count and digest of a set of clips, whatever their order."""
    names = sorted(ids)
    digest = hashlib.blake2b("\n".join(names).encode(), digest_size=8)
    return f"{len(names)} with digest {digest.hexdigest()}"


def model_card(config: FinetuneConfig, record: Mapping[str, Any]) -> str:
    """Markdown card of the saved pipeline, which says where it comes from."""
    what = "all transformer weights" if config.lora is None else f"LoRA of rank {config.lora}"
    return (
        "---\nlibrary_name: diffusers\npipeline_tag: text-to-video\n---\n\n"
        f"# Fine-tuned from {config.model}\n\n"
        f"{record['step']} updates of {config.batch * config.accumulate} clips per process "
        f"({what}, AdamW at {config.rate:g}, seed {config.seed}) on {len(record['clips'])} clips, "
        f"by `motive finetune`. `{RECORD}` beside this folder has every setting, clip and loss.\n\n"
        "Everything but the transformer is the base model's; its licence applies.\n"
    )


def _source(clip: Clip) -> dict[str, Any]:
    span = {"start": clip.start, "end": clip.end} if clip.start or clip.end is not None else {}
    return {"source": clip.source, **span}
