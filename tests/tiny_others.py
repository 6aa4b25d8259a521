"""Tiny pipelines of LTX, HunyuanVideo, CogVideoX and Mochi."""

from __future__ import annotations

from typing import Any

import torch

from tiny_parts import flow_scheduler, qwen_config, t5_encoder, tokenizer_of


def ltx() -> Any:
    """LTX-Video: packed tokens, a VAE of 8 frames."""
    from diffusers import AutoencoderKLLTXVideo, LTXPipeline, LTXVideoTransformer3DModel

    tokenizer = tokenizer_of(128)
    vae = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        patch_size=1,
    )
    vae.latents_mean.copy_(torch.linspace(-1, 1, 8))
    vae.latents_std.copy_(torch.linspace(0.5, 2, 8))
    return LTXPipeline(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer),
        vae=vae,
        transformer=LTXVideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            num_attention_heads=2,
            attention_head_dim=12,
            cross_attention_dim=24,
            num_layers=2,
            caption_channels=32,
        ),
        scheduler=flow_scheduler(use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05),
    )


def ltx2(per_modality: bool = False, **changes: Any) -> Any:
    """LTX-2: video and sound, Gemma's layers through connectors with registers."""
    from diffusers import (
        AutoencoderKLLTX2Audio,
        AutoencoderKLLTX2Video,
        LTX2Pipeline,
        LTX2VideoTransformer3DModel,
    )
    from diffusers.pipelines.ltx2 import LTX2TextConnectors, LTX2Vocoder
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    tokenizer = tokenizer_of(1024)
    gemma = Gemma3Config(
        text_config=Gemma3TextConfig(
            hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=8, vocab_size=len(tokenizer), pad_token_id=0,
        ),
        vision_config=SiglipVisionConfig(
            hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
            image_size=8, patch_size=4,
        ),
    )  # fmt: skip
    stages = {"block_out_channels": (8, 8, 8), "decoder_block_out_channels": (8, 8, 8)}
    vae = AutoencoderKLLTX2Video(
        **stages,
        latent_channels=8,
        layers_per_block=(1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True),
        decoder_spatio_temporal_scaling=(True, True, True),
        decoder_inject_noise=(False, False, False, False),
        down_block_types=("LTX2VideoDownBlock3D",) * 3,
        downsample_type=("spatiotemporal",) * 3,
        upsample_type=("spatiotemporal",) * 3,
        upsample_residual=(True, True, True),
        upsample_factor=(1, 1, 1),
        patch_size=1,
        spatial_compression_ratio=8,
        temporal_compression_ratio=8,
    )
    vae.latents_mean.copy_(torch.linspace(-1, 1, 8))
    vae.latents_std.copy_(torch.linspace(0.5, 2, 8))
    return LTX2Pipeline(
        tokenizer=tokenizer,
        text_encoder=Gemma3ForConditionalGeneration(gemma),
        connectors=LTX2TextConnectors(
            caption_channels=16,
            text_proj_in_factor=3,
            video_connector_num_attention_heads=2,
            video_connector_attention_head_dim=12 if per_modality else 8,
            video_connector_num_layers=1,
            audio_connector_num_attention_heads=2,
            audio_connector_attention_head_dim=8,
            audio_connector_num_layers=1,
            rope_type="split",
            per_modality_projections=per_modality,
            video_hidden_dim=24,
            audio_hidden_dim=16,
        ),
        vae=vae,
        audio_vae=AutoencoderKLLTX2Audio(
            base_channels=4, ch_mult=(1,), num_res_blocks=1, resolution=32, latent_channels=2,
            mel_bins=8,
        ),
        vocoder=LTX2Vocoder(
            in_channels=16, hidden_channels=8, upsample_kernel_sizes=[4], upsample_factors=[2],
            resnet_kernel_sizes=[3], resnet_dilations=[[1]],
        ),
        transformer=LTX2VideoTransformer3DModel(
            in_channels=8,
            out_channels=8,
            num_attention_heads=2,
            attention_head_dim=12,
            cross_attention_dim=24,
            vae_scale_factors=(8, 8, 8),
            audio_in_channels=4,
            audio_out_channels=4,
            audio_num_attention_heads=2,
            audio_attention_head_dim=8,
            audio_cross_attention_dim=16,
            num_layers=2,
            caption_channels=16,
            rope_type="split",
            **changes,
        ),
        scheduler=flow_scheduler(),
    )  # fmt: skip


