"""The port has the original's parameters and gives the original's numbers."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch.nn import functional as F

from motive.motion.alltracker import AllTrackerNet, TrackOptions
from motive.motion.alltracker.canvas import Canvas
from motive.motion.alltracker.correlation import CHANNELS, CorrelationLookup
from motive.motion.alltracker.model import convex_upsample
from motive.motion.alltracker.windows import track_forward, track_pairs, window_starts
from seeded_alltracker import seeded_clip, seeded_net

GOLDEN = Path(__file__).with_name("data") / "alltracker_golden.safetensors"
GOLDEN_STRIDE = 16
TOLERANCE = 2e-5  # ten times what two correct implementations differ by


@pytest.fixture(scope="module")
def nets() -> dict[str, AllTrackerNet]:
    return {"full": seeded_net("full"), "tiny": seeded_net("tiny")}


# Tensors and values per module, and a digest of all names and shapes, of the released checkpoints.
RELEASED = {
    "full": (
        {
            "time_emb": (1, 2048),
            "cnn": (147, 12_716_640),
            "dot_conv": (2, 98_560),
            "upsample_weight": (4, 443_200),
            "flow_head": (4, 299_778),
            "visconf_head": (4, 299_778),
            "update_block": (74, 2_619_006),
        },
        "22d274976575531ec252e61aa39781d0838e8ec98a1bd0de5bb8c8244e6a9189",
    ),
    "tiny": (
        {
            "time_emb": (1, 2048),
            "fnet": (44, 2_632_288),
            "upsample_weight": (4, 443_200),
            "flow_head": (4, 299_778),
            "visconf_head": (4, 299_778),
            "update_block": (74, 2_619_006),
        },
        "442fbb1a5b4945878ec5db277fefde7a3810f04df0376ac25b3fd0bbd81d3ccc",
    ),
}


@pytest.mark.parametrize("variant", ["full", "tiny"])
def test_parameters_have_the_names_and_shapes_of_the_released_checkpoints(variant):
    with torch.device("meta"):
        state = AllTrackerNet(variant).state_dict()
    counts: dict[str, tuple[int, int]] = {}
    for name, tensor in state.items():
        tensors, values = counts.get(name.split(".")[0], (0, 0))
        counts[name.split(".")[0]] = (tensors + 1, values + tensor.numel())
    expected, digest = RELEASED[variant]
    assert counts == expected
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in state.items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == digest


def _golden_names() -> list[str]:
    with safe_open(GOLDEN, "pt") as file:
        return sorted(file.keys())


@pytest.mark.parametrize("name", _golden_names())
def test_flow_and_visibility_are_those_of_the_original(nets, name):
    """Samples of the original's output on seeded weights; see benchmarks/alltracker_parity.py."""
    with safe_open(GOLDEN, "pt") as file:
        expected = file.get_tensor(name)
    case = json.loads(name)
    clip = seeded_clip(case["frames"], case["height"], case["width"])
    options = TrackOptions(iterations=case["iterations"], window=case["window"])
    canvas = Canvas.of(case["height"], case["width"], 1)
    query, found = case["query"], {}
    with torch.no_grad():
        for part, order in ((clip[: query + 1].flip(0), -1), (clip[query:], 1)):
            for frames, flow, visconf in track_forward(
                nets[case["variant"]], part, canvas, options
            ):
                both = canvas.take(torch.cat([flow, visconf], dim=1))
                found |= {query + order * f: b for f, b in zip(frames, both, strict=True)}
    found.pop(query, None)  # the demo of the original drops it too
    half = GOLDEN_STRIDE // 2
    samples = torch.stack([found[f] for f in sorted(found)])
    samples = samples[..., half::GOLDEN_STRIDE, half::GOLDEN_STRIDE]
    assert samples.shape == expected.shape
    for ours, theirs in zip(samples.split(2, 1), expected.split(2, 1), strict=True):
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < TOLERANCE


def test_correlation_in_pieces_is_the_correlation_at_once():
    generator = torch.Generator().manual_seed(0)
    anchor = torch.randn(2, 32, 16, 24, generator=generator)
    targets = torch.randn(2, 3, 32, 16, 24, generator=generator)
    positions = 40 * torch.rand(2, 3, 2, 16, 24, generator=generator) - 8  # outside as well
    whole = CorrelationLookup(anchor, targets, budget=1 << 40)(positions)
    assert whole.shape == (2, 3, CHANNELS, 16, 24)
    for budget in (0, 100_000, 1_500_000):
        pieces = CorrelationLookup(anchor, targets, budget)(positions)
        torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-5)


def test_correlation_within_a_budget_never_holds_the_volume(monkeypatch):
    largest = 0
    matmul = torch.Tensor.__matmul__

    def watched(first, second):
        nonlocal largest
        product = matmul(first, second)
        largest = max(largest, product.numel() * product.element_size())
        return product

    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    anchor, targets = torch.ones(1, 8, 32, 32), torch.ones(1, 4, 8, 32, 32)
    budget = 200_000  # the whole volume takes 16.8 MB
    CorrelationLookup(anchor, targets, budget)(torch.zeros(1, 4, 2, 32, 32))
    assert 0 < largest <= budget


