"""Models at published sizes without their weights, which are drawn, for measurements.

A pipeline folder with configurations only is written and opened by its family's own class, so all
that attribution asks of a model is what it asks of a downloaded one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForTextEncoding, BatchEncoding

from motive.backbones.base import DiffusersBackbone
from motive.backbones.families import PIPELINES
from motive.backbones.folder import STANDARD_FILE
from motive.backbones.placement import (
    Placement,
    Stored,
    empty_model,
    fill_empty,
    offload_layers,
)
from motive.clips import ClipStandard

CAPTION_TOKENS = 60  # an ordinary caption; the encoder is given padding after it


@dataclass(frozen=True)
class Model:
    """What a published folder says of itself, where it differs from its classes' defaults.

    Attributes:
        index: model_index.json.
        transformer: transformer/config.json.
        vae: vae/config.json.
        text: text_encoder/config.json.
        parameters: Of the transformer, as docs/models.md has them; None: whatever it has.
        standard: The clip; None: the family's own.
    """

    index: dict[str, Any]
    transformer: dict[str, Any]
    vae: dict[str, Any]
    text: dict[str, Any]
    parameters: int | None = None
    standard: ClipStandard | None = None


def _index(pipeline: str, transformer: str, vae: str, text_encoder: str) -> dict[str, Any]:
    return {
        "_class_name": pipeline,
        "transformer": ["diffusers", transformer],
        "vae": ["diffusers", vae],
        "text_encoder": ["transformers", text_encoder],
        "tokenizer": ["transformers", "T5TokenizerFast"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    }


_WAN = _index("WanPipeline", "WanTransformer3DModel", "AutoencoderKLWan", "UMT5EncoderModel")
_LTX = _index(
    "LTXPipeline", "LTXVideoTransformer3DModel", "AutoencoderKLLTXVideo", "T5EncoderModel"
)
_XXL = {
    "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}  # fmt: skip
_UMT5_XXL = {"model_type": "umt5", "vocab_size": 256_384, **_XXL}
_T5_XXL = {"model_type": "t5", "vocab_size": 32_128, **_XXL}
_WAN22_VAE = {
    "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "is_residual": True, "patch_size": 2,
    "in_channels": 12, "out_channels": 12, "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48,  # of no weight for time
}  # fmt: skip
_LTX097_VAE = {
    "block_out_channels": (128, 256, 512, 1024, 2048), "layers_per_block": (4, 6, 6, 2, 2),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4, "spatio_temporal_scaling": (True,) * 4,
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "decoder_block_out_channels": (256, 512, 1024), "decoder_layers_per_block": (5, 5, 5, 5),
    "decoder_spatio_temporal_scaling": (True,) * 3, "decoder_inject_noise": (False,) * 4,
    "upsample_residual": (True,) * 3, "upsample_factor": (2,) * 3, "timestep_conditioning": True,
    "spatial_compression_ratio": 32, "temporal_compression_ratio": 8,
}  # fmt: skip
_TINY_TEXT = {"vocab_size": 128, "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1,
              "num_heads": 4}  # fmt: skip
MODELS = {
    "Wan2.1-T2V-1.3B": Model(
        _WAN, {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}, {}, _UMT5_XXL,
        1_418_996_800,
    ),
    "Wan2.1-T2V-14B": Model(_WAN, {}, {}, _UMT5_XXL, 14_288_491_584),
    "Wan2.2-TI2V-5B": Model(
        {**_WAN, "expand_timesteps": True},
        {"num_attention_heads": 24, "ffn_dim": 14336, "num_layers": 30, "in_channels": 48,
         "out_channels": 48},
        _WAN22_VAE, _UMT5_XXL, 4_999_787_712,
        ClipStandard(frames=81, fps=24.0, height=480, width=832),  # that of the others
    ),
    "LTX-Video-2B": Model(_LTX, {}, {}, _T5_XXL, 1_923_385_472),
    "LTX-Video-13B": Model(
        _LTX, {"attention_head_dim": 128, "cross_attention_dim": 4096, "num_layers": 48},
        _LTX097_VAE, _T5_XXL, 13_042_569_344,
    ),
    "tiny": Model(
        _WAN,
        {"num_attention_heads": 2, "attention_head_dim": 12, "text_dim": 32, "ffn_dim": 32,
         "num_layers": 2},
        {"base_dim": 3, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1},
        {"model_type": "umt5", **_TINY_TEXT},
        standard=ClipStandard(frames=9, fps=16.0, height=64, width=64),
    ),
    "tiny-ltx": Model(
        _LTX,
        {"in_channels": 8, "out_channels": 8, "num_attention_heads": 2, "attention_head_dim": 12,
         "cross_attention_dim": 24, "num_layers": 2, "caption_channels": 32},
        {"latent_channels": 8, "block_out_channels": (8,) * 4, "layers_per_block": (1,) * 5,
         "decoder_block_out_channels": (8,) * 4, "decoder_layers_per_block": (1,) * 5,
         "patch_size": 1},
        {"model_type": "t5", **_TINY_TEXT},
        standard=ClipStandard(frames=17, fps=25.0, height=32, width=48),
    ),
}  # fmt: skip


class RandomWeights(DiffusersBackbone):
    """Mixed into a family's class: VAE and text encoder are made from their configurations."""

    @cached_property
    def made(self) -> dict[str, dict[str, int]]:
        """Parameters and bytes of every encoder that has been made."""
        return {}

    def check_weights(self, components: tuple[str, ...]) -> None:
        """There are none."""

    def component(self, part: str, dtype: torch.dtype) -> Any:
        """A network as its class initialises it."""
        with self._loading(part) as folder, torch.device(self.device):
            if part == "vae":
                kind = self.class_of(part)
                model = kind.from_config(kind.load_config(folder, local_files_only=True))
            else:
                config = AutoConfig.from_pretrained(folder, local_files_only=True)
                model = AutoModelForTextEncoding.from_config(config, dtype=dtype)
        self.made[part] = sizes(model)
        return model.eval().requires_grad_(False)

    def tokenizer(self, part: str = "tokenizer") -> Any:
        """Stands for the real one, which no configuration can make."""
        return MadeUpTokens()


