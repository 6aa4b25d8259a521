"""Latents and caption embeddings of clips, computed once and kept in a cache.

Invariant: an entry's key is made of everything that decides its numbers (the clip, its shape, the
encoder's weights), so stages and runs that share a cache share the work and nothing is ever stale.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch
from safetensors import SafetensorError

from motive.backbones.cache import TensorCache, cache_key
from motive.backbones.protocol import Backbone, TextEmbedding
from motive.clips import Clip, ClipStandard, decode_unchanged
from motive.files import write_error

_FIRST = ("Wan 2.1 T2V",)  # families whose cache entries were made before there were others
_OTHERS = (
    ("image_encoder", "image_processor", "feature_extractor"),
    ("text_encoder_2", "tokenizer_2", "connectors"),
)


@dataclass(frozen=True)
class EncodedClip:
    """What the frozen parts of a model make of a clip's pixels.

    Attributes:
        latents: "c f h w" float32.
        image: Rows "n d" that tell of the first frame, to stand before the caption's
            (`TextEmbedding.after`); None for models that take none.
    """

    latents: torch.Tensor
    image: torch.Tensor | None = None


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
        # The family and other encoders come in only where there are any: older entries stay valid.
        layout = [] if digests["family"] in _FIRST else [digests["family"]]
        seen, read = ([digests[part] for part in parts if part in digests] for parts in _OTHERS)
        self._latent_config = (vars(standard), digests["vae"], *seen, *layout)
        self._text_config = (digests["text_encoder"], digests["tokenizer"], *read, *layout)
        self._one_by_one = threading.Lock()
        self._loaded = False

    def has_latents(self, clip: Clip) -> bool:
        """Whether a clip is encoded already (its entry may still turn out damaged)."""
        return self.cache.has("latents", self._latent_key(clip))

    def cached(self, clip: Clip) -> EncodedClip | None:
        """The clip from the cache, or None."""
        found = self.cache.get("latents", self._latent_key(clip))
        return None if found is None else EncodedClip(found[0]["latents"], found[0].get("image"))

    def encoded(self, clip: Clip) -> EncodedClip:
        """One clip, decoded and encoded if it is not there yet.

        Raises:
            ClipError: The clip cannot be read, changed, or does not fit the standard.
            MotiveError: The cache cannot be written.
        """
        found = self.cached(clip)
        return found or self.encode(clip, decode_unchanged(clip, self.standard).pixels)

    def encode(self, clip: Clip, pixels: torch.Tensor) -> EncodedClip:
        """A clip whose standardised pixels, uint8 "f h w 3", are known."""
        made = self._encoded(pixels)
        image = {} if made.image is None else {"image": made.image}
        keep(self.cache, "latents", self._latent_key(clip), {"latents": made.latents, **image}, {})
        return made

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

    def _encoded(self, pixels: torch.Tensor) -> EncodedClip:
        if self._loaded and self.backbone.device.type == "cpu":
            return self._seen(pixels)
        with self._one_by_one:
            made = self._seen(pixels)
            self._loaded = True
            return made

    def _seen(self, pixels: torch.Tensor) -> EncodedClip:
        return EncodedClip(self.backbone.encode_video(pixels), self.backbone.encode_image(pixels))

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
