"""From the first update to the last, with measurements, samples and checkpoints on the way."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motive.backbones import Backbone
from motive.clips import ClipStandard
from motive.errors import FingerprintError
from motive.finetuning.checkpoints import write_checkpoint
from motive.finetuning.config import FinetuneConfig
from motive.finetuning.curves import write_page
from motive.finetuning.material import Material, Progress, Sorted
from motive.finetuning.objective import fixed_losses
from motive.finetuning.record import Curves, ids_digest, write_record
from motive.finetuning.trainer import Trainer
from motive.generation import GenerateConfig, PromptList, VideoSampler, make_videos

CHECKPOINTS, SAMPLES = "checkpoints", "samples"  # below the output folder
HELD_OUT_SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9)
_CHECKPOINT_SECONDS = 600.0
_MEASUREMENTS = 20  # of the held-out loss, where no interval is asked for
_NOISE_SEED = 0  # of the held-out loss


@dataclass
class Watching:
    """What is looked at while a model is trained.

    Attributes:
        held_out: Clips whose loss is measured; None for none.
        prompts: Prompts from which videos are made; None for none.
        sampler: Makes them.
    """

    held_out: Material | None = None
    prompts: PromptList | None = None
    sampler: VideoSampler | None = None

    def sample_from(
        self,
        prompts: PromptList,
        backbone: Backbone,
        standard: ClipStandard,
        config: FinetuneConfig,
    ) -> None:
        """Make videos from these prompts; they are embedded now, for the encoders go later."""
        self.prompts = prompts
        self.sampler = VideoSampler(
            backbone, standard, steps=config.sample_steps, guidance=config.sample_guidance
        )
        self.sampler.embed(prompt.text for prompt in prompts.prompts)


class Loop:
    """One training, from where it stands to its last update.

    Args:
        trainer: Does the updates.
        watching: What to look at on the way.
        curves: Continued in place.
        chosen: What is trained on, for the record.
        settings: What decides the weights.
        out: Output folder.
        progress: Told (stage, done, total).
    """

    def __init__(
        self,
        trainer: Trainer,
        watching: Watching,
        curves: Curves,
        chosen: Sorted,
        settings: Mapping[str, Any],
        out: Path,
        progress: Progress,
    ) -> None:
        self.trainer, self.watching, self.curves = trainer, watching, curves
        self.chosen, self.settings, self.out, self.progress = chosen, settings, out, progress
        self.config, self.first = trainer.config, trainer.group.first
        self._saved_at = time.monotonic()
        self._began = self._saved_at - curves.seconds

    def run(self) -> None:
        """Do the updates that are missing; write a checkpoint after the last.

        Raises:
            ModelError: The loss is not finite; earlier checkpoints stay.
            MotiveError: The disk is full, or memory is.
        """
        trainer, steps = self.trainer, self.config.steps
        if trainer.step == 0:
            self._look()
            self.write(done=False)
        while trainer.step < steps:
            self.curves.losses.append(trainer.update())
            self._look()
            self.progress("training", trainer.step, steps)
            if self._checkpoint_due():
                self._checkpoint()

    def write(self, *, done: bool) -> dict[str, Any]:
        """Write the record and the page with the curves; returns the record."""
        self.curves.seconds = time.monotonic() - self._began
        record = write_record(
            self.out,
            self.config,
            self.settings,
            self.chosen,
            self.trainer.step,
            self.curves,
            done=done,
        )
        write_page(self.out, record)
        return record

    def _look(self) -> None:
        """Measure and sample, where it is time for that."""
        step, config = self.trainer.step, self.config
        at_ends = step in (0, config.steps)
        every = config.held_out_every or max(1, config.steps // _MEASUREMENTS)
        if self.first and self.watching.held_out and (at_ends or step % every == 0):
            self._measure(self.watching.held_out)
        every = config.sample_every or config.steps
        if self.first and self.watching.sampler and (at_ends or step % every == 0):
            self._sample(self.watching.sampler)

    def _measure(self, clips: Material) -> None:
        ids, size = list(clips.clips), self.config.batch
        losses = []
        with self.trainer.judged():
            for first in range(0, len(ids), size):
                some = ids[first : first + size]
                losses.append(
                    fixed_losses(
                        self.trainer.backbone,
                        clips.latents(some),
                        clips.text(list(some)),
                        HELD_OUT_SIGMAS,
                        _NOISE_SEED,
                    )
                )
        self.curves.sigmas, self.curves.held_out_clips = list(HELD_OUT_SIGMAS), len(ids)
        mean = np.concatenate(losses).mean(axis=0)
        self.curves.held_out.append((self.trainer.step, mean.tolist()))

    def _sample(self, sampler: VideoSampler) -> None:
        folder = f"{SAMPLES}/step-{self.trainer.step:06d}"
        training = ids_digest(f"{name}={value}" for name, value in self.settings.items())
        weights = {"training": training, "step": self.trainer.step}
        try:
            self._make_samples(sampler, self.out / folder, weights)
        except FingerprintError:  # made before an interruption, in another way
            shutil.rmtree(self.out / folder)
            self._make_samples(sampler, self.out / folder, weights)
        self.curves.samples.append((self.trainer.step, folder))

    def _make_samples(self, sampler: VideoSampler, folder: Path, weights: dict[str, Any]) -> None:
        if self.watching.prompts is not None:
            config = GenerateConfig(model=self.config.model)
            with self.trainer.judged():
                make_videos(
                    sampler,
                    self.watching.prompts,
                    config,
                    folder,
                    weights,
                    on_progress=self.progress,
                )

    def _checkpoint_due(self) -> bool:
        """Processes may disagree: the first one writes alone, the others go on."""
        if not self.first:
            return False
        step, every = self.trainer.step, self.config.checkpoint_every
        if step == self.config.steps:
            return True
        if every is None:
            return time.monotonic() - self._saved_at >= _CHECKPOINT_SECONDS
        return step % every == 0

    def _checkpoint(self) -> None:
        record = self.write(done=False)
        state = {"step": self.trainer.step, "settings": record["settings"]}
        write_checkpoint(
            self.out / CHECKPOINTS,
            self.trainer.checkpoint({**state, "curves": vars(self.curves)}),
        )
        self._saved_at = time.monotonic()
