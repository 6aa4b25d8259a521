"""Encoders of the right classes with small random weights."""

from pathlib import Path

import torch
import transformers

_TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def tiny_dino(folder: Path) -> Path:
    """A ViT without a pooling layer, for 224 px; its features have 16 numbers."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(**_TINY, intermediate_size=32, image_size=224, patch_size=32)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def tiny_clip(folder: Path) -> Path:
    """CLIP's image tower, for 224 px; its features have 8 numbers."""
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(
        **_TINY, intermediate_size=32, image_size=224, patch_size=56, projection_dim=8
    )
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def tiny_vjepa(folder: Path) -> Path:
    """V-JEPA 2 for crops of 32 px; its vectors have 16 numbers."""
    torch.manual_seed(0)
    config = transformers.VJEPA2Config(
        **_TINY,
        crop_size=32,
        frames_per_clip=8,
        pred_hidden_size=16,
        pred_num_hidden_layers=1,
        pred_num_attention_heads=2,
        pred_num_mask_tokens=2,
    )
    transformers.VJEPA2Model(config).save_pretrained(folder)
    return folder
