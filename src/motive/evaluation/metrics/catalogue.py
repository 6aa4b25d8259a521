"""All metrics, and the measures that compute them, from what the user has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from motive.backbones.loading import chosen_device
from motive.encoders import open_image_encoder
from motive.errors import MissingExtraError, MotiveError, UsageError
from motive.evaluation.metrics.consistency import Consistency
from motive.evaluation.metrics.dynamic import DynamicDegree
from motive.evaluation.metrics.flow_quality import FlowQuality
from motive.evaluation.metrics.interpolation import (
    DISMidpoint,
    InterpolationSmoothness,
    NamedInterpolator,
)
from motive.evaluation.metrics.protocol import Measure, Metric
from motive.evaluation.metrics.quality import (
    AestheticQuality,
    ImagingQuality,
    MUSIQScorer,
    load_linear_head,
)
from motive.evaluation.metrics.shown_motion import ShownMotion
from motive.evaluation.metrics.stillness import Stillness
from motive.evaluation.metrics.working_size import AtWorkingSize
from motive.evaluation.motion_classifier import load_motion_classifier
from motive.motion import DISTracker, get_tracker

#: VBench's six dimensions of the paper, in its order.
DIMENSIONS = (
    "subject_consistency",
    "background_consistency",
    "motion_smoothness",
    "dynamic_degree",
    "aesthetic_quality",
    "imaging_quality",
)
_TITLES = ("subject", "background", "smoothness", "dynamic", "aesthetic", "imaging")
_ABOUT = (
    "Mean of ½ [max(0, cos to the previous frame) + max(0, cos to the first)] of DINO ViT-B/16.",
    "The same with CLIP ViT-B/32.",
    "(255 - mean difference of every second frame from AMT-S's interpolation) / 255.",
    "Whether the largest 5 % of RAFT's flow pass 6 px per 1/8 s, at a height of 256, often enough.",
    "LAION's linear head on CLIP ViT-L/14, over 10.",
    "MUSIQ (SPAQ), over 100.",
)


def _vbench() -> tuple[Metric, ...]:
    kinds = {"dynamic_degree": "share"}
    return tuple(
        Metric(key, title, "vbench", kinds.get(key, "mean"), 1, True, about)  # type: ignore[arg-type]
        for key, title, about in zip(DIMENSIONS, _TITLES, _ABOUT, strict=True)
    )


def _official() -> tuple[Metric, ...]:
    return tuple(
        Metric(
            f"official_{metric.key}",
            f"{metric.title} (vbench)",
            "official",
            metric.kind,
            1,
            True,
            f"What the vbench package says: {metric.about}",
        )
        for metric in _vbench()
    )


METRICS: tuple[Metric, ...] = (
    *_vbench(),
    Metric("dynamic_margin", "dynamic margin", "vbench", "mean", 1, False,
           "The flow that decides dynamic degree over its threshold; above 1 means yes."),
    Metric("dynamic_degree_dis", "dynamic (DIS)", "built-in", "share", 1, True,
           "VBench's dynamic degree with DIS flow instead of RAFT, at a height of 256."),
    Metric("dynamic_margin_dis", "margin (DIS)", "built-in", "mean", 1, False,
           "The flow that decides it over its threshold; above 1 means yes."),
    Metric("interpolation_smoothness", "smoothness (DIS)", "built-in", "mean", 1, True,
           "VBench's motion smoothness with a DIS midpoint instead of AMT-S, at a height of 256."),
    Metric("flow_smoothness", "flow smoothness", "built-in", "mean", 1, True,
           "1 - change of velocity along the flow over the velocities, of moving pixels."),
    Metric("flow_jerk", "flow jerk", "built-in", "mean", -1, True,
           "Change of acceleration along the flow over the velocities, of moving pixels."),
    Metric("warping_error", "warping error", "built-in", "mean", -1, True,
           "Mean squared difference of a frame and the next one moved back (Lai et al. 2018)."),
    Metric("temporal_consistency", "consistency", "built-in", "mean", 1, True,
           "Structural similarity of a frame and the next one moved back (Wang et al. 2004)."),
    Metric("frozen_frames", "frozen", "built-in", "mean", -1, True,
           "Share of pairs of frames in which no block of 8x8 changes by 2 grey levels."),
    Metric("still_area", "still area", "built-in", "mean", 0, True,
           "Share of blocks that never change; neither good nor bad."),
    Metric("flicker", "flicker", "built-in", "mean", -1, False,
           "Brightness that the next frame takes back, grey levels of 255."),
    Metric("motion_shown", "motion shown", "motion", "share", 1, True,
           "Whether the MotionZoo classifier sees the asked motion; chance is 10 %."),
    Metric("motion_probability", "motion prob.", "motion", "mean", 1, True,
           "Probability that the classifier gives the asked motion."),
    *_official(),
)  # fmt: skip
BY_KEY = {metric.key: metric for metric in METRICS}
GROUPS = ("vbench", "built-in", "motion", "official")


@dataclass(frozen=True)
class Weights:
    """One thing that a measure needs and this package does not bring.

    Attributes:
        name: As the command line calls it.
        about: What it is, with its licence.
        hub: Where transformers finds it; empty if it has to be given.
    """

    name: str
    about: str
    hub: str = ""


WEIGHTS = {
    entry.name: entry
    for entry in (
        Weights("dino", "DINO ViT-B/16 (Apache-2.0)", "facebook/dino-vitb16"),
        Weights("clip", "CLIP ViT-B/32 (MIT)", "openai/clip-vit-base-patch32"),
        Weights("clip-large", "CLIP ViT-L/14 (MIT)", "openai/clip-vit-large-patch14"),
        Weights("aesthetic", "LAION's sa_0_4_vit_l_14_linear.pth (MIT)"),
        Weights("musiq", "MUSIQ-SPAQ (weights and pyiqa: non-commercial)"),
        Weights("amt", "AMT-S as FILE.py:FUNCTION (CC-BY-NC-4.0, non-commercial)"),
        Weights("raft", "RAFT, trained on things (BSD-3-Clause)"),
    )
}


@dataclass(frozen=True)
class Sources:
    """What measures are made of; small enough to send to another process.

    Attributes:
        weights: (name in `WEIGHTS`, folder, file, hub id or function).
        hub: Whether DINO and CLIP may be downloaded where they were not given.
        device: Of the networks.
        flow: Tracker of VBench's dynamic degree; "raft" is VBench's.
        classifier: Folder of another motion classifier; empty takes the one in the package.
    """

    weights: tuple[tuple[str, str], ...] = ()
    hub: bool = False
    device: str = "auto"
    flow: str = "raft"
    classifier: str = ""

    def __post_init__(self) -> None:
        for name, _ in self.weights:
            if name not in WEIGHTS:
                raise UsageError(f"--weights {name}: must be one of {', '.join(WEIGHTS)}")

    def place(self, name: str) -> str:
        """Where these weights are.

        Raises:
            MissingExtraError: They were not given, with what to give.
        """
        given = dict(self.weights).get(name)
        entry = WEIGHTS[name]
        if given is None and self.hub and entry.hub:
            return entry.hub
        if given is None:
            hint = f", or --hub to take {entry.hub}" if entry.hub else ""
            hint = ", or another --flow" if name == "raft" else hint
            raise MissingExtraError(f"needs {entry.about}: give --weights {name}=PATH{hint}")
        return given


def _dynamic(sources: Sources) -> Measure:
    options = {}
    if sources.flow == "raft":
        place = sources.place("raft")
        options = {"weights": place, "device": str(chosen_device(sources.device))}
    tracker = get_tracker(sources.flow, **options)
    if not hasattr(tracker, "consecutive"):
        raise UsageError(f"tracker={sources.flow!r}: reads files, not frames; choose another one")
    return DynamicDegree(("dynamic_degree", "dynamic_margin"), tracker)


def _aesthetic(sources: Sources) -> Measure:
    head = load_linear_head(sources.place("aesthetic"))
    return AestheticQuality(open_image_encoder(sources.place("clip-large"), sources.device), head)


def _shown(sources: Sources) -> Measure:
    folder = Path(sources.classifier) if sources.classifier else None
    classifier = load_motion_classifier(folder)
    return ShownMotion(classifier, sources.classifier or f"in the package: {classifier.facts}")


_BUILDERS: dict[tuple[str, ...], Callable[[Sources], Measure]] = {
    ("subject_consistency",): lambda s: Consistency(
        "subject_consistency", open_image_encoder(s.place("dino"), s.device)
    ),
    ("background_consistency",): lambda s: Consistency(
        "background_consistency", open_image_encoder(s.place("clip"), s.device)
    ),
    ("motion_smoothness",): lambda s: InterpolationSmoothness(
        "motion_smoothness", NamedInterpolator(s.place("amt"))
    ),
    ("dynamic_degree", "dynamic_margin"): _dynamic,
    AestheticQuality.keys: _aesthetic,
    ImagingQuality.keys: lambda s: ImagingQuality(
        MUSIQScorer(s.place("musiq"), chosen_device(s.device))
    ),
    ("dynamic_degree_dis", "dynamic_margin_dis"): lambda s: AtWorkingSize(
        DynamicDegree(("dynamic_degree_dis", "dynamic_margin_dis"), DISTracker())
    ),
    ("interpolation_smoothness",): lambda s: AtWorkingSize(
        InterpolationSmoothness("interpolation_smoothness", DISMidpoint())
    ),
    FlowQuality.keys: lambda s: AtWorkingSize(FlowQuality(DISTracker())),
    Stillness.keys: lambda s: AtWorkingSize(Stillness()),
    ShownMotion.keys: _shown,
}


def build_measures(keys: Sequence[str], sources: Sources) -> tuple[list[Measure], dict[str, str]]:
    """Measures for metrics, and why the others cannot be measured.

    Networks are opened when the first video is shown.

    Args:
        keys: Metrics; those of the group "official" are not for this function.
        sources: What the user has.

    Returns:
        (measures, metric -> one line).
    """
    measures: list[Measure] = []
    refused: dict[str, str] = {}
    for covered, build in _BUILDERS.items():
        wanted = [key for key in covered if key in keys]
        if not wanted:
            continue
        try:
            measure = build(sources)
            dict(measure.settings)  # reads the weights' files, so that a wrong path is found now
        except MotiveError as error:
            refused |= dict.fromkeys(wanted, str(error))
        else:
            measures.append(measure)
    return measures, refused


def chosen_metrics(asked: Sequence[str] | None, *, official: bool = False) -> list[str]:
    """Keys of metrics by key or group, in the catalogue's order.

    Args:
        asked: Keys and groups, or "all"; None takes every group but "official".
        official: Whether the group "official" is among the default.

    Raises:
        UsageError: An unknown name.
    """
    if asked is None:
        asked = [group for group in GROUPS if official or group != "official"]
    known = {*BY_KEY, *GROUPS, "all"}
    strange = [name for name in asked if name not in known]
    if strange:
        raise UsageError(
            f"--metrics {strange[0]}: must be a group ({', '.join(GROUPS)}, all) or one of "
            f"{', '.join(BY_KEY)}"
        )
    wanted = set(asked)
    return [m.key for m in METRICS if {"all", m.group, m.key} & wanted]
