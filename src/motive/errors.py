"""The one exception family of MOTIVE.

Every message is one line: which input, what is wrong with it, what to do. The command line prints
the message alone and exits with 1 (or 2 for `UsageError`); a traceback needs `--debug`.
"""

from __future__ import annotations


class MotiveError(Exception):
    """Base of every error that MOTIVE raises on purpose."""


class UsageError(MotiveError):
    """The call itself is wrong (unknown option value, missing argument): exit code 2."""


class ClipError(MotiveError):
    """One clip cannot be used (missing, corrupt, too short, ...). It becomes a row, not a crash."""


class DatasetError(MotiveError):
    """A list or folder of clips cannot be read at all, or holds no usable clip."""


class ModelError(MotiveError):
    """A model folder or hub id is not something MOTIVE can attribute."""


class FingerprintError(MotiveError):
    """Features were made under another fingerprint and must not be compared."""


class MissingExtraError(MotiveError):
    """An optional package is needed; the message names the extra to install."""
