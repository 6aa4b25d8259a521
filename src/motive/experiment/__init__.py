"""Select, fine-tune, generate, evaluate: the whole comparison from one YAML file, and its table.

config = read_experiment(Path("experiment.yaml"))
run_experiment(config, Path("out"), workers=2)      # continues where it stopped
results = report_experiment(Path("out"))            # table.md, table.tex, results.json, report/

Invariant: conditions differ in the clips they train on and in nothing else, and a number that an
interval does not support is said to be not shown.
"""

from motive.experiment.about import About, ConditionFacts
from motive.experiment.conditions import KNOWN, Condition
from motive.experiment.config import PRESETS, ExperimentConfig, preset, read_experiment
from motive.experiment.reporting import Reported, report_experiment
from motive.experiment.results import (
    JudgedVideo,
    ResultCell,
    ResultDifference,
    Results,
    results_of,
)
from motive.experiment.running import run_experiment
from motive.experiment.steps import KINDS
from motive.experiment.studying import study_videos
from motive.experiment.tables import latex_table, markdown_table, terminal_table

__all__ = [
    "KINDS",
    "KNOWN",
    "PRESETS",
    "About",
    "Condition",
    "ConditionFacts",
    "ExperimentConfig",
    "JudgedVideo",
    "Reported",
    "ResultCell",
    "ResultDifference",
    "Results",
    "latex_table",
    "markdown_table",
    "preset",
    "read_experiment",
    "report_experiment",
    "results_of",
    "run_experiment",
    "study_videos",
    "terminal_table",
]
