"""From a caption to a matrix, where the family's own diffusers pipeline says how."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad

from motive.backbones.protocol import TextEmbedding

if TYPE_CHECKING:
    from motive.backbones.base import DiffusersBackbone

_LOG = logging.getLogger(__name__)


def embedded(
    backbone: DiffusersBackbone, caption: str, length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the pipeline's `encode_prompt` gives: embeddings "1 length d" and their mask.

    Args:
        backbone: Its `text_pipeline` is used.
        caption: What is cut of it is said.
        length: Tokens that the model reads.
    """
    pipeline = backbone.text_pipeline
    warn_if_cut(pipeline.tokenizer, caption, length)
    tokens, mask = pipeline.encode_prompt(
        caption, do_classifier_free_guidance=False, max_sequence_length=length,
        device=backbone.device,
    )[:2]  # fmt: skip
    return tokens, mask


def embedded_with_mask(backbone: DiffusersBackbone, caption: str, length: int) -> TextEmbedding:
    """The caption's own tokens, without padding, each with a one for the mask: "l d+1"."""
    tokens, mask = embedded(backbone, caption, length)
    own = tokens[0, mask[0].bool()].float().cpu()
    return TextEmbedding(pad(own, (0, 1), value=1.0), length)


def warn_if_cut(tokenizer: Any, caption: str, length: int) -> None:
    """Say what of a caption the model does not read."""
    tokens = tokenizer(caption).input_ids
    if len(tokens) > length:
        cut = tokenizer.decode(tokens[length - 1 :], skip_special_tokens=True)
        _LOG.warning(
            "caption has %d tokens, the model reads %d: %.40s...; cut: %.60s",
            len(tokens),
            length,
            caption,
            cut.strip(),
        )
