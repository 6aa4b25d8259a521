"""The model card that is exported with wan-nano."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motive.zoo.nano_train import TrainReport

_CARD = """\
---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-video
---

# wan-nano

A text-to-video diffusion model with the architecture of Wan 2.1 at laptop size: the same diffusers
and transformers classes, small numbers. It exists so that motion attribution runs end to end
without a download; it is not meant to make films.

| part | class | parameters |
|---|---|---|
| transformer | WanTransformer3DModel, {layers} blocks, {heads}x{head_dim} | {transformer:,} |
| VAE | AutoencoderKLWan, 16 channels, 8x space, 4x time | {vae:,} |
| text encoder | UMT5EncoderModel, {text_layers} layers, width {text_dim} | {text_encoder:,} |
| tokenizer | T5TokenizerFast, {vocab} pieces, 32 tokens | |
| scheduler | UniPCMultistepScheduler, flow matching, shift 3 | |

## Use

```python
from diffusers import WanPipeline

pipe = WanPipeline.from_pretrained("path/to/wan-nano")
video = pipe(
    "a red ball bounces on a grey floor",
    height=64, width=64, num_frames=17,  # 16 frames per second
    num_inference_steps=30, guidance_scale=4.0,
    max_sequence_length=32,  # the length of text it was trained with
).frames[0]
```

## Training

- Data: {clips} captioned clips of 17 frames, 64x64 pixels, 16 frames per second, each also seen
  in a mirror (left and right exchanged in its caption).
- Autoencoder: {vae_steps} steps, last loss {vae_loss:.4f}, then its decoder alone for
  {decoder_steps} steps, last loss {decoder_loss:.4f}; reconstruction {psnr:.1f} dB.
- Transformer and text encoder, together: {steps} steps, rectified flow, uniform noise levels
  shifted by 3, 10 % empty captions; last loss {loss:.4f}. The weights are a moving average.
- float32 on a CPU; Muon for hidden matrices, AdamW for the rest.

## Limits

It knows one solid object in a plain scene, ten kinds of motion, and the captions' small vocabulary.
Latents are normalised by the statistics in the VAE's config, as in Wan.

Licence: Apache-2.0.
"""


def model_card(report: TrainReport, pipeline: Any) -> str:
    """Markdown text of the model card.

    Args:
        report: What the training did.
        pipeline: The pipeline that it describes.

    Returns:
        The text of README.md.
    """
    transformer = pipeline.transformer.config
    encoder = pipeline.text_encoder.config
    return _CARD.format(
        layers=transformer.num_layers,
        heads=transformer.num_attention_heads,
        head_dim=transformer.attention_head_dim,
        text_layers=encoder.num_layers,
        text_dim=encoder.d_model,
        vocab=len(pipeline.tokenizer),
        clips=report.clips,
        vae_steps=report.vae_steps,
        vae_loss=_recent(report.vae_losses),
        decoder_steps=report.decoder_steps,
        decoder_loss=_recent(report.decoder_losses),
        psnr=report.psnr,
        steps=report.steps,
        loss=_recent(report.losses),
        **report.parameters,
    )


def _recent(losses: list[tuple[int, float]], points: int = 20) -> float:
    """Mean of the last points of a loss curve."""
    tail = [loss for _, loss in losses[-points:]]
    return sum(tail) / len(tail) if tail else float("nan")
