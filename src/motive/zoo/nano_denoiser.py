"""Training wan-nano's transformer on latents.

Invariant: what is fitted is Wan's own rectified-flow velocity under the pipeline's own conventions
for text and timesteps, so the trained folder samples with `WanPipeline` and is attributed like Wan.
Which noise levels and which places of a clip count how much is ours: motion is decided at high
noise and in few places, and a short training must not spend itself on walls and floors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from motive.backbones.flow import shifted
from motive.zoo.nano_data import mirror_caption, tokenize
from motive.zoo.nano_model import TEXT_TOKENS, embed_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

_CAPTION_DROPOUT = 0.1  # share of clips trained with the empty caption, for guidance
_EMBED_BATCH = 256


@dataclass(frozen=True)
class FlowOptions:
    """What one step of the transformer's training sees.

    Attributes:
        batch_size: Clips per step.
        shift: Of the noise levels drawn in training, s = shift u / (1 + (shift - 1) u); above
            sampling's own 3, more of them are high.
        motion_weight: How much more a place counts whose latents change by 1 between frames;
            0 is the plain loss.
        frozen_text: Captions are embedded once and the text encoder is not trained.
    """

    batch_size: int = 16
    shift: float = 5.0
    motion_weight: float = 2.9
    frozen_text: bool = False


class FlowLoss:
    """Rectified-flow loss of one step on random clips, mirrored half of the time.

    z = (1 - s) x0 + s eps, target eps - x0, model timestep 1000 s; s is uniform, then shifted
    (method §2, §5).

    Attributes:
        pipeline: Holds the transformer and the text encoder.
        latents: float32 "2 n 16 f h w", normalised: the clips and their mirror images.
        tokens: int64 "2 n+1 32", caption ids of both; the last row is the empty caption.
        mask: int64 "2 n+1 32".
        options: See `FlowOptions`.
        shares: Weight of each clip in the draw, "n".
    """

    def __init__(
        self,
        pipeline: Any,
        latents: torch.Tensor,
        captions: Sequence[str],
        options: FlowOptions,
        shares: torch.Tensor | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.latents = latents
        self.options = options
        self.shares = torch.ones(len(captions)) if shares is None else shares
        mirrored = [mirror_caption(caption) for caption in captions]
        pairs = [
            tokenize(pipeline.tokenizer, [*texts, ""], TEXT_TOKENS)
            for texts in (captions, mirrored)
        ]
        self.tokens = torch.stack([ids for ids, _ in pairs])
        self.mask = torch.stack([mask for _, mask in pairs])
        self._embedded = self._embed_all() if options.frozen_text else None

    def __call__(self, generator: torch.Generator) -> torch.Tensor:
        """Loss of one step, every random choice drawn from `generator`."""
        size = (self.options.batch_size,)
        rows = torch.multinomial(self.shares, size[0], replacement=True, generator=generator)
        side = torch.randint(2, size, generator=generator)
        dropped = torch.rand(size, generator=generator) < _CAPTION_DROPOUT
        # One draw per stratum: the batch covers all noise levels, which steadies the gradient.
        level = (torch.arange(size[0]) + torch.rand(size, generator=generator)) / size[0]
        clean = self.latents[side, rows]
        noise = torch.randn(clean.shape, generator=generator).to(clean.device)
        read = torch.where(dropped, self.latents.shape[1], rows)
        return flow_loss(
            self.pipeline.transformer,
            clean,
            noise,
            shifted(level, self.options.shift).to(clean.device),
            self._text(side, read),
            change_weights(clean, self.options.motion_weight),
        )

    def _text(self, side: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        if self._embedded is not None:
            return self._embedded[side, rows]
        device = self.latents.device
        ids, mask = self.tokens[side, rows].to(device), self.mask[side, rows].to(device)
        return embed_tokens(self.pipeline.text_encoder, ids, mask)

    @torch.no_grad()
    def _embed_all(self) -> torch.Tensor:
        device = self.latents.device
        ids, mask = (t.flatten(0, 1).split(_EMBED_BATCH) for t in (self.tokens, self.mask))
        parts = [
            embed_tokens(self.pipeline.text_encoder, i.to(device), m.to(device))
            for i, m in zip(ids, mask, strict=True)
        ]
        return torch.cat(parts).unflatten(0, self.tokens.shape[:2])


def change_weights(latents: torch.Tensor, strength: float) -> torch.Tensor:
    """Weight of each place: 1 + strength x squared change over time, each clip's mean made 1.

    Args:
        latents: float "b c f h w", normalised.
        strength: At least 0.

    Returns:
        float "b 1 f h w"; a middle frame takes the mean of the changes before and after it.
    """
    if strength == 0.0 or latents.shape[2] < 2:
        return latents.new_ones(len(latents), 1, *latents.shape[2:])
    change = (latents[:, :, 1:] - latents[:, :, :-1]).square().mean(dim=1, keepdim=True)
    between = 0.5 * (change[:, :, 1:] + change[:, :, :-1])
    weights = 1.0 + strength * torch.cat([change[:, :, :1], between, change[:, :, -1:]], dim=2)
    return weights / weights.mean(dim=(1, 2, 3, 4), keepdim=True)


def flow_loss(
    transformer: torch.nn.Module,
    clean: torch.Tensor,
    noise: torch.Tensor,
    sigma: torch.Tensor,
    text: torch.Tensor,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean squared error of the predicted velocity noise - clean.

    Args:
        transformer: A `WanTransformer3DModel`.
        clean: float "b c f h w", normalised latents.
        noise: float "b c f h w", standard normal.
        sigma: float "b" in [0, 1].
        text: float "b 32 text_dim".
        weights: float "b 1 f h w" of the squared errors; None stands for 1 everywhere.

    Returns:
        A scalar.
    """
    level = sigma.view(-1, 1, 1, 1, 1)
    noisy = (1.0 - level) * clean + level * noise
    prediction = transformer(noisy, 1000.0 * sigma, text, return_dict=False)[0]
    error = (prediction - (noise - clean)).square()
    return error.mean() if weights is None else (weights * error).mean()
