"""One clip end to end at the sizes of the published Wan models, from cached latents to a feature.

Weights are random: architecture and shapes are all that time and memory depend on. "plain" is one
forward and backward pass whose gradients are freed as they come, the least that any method must do;
"feature" is the same with the projection. Each row holds seconds per clip and the most memory that
was in use beyond the weights. Run it where the model fits, for example

    python benchmarks/wan_scale_gpu.py --size 1.3B
    python benchmarks/wan_scale_gpu.py --size 14B --rounds 2
    python benchmarks/wan_scale_gpu.py --size tiny --device cpu --curve
"""

from __future__ import annotations

import argparse
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import WanTransformer3DModel

from measuring import gradients_freed, save, side_by_side
from motive.backbones import TextEmbedding
from motive.backbones.placement import empty_model, fill_empty, offload_layers
from motive.gradients import (
    Featurizer,
    Objective,
    fixed_noise,
    location_error,
    motion_weighted_loss,
)
from motive.memory import PeakMemory
from motive.projection import BlockedFastfood

SIGMA = 0.751
SHARED = {
    "patch_size": (1, 2, 2),
    "attention_head_dim": 128,
    "text_dim": 4096,
    "freq_dim": 256,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "eps": 1e-6,
    "image_dim": None,
    "added_kv_proj_dim": None,
    "rope_max_seq_len": 1024,
}
CONFIGS: dict[str, dict[str, Any]] = {  # transformer/config.json of the published folders
    "1.3B": {  # Wan-AI/Wan2.1-T2V-1.3B-Diffusers
        **SHARED,
        "in_channels": 16,
        "out_channels": 16,
        "num_attention_heads": 12,
        "ffn_dim": 8960,
        "num_layers": 30,
    },
    "5B": {  # Wan-AI/Wan2.2-TI2V-5B-Diffusers
        **SHARED,
        "in_channels": 48,
        "out_channels": 48,
        "num_attention_heads": 24,
        "ffn_dim": 14336,
        "num_layers": 30,
    },
    "14B": {  # Wan-AI/Wan2.1-T2V-14B-Diffusers, and each expert of Wan2.2-T2V-A14B-Diffusers
        **SHARED,
        "in_channels": 16,
        "out_channels": 16,
        "num_attention_heads": 40,
        "ffn_dim": 13824,
        "num_layers": 40,
    },
    "tiny": {
        **SHARED,
        "in_channels": 16,
        "out_channels": 16,
        "attention_head_dim": 12,
        "num_attention_heads": 2,
        "text_dim": 32,
        "ffn_dim": 32,
        "num_layers": 2,
    },
}
PARAMETERS = {"1.3B": 1_418_996_800, "5B": 4_999_787_712, "14B": 14_288_491_584}
SPACE = {"5B": 16}  # pixels per latent position of the VAE; 8 elsewhere
TIME = 4
VIDEO = {"tiny": (9, 64, 64)}  # frames, height, width; 81 of 832x480 elsewhere
TEXT_LENGTH = 512
Clip: TypeAlias = tuple[torch.Tensor, TextEmbedding, torch.Tensor]


