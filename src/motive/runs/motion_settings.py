"""How the clips of a motion folder are measured, and `motion.yaml`, which says it.

Invariant: one folder holds numbers of one setting. Another setting is refused by the name of what
differs, never mixed in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from motive.clips import ClipStandard
from motive.errors import FingerprintError, MotiveError, UsageError
from motive.files import whole_file
from motive.index import Fingerprint, differing_fields
from motive.motion import MotionConfig
from motive.runs.config import versions
from motive.runs.prepare import MOTION_FACTS

#: What is looked at unless something else is asked for: the first second, small enough for a CPU.
STANDARD = ClipStandard(frames=17, fps=16.0, height=240, width=416)


@dataclass(frozen=True)
class MotionSettings:
    """Everything that decides the numbers of a motion table.

    Attributes:
        standard: Frames, rate and size that every clip is brought to first.
        config: How motion is measured.
    """

    standard: ClipStandard = STANDARD
    config: MotionConfig = field(default_factory=MotionConfig)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Under which rows may stand in one table.

        Raises:
            UsageError, MissingExtraError, ModelError: The tracker cannot be had.
        """
        return Fingerprint(
            {
                "standard": vars(self.standard),
                "motion": self.config.settings,
                # The facts take the camera from every flow, whether or not the weights do.
                "facts": {"version": MOTION_FACTS, "camera_model": self.config.camera_model},
            }
        )

    def updated(self, **changes: Any) -> MotionSettings:
        """A copy with those changes that are not None; names are those of both parts.

        Raises:
            UsageError: Unknown name, or a value out of range.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        shape = {entry.name for entry in dataclasses.fields(self.standard)}
        of_shape = {name: given.pop(name) for name in list(given) if name in shape}
        try:
            config = dataclasses.replace(self.config, **given)
        except TypeError as error:  # an unknown name
            raise UsageError(f"motion settings: {error}") from None
        return MotionSettings(dataclasses.replace(self.standard, **of_shape), config)


class SettingsFile:
    """`motion.yaml` of a folder: data, options, fingerprint, versions.

    Args:
        folder: The motion folder; need not exist yet.

    Raises:
        MotiveError: The file is there and cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / "motion.yaml"
        self.stored: Mapping[str, Any] = self._read()

    @property
    def data(self) -> str | None:
        """The data set that was measured last, if any."""
        return self.stored.get("data")

    def settings(self) -> MotionSettings:
        """The settings stored, or the defaults.

        Raises:
            MotiveError: They are not settings of this version.
        """
        try:
            return MotionSettings().updated(**self.stored.get("options", {}))
        except (UsageError, TypeError) as error:  # a value of another kind is a TypeError
            raise MotiveError(
                f"{self.path}: {error}; correct it, or measure anew with --restart"
            ) from None

    def require_same(self, settings: MotionSettings) -> None:
        """Refuse to go on with a folder that was measured under other settings.

        Raises:
            FingerprintError: Names what differs.
        """
        there = self.stored.get("fingerprint")
        if there is None:
            return
        differing = differing_fields(settings.fingerprint.values, there)
        if differing:
            shown = "; ".join(f"{name} is {now} now and was {old}" for name, now, old in differing)
            raise FingerprintError(
                f"{self.path.parent}: measured under other settings: {shown}; choose another "
                "--out, go back to the old settings, or measure all clips anew with --restart"
            )

    def write(self, settings: MotionSettings, data: str | None) -> None:
        """Store what a folder is measured with."""
        options = {**vars(settings.standard), **dataclasses.asdict(settings.config)}
        options["tracker_options"] = dict(settings.config.tracker_options)
        content = {
            "data": data,
            "options": options,
            "fingerprint": dict(settings.fingerprint.values),
            "versions": versions(),
        }
        text = (
            "# Written by motive; `motive motion --out FOLDER` without options repeats it.\n"
            + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        )
        with whole_file(self.path) as partial:
            partial.write_text(text, "utf-8")
        self.stored = content

    def _read(self) -> Mapping[str, Any]:
        try:
            loaded = yaml.safe_load(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            reason = str(error).splitlines()[0]
            raise MotiveError(
                f"{self.path}: cannot be read ({reason}); measure anew with --restart"
            ) from None
        parts = ("options", "fingerprint")
        if not isinstance(loaded, dict) or not all(
            isinstance(loaded.get(part), dict) for part in parts
        ):
            raise MotiveError(f"{self.path}: no settings in it; measure anew with --restart")
        return loaded
