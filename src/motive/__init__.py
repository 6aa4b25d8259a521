"""MOTIVE: which training clips influence the motion in generated videos?

The whole of it in five lines:

    from motive import Run, RunConfig

    run = Run("runs/mine", RunConfig(model="wan-nano"))
    run.index("videos/")        # one projected, motion-weighted gradient per training clip
    run.rank("queries/")        # its cosine with the gradient of every query clip
    run.select("10%")           # majority vote; selection.csv says which clips and why

Each room (`motive.clips`, `motive.motion`, `motive.backbones`, `motive.projection`,
`motive.gradients`, `motive.index`, `motive.influence`, `motive.selection`) can be used by itself.
"""

from importlib import metadata
from typing import TYPE_CHECKING, Any

from motive.clips import Clip, ClipStandard, read_dataset
from motive.errors import MotiveError

if TYPE_CHECKING:
    from motive.backbones import load_backbone
    from motive.runs import Run, RunConfig, report_run

__version__ = metadata.version("motive-video")
__all__ = [
    "Clip",
    "ClipStandard",
    "MotiveError",
    "Run",
    "RunConfig",
    "__version__",
    "load_backbone",
    "read_dataset",
    "report_run",
]

# Imported when first used: a data loader that only needs clips should not wait for torch models.
_LAZY = {
    "Run": "motive.runs",
    "RunConfig": "motive.runs",
    "report_run": "motive.runs",
    "load_backbone": "motive.backbones",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'motive' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
