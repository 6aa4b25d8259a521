"""What was measured on a video, kept under the video's content: nothing is measured twice.

One JSON file per video, written beside its place and renamed. A number is valid under the settings
that stand beside it; others are measured again and replace it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motive.evaluation.metrics.protocol import Reading, Readings
from motive.evaluation.metrics.watching import VideoFacts
from motive.files import whole_file

_LOG = logging.getLogger(__name__)


class Records:
    """A folder of records. Safe to delete at any time.

    Args:
        folder: Made when the first record is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def facts(self, digest: str) -> VideoFacts | None:
        """What the video turned out to be; None if it was never seen whole."""
        found = self._read(digest).get("facts")
        return None if found is None else VideoFacts(**found)

    def readings(self, digest: str, settings: Mapping[str, str]) -> Readings:
        """Those of the metrics that were measured under these settings.

        Args:
            digest: Of the video's content.
            settings: Metric -> digest of the settings.
        """
        known: dict[str, dict[str, Any]] = self._read(digest).get("readings", {})
        found: Readings = {}
        for key, wanted in settings.items():
            entry = known.get(_slot(key, wanted))
            if entry is not None:
                value: Reading = entry["why"] if entry["value"] is None else entry["value"]
                found[key] = value
        return found

    def keep(
        self, digest: str, facts: VideoFacts, readings: Readings, settings: Mapping[str, str]
    ) -> None:
        """Add what was measured.

        Raises:
            MotiveError: The disk is full or the folder cannot be written.
        """
        known = self._read(digest).get("readings", {})
        for key, value in readings.items():
            is_text = isinstance(value, str)
            known[_slot(key, settings[key])] = {
                "value": None if is_text else value,
                "why": value if is_text else None,
            }
        record = {"facts": dataclasses.asdict(facts), "readings": known}
        with whole_file(self._path(digest)) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", "utf-8")

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / f"{digest}.json"

    def _read(self, digest: str) -> dict[str, Any]:
        path = self._path(digest)
        try:
            found = json.loads(path.read_text("utf-8"))
            _check(found)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.warning("%s: damaged record (%s); measured again", path, error)
            return {}
        return found  # type: ignore[no-any-return]


def _slot(key: str, settings: str) -> str:
    return f"{key} {settings}"


def _check(record: dict[str, Any]) -> None:
    VideoFacts(**record["facts"])
    for entry in record["readings"].values():
        value, why = entry["value"], entry["why"]
        if (value is None) != isinstance(why, str) or not math.isfinite(value or 0.0):
            raise ValueError(f"no reading: {entry}")
