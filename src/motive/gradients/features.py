"""From a clip's latents, caption embedding and motion weights to its feature."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from motive.backbones import Backbone, TextEmbedding
from motive.errors import ClipError, UsageError
from motive.gradients.batch import BatchCollector, NotSeparableError, disagreement
from motive.gradients.collector import ALL_PARAMETERS, GradientCollector
from motive.gradients.execution import (
    TooLargeError,
    can_checkpoint,
    checkpointed,
    compiled_blocks,
    is_out_of_memory,
    offloaded_activations,
)
from motive.gradients.objective import (
    Objective,
    fixed_noise,
    location_error,
    motion_weighted_loss,
)
from motive.gradients.sums import Collected
from motive.projection import Projection

_LOG = logging.getLogger(__name__)


class ZeroGradientError(ClipError):
    """Nothing moves under the mask, so the motion-weighted loss has no gradient."""


class ClipInputs(NamedTuple):
    """What the gradient of one clip is computed from.

    Attributes:
        latents: h, "c f h w".
        text: Caption embedding.
        weights: W̃ on the latent grid, "f h w"; ignored when the objective has no mask.
        frames: F, pixel frames of the clip.
    """

    latents: torch.Tensor
    text: TextEmbedding
    weights: torch.Tensor | None
    frames: int


@dataclass(frozen=True)
class Feature:
    """The projected gradient of one clip.

    Attributes:
        vector: g̃ = P g / ‖P g‖, float32 "d", unit length  [paper eq. 8].
        projected_norm: ‖P g‖; vector · projected_norm gives P g back.
        gradient_norm: ‖g‖ of the unprojected gradient (the mean over (t, ε) pairs).
        loss: L_mot (the mean over (t, ε) pairs).
        groups: The same for each group of parameters on its own. Vectors times projected norms add
            up to the whole; a group that no gradient reaches has a zero vector.
    """

    vector: torch.Tensor
    projected_norm: float
    gradient_norm: float
    loss: float
    groups: Mapping[str, Feature] = field(default_factory=dict)


class Featurizer:
    """Computes features with one backbone, projection and objective.

    Args:
        backbone: The model; only its transformer is differentiated.
        projection: See `motive.projection`.
        objective: The fixed (t, ε) and the loss.
        parameters: Regular expression of attributed parameter names.
        groups: Regular expression that sorts them into groups (see `parameter_groups`).
        batch: How many clips `features` takes through the model at once. More than one needs a rule
            for every layer; a model without is taken clip by clip, and the log says so.
        checkpointing: Recompute activations in backward: less memory, a third more time.
        offload_activations: Keep activations in CPU memory between forward and backward.
        compile_backend: Compile the model's blocks with this backend of `torch.compile`.

    Raises:
        UsageError: Options that exclude each other, or a pattern that matches no parameter.

    A featurizer is used inside `ready()`:

        with featurizer.ready():
            feature = featurizer.feature(latents, text, weights, frames=81)
    """

    def __init__(
        self,
        backbone: Backbone,
        projection: Projection,
        objective: Objective,
        *,
        parameters: str = ALL_PARAMETERS,
        groups: str | None = None,
        batch: int = 1,
        checkpointing: bool = False,
        offload_activations: bool = False,
        compile_backend: str | None = None,
    ) -> None:
        if batch < 1:
            raise UsageError(f"batch {batch}: must be at least 1")
        if batch > 1 and (checkpointing or offload_activations or compile_backend):
            raise UsageError(
                f"batch {batch}: several clips at once exclude checkpointing, offloading of "
                "activations and compiling, which are for models that one clip fills; use batch 1"
            )
        self.backbone, self.projection, self.objective = backbone, projection, objective
        self.batch, self.checkpointing = batch, checkpointing
        self.offload_activations, self.compile_backend = offload_activations, compile_backend
        self.collector = GradientCollector(
            backbone.transformer, projection, parameters, groups=groups
        )
        self._batches: BatchCollector | None = None
        self._batches_agree = False
        self._ready = ExitStack()
        self._noise: dict[tuple[tuple[int, ...], int], torch.Tensor] = {}

    @contextmanager
    def ready(self) -> Iterator[Featurizer]:
        """Install the gradient hooks (and checkpointing) for the duration of the block."""
        model = self.backbone.transformer
        if self.batch > 1 and self._batches is None:
            try:
                self._batches = BatchCollector(self.collector)
            except NotSeparableError as error:
                self._go_one_by_one(str(error))
        with ExitStack() as self._ready:
            self._ready.enter_context(self.collector.active())
            if self.compile_backend:
                self._ready.enter_context(compiled_blocks(model, self.compile_backend))
            if self.checkpointing:
                self._ready.enter_context(checkpointed(model))
            yield self

    def feature(
        self,
        latents: torch.Tensor,
        text: TextEmbedding,
        weights: torch.Tensor | None,
        frames: int,
    ) -> Feature:
        """The feature of one clip, by itself; arguments as in `ClipInputs`.

        Raises:
            ZeroGradientError: The gradient is zero (no motion under the mask).
            ClipError: The gradient of a parameter is not finite (see `GradientCollector.collect`).
        """
        clip = ClipInputs(latents, text, weights, frames)
        pairs = []
        for pair in range(len(self.objective.timesteps)):
            losses: list[float] = []
            collected = self.collector.collect(self._recorded([clip], pair, losses))
            pairs.append((losses[0], collected))
        return _combined(pairs)

    def features(self, clips: Sequence[ClipInputs]) -> list[Feature | ClipError]:
        """The features of clips, `batch` at a time, or why a clip has none.

        Clips of different shapes are not put together. Where memory runs out the work is done in
        smaller pieces from then on: half as many clips, then checkpointing, then offloading.

        Returns:
            For each clip its feature or the error that `feature` raises; `TooLargeError` for one
            that does not fit into memory in any way.
        """
        found: dict[int, Feature | ClipError] = {}
        for members in _alike(clips):
            results = self._as_fits([clips[index] for index in members])
            found |= zip(members, results, strict=True)
        return [found[index] for index in range(len(clips))]

    def _as_fits(self, clips: list[ClipInputs]) -> list[Feature | ClipError]:
        """Features of clips of one shape, in pieces that fit into memory."""
        found: list[Feature | ClipError] = []
        while len(found) < len(clips):
            piece = clips[len(found) : len(found) + self.batch]
            try:
                found += self._at_once(piece)
                continue
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).strip().splitlines()[0][:80]
            # Outside of `except`: the error's traceback would keep the activations alive.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if not self._shrink():
                found.append(
                    TooLargeError(
                        f"out of memory ({reason}); try --dtype bfloat16, or fewer frames or pixels"
                    )
                )
        return found

    def _shrink(self) -> bool:
        """Use less memory from now on; False if that is not possible."""
        model = self.backbone.transformer
        if self.batch > 1:
            self.batch //= 2
            _LOG.warning("out of memory: going on with batches of %d", self.batch)
        elif not self.checkpointing and can_checkpoint(model):
            self.checkpointing = True
            self._ready.enter_context(checkpointed(model))
            _LOG.warning("out of memory: going on with --checkpointing")
        elif not self.offload_activations and next(model.parameters()).device.type != "cpu":
            self.offload_activations = True
            _LOG.warning("out of memory: going on with activations in CPU memory")
        else:
            return False
        return True

    def _at_once(self, clips: list[ClipInputs]) -> list[Feature | ClipError]:
        """Features of at most `batch` clips of one shape."""
        if self._batches is not None and self.batch > 1:
            try:
                return self._together(self._batches, clips)
            except NotSeparableError as error:
                self._go_one_by_one(str(error))
        found: list[Feature | ClipError] = []
        for clip in clips:
            try:
                found.append(self.feature(*clip))
            except ClipError as error:
                found.append(error)
        return found

    def _together(
        self, batches: BatchCollector, clips: list[ClipInputs]
    ) -> list[Feature | ClipError]:
        """Features of clips from common passes.

        A smaller batch is filled up: matrix products of another size add in another order, and so
        features would depend, in their last bits, on how many clips were left.

        Raises:
            NotSeparableError: They would not be those of the clips by themselves.
        """
        pairs: list[list[tuple[float, Collected | ClipError]]] = []
        for pair in range(len(self.objective.timesteps)):
            losses: list[float] = []
            full = clips + clips[-1:] * (self.batch - len(clips))
            found = batches.collect(len(full), self._recorded(full, pair, losses), len(clips))
            self._require_agreement(clips, found, pair)
            pairs.append(list(zip(losses[: len(clips)], found, strict=True)))
        results: list[Feature | ClipError] = []
        for one in zip(*pairs, strict=True):
            try:
                results.append(_combined(one))
            except ClipError as error:
                results.append(error)
        return results

    def _require_agreement(
        self, clips: list[ClipInputs], found: list[Collected | ClipError], pair: int
    ) -> None:
        """Once per featurizer, compare a clip of a batch with the same clip by itself."""
        if self._batches_agree:
            return
        for clip, batched in zip(clips, found, strict=True):
            if isinstance(batched, Collected):
                alone = self.collector.collect(self._recorded([clip], pair, []))
                half = any(p.dtype.itemsize < 4 for p in self.collector.parameters.values())
                difference = disagreement(batched, alone, tolerance=0.05 if half else 1e-3)
                if difference:
                    raise NotSeparableError(difference)
                self._batches_agree = True
                return

    def _go_one_by_one(self, reason: str) -> None:
        _LOG.warning("computing gradients clip by clip: %s", reason)
        self._batches, self.batch = None, 1

    def _recorded(
        self, clips: Sequence[ClipInputs], pair: int, values: list[float]
    ) -> Callable[[], torch.Tensor]:
        """The losses "b" of clips as something to call, which also writes them to a list."""

        def losses() -> torch.Tensor:
            model = self.backbone.transformer
            offload = offloaded_activations(model) if self.offload_activations else nullcontext()
            with offload:
                result = self._losses(clips, pair)
            values[:] = result.detach().tolist()
            return result

        return losses

    def _losses(self, clips: Sequence[ClipInputs], pair: int) -> torch.Tensor:
        """L_mot of each clip at one (t, ε), "b"."""
        sigma = self.objective.timesteps[pair] / 1000.0
        clean = torch.stack([clip.latents for clip in clips])
        noise = self._fixed_noise((1, *clean.shape[1:]), self.objective.noise_seed + pair)
        noisy = self.backbone.add_noise(clean, noise, sigma)
        target = self.backbone.target(clean, noise, sigma)
        text = torch.stack([clip.text.padded() for clip in clips])
        prediction = self.backbone.predict(noisy, sigma, text)
        error = location_error(prediction, target.to(prediction), self.objective.residual)
        masks = [clip.weights for clip in clips if clip.weights is not None]
        mask = torch.stack(masks) if self.objective.mask and masks else None
        if mask is not None:
            # A change belongs to the later of its two frames, and a family may be given frame 0.
            mask = mask[:, -error.shape[1] :]
        divisor = clips[0].frames if self.objective.frame_normalize else None
        return motion_weighted_loss(error, mask, divisor)

    def _fixed_noise(self, shape: tuple[int, ...], seed: int) -> torch.Tensor:
        key = (shape, seed)
        if key not in self._noise:
            self._noise[key] = fixed_noise(shape, seed)
        return self._noise[key]


def _alike(clips: Sequence[ClipInputs]) -> list[list[int]]:
    """Numbers of the clips that can share a pass: of equal shape, length and kind of input."""
    kinds: dict[tuple[object, ...], list[int]] = {}
    for index, clip in enumerate(clips):
        kind = (clip.latents.shape, clip.text.length, clip.weights is None, clip.frames)
        kinds.setdefault(kind, []).append(index)
    return list(kinds.values())


def _combined(pairs: Sequence[tuple[float, Collected | ClipError]]) -> Feature:
    """One feature of the gradients at each (t, ε).

    Args:
        pairs: (loss, gradient or why there is none).

    Raises:
        ClipError: There is none.
    """
    scaled: list[tuple[float, Collected]] = []
    for _, found in pairs:
        if isinstance(found, ClipError):
            raise found
        norm = found.squared_norm**0.5
        if norm == 0.0:
            raise ZeroGradientError(
                "gradient is zero: nothing moves in this clip, so no motion can be attributed"
            )
        # With one pair the scale is kept; with several each gradient counts equally.
        scaled.append((norm if len(pairs) > 1 else 1.0, found))
    loss = sum(loss for loss, _ in pairs) / len(pairs)
    first = scaled[0][1]
    groups = {
        name: _mean([(scale, found.groups[name]) for scale, found in scaled], loss)
        for name in first.groups
    }
    return _mean(scaled, loss, groups)


def _mean(
    scaled: Sequence[tuple[float, Collected]],
    loss: float,
    groups: Mapping[str, Feature] | None = None,
) -> Feature:
    """The mean of gradients, each divided by its scale, at unit length."""
    total = torch.zeros_like(scaled[0][1].projected)
    for scale, found in scaled:
        total = total + found.projected / scale
    projected = total / len(scaled)
    length = float(projected.norm())
    norm = sum(found.squared_norm**0.5 for _, found in scaled) / len(scaled)
    return Feature(projected / (length or 1.0), length, norm, loss, groups or {})
