"""A tiny Wan 2.1 pipeline folder with Wan's own classes: 28k parameters, 512-token captions."""

from pathlib import Path

import torch

from motive.zoo.nano_model import save_wan_nano, train_tokenizer

CAPTIONS = ["a red ball bounces on the floor", "a blue cube slides to the left", "it spins fast"]


def save_tiny_wan(folder: Path, seed: int = 0) -> Path:
    """Build the pipeline from diffusers' own test sizes and save it."""
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer = train_tokenizer(CAPTIONS)
    tokenizer.model_max_length = 10**30  # as in Wan's own tokenizer: no limit of its own
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=16,
            out_channels=16,
            text_dim=32,
            freq_dim=256,
            ffn_dim=32,
            num_layers=2,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=32,
        )
        # The published initialisation zeroes the output layer: no gradient would reach the rest.
        torch.nn.init.normal_(transformer.proj_out.weight, std=0.1)
        vae = AutoencoderKLWan(
            base_dim=3,
            z_dim=16,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        )
        text_encoder = UMT5EncoderModel(
            UMT5Config(
                vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4
            )
        )
    pipeline = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        transformer=transformer,
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )
    save_wan_nano(pipeline, folder)
    return folder
