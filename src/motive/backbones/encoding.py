"""Latents and caption embeddings of clips, computed once and kept in a cache.

Invariant: an entry's key is made of everything that decides its numbers (the clip, its shape, the
encoder's weights), so stages and runs that share a cache share the work and nothing is ever stale.
"""

from __future__ import annotations

import threading

import torch
from safetensors import SafetensorError

from motive.backbones.cache import TensorCache, cache_key
from motive.backbones.protocol import Backbone, TextEmbedding
from motive.clips import Clip, ClipStandard, decode_unchanged
from motive.files import write_error


class ClipEncoder:
    """Encodes clips and captions with a backbone's frozen parts, through a cache.

    Several threads may use it; those parts of the model that cannot be shared (a tokenizer,
    anything on a GPU) then wait for each other.

    Args:
        backbone: Gives latents and text embeddings.
        standard: Clip shape.
        cache: Where results are kept.
    """

    def __init__(self, backbone: Backbone, standard: ClipStandard, cache: TensorCache) -> None:
        self.backbone, self.standard, self.cache = backbone, standard, cache
        digests = backbone.fingerprint()
        self._latent_config = (vars(standard), digests["vae"])
        self._text_config = (digests["text_encoder"], digests["tokenizer"])
        self._one_by_one = threading.Lock()
        self._vae_loaded = False

    def has_latents(self, clip: Clip) -> bool:
        """Whether a clip is encoded already (its entry may still turn out damaged)."""
        return self.cache.has("latents", self._latent_key(clip))

    def cached_latents(self, clip: Clip) -> torch.Tensor | None:
        """Latents "c f h w" float32 from the cache, or None."""
        found = self.cache.get("latents", self._latent_key(clip))
        return None if found is None else found[0]["latents"]

    def latents(self, clip: Clip) -> torch.Tensor:
        """Latents "c f h w" float32 of one clip, decoded and encoded if they are not there yet.

        Raises:
            ClipError: The clip cannot be read, changed, or does not fit the standard.
            MotiveError: The cache cannot be written.
        """
        found = self.cached_latents(clip)
        return (
            self.encode(clip, decode_unchanged(clip, self.standard).pixels)
            if found is None
            else found
        )

    def encode(self, clip: Clip, pixels: torch.Tensor) -> torch.Tensor:
        """Latents of a clip whose standardised pixels, uint8 "f h w 3", are known."""
        latents = self._encoded(pixels)
        keep(self.cache, "latents", self._latent_key(clip), {"latents": latents}, {})
        return latents

    def text(self, caption: str) -> TextEmbedding:
        """Embedding of a caption, from the cache if there."""
        key = cache_key(caption, *self._text_config)
        found = self.cache.get("text", key)
        if found is None:
            with self._one_by_one:
                text = self.backbone.encode_text(caption)
            keep(self.cache, "text", key, {"tokens": text.tokens}, {"length": text.length})
            return text
        return TextEmbedding(found[0]["tokens"], int(found[1]["length"]))

    def _encoded(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._vae_loaded and self.backbone.device.type == "cpu":
            return self.backbone.encode_video(pixels)
        with self._one_by_one:
            latents = self.backbone.encode_video(pixels)
            self._vae_loaded = True
            return latents

    def _latent_key(self, clip: Clip) -> str:
        return cache_key(clip.id, *self._latent_config)


def keep(
    cache: TensorCache,
    kind: str,
    key: str,
    tensors: dict[str, torch.Tensor],
    facts: dict[str, object],
) -> None:
    """Store an entry.

    Raises:
        MotiveError: It cannot be written.
    """
    try:
        cache.put(kind, key, tensors, facts)
    except SafetensorError as error:  # its own kind of a failed write
        raise write_error(cache.folder, OSError(str(error))) from error
