"""How good are generated videos? VBench's six dimensions, built-in metrics, intervals, comparisons.

Invariant: a number that was not measured is absent and says why; it is never zero.
"""

from motive.evaluation.metrics.catalogue import (
    BY_KEY,
    DIMENSIONS,
    METRICS,
    WEIGHTS,
    Sources,
    build_measures,
    chosen_metrics,
)
from motive.evaluation.metrics.cautions import cautions
from motive.evaluation.metrics.evaluating import Evaluated, VideoRow, evaluate
from motive.evaluation.metrics.folders import Evaluation, evaluate_folders
from motive.evaluation.metrics.intervals import clustered_interval
from motive.evaluation.metrics.official import OfficialVBench, judge, read_results, run_vbench
from motive.evaluation.metrics.protocol import Measure, Metric, Opened, Reading, Readings, Tally
from motive.evaluation.metrics.records import Records
from motive.evaluation.metrics.summary import Cell, Difference, Summary, summarise
from motive.evaluation.metrics.tables import (
    not_measured,
    summary_json,
    summary_markdown,
    summary_table,
    write_videos,
)
from motive.evaluation.metrics.videos import Asked, Video, condition_names, find_videos

__all__ = [
    "BY_KEY",
    "DIMENSIONS",
    "METRICS",
    "WEIGHTS",
    "Asked",
    "Cell",
    "Difference",
    "Evaluated",
    "Evaluation",
    "Measure",
    "Metric",
    "OfficialVBench",
    "Opened",
    "Reading",
    "Readings",
    "Records",
    "Sources",
    "Summary",
    "Tally",
    "Video",
    "VideoRow",
    "build_measures",
    "cautions",
    "chosen_metrics",
    "clustered_interval",
    "condition_names",
    "evaluate",
    "evaluate_folders",
    "find_videos",
    "judge",
    "not_measured",
    "read_results",
    "run_vbench",
    "summarise",
    "summary_json",
    "summary_markdown",
    "summary_table",
    "write_videos",
]
