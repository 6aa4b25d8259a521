"""What a training run did, and the model card that tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
{stages}
- float32; Muon for hidden matrices, AdamW for the rest.

## Limits

It knows one solid object in a plain scene, ten kinds of motion, and the captions' small vocabulary.
Latents are normalised by the statistics in the VAE's config, as in Wan.

Licence: Apache-2.0.
"""


@dataclass(frozen=True)
class TrainReport:
    """What a training run did.

    Attributes:
        folder: The exported diffusers folder.
        clips: Clips trained on.
        unreadable: One line per clip that could not be used.
        vae_steps: Autoencoder steps done.
        decoder_steps: Steps of the decoder alone done.
        text_steps: Steps of the text encoder alone done.
        steps: Transformer steps done.
        vae_losses: (step, mean loss) of the autoencoder, every 10 steps.
        decoder_losses: (step, mean loss) of the decoder alone, every 10 steps.
        text_losses: (step, mean loss) of the text encoder alone, every 10 steps.
        losses: (step, mean loss) of the transformer, every 10 steps.
        psnr: Reconstruction of the first clips by the autoencoder, dB.
        parameters: Number of parameters per model.
        megabytes: Size of the folder, 10^6 bytes.
        seconds: Wall-clock time of this call.
        start: The pipeline folder it was continued from, "" for none.
        mixture: Weights of motions in the draw of batches, where they are not 1.
        frozen_text: Whether the text encoder stood still while the transformer was trained.
    """

    folder: Path
    clips: int
    unreadable: tuple[str, ...]
    vae_steps: int
    decoder_steps: int
    text_steps: int
    steps: int
    vae_losses: list[tuple[int, float]]
    decoder_losses: list[tuple[int, float]]
    text_losses: list[tuple[int, float]]
    losses: list[tuple[int, float]]
    psnr: float
    parameters: dict[str, int]
    megabytes: float
    seconds: float
    start: str = ""
    mixture: dict[str, float] = field(default_factory=dict)
    frozen_text: bool = False


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
        stages="\n".join(f"- {line}" for line in _stages(report)),
        **report.parameters,
    )


def _stages(report: TrainReport) -> list[str]:
    """What was trained, one wrapped sentence per stage."""
    lines = []
    if report.start:
        lines.append(
            f"Continued from `{report.start}`: its autoencoder and text encoder were kept as they\n"
            f"  are (reconstruction {report.psnr:.1f} dB)."
        )
    else:
        lines.append(
            f"Autoencoder: {report.vae_steps} steps, last loss {_recent(report.vae_losses):.4f}, "
            f"then its decoder alone for\n  {report.decoder_steps} steps, last loss "
            f"{_recent(report.decoder_losses):.4f}; reconstruction {report.psnr:.1f} dB."
        )
    if report.text_steps:
        lines.append(
            f"Text encoder: {report.text_steps} steps of telling what captions state, from every "
            "token, then frozen."
        )
    who = "Transformer" if report.frozen_text else "Transformer and text encoder, together"
    lines.append(
        f"{who}: {report.steps} steps, rectified flow, uniform noise levels\n"
        "  shifted by 5, places that change weigh more, 10 % empty captions; last loss\n"
        f"  {_recent(report.losses):.4f}. The weights are a moving average."
    )
    if report.mixture:
        drawn = ", ".join(f"{motion} {weight:g}" for motion, weight in report.mixture.items())
        lines.append(f"Clips of these motions were drawn with another weight than 1: {drawn}.")
    return lines


def _recent(losses: list[tuple[int, float]], points: int = 20) -> float:
    """Mean of the last points of a loss curve."""
    tail = [loss for _, loss in losses[-points:]]
    return sum(tail) / len(tail) if tail else float("nan")
