"""What the tiny pipelines of several families are built from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from motive.zoo.nano_model import train_tokenizer
from tiny_wan import CAPTIONS


def tokenizer_of(limit: int = 10**30, *templates: str) -> Any:
    tokenizer = train_tokenizer([*CAPTIONS, *templates])
    tokenizer.model_max_length = limit
    return tokenizer


def t5_encoder(tokenizer: Any, *, umt5: bool = False, size: int = 32) -> Any:
    from transformers import T5Config, T5EncoderModel, UMT5Config, UMT5EncoderModel

    config, model = (UMT5Config, UMT5EncoderModel) if umt5 else (T5Config, T5EncoderModel)
    sizes = {"d_model": size, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 4}
    return model(config(vocab_size=len(tokenizer), **sizes))


def qwen_config(config: Any, tokenizer: Any) -> Any:
    return config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        rope_scaling={"rope_type": "default", "mrope_section": [1, 1, 2]},
    )


def flow_scheduler(**options: Any) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(**options)


def as_pipeline(build: Callable[[], Any], kind: str) -> Callable[[], Any]:
    """The same components as another pipeline class."""

    def built() -> Any:
        import diffusers

        return getattr(diffusers, kind)(**build().components)

    return built