def ltx23() -> Any:
    """LTX-2.3: text projected by the connectors, whose rows the noise level modulates."""
    return ltx2(
        per_modality=True,
        use_prompt_embeddings=False,
        gated_attn=True,
        cross_attn_mod=True,
        audio_gated_attn=True,
        audio_cross_attn_mod=True,
    )


def hunyuan_video() -> Any:
    """HunyuanVideo: Llama with a mask, CLIP's pooled row, a guidance argument."""
    from diffusers import (
        AutoencoderKLHunyuanVideo,
        HunyuanVideoPipeline,
        HunyuanVideoTransformer3DModel,
    )
    from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
    from transformers import CLIPTextConfig, CLIPTextModel, LlamaConfig, LlamaModel

    # As with the real tokenizer, a caption must begin where the template's 95 tokens end.
    tokenizer, tokenizer_2 = (
        tokenizer_of(10**30, DEFAULT_PROMPT_TEMPLATE["template"]),
        tokenizer_of(77),
    )
    sizes = {"hidden_size": 16, "intermediate_size": 16, "vocab_size": len(tokenizer)}
    return HunyuanVideoPipeline(
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        text_encoder=LlamaModel(
            LlamaConfig(**sizes, num_hidden_layers=3, num_attention_heads=2, pad_token_id=0)
        ),
        text_encoder_2=CLIPTextModel(
            CLIPTextConfig(**{**sizes, "hidden_size": 24}, num_hidden_layers=1,
                           num_attention_heads=2, projection_dim=8)
        ),
        vae=AutoencoderKLHunyuanVideo(
            latent_channels=4,
            block_out_channels=(8, 8, 8, 8),
            layers_per_block=1,
            norm_num_groups=4,
        ),
        transformer=HunyuanVideoTransformer3DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=10,
            num_layers=1,
            num_single_layers=1,
            num_refiner_layers=1,
            text_embed_dim=16,
            pooled_projection_dim=24,
            rope_axes_dim=(2, 4, 4),
        ),
        scheduler=flow_scheduler(shift=7.0),
    )  # fmt: skip


def hunyuan_video15(kind: str = "HunyuanVideo15Pipeline", **more: Any) -> Any:
    """HunyuanVideo 1.5: Qwen and ByT5, 65 channels of which 33 are zero without an image."""
    import diffusers
    from diffusers import (
        AutoencoderKLHunyuanVideo15,
        ClassifierFreeGuidance,
        HunyuanVideo15Transformer3DModel,
    )
    from transformers import ByT5Tokenizer, Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel

    tokenizer = tokenizer_of()
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
    byt5 = ByT5Tokenizer()
    return getattr(diffusers, kind)(
        tokenizer=tokenizer,
        tokenizer_2=byt5,
        text_encoder=Qwen2_5_VLTextModel(qwen_config(Qwen2_5_VLTextConfig, tokenizer)),
        text_encoder_2=t5_encoder(byt5),
        vae=AutoencoderKLHunyuanVideo15(
            latent_channels=4,
            block_out_channels=(16, 16, 16, 16, 16),
            layers_per_block=1,
        ),
        transformer=HunyuanVideo15Transformer3DModel(
            in_channels=9,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=2,
            num_refiner_layers=1,
            text_embed_dim=16,
            text_embed_2_dim=32,
            image_embed_dim=12,
            rope_axes_dim=(2, 2, 4),
            target_size=16,
            task_type="i2v" if more else "t2v",
        ),
        scheduler=flow_scheduler(shift=5.0),
        guider=ClassifierFreeGuidance(),
        **more,
    )


