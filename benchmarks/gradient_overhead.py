"""What a projected feature costs beyond plain forward and backward: time and peak memory.

Time is compared with backward that stores all gradients, as training does; memory with backward
whose gradients are freed as they come, the least that any method needs.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch

from measuring import gradients_freed, save, side_by_side
from motive.backbones import Backbone, load_backbone
from motive.gradients import (
    ClipInputs,
    Featurizer,
    Objective,
    fixed_noise,
    location_error,
    motion_weighted_loss,
)
from motive.memory import PeakMemory
from motive.projection import BlockedFastfood

SIGMA = 0.751
_CAPTIONS = ("a red ball bounces on a grey floor", "a blue cube slides to the left", "it spins")


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="wan-nano")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=31)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    # Two copies: hooks are installed once, as in a run, and must not slow the plain passes down.
    backbone, hooked = (load_backbone(options.model, device="cpu") for _ in range(2))
    clips = random_clips(backbone, 1)
    featurizer = Featurizer(hooked, BlockedFastfood(512), Objective())

    def plain() -> None:
        training_step(backbone, clips)

    def collected() -> None:
        featurizer.feature(*clips[0])

    def freed() -> None:
        with gradients_freed(backbone.transformer):
            training_step(backbone, clips)

    with featurizer.ready():
        times = side_by_side({"forward + backward": plain, "feature": collected}, options.rounds)
        memory = peaks({"forward + backward, freed": freed, "feature": collected})
    ratios = {
        clock: times["feature"][clock] / times["forward + backward"][clock]
        for clock in ("min", "median", "cpu")
    }
    parameters = sum(p.numel() for p in backbone.transformer.parameters())
    print(f"{parameters:,} parameters: {times}; ratios {ratios}; peak bytes {memory}")
    save(
        "gradient_overhead",
        {
            "model": options.model,
            "parameters": parameters,
            "tensors": len(list(backbone.transformer.parameters())),
            "seconds": times,
            "ratio": ratios["median"],
            "ratios": ratios,
            "peak_bytes": memory,
        },
    )


def random_clips(backbone: Backbone, count: int) -> list[ClipInputs]:
    """Random latents and weights of the model's own shape, each with a caption."""
    standard = backbone.standard
    pixels = torch.zeros(standard.frames, standard.height, standard.width, 3, dtype=torch.uint8)
    shape, grid = backbone.encode_video(pixels).shape, backbone.latent_grid(standard)
    texts = [backbone.encode_text(caption) for caption in _CAPTIONS]
    generator = torch.Generator().manual_seed(0)
    return [
        ClipInputs(
            torch.randn(shape, generator=generator),
            texts[index % len(texts)],
            torch.rand(grid, generator=generator),
            standard.frames,
        )
        for index in range(count)
    ]


def training_step(backbone: Backbone, clips: list[ClipInputs]) -> None:
    """Forward and backward of all clips at once, and nothing with the gradients."""
    latents = torch.stack([clip.latents for clip in clips])
    noise = fixed_noise((1, *latents.shape[1:]), 0)
    noisy = backbone.add_noise(latents, noise, SIGMA)
    text = torch.stack([clip.text.padded() for clip in clips])
    prediction = backbone.predict(noisy, SIGMA, text)
    error = location_error(prediction, backbone.target(latents, noise, SIGMA))
    weights = torch.stack([clip.weights for clip in clips if clip.weights is not None])
    motion_weighted_loss(error, weights, clips[0].frames).sum().backward()
    backbone.transformer.zero_grad(set_to_none=True)


def peaks(calls: dict[str, Callable[[], object]], rounds: int = 7) -> dict[str, float | None]:
    """Median over rounds of the most memory in use during a call, less that before it."""
    found: dict[str, list[int]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            with PeakMemory(torch.device("cpu")) as memory:
                call()
            if memory.bytes is not None:
                found[name].append(memory.bytes)
    return {name: statistics.median(values) if values else None for name, values in found.items()}


if __name__ == "__main__":
    main()
