"""Everything about a clip that the transformer does not decide, computed once and cached."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError

from motive.backbones import Backbone, TensorCache, TextEmbedding
from motive.backbones.cache import cache_key
from motive.clips import Clip, ClipStandard, DecodedClip, decode_clip, file_digest
from motive.errors import ClipError
from motive.files import write_error
from motive.motion import MotionConfig, compute_motion_weights

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

    Several clips may be prepared side by side; those parts of the model that cannot be shared (a
    tokenizer, anything on a GPU) then wait for each other.

    Args:
        backbone: Gives latents and text embeddings.
        standard: Clip shape.
        motion: How motion weights are made.
        cache: Where results are kept.
    """

    def __init__(
        self,
        backbone: Backbone,
        standard: ClipStandard,
        motion: MotionConfig,
        cache: TensorCache,
    ) -> None:
        self.backbone, self.standard, self.motion, self.cache = backbone, standard, motion, cache
        digests = backbone.fingerprint()
        self._latent_config = (vars(standard), digests["vae"])
        self._text_config = (digests["text_encoder"], digests["tokenizer"])
        grid = backbone.latent_grid(standard)
        self._motion_config = (vars(standard), motion.settings, grid, MOTION_FACTS)
        self._one_by_one = threading.Lock()
        self._vae_loaded = False

    def prepare(self, clip: Clip) -> PreparedClip:
        """Latents, motion weights and caption embedding of one clip, from the cache if there.

        Raises:
            ClipError: The clip cannot be read or does not fit the standard.
            MotiveError: The cache cannot be written.
        """
        latent_key = cache_key(clip.id, *self._latent_config)
        motion_key = cache_key(clip.id, *self._motion_config)
        latents, motion = (
            self.cache.get("latents", latent_key),
            self.cache.get("motion", motion_key),
        )
        if latents is None or motion is None:
            decoded = decode_unchanged(clip, self.standard)
            if motion is None:
                motion = self._store_motion(motion_key, clip, decoded)
            if latents is None:
                encoded = {"latents": self._encode(decoded.pixels)}
                self._keep("latents", latent_key, encoded, {})
                latents = encoded, {}
        return PreparedClip(
            latents[0]["latents"], motion[0]["weights"], self.text(clip.caption), motion[1]
        )

    def text(self, caption: str) -> TextEmbedding:
        """Embedding of a caption, from the cache if there."""
        key = cache_key(caption, *self._text_config)
        found = self.cache.get("text", key)
        if found is None:
            with self._one_by_one:
                text = self.backbone.encode_text(caption)
            self._keep("text", key, {"tokens": text.tokens}, {"length": text.length})
            return text
        return TextEmbedding(found[0]["tokens"], int(found[1]["length"]))

    def _encode(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._vae_loaded and self.backbone.device.type == "cpu":
            return self.backbone.encode_video(pixels)
        with self._one_by_one:
            latents = self.backbone.encode_video(pixels)
            self._vae_loaded = True
            return latents

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
        self._keep("motion", key, stored, facts)
        return stored, facts

    def _keep(
        self, kind: str, key: str, tensors: dict[str, torch.Tensor], facts: dict[str, Any]
    ) -> None:
        try:
            self.cache.put(kind, key, tensors, facts)
        except SafetensorError as error:  # its own kind of a failed write
            raise write_error(self.cache.folder, OSError(str(error))) from error


def decode_unchanged(clip: Clip, standard: ClipStandard) -> DecodedClip:
    """Decode a clip whose id is known, unless its file has changed since.

    Raises:
        ClipError: The file changed, or cannot be decoded.
    """
    if clip.digest is not None and file_digest(clip.source) != clip.digest:
        raise ClipError(f"{clip.source}: the file has changed; run `motive index` again")
    return decode_clip(clip, standard)
