"""The options of motion weights.

Invariant: `settings` names everything that changes the weights. Options that stand at the value
that leaves the numbers as they were before the option existed are left out of it, so that caches
and indexes made earlier stay valid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from motive.errors import UsageError
from motive.motion.camera import MODELS
from motive.motion.trackers import FileTracker, ReliableTracker, get_tracker

ZETA = 1e-6  # paper eq. 13
_LEAST_SIDE = 16  # px; in smaller pictures there is nothing to track
_CHOICES = {
    "displacement": ("consecutive", "anchor", "anchor-literal"),
    "weight_by": ("raw", "residual"),
    "camera_model": MODELS,
    "normalise": ("minmax", "robust"),
    "pool": ("mean", "max"),
}


#: Names for `MotionConfig.preset`.
PRESETS = ("default", "objects", "paper")


@dataclass(frozen=True)
class MotionConfig:
    """How motion is measured and turned into weights.

    Attributes:
        tracker: Name of the tracker; see `motive.motion.TRACKERS`.
        tracker_options: The tracker's own settings, such as `preset` of `dis`.
        track_side: Shorter side in pixels, at least 16, to which frames are shrunk for the
            tracker; by default it sees them as they are.
        displacement: "consecutive": from each frame to the next, so that a weight sits where the
            motion is in that frame. "anchor": from frame 0 to each frame, cumulative, carried to
            where the motion is in that frame. "anchor-literal": the same, left in frame 0's
            coordinates, as AllTracker gives it and the paper uses it.
        weight_by: "raw": all motion. "residual": what the camera does not explain.
        evidence: Count motion only as far as the pictures contradict that nothing moves ("raw") or
            that only the camera does ("residual"); see `motion_evidence`. By default "residual"
            does: where a surface is plain the flow is a guess, and what is left of a guess after
            the camera is taken out is no object.
        camera_model: "affine" or "homography"; see `fit_camera`.
        noise_floor: Pixels below which motion counts as none.
        reliability: Multiply motion by the tracker's visibility x confidence.
        split_cuts: Measure the shots of a clip with cuts one by one. Otherwise the displacement
            across a cut, which means nothing, enters the weights.
        normalise: "minmax" (paper eq. 13) or "robust": percentiles instead of extremes, and a
            range of at least half a pixel, so that noise is not stretched.
        percentile: Of "robust": what gets weight 1, above 50; its counterpart gets 0.
        pool: How the frames that the VAE folds into one latent frame are joined: "mean" or "max".
        zeta: Added to the range in the min-max formula (paper eq. 13).
        antialias: Widen the bilinear filter when shrinking to the latent grid, so that every pixel
            counts. False samples four pixels per latent cell, the literal reading of eq. 14.
    """

    tracker: str = "dis"
    tracker_options: Mapping[str, Any] = field(default_factory=dict)
    track_side: int | None = None
    displacement: Literal["consecutive", "anchor", "anchor-literal"] = "consecutive"
    weight_by: Literal["raw", "residual"] = "raw"
    evidence: bool | None = None
    camera_model: Literal["affine", "homography"] = "affine"
    noise_floor: float = 0.0
    reliability: bool = False
    split_cuts: bool = False
    normalise: Literal["minmax", "robust"] = "minmax"
    percentile: float = 99.0
    pool: Literal["mean", "max"] = "mean"
    zeta: float = ZETA
    antialias: bool = True

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                allowed = ", ".join(repr(choice) for choice in choices[:-1])
                raise UsageError(
                    f"{name}={getattr(self, name)!r}: must be {allowed} or {choices[-1]!r}"
                )
        if self.track_side is not None and self.track_side < _LEAST_SIDE:
            raise UsageError(f"track_side={self.track_side}: must be at least {_LEAST_SIDE} pixels")
        if not self.zeta > 0:
            raise UsageError(f"zeta={self.zeta}: must be positive")
        if not self.noise_floor >= 0:
            raise UsageError(f"noise_floor={self.noise_floor}: must be 0 or more pixels")
        if not 50 < self.percentile <= 100:
            raise UsageError(f"percentile={self.percentile}: must be above 50 and at most 100")

    @classmethod
    def paper(
        cls, tracker: str = "alltracker", tracker_options: Mapping[str, Any] | None = None
    ) -> MotionConfig:
        """The paper's setting to the letter (eq. 12-14), with its tracker unless another is named.

        Cumulative displacement in the anchor frame's coordinates, all motion, min-max over the
        clip, plain bilinear resampling. Time pooling, which the paper leaves open, is the mean.
        """
        return cls(
            tracker=tracker,
            tracker_options=tracker_options or {},
            displacement="anchor-literal",
            antialias=False,
        )

    @classmethod
    def objects(cls) -> MotionConfig:
        """The weights that find moving objects best on MotionZoo (docs/trackers.md).

        Only motion against the camera counts, and only as far as the pictures prove it; each shot
        by itself; percentiles in place of extremes.
        """
        return cls(weight_by="residual", split_cuts=True, normalise="robust")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> MotionConfig:
        """A setting by its name, with other values for single fields.

        Args:
            name: "default", "objects" or "paper".
            changes: Fields of this class; those that are None stay as the preset has them.

        Raises:
            UsageError: An unknown preset or field, or a value out of range.
        """
        if name not in PRESETS:
            raise UsageError(f"motion weights {name!r}: must be one of {', '.join(PRESETS)}")
        unknown = sorted(set(changes) - {entry.name for entry in fields(cls)})
        if unknown:
            raise UsageError(f"motion weights have no option {unknown[0]!r}")
        presets: dict[str, Callable[[], MotionConfig]]
        presets = {"default": cls, "objects": cls.objects, "paper": cls.paper}
        given = {option: value for option, value in changes.items() if value is not None}
        return replace(presets[name](), **given)

    def build_tracker(self) -> Any:
        """The tracker, checked against what is asked of it.

        Raises:
            UsageError: Unknown tracker or options, or the tracker lacks what an option needs.
            MissingExtraError: A package that the tracker needs is not installed.
        """
        tracker = get_tracker(self.tracker, **self.tracker_options)
        if self.reliability and not isinstance(tracker, ReliableTracker):
            raise UsageError(
                f"reliability: tracker {self.tracker!r} gives no visibility or confidence; choose "
                "alltracker or cotracker3, or leave the option out"
            )
        if isinstance(tracker, FileTracker) and self.displacement != "consecutive":
            raise UsageError(
                f"displacement={self.displacement!r}: tracker {self.tracker!r} only knows steps "
                "from frame to frame; use consecutive, or another tracker"
            )
        if isinstance(tracker, FileTracker) and self.track_side is not None:
            raise UsageError(
                f"track_side={self.track_side}: tracker {self.tracker!r} reads motion from the "
                "file, at its resolution; leave the option out, or choose another tracker"
            )
        return tracker

    @property
    def asks_evidence(self) -> bool:
        """Whether motion counts only as far as the pictures prove it."""
        return self.weight_by == "residual" if self.evidence is None else self.evidence

    @property
    def asks_camera(self) -> bool:
        """Whether weights need the camera fitted; if not, displacement alone decides them."""
        return self.weight_by != "raw" or self.asks_evidence or self.displacement == "anchor"

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes the weights, for the fingerprint: JSON values only."""
        anchored = self.displacement != "consecutive"
        found: dict[str, Any] = {
            "tracker": self.build_tracker().settings,
            "displacement": "anchor" if anchored else "consecutive",
            "pool": self.pool,
            "zeta": self.zeta,
            "antialias": self.antialias,
        }
        if self.displacement == "anchor":
            found["placed"] = True
        if self.weight_by == "residual":
            found |= {"weight_by": "residual", "camera_model": self.camera_model}
        if self.normalise == "robust":
            found |= {"normalise": "robust", "percentile": self.percentile}
        if self.noise_floor:
            found["noise_floor"] = self.noise_floor
        if self.track_side is not None:
            found["track_side"] = self.track_side
        if self.asks_evidence:
            found["evidence"] = True
        for name in ("reliability", "split_cuts"):
            if getattr(self, name):
                found[name] = True
        return found
