"""Training wan-nano's transformer and text encoder on latents.

Invariant: the loss is Wan's own rectified-flow objective under the pipeline's own conventions for
text and timesteps, so the trained folder samples with `WanPipeline` and is attributed like Wan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from motive.zoo.nano_data import mirror_caption, tokenize
from motive.zoo.nano_model import FLOW_SHIFT, TEXT_TOKENS, embed_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

_CAPTION_DROPOUT = 0.1  # share of clips trained with the empty caption, for guidance


class FlowLoss:
    """Rectified-flow loss of one step on random clips, mirrored half of the time.

    z = (1 - s) x0 + s eps, target eps - x0, model timestep 1000 s; s is uniform, then shifted as
    the scheduler shifts it (method §2, §5).

    Attributes:
        pipeline: Holds the transformer and the text encoder being trained.
        latents: float32 "2 n 16 f h w", normalised: the clips and their mirror images.
        tokens: int64 "2 n 32", caption ids of both.
        mask: int64 "2 n 32".
        batch_size: Clips per step.
    """

    def __init__(
        self,
        pipeline: Any,
        latents: torch.Tensor,
        captions: Sequence[str],
        batch_size: int,
    ) -> None:
        self.pipeline = pipeline
        self.latents = latents
        self.batch_size = batch_size
        mirrored = [mirror_caption(caption) for caption in captions]
        pairs = [tokenize(pipeline.tokenizer, text, TEXT_TOKENS) for text in (captions, mirrored)]
        self.tokens = torch.stack([ids for ids, _ in pairs])
        self.mask = torch.stack([mask for _, mask in pairs])
        empty_ids, empty_mask = tokenize(pipeline.tokenizer, [""], TEXT_TOKENS)
        self._empty = (empty_ids[0], empty_mask[0])

    def __call__(self, generator: torch.Generator) -> torch.Tensor:
        """Loss of one step, every random choice drawn from `generator`."""
        size = (self.batch_size,)
        rows = torch.randint(self.latents.shape[1], size, generator=generator)
        side = torch.randint(2, size, generator=generator)
        dropped = torch.rand(size, generator=generator) < _CAPTION_DROPOUT
        # One draw per stratum: the batch covers all noise levels, which steadies the gradient.
        level = (torch.arange(self.batch_size) + torch.rand(size, generator=generator)) / size[0]
        clean = self.latents[side, rows]
        noise = torch.randn(clean.shape, generator=generator)
        ids = torch.where(dropped[:, None], self._empty[0], self.tokens[side, rows])
        mask = torch.where(dropped[:, None], self._empty[1], self.mask[side, rows])
        text = embed_tokens(self.pipeline.text_encoder, ids, mask)
        return flow_loss(self.pipeline.transformer, clean, noise, shifted(level), text)


def shifted(level: torch.Tensor, shift: float = FLOW_SHIFT) -> torch.Tensor:
    """Noise level after the scheduler's shift: s = shift u / (1 + (shift - 1) u), u in [0, 1]."""
    return shift * level / (1.0 + (shift - 1.0) * level)


def flow_loss(
    transformer: torch.nn.Module,
    clean: torch.Tensor,
    noise: torch.Tensor,
    sigma: torch.Tensor,
    text: torch.Tensor,
) -> torch.Tensor:
    """Mean squared error of the predicted velocity noise - clean.

    Args:
        transformer: A `WanTransformer3DModel`.
        clean: float "b c f h w", normalised latents.
        noise: float "b c f h w", standard normal.
        sigma: float "b" in [0, 1].
        text: float "b 32 text_dim".

    Returns:
        A scalar.
    """
    level = sigma.view(-1, 1, 1, 1, 1)
    noisy = (1.0 - level) * clean + level * noise
    prediction = transformer(noisy, 1000.0 * sigma, text, return_dict=False)[0]
    return (prediction - (noise - clean)).square().mean()
