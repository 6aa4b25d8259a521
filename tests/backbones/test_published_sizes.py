"""The real transformers, without memory: their numbers of parameters, as far as they are known.

Configurations are those of the repositories' transformer/config.json where they differ from the
class's defaults.
"""

from functools import lru_cache
from pathlib import Path

import pytest
import torch

from motive.backbones.placement import empty_model

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
_COG_5B = {
    "num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True
}  # fmt: skip
_COSMOS_2B = {
    "in_channels": 17, "out_channels": 16, "num_attention_heads": 16, "num_layers": 28,
    "mlp_ratio": 4.0, "text_embed_dim": 1024, "adaln_lora_dim": 256, "extra_pos_embed_type": None,
    "use_crossattn_projection": True, "crossattn_proj_in_channels": 100352,
    "encoder_hidden_states_channels": 1024,
}  # fmt: skip
MODELS = {
    "Wan2.1-T2V-1.3B": (
        "WanTransformer3DModel", {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}
    ),
    "Wan2.1-T2V-14B": ("WanTransformer3DModel", {}),
    "Wan2.1-I2V-14B": (
        "WanTransformer3DModel", {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}
    ),
    "Wan2.2-TI2V-5B": (
        "WanTransformer3DModel",
        {"num_attention_heads": 24, "ffn_dim": 14336, "num_layers": 30, "in_channels": 48,
         "out_channels": 48},
    ),
    "Wan2.2-I2V-A14B": ("WanTransformer3DModel", {"in_channels": 36}),
    "SkyReels-V2-14B": (
        "SkyReelsV2Transformer3DModel",
        {"num_attention_heads": 40, "ffn_dim": 13824, "num_layers": 40},
    ),
    "Cosmos-Predict2.5-2B": ("CosmosTransformer3DModel", _COSMOS_2B),
    "LTX-Video 2B": ("LTXVideoTransformer3DModel", {}),
    "LTX-Video 13B": (
        "LTXVideoTransformer3DModel",
        {"attention_head_dim": 128, "cross_attention_dim": 4096, "num_layers": 48},
    ),
    "LTX-2": ("LTX2VideoTransformer3DModel", {}),
    "HunyuanVideo": ("HunyuanVideoTransformer3DModel", {}),
    "HunyuanVideo 1.5": ("HunyuanVideo15Transformer3DModel", {"task_type": "t2v"}),
    "CogVideoX-2B": ("CogVideoXTransformer3DModel", {}),
    "CogVideoX-5B": ("CogVideoXTransformer3DModel", _COG_5B),
    "CogVideoX-5B-I2V": (
        "CogVideoXTransformer3DModel",
        {**_COG_5B, "in_channels": 32, "use_learned_positional_embeddings": True},
    ),
    "CogVideoX1.5-5B": (
        "CogVideoXTransformer3DModel",
        {**_COG_5B, "patch_size_t": 2, "patch_bias": False, "sample_height": 300,
         "sample_width": 300, "sample_frames": 81},
    ),
    "CogVideoX1.5-5B-I2V": (
        "CogVideoXTransformer3DModel",
        {**_COG_5B, "in_channels": 32, "ofs_embed_dim": 512, "patch_size_t": 2,
         "patch_bias": False, "sample_height": 300, "sample_width": 300, "sample_frames": 81},
    ),
    "Mochi 1": ("MochiTransformer3DModel", {}),
}  # fmt: skip
# Published to the last parameter: the paper's D; model cards; the memory tables of finetrainers;
# the hub's counts of safetensors files, or the sizes in their indices.
EXACT = {
    "Wan2.1-T2V-1.3B": 1_418_996_800,
    "Wan2.1-T2V-14B": 14_288_491_584,
    "Wan2.1-I2V-14B": 16_394_878_784,  # that of SkyReels-V2-I2V-14B, which is the same network
    "Wan2.2-TI2V-5B": 4_999_787_712,
    "Wan2.2-I2V-A14B": 14_288_901_184,
    "Cosmos-Predict2.5-2B": 2_059_174_912,
    "LTX-Video 2B": 1_923_385_472,
    "LTX-Video 13B": 13_042_569_344,
    "LTX-2": 18_876_174_592,
    "HunyuanVideo": 12_821_012_544,
    "HunyuanVideo 1.5": 8_326_608_160,
    "CogVideoX-2B": 1_693_783_872,
    "CogVideoX-5B": 5_570_283_072,
    "CogVideoX1.5-5B-I2V": 5_571_594_880,
    "Mochi 1": 10_027_677_744,
}
# Published counts of files that hold more than parameters, and what more that is.
FILES = {
    # norm_added_q of 40 layers, which the class ignores
    "Wan2.1-I2V-14B": (16_395_083_584, 40 * 5120),
    # the table of 226 + 13 * 30 * 45 positions, a buffer
    "CogVideoX-5B-I2V": (5_625_087_552, 17_776 * 3072),
}


@lru_cache
def parameters(model):
    import diffusers

    kind, config = MODELS[model]
    empty = empty_model(getattr(diffusers, kind), config, torch.float32)
    assert all(parameter.is_meta for parameter in empty.parameters())
    return sum(parameter.numel() for parameter in empty.parameters())


@pytest.mark.parametrize("model", EXACT)
def test_the_real_size_has_the_published_number_of_parameters(model):
    assert parameters(model) == EXACT[model]


@pytest.mark.parametrize("model", FILES)
def test_the_files_hold_the_parameters_and_what_is_known_beside_them(model):
    published, beside = FILES[model]
    assert parameters(model) + beside == published


@pytest.mark.parametrize("model", MODELS)
def test_the_documentation_states_the_number_that_the_class_gives(model):
    """Of CogVideoX1.5-5B and SkyReels-V2-14B this is all that is known here."""
    assert f"| {model} | {parameters(model):,}" in DOCS.read_text("utf-8")
