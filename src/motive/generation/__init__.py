"""From prompts to videos: reading prompts, sampling with the model's own pipeline, a manifest.

Invariant: a video depends on the model, the settings, its prompt and its seed, and on nothing else
that is generated with it.
"""

from motive.generation.generate import (
    GenerateConfig,
    Generated,
    file_names,
    generate,
    make_videos,
)
from motive.generation.prompts import Prompt, PromptList, read_prompts
from motive.generation.sampling import VideoSampler, noise_seed

__all__ = [
    "GenerateConfig",
    "Generated",
    "Prompt",
    "PromptList",
    "VideoSampler",
    "file_names",
    "generate",
    "make_videos",
    "noise_seed",
    "read_prompts",
]
