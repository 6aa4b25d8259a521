"""Everything the benchmark computes about one clip: its inputs under a view, and its feature.

Invariant: the result depends on the clip, the setting and the spec alone, not on the process that
computes it (which runs torch on one thread, see `motive.processes`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from motive.backbones import Backbone, TensorCache
from motive.backbones.cache import cache_key
from motive.bench.views import View, view_pixels
from motive.clips import Clip, ClipStandard, decode_unchanged
from motive.errors import ClipError
from motive.gradients import ClipInputs, Featurizer, Objective, Residual, ZeroGradientError
from motive.gradients.collector import ALL_PARAMETERS
from motive.gradients.objective import T_FIX
from motive.index import FeatureRow, Fingerprint
from motive.projection import BlockedFastfood
from motive.runs.config import RunConfig
from motive.runs.featurizing import feature_row
from motive.runs.model import clips_per_pass, open_backbone
from motive.runs.prepare import PreparedClip, Preparer

_UNTRAINED_SEED = 0


@dataclass(frozen=True)
class FeatureSpec:
    """Which gradient is taken and how it is projected.

    Attributes:
        timesteps: Of 1000; with several, gradients are normalised per timestep and averaged.
        mask: Weight the loss by motion.
        residual: "error" or "temporal difference" (see `motive.gradients.Objective`).
        dim: D'.
        projection_seed: Of the projection.
        noise_seed: Of ε; the i-th timestep uses seed + i.
        caption: Condition on the clip's caption; False: on the empty one.
        parameters: Regular expression of attributed parameters.
    """

    timesteps: tuple[float, ...] = (T_FIX,)
    mask: bool = True
    residual: Residual = "error"
    dim: int = 512
    projection_seed: int = 0
    noise_seed: int = 0
    caption: bool = True
    parameters: str = ALL_PARAMETERS

    def singles(self) -> list[FeatureSpec]:
        """One spec per timestep; together they give this one, and each may be shared."""
        return [
            dataclasses.replace(self, timesteps=(timestep,), noise_seed=self.noise_seed + index)
            for index, timestep in enumerate(self.timesteps)
        ]

    def objective(self) -> Objective:
        """The loss that is differentiated."""
        return Objective(self.timesteps, self.noise_seed, self.mask, residual=self.residual)


@dataclass(frozen=True)
class Setting:
    """What all clips of a bench share; small enough to send to another process.

    Attributes:
        config: Model, clip shape, motion weights and projection block.
        cache: Folder of latents, weights and embeddings.
        view: Which pixels stand for a clip.
        trained: False: the same architecture with fresh random weights.
    """

    config: RunConfig
    cache: Path
    view: View = "moving"
    trained: bool = True


class ClipWork:
    """Prepares clips and computes features under one setting.

    Args:
        setting: See `Setting`.
        backbone: The setting's model if it is already open; it is not changed.
    """

    def __init__(self, setting: Setting, backbone: Backbone | None = None) -> None:
        self.setting = setting
        self.cache = TensorCache(setting.cache)
        if backbone is not None:
            self.backbone = backbone
        self._featurizers: dict[FeatureSpec, Featurizer] = {}

    @cached_property
    def backbone(self) -> Backbone:
        """The model; its transformer is a fresh random one when the setting says untrained."""
        config = self.setting.config
        backbone = open_backbone(config)
        if not self.setting.trained:
            # The backbone's transformer is a cached property: its value may be put in place.
            vars(backbone)["transformer"] = _untrained(backbone.transformer)
        return backbone

    @cached_property
    def standard(self) -> ClipStandard:
        """The clip shape."""
        standard = self.setting.config.standard(self.backbone.standard)
        self.backbone.check_standard(standard)
        return standard

    @cached_property
    def preparer(self) -> Preparer:
        """Latents, motion weights and embeddings of the moving clips, through the cache."""
        return Preparer(
            self.backbone, self.standard, self.setting.config.motion_config(), self.cache
        )

    def fingerprint(self, spec: FeatureSpec) -> Fingerprint:
        """Under which features of this setting and spec may be compared."""
        config = self.setting.config
        model = self.backbone.fingerprint()
        if not self.setting.trained:
            model = {**model, "weights": f"untrained, seed {_UNTRAINED_SEED}"}
        return Fingerprint(
            {
                "model": model,
                "parameters": spec.parameters,
                "standard": vars(self.standard),
                "motion": config.motion_config().settings if spec.mask else None,
                "view": self.setting.view,
                "caption": spec.caption,
                "objective": spec.objective().settings,
                "projection": self._projection(spec).identity(),
            }
        )

    def prepare(self, clip: Clip) -> PreparedClip:
        """The view's latents, with the weights, caption and facts of the moving clip.

        Raises:
            ClipError: The clip cannot be read.
        """
        moving = self.preparer.prepare(clip)
        view = self.setting.view
        if view == "moving":
            return moving
        vae = self.backbone.fingerprint()["vae"]
        key = cache_key(clip.id, vars(self.standard), vae, view)
        found = self.cache.get("latents", key)
        if found is None:
            latents = self.backbone.encode_video(self.pixels(clip))
            self.cache.put("latents", key, {"latents": latents}, {})
        else:
            latents = found[0]["latents"]
        return dataclasses.replace(moving, latents=latents)

    def pixels(self, clip: Clip) -> torch.Tensor:
        """The view's pixels, uint8 "f h w 3".

        Raises:
            ClipError: The clip cannot be read.
        """
        moving = decode_unchanged(clip, self.standard).pixels
        return view_pixels(moving, self.setting.view, clip.id)

    def feature(self, clip: Clip, spec: FeatureSpec) -> FeatureRow:
        """One clip's feature; see `features`."""
        return self.features([clip], spec)[0]

    def features(self, clips: Sequence[Clip], spec: FeatureSpec) -> list[FeatureRow]:
        """The features of clips; all zeros where nothing moves under the mask.

        Raises:
            ClipError: A clip cannot be read, does not fit into memory, or its gradient is not
                finite.
        """
        began = time.perf_counter()
        inputs = []
        for clip in clips:
            prepared = self.prepare(clip)
            text = prepared.text if spec.caption else self.preparer.text("")
            inputs.append(
                ClipInputs(prepared.latents, text, prepared.weights, self.standard.frames)
            )
        featurizer = self._featurizer(spec)
        with featurizer.ready():
            found = featurizer.features(inputs)
        seconds = (time.perf_counter() - began) / len(clips)
        rows = []
        for clip, feature in zip(clips, found, strict=True):
            if isinstance(feature, ZeroGradientError):
                zeros = np.zeros(spec.dim, np.float32)
                rows.append(FeatureRow(clip.id, zeros, 0.0, 0.0, 0.0, 0.0))
            elif isinstance(feature, ClipError):
                raise ClipError(f"{clip.source}: {feature}")
            else:
                rows.append(feature_row(clip.id, feature, seconds))
        return rows

    def _projection(self, spec: FeatureSpec) -> BlockedFastfood:
        block = max(self.setting.config.block, spec.dim)
        return _projection(spec.dim, spec.projection_seed, block)

    def _featurizer(self, spec: FeatureSpec) -> Featurizer:
        if spec not in self._featurizers:
            self._featurizers[spec] = Featurizer(
                self.backbone,
                self._projection(spec),
                spec.objective(),
                parameters=spec.parameters,
                batch=clips_per_pass(self.setting.config, self.backbone),
                checkpointing=self.setting.config.checkpointing,
            )
        return self._featurizers[spec]


def features_in_process(
    setting: Setting, clips: Sequence[Clip], spec: FeatureSpec
) -> list[FeatureRow]:
    """`ClipWork.features` for a process of a pool; its models stay open between calls."""
    return _opened(setting).features(clips, spec)


@lru_cache(maxsize=8)
def _opened(setting: Setting) -> ClipWork:
    return ClipWork(setting)


@lru_cache(maxsize=2)
def _projection(dim: int, seed: int, block: int) -> BlockedFastfood:
    """A projection keeps its random numbers, which all specs and views share."""
    return BlockedFastfood(dim, seed, block)


def _untrained(model: Any) -> torch.nn.Module:
    """A diffusers model of the same configuration, freshly initialised, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_UNTRAINED_SEED)
        fresh: torch.nn.Module = type(model).from_config(model.config)
    fresh = fresh.to(next(model.parameters()).device).eval()
    # One by one: Wan keeps some parameters in float32 whatever the others are.
    for parameter, like in zip(fresh.parameters(), model.parameters(), strict=True):
        parameter.data = parameter.data.to(like.dtype)
    return fresh
