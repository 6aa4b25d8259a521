"""wan-nano: the Wan 2.1 text-to-video architecture at laptop size.

Invariant: everything here is an ordinary diffusers/transformers class with small numbers, so code
that runs on wan-nano runs unchanged on a Wan 2.1 folder. Nothing may depend on being small.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from motive.clips.clip import ClipStandard
from motive.errors import ModelError, UsageError

NANO_STANDARD = ClipStandard(frames=17, fps=16.0, height=64, width=64)
TEXT_TOKENS = 32  # tokens per caption, the tokenizer's model_max_length (Wan itself: 512)
FLOW_SHIFT = 3.0  # scheduler shift saved in the Wan2.1-T2V-1.3B folder
_Z_DIM = 16  # latent channels of every Wan 2.1 VAE
_WORD = re.compile(r"\w+|[^\w\s]")
_SPELLING = ("▁", *(chr(code) for code in range(33, 127)))
_SPELLING_COST = 2.0  # nats below the rarest word: spelling loses against any known word


@dataclass(frozen=True)
class NanoConfig:
    """Sizes of wan-nano; the defaults are the embedded model.

    Attributes:
        vae_width: Channels of the VAE at its finest level; the coarser levels have twice as many.
        text_dim: Width of the text encoder, and of the embeddings that the transformer reads.
        text_layers: Layers of the text encoder.
        vocab_size: Upper bound of the tokenizer's vocabulary.
        heads: Attention heads of the transformer.
        head_dim: Channels of one head; a multiple of 6 keeps the three rotary axes non-empty.
        layers: Transformer blocks.
        ffn_dim: Hidden width of the feed-forward layers.
    """

    vae_width: int = 16
    text_dim: int = 96
    text_layers: int = 2
    vocab_size: int = 512
    heads: int = 4
    head_dim: int = 48
    layers: int = 4
    ffn_dim: int = 768

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise UsageError(f"wan-nano {name}={value}: must be at least 1")
        if self.text_dim % 4:
            raise UsageError(f"wan-nano text_dim={self.text_dim}: must be a multiple of 4")
        if self.head_dim % 2 or self.head_dim < 6:
            raise UsageError(f"wan-nano head_dim={self.head_dim}: must be even and at least 6")


def build_wan_nano(captions: Sequence[str], seed: int = 0, config: NanoConfig | None = None) -> Any:
    """Build an untrained wan-nano pipeline.

    Args:
        captions: Texts from which the tokenizer's vocabulary is learnt; at least one.
        seed: Seed of every weight; the caller's random state is left untouched.
        config: Sizes; the embedded model's by default.

    Returns:
        A `WanPipeline` in float32 on the CPU, with 16 latent channels, 8x spatial and 4x temporal
        compression (17 frames of 64x64 become latents "16 5 8 8") and a flow-matching UniPC
        scheduler of shift 3.

    Raises:
        UsageError: There are no captions.
    """
    from diffusers import UniPCMultistepScheduler, WanPipeline

    config = config or NanoConfig()
    tokenizer = train_tokenizer(captions, config.vocab_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline: Any = WanPipeline(
            tokenizer=tokenizer,
            text_encoder=_text_encoder(config, len(tokenizer)),
            transformer=_transformer(config),
            vae=_vae(config),
            scheduler=UniPCMultistepScheduler(
                prediction_type="flow_prediction",
                use_flow_sigmas=True,
                num_train_timesteps=1000,
                flow_shift=FLOW_SHIFT,
            ),
        )
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval()
    return pipeline


def train_tokenizer(captions: Sequence[str], vocab_size: int = 512) -> Any:
    """Learn a T5 (unigram, metaspace) tokenizer from captions: a word is a token.

    Printable ASCII characters are tokens too, so an unseen word is spelled, never unknown.

    Args:
        captions: Texts to learn from; at least one.
        vocab_size: Upper bound of the vocabulary, special tokens included.

    Returns:
        A `T5TokenizerFast`, `model_max_length` 32, T5's special ids (pad 0, end 1, unknown 2).

    Raises:
        UsageError: There are no captions.
    """
    from transformers import T5TokenizerFast  # type: ignore[attr-defined]

    counts = Counter(piece for text in captions for piece in _WORD.findall(text))
    if not counts:
        raise UsageError("wan-nano needs at least one caption to learn its vocabulary from")
    total = sum(counts.values())
    vocabulary = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0}
    # Whole words first, most frequent first (ties by spelling, so the ids are reproducible).
    room = max(vocab_size - len(vocabulary) - len(_SPELLING), 0)
    for piece, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:room]:
        vocabulary[f"▁{piece}" if piece[0].isalnum() else piece] = math.log(count / total)
    for piece in _SPELLING:
        vocabulary.setdefault(piece, -math.log(total) - _SPELLING_COST)
    return T5TokenizerFast(
        vocab=list(vocabulary.items()), extra_ids=0, model_max_length=TEXT_TOKENS
    )


def embed_tokens(text_encoder: Any, token_ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Embed tokenised captions exactly as WanPipeline does: zeros past the true length.

    Args:
        text_encoder: The UMT5 encoder.
        token_ids: int64 "b 32".
        mask: int64 "b 32", 1 for real tokens (the end token included).

    Returns:
        float32 "b 32 text_dim".
    """
    states = text_encoder(token_ids, mask).last_hidden_state
    return states * mask.unsqueeze(-1).to(states.dtype)


