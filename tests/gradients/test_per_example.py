"""Every rule gives what autograd gives for each clip by itself."""

import pytest
import torch
from torch import nn

from motive.gradients.per_example import broadcast_of, rule_of

CLIPS = 3


def alone(layer, x, dy):
    """Gradients of one clip, by autograd."""
    named = dict(layer.named_parameters())
    found = torch.autograd.grad(layer(x), list(named.values()), dy)
    return dict(zip(named, found, strict=True))


def assert_rule_equals_autograd(layer, x):
    """Input "n ..." or "n·k ..." with the clips outermost."""
    with torch.random.fork_rng(devices=[]):
        dy = torch.randn_like(layer(x))
    per_clip = len(x) // CLIPS
    found = dict(rule_of(layer)(layer, x, dy, CLIPS))
    names = [name for name, _ in layer.named_parameters()]
    assert set(names) <= set(found)
    for clip in range(CLIPS):
        span = slice(clip * per_clip, (clip + 1) * per_clip)
        for name, expected in alone(layer, x[span], dy[span]).items():
            torch.testing.assert_close(
                found[name][clip].reshape(expected.shape), expected, rtol=1e-4, atol=1e-5
            )


def fp32_layer_norm(*args, **options):
    from diffusers.models.normalization import FP32LayerNorm

    return FP32LayerNorm(*args, **options)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(5, 4), (CLIPS, 5)),
        (nn.Linear(5, 4), (CLIPS, 7, 5)),
        (nn.Linear(5, 4, bias=False), (2 * CLIPS, 2, 3, 5)),
        (nn.LayerNorm(6), (CLIPS, 4, 6)),
        (nn.LayerNorm((4, 6), bias=False), (2 * CLIPS, 3, 4, 6)),
        (nn.RMSNorm(6, eps=1e-5), (CLIPS, 4, 6)),
        (nn.RMSNorm(6), (CLIPS, 6)),
        (fp32_layer_norm(6, 1e-6), (CLIPS, 4, 6)),
        (nn.Conv1d(3, 4, 2, stride=2), (CLIPS, 3, 8)),
        (nn.Conv2d(3, 4, (2, 3), stride=(2, 3)), (CLIPS, 3, 5, 9)),  # a row is left over
        (nn.Conv3d(3, 4, (1, 2, 2), stride=(1, 2, 2)), (2 * CLIPS, 3, 2, 4, 6)),
    ],
    ids=str,
)
def test_rules_equal_autograd(layer, shape):
    torch.manual_seed(0)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    assert_rule_equals_autograd(layer, torch.randn(shape))


@pytest.mark.parametrize("padding", [None, 2])
def test_the_rule_of_embeddings_equals_autograd(padding):
    torch.manual_seed(0)
    layer = nn.Embedding(6, 4, padding_idx=padding)
    assert_rule_equals_autograd(layer, torch.randint(6, (CLIPS, 9)))


def test_half_precision_norms_are_summed_in_float32():
    layer = nn.LayerNorm(8).bfloat16()
    x = torch.randn(CLIPS, 500, 8, dtype=torch.bfloat16)
    found = dict(rule_of(layer)(layer, x, torch.ones_like(x), CLIPS))
    assert found["bias"].dtype == torch.float32
    assert torch.equal(found["bias"], torch.full((CLIPS, 8), 500.0))


class OtherLinear(nn.Linear):
    def forward(self, x):
        return super().forward(x).square()


def replaced_forward():
    layer = nn.Linear(3, 3)
    layer.forward = lambda x: x
    return layer


@pytest.mark.parametrize(
    "layer",
    [
        OtherLinear(3, 3),
        replaced_forward(),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        nn.Conv2d(3, 4, 3),  # patches overlap
        nn.Conv2d(3, 4, 2, stride=2, padding=1),
        nn.Conv2d(4, 4, 2, stride=2, groups=2),
        nn.GroupNorm(2, 4),
        nn.Embedding(5, 3, sparse=True),
        nn.Embedding(5, 3, max_norm=1.0),
        nn.Embedding(5, 3, scale_grad_by_freq=True),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_that_may_compute_something_else_has_no_rule(layer):
    assert rule_of(layer) is None
    assert broadcast_of(layer) is None
