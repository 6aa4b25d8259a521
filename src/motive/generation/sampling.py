"""Prompts to pixels by the model's own diffusers pipeline.

Invariant: the start noise of a video is a function of its own seed alone. Which videos share its
batch changes rounding, nothing else.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch

from motive.backbones import Backbone, TextEmbedding
from motive.backbones.digests import component_digest
from motive.clips import ClipStandard
from motive.errors import MotiveError, UsageError


class VideoSampler:
    """Generates clips with a backbone, in the pipeline's own way.

    Args:
        backbone: The model.
        standard: Shape of the clips.
        steps: Denoising steps; None for the pipeline's own default (Wan: 50).
        guidance: Classifier-free guidance, 1 for none; None for the pipeline's own (Wan: 5).
        negative: What guidance leads away from.

    Raises:
        UsageError: An option is out of range, or a shape that the model cannot take.
        ModelError: Videos of this family are not made here.
    """

    def __init__(
        self,
        backbone: Backbone,
        standard: ClipStandard,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        negative: str = "",
    ) -> None:
        backbone.check_sampling()
        backbone.check_standard(standard)
        self.backbone, self.standard, self.negative = backbone, standard, negative
        self._texts: dict[str, TextEmbedding] = {}
        self._asked = {"num_inference_steps": steps, "guidance_scale": guidance}
        if steps is not None and steps < 1:
            raise UsageError(f"--steps {steps}: must be at least 1")
        if guidance is not None and not 1 <= guidance < 1000:
            raise UsageError(f"--guidance {guidance}: must be at least 1, which is none")

    def embed(self, prompts: Iterable[str]) -> None:
        """Encode prompts, once each, and free the text encoder."""
        new = {*prompts, self.negative} - self._texts.keys()
        for prompt in sorted(new):
            self._texts[prompt] = self.backbone.encode_text(prompt)
        if new:
            self.backbone.release_encoders()
            self.__dict__.pop("pipeline", None)  # it holds the autoencoder

    @cached_property
    def pipeline(self) -> Any:
        """The diffusers pipeline; it holds the backbone's own transformer."""
        pipeline = self.backbone.sampling_pipeline()
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @property
    def steps(self) -> int:
        """Denoising steps."""
        return int(self._option("num_inference_steps"))

    @property
    def guidance(self) -> float:
        """Classifier-free guidance."""
        return float(self._option("guidance_scale"))

    def settings(self) -> dict[str, Any]:
        """What decides a video beside the weights, the prompt and the seed; JSON-able."""
        return {
            "standard": vars(self.standard),
            "steps": self.steps,
            "guidance": self.guidance,
            "negative": self.negative,
            "pipeline": self.backbone.pipeline_class.__name__,
            "scheduler": component_digest(self.backbone.folder / "scheduler"),
        }

    def videos(self, prompts: Sequence[str], noise_seeds: Sequence[int]) -> list[torch.Tensor]:
        """Generate one clip per prompt, in one batch.

        Args:
            prompts: b texts.
            noise_seeds: Seed of each clip's start noise, drawn as
                `torch.Generator("cpu").manual_seed(seed)` gives it to the pipeline.

        Returns:
            b clips, uint8 "f h w 3" on the CPU.

        Raises:
            MotiveError: Out of memory.
        """
        self.embed(prompts)
        try:
            latents = self.pipeline(
                prompt_embeds=self._padded(prompts),
                negative_prompt_embeds=self._padded([self.negative] * len(prompts)),
                num_frames=self.standard.frames,
                height=self.standard.height,
                width=self.standard.width,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in noise_seeds],
                output_type="latent",
                return_dict=False,
            )[0]
            return [self.backbone.decode_latents(clip.float()) for clip in latents]
        except torch.OutOfMemoryError as error:
            first = str(error).splitlines()[0]
            raise MotiveError(
                f"out of memory with {len(prompts)} clips at once ({first:.80}); use a smaller "
                "--batch, fewer frames or pixels, or --dtype bfloat16"
            ) from error

    def _padded(self, prompts: Sequence[str]) -> torch.Tensor:
        texts = [self._texts[prompt].padded() for prompt in prompts]
        return torch.stack(texts).to(next(self.backbone.transformer.parameters()).device)

    def _option(self, name: str) -> Any:
        if self._asked[name] is not None:
            return self._asked[name]
        return inspect.signature(self.backbone.pipeline_class.__call__).parameters[name].default


def noise_seed(prompt: str, seed: int) -> int:
    """Seed of the start noise of one video, in [0, 2^63).

    Prompts differ in their noise, so that errors of different prompts are independent; models that
    are given the same prompt and seed share it, so that they can be compared video by video.
    """
    name = f"{seed}/{prompt}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little") >> 1
