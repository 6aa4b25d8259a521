"""Which clips to fine-tune on, and why each was chosen  [paper eq. 18].

Invariant: a selection depends on the scores and the clip ids alone; ties never depend on order.
"""

from motive.selection.diverse import diversify
from motive.selection.selecting import (
    Choice,
    Contribution,
    Diversity,
    Selection,
    majority_vote,
    parse_top,
    write_selection_csv,
)

__all__ = [
    "Choice",
    "Contribution",
    "Diversity",
    "Selection",
    "diversify",
    "majority_vote",
    "parse_top",
    "write_selection_csv",
]
