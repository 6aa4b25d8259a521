"""What a projected feature costs beyond plain forward and backward, on wan-nano."""

from __future__ import annotations

import argparse

import torch

from measuring import save, side_by_side
from motive.backbones import TextEmbedding, load_backbone
from motive.gradients import (
    Featurizer,
    Objective,
    fixed_noise,
    location_error,
    motion_weighted_loss,
)
from motive.projection import BlockedFastfood


def main() -> None:
    """Measure and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="wan-nano")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = load_backbone(options.model, device="cpu")
    standard = backbone.standard
    grid = backbone.latent_grid(standard)
    text = backbone.encode_text("a red ball bounces on a grey floor")
    pixels = torch.zeros(standard.frames, standard.height, standard.width, 3, dtype=torch.uint8)
    latents = torch.randn(backbone.encode_video(pixels).shape)
    weights = torch.rand(grid)
    featurizer = Featurizer(backbone, BlockedFastfood(512), Objective())

    def plain() -> None:
        noise = fixed_noise((1, *latents.shape), 0)
        noisy = backbone.add_noise(latents[None], noise, 0.751)
        prediction = backbone.predict(noisy, 0.751, padded(text))
        error = location_error(prediction, backbone.target(latents[None], noise, 0.751))
        motion_weighted_loss(error, weights[None], standard.frames).sum().backward()
        backbone.transformer.zero_grad(set_to_none=True)

    def collected() -> None:
        with featurizer.ready():
            featurizer.feature(latents, text, weights, standard.frames)

    times = side_by_side({"forward + backward": plain, "feature": collected}, rounds=15)
    ratio = times["feature"]["median"] / times["forward + backward"]["median"]
    parameters = sum(p.numel() for p in backbone.transformer.parameters())
    print(f"{parameters:,} parameters: {times}; ratio {ratio:.2f}")
    save(
        "gradient_overhead",
        {"model": options.model, "parameters": parameters, "seconds": times, "ratio": ratio},
    )


def padded(text: TextEmbedding) -> torch.Tensor:
    """Caption embedding as a batch of one."""
    return text.padded()[None]


if __name__ == "__main__":
    main()
