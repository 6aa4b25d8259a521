"""Heat maps on clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from motive.clips import probe
from motive.errors import UsageError
from motive.motion import overlay_frames, write_overlay

PIXELS = torch.from_numpy(
    np.random.default_rng(0).integers(0, 255, (5, 32, 48, 3)).astype(np.uint8)
)


def test_still_places_keep_their_picture_and_moving_ones_glow():
    heat = torch.zeros(5, 32, 48)
    heat[:, 8:16, 8:16] = 4.0
    drawn = overlay_frames(PIXELS, heat)
    assert drawn.dtype == torch.uint8
    assert drawn.shape == PIXELS.shape
    still = heat == 0
    assert torch.equal(drawn[still], PIXELS[still])
    red, _, blue = drawn[~still].float().mean(0)
    assert red > blue + 60


def test_noise_in_a_still_clip_stays_invisible():
    heat = torch.rand(5, 32, 48, generator=torch.Generator().manual_seed(0)) * 0.02
    assert (overlay_frames(PIXELS, heat).int() - PIXELS.int()).abs().max() <= 2


def test_one_outlier_does_not_dim_the_rest():
    heat = torch.zeros(5, 32, 48)
    heat[:, 8:24, 8:24] = 2.0
    plain = overlay_frames(PIXELS, heat)
    heat[0, 0, 0] = 500.0
    assert torch.equal(overlay_frames(PIXELS, heat)[1:], plain[1:])


def test_latent_weights_are_spread_over_their_frames_and_pixels():
    heat = torch.zeros(2, 4, 6)
    heat[1, :, 3:] = 1.0
    drawn = overlay_frames(PIXELS, heat, groups=[[0], [1, 2, 3, 4]])
    assert torch.equal(drawn[0], PIXELS[0])
    assert torch.equal(drawn[1, :, :16], PIXELS[1, :, :16])
    for f in range(1, 5):
        assert not torch.equal(drawn[f, :, 32:], PIXELS[f, :, 32:])


def test_heat_that_does_not_fit_the_clip_is_a_usage_error():
    with pytest.raises(UsageError, match="f = 5"):
        overlay_frames(PIXELS, torch.zeros(4, 32, 48))
    with pytest.raises(UsageError, match="frame 4 of 5 is in no group"):
        overlay_frames(PIXELS, torch.zeros(2, 4, 6), groups=[[0], [1, 2, 3]])


def test_overlays_are_written_as_video(tmp_path):
    write_overlay(tmp_path / "o.mp4", PIXELS, torch.ones(5, 32, 48), 16)
    facts = probe(tmp_path / "o.mp4")
    assert (facts.frames, facts.fps, facts.height, facts.width) == (5, 16, 32, 48)