class RandomWan:
    """A backbone of random weights: what a featurizer needs, and no more.

    Args:
        config: Of a `WanTransformer3DModel`.
        device: Where it computes.
        dtype: Of the weights that Wan does not keep in float32.
        offload: Keep the layers' weights in CPU memory.
        tokenwise: One timestep per token, as Wan 2.2 TI2V has.
    """

    def __init__(
        self,
        config: dict[str, Any],
        device: torch.device,
        dtype: torch.dtype,
        offload: bool = False,
        tokenwise: bool = False,
    ) -> None:
        self.device, self.dtype, self.tokenwise = device, dtype, tokenwise
        self.transformer = empty_model(WanTransformer3DModel, config, dtype).eval()
        fill_empty(self.transformer, torch.device("cpu") if offload else device)
        for name, parameter in self.transformer.named_parameters():
            parameter.data.normal_(std=0.02)
            if "norm" in name and name.endswith("weight"):
                parameter.data.add_(1.0)
        if offload:
            offload_layers(self.transformer, device)

    def add_noise(self, latents: torch.Tensor, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """Noised latents (1 − σ) h + σ ε."""
        return (1.0 - sigma) * latents + sigma * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """The velocity ε − h."""
        return noise - latents

    def predict(self, noisy: torch.Tensor, sigma: float, text: torch.Tensor) -> torch.Tensor:
        """Velocity "b c f h w", float32."""
        shape = (len(noisy), tokens_of(noisy.shape[2:])) if self.tokenwise else (len(noisy),)
        timestep = torch.full(shape, 1000.0 * sigma, device=self.device)
        return self.transformer(
            hidden_states=noisy.to(self.device, self.dtype),
            timestep=timestep,
            encoder_hidden_states=text.to(self.device, self.dtype),
            return_dict=False,
        )[0].float()


def tokens_of(grid: tuple[int, ...]) -> int:
    """Tokens of a latent grid (f, h, w)."""
    return prod(grid) // prod(SHARED["patch_size"])


def latent_shape(size: str) -> tuple[int, int, int, int]:
    """(c, f, h, w) of one clip's latents."""
    frames, height, width = VIDEO.get(size, (81, 480, 832))
    space = SPACE.get(size, 8)
    channels = CONFIGS[size]["in_channels"]
    return channels, (frames - 1) // TIME + 1, height // space, width // space


def clip_of(
    shape: tuple[int, ...], text_dim: int
) -> tuple[torch.Tensor, TextEmbedding, torch.Tensor]:
    """Latents, text embedding and motion weights, as the cache would give them."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(shape, generator=generator)
    text = TextEmbedding(torch.randn(TEXT_LENGTH, text_dim, generator=generator), TEXT_LENGTH)
    return latents, text, torch.rand(shape[1:], generator=generator)


def plain_pass(backbone: RandomWan, clip: Clip, frames: int) -> None:
    """Forward and backward without any projection."""
    latents, text, weights = clip
    clean = latents[None]
    noise = fixed_noise(tuple(clean.shape), 0)
    prediction = backbone.predict(
        backbone.add_noise(clean, noise, SIGMA), SIGMA, text.padded()[None]
    )
    error = location_error(prediction, backbone.target(clean, noise, SIGMA).to(prediction))
    motion_weighted_loss(error, weights[None], frames).sum().backward()
    if backbone.device.type == "cuda":
        torch.cuda.synchronize()


def measured(
    backbone: RandomWan, shape: tuple[int, ...], frames: int, checkpointing: bool, rounds: int
) -> dict[str, Any]:
    """Seconds and memory of both rows, in turn, after one untimed pass of each."""
    clip = clip_of(shape, backbone.transformer.config.text_dim)
    featurizer = Featurizer(
        backbone, BlockedFastfood(512), Objective(), checkpointing=checkpointing
    )
    model = backbone.transformer

    def plain() -> None:
        if checkpointing:
            model.enable_gradient_checkpointing()
        with gradients_freed(model):
            plain_pass(backbone, clip, frames)
        model.disable_gradient_checkpointing()

    def feature() -> None:
        with featurizer.ready():
            featurizer.feature(*clip, frames)

    calls = {"plain": plain, "feature": feature}
    seconds = side_by_side(calls, rounds)
    memory = {}
    for name, call in calls.items():
        with PeakMemory(backbone.device) as peak:
            call()
        memory[name] = peak.bytes
    parameters = list(model.parameters())
    return {
        "parameters": sum(p.numel() for p in parameters),
        "weight_bytes": sum(p.numel() * p.element_size() for p in parameters),
        "latents": list(shape),
        "tokens": tokens_of(shape[1:]),
        "checkpointing": checkpointing,
        "seconds": seconds,
        "ratio": seconds["feature"]["median"] / seconds["plain"]["median"],
        "peak_bytes_beyond_weights": memory,
    }


def curve(device: torch.device, dtype: torch.dtype, rounds: int) -> list[dict[str, Any]]:
    """Both rows while the parameters grow at fixed tokens, and the tokens at fixed parameters."""
    rows = []
    for heads, side in ((2, 8), (4, 8), (8, 8), (16, 8), (4, 4), (4, 16), (4, 32)):
        config = {**CONFIGS["tiny"], "num_attention_heads": heads, "ffn_dim": 48 * heads}
        backbone = RandomWan(config, device, dtype)
        shape = (16, 3, side, side)
        rows.append({"heads": heads, **measured(backbone, shape, 9, False, rounds)})
        show(f"{heads} heads, {rows[-1]['tokens']} tokens", rows[-1])
    return rows


def show(name: str, row: dict[str, Any]) -> None:
    """One line per measurement."""
    seconds, memory = row["seconds"], row["peak_bytes_beyond_weights"]
    parts = [
        f"{key} {seconds[key]['median']:.4g} s, "
        + ("memory not measured" if memory[key] is None else f"{memory[key] / 2**20:.0f} MB")
        for key in seconds
    ]
    print(
        f"{name}: {row['parameters']:,} parameters ({row['weight_bytes'] / 2**30:.3g} GB); "
        f"{'; '.join(parts)}; ratio {row['ratio']:.3f}"
    )


def main(arguments: list[str] | None = None) -> Path | None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=list(CONFIGS), default="1.3B")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-checkpointing", action="store_true", help="keep all activations")
    parser.add_argument("--offload", action="store_true", help="layers' weights in CPU memory")
    parser.add_argument("--curve", action="store_true", help="also scale a tiny model")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; try --size tiny --device cpu")
    torch.manual_seed(0)
    backbone = RandomWan(
        CONFIGS[options.size], device, dtype, options.offload, tokenwise=options.size == "5B"
    )
    frames = VIDEO.get(options.size, (81,))[0]
    row = measured(
        backbone,
        latent_shape(options.size),
        frames,
        checkpointing=not options.no_checkpointing or options.offload,
        rounds=options.rounds,
    )
    expected = PARAMETERS.get(options.size, row["parameters"])
    if row["parameters"] != expected:
        raise SystemExit(f"{options.size}: {row['parameters']:,} parameters, not {expected:,}")
    show(f"Wan {options.size}", row)
    results = {"size": options.size, "dtype": options.dtype, "offload": options.offload, **row}
    if options.curve:
        results["curve"] = curve(device, dtype, options.rounds)
    return None if options.no_save else save(f"wan_scale_{options.size}", results)


if __name__ == "__main__":
    main()
