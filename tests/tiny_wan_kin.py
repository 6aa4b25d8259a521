"""Tiny pipelines around Wan's autoencoder: Wan itself, SkyReels-V2, Cosmos-Predict 2.5."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tiny_parts import flow_scheduler, qwen_config, t5_encoder, tokenizer_of

_WAN = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 32,
    "freq_dim": 256,
    "ffn_dim": 32,
    "num_layers": 2,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 32,
}


def _wan_vae() -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=3,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    )


def _wan(kind: str = "WanPipeline", **options: Any) -> Any:
    """`options`: `transformer`, `transformer_2` (changes to the sizes) and the pipeline's own."""
    import diffusers

    tokenizer = tokenizer_of()
    parts = {
        name: diffusers.WanTransformer3DModel(**{**_WAN, **options.pop(name)})
        for name in ("transformer", "transformer_2")
        if name in options
    }
    if "transformer" not in parts:
        parts["transformer"] = diffusers.WanTransformer3DModel(**_WAN)
    return getattr(diffusers, kind)(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer, umt5=True),
        **{"vae": _wan_vae(), "scheduler": flow_scheduler(shift=3.0), **parts, **options},
    )


def wan_t2v() -> Any:
    """Wan 2.1 T2V."""
    return _wan()


def wan_t2v_a14b() -> Any:
    """Wan 2.2 T2V-A14B: two experts."""
    return _wan(transformer={}, transformer_2={}, boundary_ratio=0.875)


def wan_ti2v() -> Any:
    """Wan 2.2 TI2V-5B: one timestep per token, 48 channels, a VAE of 16 x 16 pixels."""
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=48,
        in_channels=12,
        out_channels=12,
        is_residual=True,
        patch_size=2,
        latents_mean=[0.1 * i for i in range(48)],
        latents_std=[1.0 + 0.1 * i for i in range(48)],
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        scale_factor_spatial=16,
    )
    return _wan(vae=vae, transformer={"in_channels": 48, "out_channels": 48}, expand_timesteps=True)


def wan_i2v() -> Any:
    """Wan 2.1 I2V: 36 channels and CLIP's view of the first frame."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    size = {"height": 16, "width": 16}
    vision = CLIPVisionConfig(
        hidden_size=16, projection_dim=16, num_hidden_layers=2, num_attention_heads=2,
        image_size=16, intermediate_size=16, patch_size=4,
    )  # fmt: skip
    return _wan(
        "WanImageToVideoPipeline",
        transformer={"in_channels": 36, "image_dim": 16, "added_kv_proj_dim": 24},
        image_encoder=CLIPVisionModel(vision),
        image_processor=CLIPImageProcessor(size=size, crop_size=size),
    )


def wan_i2v_a14b() -> Any:
    """Wan 2.2 I2V-A14B: 36 channels, two experts, no CLIP."""
    sizes = {"in_channels": 36}
    return _wan(
        "WanImageToVideoPipeline",
        transformer=sizes,
        transformer_2=sizes,
        image_encoder=None,
        image_processor=None,
        boundary_ratio=0.9,
    )


def skyreels() -> Any:
    """SkyReels-V2 T2V."""
    from diffusers import SkyReelsV2Pipeline, SkyReelsV2Transformer3DModel

    tokenizer = tokenizer_of()
    return SkyReelsV2Pipeline(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer, umt5=True),
        vae=_wan_vae(),
        transformer=SkyReelsV2Transformer3DModel(**_WAN),
        scheduler=flow_scheduler(shift=8.0),
    )


def cosmos() -> Any:
    """Cosmos-Predict 2.5: all layers of Qwen2.5-VL, a mask of given frames, learned positions."""
    from diffusers import (
        Cosmos2_5_PredictBasePipeline,
        CosmosTransformer3DModel,
        UniPCMultistepScheduler,
    )
    from transformers import Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel

    allow_cosmos()
    tokenizer = tokenizer_of(10**30, "You are a helpful assistant who will provide prompts")
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message['content'][0]['text'] }} {% endfor %}"
    )
    pipeline = Cosmos2_5_PredictBasePipeline(
        tokenizer=tokenizer,
        text_encoder=Qwen2_5_VLTextModel(qwen_config(Qwen2_5_VLTextConfig, tokenizer)),
        vae=_wan_vae(),
        transformer=CosmosTransformer3DModel(
            in_channels=17,
            out_channels=16,
            num_attention_heads=2,
            attention_head_dim=16,
            num_layers=2,
            mlp_ratio=2,
            text_embed_dim=24,
            use_crossattn_projection=True,
            crossattn_proj_in_channels=32,
            encoder_hidden_states_channels=24,
            adaln_lora_dim=4,
            max_size=(4, 32, 32),
            patch_size=(1, 2, 2),
            rope_scale=(2.0, 1.0, 1.0),
            concat_padding_mask=True,
            extra_pos_embed_type="learnable",
        ),
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
    )
    pipeline.register_modules(safety_checker=None)
    return pipeline


def allow_cosmos() -> None:
    """Make Cosmos' classes work without the packages that only its guardrail and a mask want."""
    from diffusers.models.transformers import transformer_cosmos
    from diffusers.pipelines.cosmos import pipeline_cosmos2_5_predict

    if not hasattr(transformer_cosmos, "transforms"):
        resize = SimpleNamespace(
            resize=lambda mask, size, **_: mask.new_zeros(*mask.shape[:2], *size)
        )
        mode = SimpleNamespace(NEAREST="nearest")
        transformer_cosmos.transforms = SimpleNamespace(functional=resize, InterpolationMode=mode)
    pipeline_cosmos2_5_predict.CosmosSafetyChecker = lambda: None