def save_wan_nano(pipeline: Any, folder: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write the pipeline as a diffusers folder, safetensors only.

    Args:
        pipeline: The pipeline to save; it keeps its own precision.
        folder: Target; created if missing.
        dtype: Of the weights in the files; float16 halves the folder.
    """
    parameters = [
        parameter
        for part in pipeline.components.values()
        if isinstance(part, torch.nn.Module)
        for parameter in part.parameters()
    ]
    exact = [parameter.data for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.data = parameter.data.to(dtype)
        pipeline.save_pretrained(folder, safe_serialization=True)
    finally:
        for parameter, values in zip(parameters, exact, strict=True):
            parameter.data = values
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)  # the writer leaves them to their owner alone
    # transformers 5 has one T5 tokenizer class and writes the short name, which older releases
    # take for the sentencepiece one; the long name, as in the Wan folders, loads in both.
    _edit_json(folder / "model_index.json", {"tokenizer": ["transformers", "T5TokenizerFast"]})
    _edit_json(
        folder / "tokenizer" / "tokenizer_config.json", {"tokenizer_class": "T5TokenizerFast"}
    )


def load_wan_nano(folder: Path) -> Any:
    """Load a wan-nano pipeline folder, to be trained further.

    Raises:
        ModelError: The folder is no `WanPipeline`, or is incomplete.
    """
    from diffusers import WanPipeline

    if not (folder / "model_index.json").is_file():
        raise ModelError(f"{folder}: cannot be continued from (no model_index.json)")
    try:
        pipeline = WanPipeline.from_pretrained(
            folder, local_files_only=True, torch_dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{folder}: cannot be continued from ({first:.160})") from error
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval()
    return pipeline


def parameter_counts(pipeline: Any) -> dict[str, int]:
    """Number of parameters of each model in the pipeline."""
    modules = {
        "transformer": pipeline.transformer,
        "vae": pipeline.vae,
        "text_encoder": pipeline.text_encoder,
    }
    return {name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()}


def folder_megabytes(folder: Path) -> float:
    """Size of all files under a folder, in 10^6 bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _transformer(config: NanoConfig) -> Any:
    from diffusers import WanTransformer3DModel

    model: Any = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=config.heads,
        attention_head_dim=config.head_dim,
        in_channels=_Z_DIM,
        out_channels=_Z_DIM,
        text_dim=config.text_dim,
        freq_dim=256,
        ffn_dim=config.ffn_dim,
        num_layers=config.layers,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=256,
    )
    # A zero output layer makes the first loss the target's variance instead of noise on top of it.
    torch.nn.init.zeros_(model.proj_out.weight)
    torch.nn.init.zeros_(model.proj_out.bias)
    return model


def _vae(config: NanoConfig) -> Any:
    from diffusers import AutoencoderKLWan

    # patch_size 2 folds 2x2 pixels into channels, so the widest convolutions run at half size;
    # the averaging shortcuts (is_residual) give a usable linear code from the first step. Both
    # are options of the class that Wan 2.2 uses; the latent keeps Wan 2.1's 16 channels.
    return AutoencoderKLWan(
        base_dim=config.vae_width,
        z_dim=_Z_DIM,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        is_residual=True,
        patch_size=2,
        in_channels=12,
        out_channels=12,
        scale_factor_spatial=8,
        scale_factor_temporal=4,
        latents_mean=[0.0] * _Z_DIM,
        latents_std=[1.0] * _Z_DIM,
    )


def _text_encoder(config: NanoConfig, vocab_size: int) -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocab_size,
            d_model=config.text_dim,
            d_kv=config.text_dim // 4,
            num_heads=4,
            d_ff=2 * config.text_dim,
            num_layers=config.text_layers,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def _edit_json(path: Path, changes: dict[str, Any]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content.update(changes)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
