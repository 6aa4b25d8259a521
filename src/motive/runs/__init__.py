"""A run: one folder, one configuration, and the stages of the river in order.

Invariant: every stage skips what is already on disk and adds in atomic steps, so a run that was
killed anywhere continues when the same command is given again.
"""

from motive.runs.baselines import METHODS, Baseline, baseline
from motive.runs.config import RunConfig
from motive.runs.controls import random_ranking, weight_map_ranking
from motive.runs.exporting import export_run, scored_standard, selected_clips
from motive.runs.model import follow, make_featurizer, open_backbone
from motive.runs.previews import Previews
from motive.runs.reporting import compare, report_run
from motive.runs.run import IndexResult, Progress, Ranking, Run
from motive.runs.selecting import select_run, selection_path

__all__ = [
    "METHODS",
    "Baseline",
    "IndexResult",
    "Previews",
    "Progress",
    "Ranking",
    "Run",
    "RunConfig",
    "baseline",
    "compare",
    "export_run",
    "follow",
    "make_featurizer",
    "open_backbone",
    "random_ranking",
    "report_run",
    "scored_standard",
    "select_run",
    "selected_clips",
    "selection_path",
    "weight_map_ranking",
]
