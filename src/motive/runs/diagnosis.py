"""Do the features of a clip depend on how they are computed, and which way is fastest?

Every way to compute is compared with one reference: float32, one clip at a time, torch's own choice
of attention kernel. What cannot be tried on this machine is reported with the reason.

Invariant: one thing is changed at a time, so a cosine below 1 has one cause. Only the last trial
combines what was harmless and faster, because its features have to be measured too.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from scipy.stats import spearmanr

from motive.backbones import Backbone
from motive.backbones.loading import chosen_device
from motive.errors import ClipError, MotiveError
from motive.gradients import Feature, Featurizer
from motive.gradients.features import ClipInputs
from motive.memory import PeakMemory, available_memory
from motive.runs.config import RunConfig
from motive.runs.entries import Progress
from motive.runs.model import make_featurizer, open_backbone
from motive.runs.prepare import PreparedClip
from motive.runs.settings import Setting, candidates, switched, unavailable

_LOG = logging.getLogger(__name__)
HARMLESS = 0.999  # worst cosine of a setting that may be recommended
LEAST_FOR_RANKS = 5  # clips; fewer have too few pairs for a rank correlation
_GAIN = 0.95  # of the reference's time: what is not clearly faster is not worth a changed feature


@dataclass(frozen=True)
class Trial:
    """What came of one setting.

    Attributes:
        name: What differs from the reference.
        setting: All of it.
        cosines: Of each clip's feature with that of the reference; empty if it did not run.
        seconds: Per clip, without the first pass.
        memory: Bytes needed beyond the resting model; None where it cannot be measured.
        agreement: Spearman correlation of the clips' scores for each other, from
            `LEAST_FOR_RANKS` clips on.
        reason: Why it did not run here; None: it did.
    """

    name: str
    setting: Setting
    cosines: tuple[float, ...] = ()
    seconds: float = math.nan
    memory: int | None = None
    agreement: float | None = None
    reason: str | None = None

    @property
    def worst(self) -> float:
        """The least of the cosines; -1 if it did not run."""
        return min(self.cosines, default=-1.0)


@dataclass(frozen=True)
class Diagnosis:
    """All trials of one model on some clips.

    Attributes:
        reference: What all others are compared with.
        trials: In the order in which they were made.
        best: The fastest harmless trial that options can ask for; may be the reference.
    """

    reference: Trial
    trials: tuple[Trial, ...]
    best: Trial


def diagnose(
    config: RunConfig,
    clips: Sequence[PreparedClip],
    frames: int,
    progress: Progress,
    *,
    compiling: bool = True,
) -> Diagnosis:
    """Compute the features of some clips in every way that there is.

    Args:
        config: Model, objective and projection; `checkpointing` and `offload` also hold for the
            reference, so that large models fit; `dtype` is one of the trials.
        clips: At least one.
        frames: Pixel frames of each clip.
        progress: Called after each trial.
        compiling: Also try torch.compile, which can take minutes.

    Raises:
        MotiveError: The reference cannot be computed.
    """
    bench = _Bench(config, clips, frames, compiling)
    reference = bench.reference()
    tried = candidates(reference.setting, len(clips))
    trials = []
    for done, (name, setting) in enumerate(tried, start=1):
        trials.append(bench.trial(name, setting))
        progress("trying settings", done, len(tried) + 1)
    # The same work took two times, and the longer one measured something else as well.
    fastest = min(reference.seconds, trials[0].seconds if trials[0].cosines else math.inf)
    reference = dataclasses.replace(reference, seconds=fastest)
    together = _combined(reference, trials)
    if together is not None:
        trials.append(bench.trial("the harmless and faster together", together))
    progress("trying settings", len(tried) + 1, len(tried) + 1)
    return Diagnosis(reference, tuple(trials), _best(reference, trials))


def score_error(cosine: float) -> float:
    """The most by which a score can change if a feature keeps this cosine with the true one.

    Both have length one, so their difference has length √(2 (1 − cosine)).

    Example:
        >>> round(score_error(0.999), 3)
        0.045
    """
    return math.sqrt(2.0 * max(0.0, 1.0 - cosine))


def _combined(reference: Trial, trials: Sequence[Trial]) -> Setting | None:
    """The changes that were harmless, faster, can be asked for and go together, the fastest first.

    None if they are fewer than two, and so tried already.
    """
    useful = sorted((t for t in trials if _useful(t, reference)), key=lambda t: t.seconds)
    together = reference.setting
    for trial in useful:
        known = together.changes(reference.setting)  # of two precisions the faster one stays
        wider = dataclasses.replace(together, **trial.setting.changes(reference.setting) | known)
        together = wider if wider.consistent else together
    return together if len(together.changes(reference.setting)) > 1 else None


def _best(reference: Trial, trials: Sequence[Trial]) -> Trial:
    useful = [trial for trial in trials if _useful(trial, reference)]
    return min(useful, key=lambda trial: trial.seconds, default=reference)


def _useful(trial: Trial, reference: Trial) -> bool:
    harmless = trial.reason is None and trial.worst >= HARMLESS
    changed = trial.setting.options(reference.setting)
    return harmless and bool(changed) and trial.seconds < _GAIN * reference.seconds


# -- measuring ---------------------------------------------------------------------------------


class _Bench:
    """Runs settings on the same clips, with one model in memory at a time."""

    def __init__(
        self, config: RunConfig, clips: Sequence[PreparedClip], frames: int, compiling: bool
    ) -> None:
        self.config, self.clips, self.frames = config, clips, frames
        self.compiling = compiling
        self._loaded: tuple[tuple[object, ...], Backbone] | None = None
        self._expected = np.zeros((0, 0))

    def reference(self) -> Trial:
        """Compute what the others are compared with."""
        config = self.config
        device = str(chosen_device(config.device))
        setting = Setting(
            device,
            checkpointing=config.checkpointing or config.offload,
            offload=config.offload,
            threads=torch.get_num_threads(),
        )
        try:
            vectors, seconds, memory = self._measure(setting)
        except torch.OutOfMemoryError:
            raise MotiveError(
                f"{config.model}: the reference (float32, one clip) does not fit on {device}; add "
                "--checkpointing or --offload, or compare at fewer --frames or a smaller size"
            ) from None
        self._expected = vectors
        agreement = 1.0 if len(vectors) >= LEAST_FOR_RANKS else None
        return Trial("reference", setting, (1.0,) * len(vectors), seconds, memory, agreement)

    def trial(self, name: str, setting: Setting) -> Trial:
        """Compute the features once more, with one thing changed."""
        reason = unavailable(setting, self.compiling)
        if reason is None:
            try:
                vectors, seconds, memory = self._measure(setting)
            except ClipError as error:
                reason = f"fails: {error}"
            except (MotiveError, RuntimeError) as error:  # torch has no kernel, memory ran out, ...
                _LOG.debug("%s", name, exc_info=error)
                reason = f"not here: {_short(error, setting)}"
        if reason is not None:
            self._loaded = None  # a half-compiled or broken model is not used again
            return Trial(name, setting, reason=reason)
        cosines = tuple(float(cosine) for cosine in (vectors * self._expected).sum(1))
        return Trial(name, setting, cosines, seconds, memory, self._agreement(vectors))

    def _measure(self, setting: Setting) -> tuple[np.ndarray, float, int | None]:
        """Unit features float64 "n d", seconds per clip, bytes."""
        with switched(setting):
            featurizer = self._featurizer(setting)
            _check_attention(featurizer.backbone, setting, self.clips[0])
            step = setting.batch
            units = [self.clips[i : i + step] for i in range(0, len(self.clips), step)]
            with featurizer.ready():
                self._features(featurizer, units[0])  # compiles, chooses kernels, fills caches
                with PeakMemory(torch.device(setting.device)) as memory:
                    began = time.perf_counter()
                    found = [f for unit in units for f in self._features(featurizer, unit)]
                    seconds = (time.perf_counter() - began) / len(self.clips)
            if featurizer.batch != setting.batch:
                raise MotiveError("this model is taken clip by clip")
        vectors = np.stack([feature.vector.double().numpy() for feature in found])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), seconds, memory.bytes

    def _featurizer(self, setting: Setting) -> Featurizer:
        config = self.config.updated(**setting.of_run)
        key = (setting.device, setting.dtype, setting.offload)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None
            self._loaded = key, open_backbone(config)
        return make_featurizer(config, self._loaded[1])

    def _features(self, featurizer: Featurizer, clips: Sequence[PreparedClip]) -> list[Feature]:
        inputs = [ClipInputs(clip.latents, clip.text, clip.weights, self.frames) for clip in clips]
        if len(inputs) == 1:  # which, unlike a batch, never goes on with other settings
            return [featurizer.feature(*inputs[0])]
        found = []
        for feature in featurizer.features(inputs):
            if isinstance(feature, ClipError):
                raise feature
            found.append(feature)
        return found

    def _agreement(self, vectors: np.ndarray) -> float | None:
        """Spearman correlation of all pairwise scores."""
        if len(vectors) < LEAST_FOR_RANKS:
            return None
        pairs = np.triu_indices(len(vectors), 1)
        scores, expected = (
            np.round((rows @ rows.T)[pairs], 12) for rows in (vectors, self._expected)
        )
        return round(float(spearmanr(scores, expected).statistic), 12)


def _check_attention(backbone: Backbone, setting: Setting, clip: PreparedClip) -> None:
    """Refuse attention matrices that a CPU process would be killed for.

    Raises:
        MotiveError: They need more memory than there is.
    """
    settings = getattr(backbone.transformer, "config", None)
    heads, patch = (getattr(settings, name, None) for name in ("num_attention_heads", "patch_size"))
    if setting.attention != "math" or heads is None or not isinstance(patch, tuple | list):
        return
    tokens = prod(clip.latents.shape[1:]) // prod(patch)
    needed = 8 * heads * tokens**2  # scores and their softmax, float32
    free = available_memory(torch.device(setting.device))
    if free is not None and needed > free:
        raise MotiveError(
            f"attention matrices of {tokens} tokens need {needed / 1e9:.0f} GB, "
            f"{free / 1e9:.0f} GB are free"
        )


def _short(error: Exception, setting: Setting) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if setting.attention != "default" and ("viable backend" in text or "vailable kernel" in text):
        return f"torch has no such kernel for {setting.dtype} on {setting.device}"
    return text[:160]