class MadeUpTokens:
    """Gives every caption the same tokens."""

    model_max_length = 10**30

    def __call__(
        self, text: str | list[str], max_length: int = CAPTION_TOKENS, **_: object
    ) -> BatchEncoding:
        """Token ids and mask of one caption."""
        ids = torch.arange(2, 2 + CAPTION_TOKENS)
        if isinstance(text, str):
            return BatchEncoding({"input_ids": ids.tolist()})
        padded = torch.nn.functional.pad(ids, (0, max_length - len(ids)))[None]
        return BatchEncoding({"input_ids": padded, "attention_mask": (padded > 0).long()})


def random_transformer(offload: bool) -> Placement:
    """A placement that reads no weights, but draws them on the device or in CPU memory."""

    def placed(stored: Stored) -> torch.nn.Module:
        model = stored.empty()
        fill_empty(model, torch.device("cpu") if offload else stored.device)
        for name, parameter in model.named_parameters():
            parameter.data.normal_(std=0.02)
            if "norm" in name and name.endswith("weight"):
                parameter.data.add_(1.0)
        if offload:
            offload_layers(model, stored.device)
        return model

    return placed


def opened(
    model: Model,
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    *,
    encoders: bool = False,
    offload: bool = False,
) -> RandomWeights:
    """Write a pipeline folder without weights and open it with its family's class.

    Args:
        model: What to write.
        folder: An empty one.
        device: Where it computes.
        dtype: Of the transformer's weights that the class does not keep in float32.
        encoders: Give the text encoder its layers and its vocabulary; without, captions come out in
            the right layout at no cost.
        offload: Keep the layers' weights in CPU memory.
    """
    import diffusers

    for part, value in model.index.items():
        if isinstance(value, list):
            (folder / part).mkdir()
    (folder / "model_index.json").write_text(json.dumps(model.index), "utf-8")
    for part, config in (("transformer", model.transformer), ("vae", model.vae)):
        kind = getattr(diffusers, model.index[part][1])
        empty: Any = empty_model(kind, config, dtype)
        empty.save_config(folder / part)  # with the class's defaults
    text = model.text if encoders else {**model.text, "num_layers": 0, "vocab_size": 128}
    (folder / "text_encoder" / "config.json").write_text(json.dumps(text), "utf-8")
    if model.standard is not None:
        (folder / STANDARD_FILE).write_text(json.dumps(asdict(model.standard)), "utf-8")
    family = PIPELINES[model.index["_class_name"]]
    random_family: Any = type(f"Random{family.__name__}", (RandomWeights, family), {})
    backbone: RandomWeights = random_family(
        folder, device=device, dtype=dtype, placement=random_transformer(offload)
    )
    return backbone


def sizes(model: torch.nn.Module) -> dict[str, int]:
    """Number of parameters, and their bytes."""
    parameters = list(model.parameters())
    return {
        "parameters": sum(p.numel() for p in parameters),
        "weight_bytes": sum(p.numel() * p.element_size() for p in parameters),
    }


def latent_shape(backbone: DiffusersBackbone) -> tuple[int, int, int, int]:
    """(c, f, h, w) of one clip's latents."""
    return (backbone.channels, *backbone.latent_grid(backbone.standard))


def tokens_of(backbone: DiffusersBackbone) -> int:
    """What the transformer makes of one clip's latents."""
    return prod(latent_shape(backbone)[1:]) // prod(backbone.patch)
