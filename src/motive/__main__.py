"""`python -m motive`, and so `torchrun -m motive`."""

from motive.cli.main import _entry

_entry()
