"""Blind pairwise human study: two videos of one prompt side by side, and which moves better.

plan = StudyPlan({"motive": Path("out/motive"), "base": Path("out/base")}, prompts, ...)
create_study(plan, Path("studies/first"))     # copies the videos under names that say nothing
serve_study(Path("studies/first"))            # annotators judge in the browser
with StudyStore(Path("studies/first")) as store:
    results = study_results(store)            # wins, agreement, ranking, with intervals
"""

from motive.study.create import create_study
from motive.study.records import (
    Annotator,
    Judgement,
    Standing,
    StorageError,
    Trial,
    UnknownAnnotatorError,
    UnknownTrialError,
    Vote,
    VoteConflictError,
)
from motive.study.results import StudyResults, study_results, write_results
from motive.study.serving import Serving, annotator_link, serve_study
from motive.study.sources import (
    Prompt,
    StudyPlan,
    condition_folders,
    numbered_annotators,
    read_plan,
    read_prompts,
)
from motive.study.store import StudyStore
from motive.study.web import study_app

__all__ = [
    "Annotator",
    "Judgement",
    "Prompt",
    "Serving",
    "Standing",
    "StorageError",
    "StudyPlan",
    "StudyResults",
    "StudyStore",
    "Trial",
    "UnknownAnnotatorError",
    "UnknownTrialError",
    "Vote",
    "VoteConflictError",
    "annotator_link",
    "condition_folders",
    "create_study",
    "numbered_annotators",
    "read_plan",
    "read_prompts",
    "serve_study",
    "study_app",
    "study_results",
    "write_results",
]