def test_correlation_is_sampled_bilinearly_with_the_offset_along_x_slow():
    """Against grid_sample with a repeated border, on a level of odd size as 192 px give."""
    generator = torch.Generator().manual_seed(1)
    targets = torch.randn(1, 1, 4, 16, 24, generator=generator)
    anchor = torch.randn(1, 4, 16, 24, generator=generator)
    positions = 30 * torch.rand(1, 1, 2, 16, 24, generator=generator) - 3
    found = CorrelationLookup(anchor, targets, 1 << 30)(positions)[0, 0].flatten(1).T
    offset = torch.arange(-4.0, 5.0)
    for level in range(5):
        pooled = targets[0]
        for _ in range(level):
            pooled = F.adaptive_avg_pool2d(pooled, [side // 2 for side in pooled.shape[-2:]])
        volume = torch.einsum("cn,chw->nhw", anchor[0].flatten(1), pooled[0]) / 2  # sqrt(4)
        centre = positions[0, 0].flatten(1).T / 2**level
        x = (centre[:, 0, None, None] + offset[:, None]).expand(-1, 9, 9)
        y = (centre[:, 1, None, None] + offset[None, :]).expand(-1, 9, 9)
        height, width = volume.shape[1:]
        grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], -1)
        expected = F.grid_sample(
            volume[:, None], grid, align_corners=True, padding_mode="border"
        ).flatten(1)
        torch.testing.assert_close(
            found[:, level * 81 : (level + 1) * 81], expected, rtol=1e-4, atol=1e-4
        )


def test_convex_upsampling_of_a_constant_is_eight_times_it_inside():
    fine = convex_upsample(torch.full((1, 3, 4, 5), 2.0), torch.randn(1, 576, 4, 5))
    assert fine.shape == (1, 3, 32, 40)
    torch.testing.assert_close(fine[..., 8:-8, 8:-8], torch.full((1, 3, 16, 24), 16.0))


def test_convex_upsampling_shares_follow_the_weights():
    weights = torch.zeros(1, 9, 8, 8, 3, 3)
    weights[:, 5] = 50.0  # everything from the neighbour to the right
    coarse = torch.arange(9.0).view(1, 1, 3, 3)
    fine = convex_upsample(coarse, weights.view(1, 576, 3, 3))
    assert torch.equal(fine[0, 0, 8:16, 8:16], torch.full((8, 8), 8 * 5.0))


def test_the_time_embedding_is_stretched_to_other_windows(nets):
    embedding = nets["tiny"].time_emb[0]
    assert torch.equal(nets["tiny"].time_embedding(16), embedding)
    assert torch.equal(nets["tiny"].time_embedding(1), embedding[1:2])
    middle = (embedding[0::2] + embedding[1::2]) / 2
    torch.testing.assert_close(nets["tiny"].time_embedding(8), middle)


@given(st.integers(3, 200), st.sampled_from([2, 4, 16]))
@settings(deadline=None)
def test_windows_reach_every_frame_and_the_last_adds_something(count, window):
    starts = window_starts(count, window)
    assert starts[0] == 0
    assert {b - a for a, b in itertools.pairwise(starts)} <= {window // 2}
    assert starts[-1] + window >= count
    assert len(starts) == 1 or starts[-1] + window // 2 < count


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 200))
@settings(deadline=None)
def test_a_canvas_gives_back_what_was_placed(height, width, min_side):
    canvas = Canvas.of(height, width, min_side)
    frames = torch.randint(0, 255, (1, 1, 1, 3), dtype=torch.uint8).expand(1, height, width, 3)
    placed = canvas.place(frames, torch.device("cpu"))
    assert all(side % 64 == 0 and side >= 128 for side in placed.shape[2:])
    assert canvas.factor * min(height, width) >= min_side
    back = canvas.take(placed)
    torch.testing.assert_close(back, frames.permute(0, 3, 1, 2).float(), rtol=0, atol=0.01)


def test_it_opens_after_transformers_has_patched_torch():
    """transformers replaces torch.linspace for a moment; torch may keep the replacement in mind."""
    code = (
        "import torch\n"
        "from transformers.initialization import meta_device_safe_creation_ops as patched\n"
        "from motive.motion.alltracker import AllTrackerNet\n"
        "with patched(), torch.device('meta'):\n"
        "    torch.zeros(1)\n"
        "with torch.device('meta'):\n"
        "    AllTrackerNet('tiny')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pairs_at_once_are_pairs_one_by_one(nets):
    clip = seeded_clip(3, 64, 96)
    pairs = [(0, 1), (2, 1)]
    together = track_pairs(nets["tiny"], clip, pairs, TrackOptions(iterations=2, min_side=1))
    for place, pair in enumerate(pairs):
        options = TrackOptions(iterations=2, min_side=1, correlation_bytes=100_000)
        alone = track_pairs(nets["tiny"], clip, [pair], options)
        for name in ("flow", "visibility", "confidence"):
            one, all_ = getattr(alone, name)[0], getattr(together, name)[place]
            torch.testing.assert_close(one, all_, rtol=1e-4, atol=1e-4)


def test_bfloat16_stays_close_to_float32(nets):
    """From the same features, since CPUs without native bfloat16 take seconds to encode."""
    generator = torch.Generator().manual_seed(0)
    anchor, target = torch.randn(2, 1, 256, 16, 16, generator=generator)
    with torch.no_grad():
        exact, low = (
            nets["full"].refine(anchor, target[None], iterations=1, dtype=dtype)
            for dtype in (torch.float32, torch.bfloat16)
        )
    assert {part.dtype for part in low} == {torch.float32}
    assert 0 < float((low.flow - exact.flow).norm() / exact.flow.norm()) < 0.02
    assert float((low.visconf - exact.visconf).abs().mean()) < 0.01