def hunyuan_video15_image() -> Any:
    """HunyuanVideo 1.5 I2V: SigLIP's view and the first latent frame."""
    from transformers import SiglipImageProcessor, SiglipVisionConfig, SiglipVisionModel

    size = {"height": 16, "width": 16}
    vision = SiglipVisionConfig(
        hidden_size=12, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2,
        image_size=16, patch_size=4,
    )  # fmt: skip
    return hunyuan_video15(
        "HunyuanVideo15ImageToVideoPipeline",
        image_encoder=SiglipVisionModel(vision),
        feature_extractor=SiglipImageProcessor(size=size),
    )


def _cogvideox(kind: str = "CogVideoXPipeline", inverted: bool = False, **sizes: Any) -> Any:
    import diffusers
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXTransformer3DModel,
    )

    tokenizer = tokenizer_of(226)
    return getattr(diffusers, kind)(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer),
        vae=AutoencoderKLCogVideoX(
            block_out_channels=(8, 8, 8, 8),
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            temporal_compression_ratio=4,
            invert_scale_latents=inverted,
        ),
        transformer=CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=4 if kind == "CogVideoXPipeline" else 8,
            out_channels=4,
            time_embed_dim=2,
            text_embed_dim=32,
            num_layers=2,
            sample_width=6,
            sample_height=4,
            sample_frames=9,
            **sizes,
        ),
        scheduler=CogVideoXDDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            set_alpha_to_one=True,
            timestep_spacing="trailing",
            snr_shift_scale=3.0 if not sizes else 1.0,
        ),
    )


def cogvideox_2b() -> Any:
    """CogVideoX-2B: v-prediction, sinusoidal positions."""
    return _cogvideox()


def cogvideox_5b() -> Any:
    """CogVideoX-5B: rotary embeddings."""
    return _cogvideox(use_rotary_positional_embeddings=True)


def cogvideox_15() -> Any:
    """CogVideoX1.5-5B: patches of two latent frames."""
    return _cogvideox(use_rotary_positional_embeddings=True, patch_size_t=2, patch_bias=False)


def cogvideox_image() -> Any:
    """CogVideoX-5B-I2V: twice the channels, learned positions beside the rotary ones."""
    return _cogvideox(
        "CogVideoXImageToVideoPipeline",
        use_rotary_positional_embeddings=True,
        use_learned_positional_embeddings=True,
    )


def cogvideox_15_image() -> Any:
    """CogVideoX1.5-5B-I2V: the image's latents divided, and an offset."""
    return _cogvideox(
        "CogVideoXImageToVideoPipeline",
        inverted=True,
        use_rotary_positional_embeddings=True,
        patch_size_t=2,
        patch_bias=False,
        ofs_embed_dim=2,
    )


def mochi() -> Any:
    """Mochi 1: reversed sigmas, a VAE of 6 frames."""
    from diffusers import AutoencoderKLMochi, MochiPipeline, MochiTransformer3DModel

    tokenizer = tokenizer_of(256)
    return MochiPipeline(
        tokenizer=tokenizer,
        text_encoder=t5_encoder(tokenizer),
        vae=AutoencoderKLMochi(
            encoder_block_out_channels=(32, 32, 32, 32),
            decoder_block_out_channels=(32, 32, 32, 32),
            layers_per_block=(1, 1, 1, 1, 1),
            add_attention_block=(False, False, False, False, False),
        ),
        transformer=MochiTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=2,
            pooled_projection_dim=16,
            text_embed_dim=32,
            time_embed_dim=4,
            max_sequence_length=256,
        ),
        scheduler=flow_scheduler(invert_sigmas=True),
    )
