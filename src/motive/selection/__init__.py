"""Which clips to fine-tune on, and why each was chosen  [paper eq. 18].

Invariant: a selection depends on the scores and the clip ids alone; ties never depend on order.
"""

from motive.selection.selecting import (
    Choice,
    Selection,
    majority_vote,
    parse_top,
    write_selection_csv,
)

__all__ = ["Choice", "Selection", "majority_vote", "parse_top", "write_selection_csv"]
