"""Everything about a clip that the transformer does not decide, computed once and cached."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from motive.backbones import Backbone, ClipEncoder, TensorCache, TextEmbedding
from motive.backbones.cache import cache_key
from motive.backbones.encoding import keep
from motive.clips import Clip, ClipStandard, DecodedClip, decode_unchanged
from motive.motion import MotionConfig, compute_motion_weights
from motive.runs.several import as_among_several

MOTION_FACTS = 3  # what the cache holds beside the weights; older entries are measured again
FACTS = ("motion", "frame_times", "source_fps", "source_height", "source_width", "crop")


@dataclass(frozen=True)
class PreparedClip:
    """Inputs of the gradient computation.

    Attributes:
        latents: h, "c f h w" float32.
        weights: W̃, "f h w" float32.
        text: Caption embedding.
        facts: Provenance and motion facts for the manifest.
    """

    latents: torch.Tensor
    weights: torch.Tensor
    text: TextEmbedding
    facts: dict[str, Any]


class Preparer:
    """Decodes a clip at most once for motion weights and latents, and embeds its caption.

    Several clips may be prepared side by side.

    Args:
        backbone: Gives latents and text embeddings.
        standard: Clip shape.
        motion: How motion weights are made.
        cache: Where results are kept.
        captions: Embed the clip's caption; False: the empty one.
    """

    def __init__(
        self,
        backbone: Backbone,
        standard: ClipStandard,
        motion: MotionConfig,
        cache: TensorCache,
        captions: bool = True,
    ) -> None:
        self.backbone, self.standard, self.motion, self.cache = backbone, standard, motion, cache
        self.captions = captions
        self.encoder = ClipEncoder(backbone, standard, cache)
        grid = backbone.latent_grid(standard)
        self._motion_config = (vars(standard), motion.settings, grid, MOTION_FACTS)

    def prepare(self, clip: Clip) -> PreparedClip:
        """Latents, motion weights and caption embedding of one clip, from the cache if there.

        Raises:
            ClipError: The clip cannot be read or does not fit the standard.
            MotiveError: The cache cannot be written.
        """
        with as_among_several(self.standard):
            return self._prepared(clip)

    def text(self, caption: str) -> TextEmbedding:
        """Embedding of a caption, from the cache if there."""
        with as_among_several(self.standard):
            return self.encoder.text(caption)

    def _prepared(self, clip: Clip) -> PreparedClip:
        motion_key = cache_key(clip.id, *self._motion_config)
        latents, motion = self.encoder.cached(clip), self.cache.get("motion", motion_key)
        if latents is None or motion is None:
            decoded = decode_unchanged(clip, self.standard)
            if motion is None:
                motion = self._store_motion(motion_key, clip, decoded)
            if latents is None:
                latents = self.encoder.encode(clip, decoded.pixels)
        text = self.text(clip.caption if self.captions else "").after(latents.image)
        return PreparedClip(latents.latents, motion[0]["weights"], text, motion[1])

    def _store_motion(
        self, key: str, clip: Clip, decoded: DecodedClip
    ) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        frames = self.standard.frames
        groups = self.backbone.temporal_groups(frames)
        grid = self.backbone.latent_grid(self.standard)[1:]
        source = decoded.provenance
        motion = compute_motion_weights(
            decoded.pixels, groups, grid, self.motion, clip=clip, provenance=source
        )
        facts = {
            "motion": {
                "tracker": motion.tracker,
                "displacement": motion.displacement,
                **asdict(motion.facts),
            },
            "frame_times": list(source.frame_times),
            "source_fps": source.source_fps,
            "source_height": source.source_height,
            "source_width": source.source_width,
            "crop": list(source.crop),
        }
        stored = {"weights": motion.weights}
        keep(self.cache, "motion", key, stored, facts)
        return stored, facts
