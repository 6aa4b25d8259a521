"""Sampling: the same clips every time, whatever the batches; guidance as one formula."""

from __future__ import annotations

import pytest
import torch

from motive.backbones import load_backbone
from motive.clips import ClipStandard
from motive.errors import UsageError
from motive.evaluation.generation import decode, generate_latents, sigma_schedule, start_noise
from tiny_wan import save_tiny_wan

SMALL = ClipStandard(frames=5, fps=16.0, height=32, width=32)
PROMPTS = ["a red ball bounces", "a blue cube slides", "it spins"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return load_backbone(save_tiny_wan(tmp_path_factory.mktemp("wan")), device="cpu")


def sample(backbone, prompts=PROMPTS, **options):
    defaults = {"seed": 3, "steps": 2, "guidance": 4.0, "standard": SMALL}
    return generate_latents(backbone, prompts, **{**defaults, **options})


def test_clips_do_not_depend_on_the_batch_size(backbone):
    together, alone = sample(backbone), sample(backbone, batch_size=1)
    assert together.shape == (3, 16, 2, 4, 4)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert torch.equal(together, sample(backbone))
    assert not torch.allclose(together, sample(backbone, seed=4))


def test_the_noise_of_a_prompt_depends_on_seed_and_place_alone():
    assert torch.equal(start_noise((2, 3), 5, 1), start_noise((2, 3), 5, 1))
    assert not torch.equal(start_noise((2, 3), 5, 1), start_noise((2, 3), 5, 2))
    assert not torch.equal(start_noise((2, 3), 5, 1), start_noise((2, 3), 6, 1))
    many = start_noise((20000,), 2**64 - 1, 0)
    assert abs(float(many.mean())) < 0.03
    assert abs(float(many.std()) - 1.0) < 0.03


def test_the_levels_are_those_of_the_scheduler():
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(sigmas=[1.0 - step / 10 for step in range(10)])
    ours = torch.tensor(sigma_schedule(10))
    torch.testing.assert_close(ours, scheduler.sigmas.float(), atol=1e-6, rtol=1e-5)


def test_one_step_is_the_guided_velocity_by_hand(backbone):
    noise = torch.stack([start_noise((16, 2, 4, 4), 3, i) for i in range(2)])
    asked = torch.stack([backbone.encode_text(text).padded() for text in PROMPTS[:2]])
    against = [backbone.encode_text(text).padded() for text in ("", PROMPTS[2])]
    with torch.no_grad():
        told = backbone.predict(noise, 1.0, asked)
        empty, other = (backbone.predict(noise, 1.0, t.expand_as(asked)) for t in against)
    plain = sample(backbone, PROMPTS[:2], steps=1, guidance=1.0)
    torch.testing.assert_close(plain, noise - told, atol=1e-5, rtol=1e-4)
    guided = sample(backbone, PROMPTS[:2], steps=1, guidance=3.0)
    torch.testing.assert_close(guided, noise - (empty + 3 * (told - empty)), atol=1e-4, rtol=1e-4)
    contrasted = sample(
        backbone,
        PROMPTS[:2],
        steps=1,
        guidance=3.0,
        contrast=2.0,
        opposites=[[PROMPTS[2]]] * 2,
    )
    expected = empty + 3 * (told - empty) + 2 * (told - other)
    torch.testing.assert_close(contrasted, noise - expected, atol=1e-4, rtol=1e-4)


def test_opposites_take_turns_from_step_to_step(backbone):
    """Two opposites over two steps: exchanging them changes the clip, repeating one does too."""
    options = {"contrast": 5.0, "guidance": 1.0}
    one = sample(backbone, PROMPTS[:1], opposites=[PROMPTS[1:]], **options)
    turned = sample(backbone, PROMPTS[:1], opposites=[PROMPTS[:0:-1]], **options)
    same = sample(backbone, PROMPTS[:1], opposites=[[PROMPTS[1]]], **options)
    assert not torch.allclose(one, turned)
    assert not torch.allclose(one, same)


def test_decoded_clips_are_what_the_backbone_decodes(backbone):
    latents = sample(backbone)
    clips = decode(backbone, latents)
    assert clips.shape == (3, 3, 5, 32, 32)
    assert clips.abs().max() <= 1.0
    one = backbone.decode_latents(latents[1]).permute(3, 0, 1, 2).float() / 127.5 - 1.0
    difference = (clips[1] - one).abs()
    assert difference.max() < 1.01 / 127.5  # sums in another order round to the next of 256 steps
    assert difference.count_nonzero() < 0.001 * one.numel()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"prompts": []}, "no prompts"),
        ({"steps": 0}, "steps 0"),
        ({"guidance": -1.0}, "guidance"),
        ({"batch_size": 0}, "batch size"),
        ({"seed": -1}, "seed"),
        ({"standard": ClipStandard(frames=6, fps=16.0, height=32, width=32)}, "frames"),
        ({"contrast": 1.0}, "opposites"),
        ({"contrast": 1.0, "opposites": [["x"]]}, "opposites"),
        ({"contrast": 1.0, "opposites": [["x"], [], ["y"]]}, "opposites"),
    ],
)
def test_impossible_options_are_refused(backbone, options, match):
    with pytest.raises(UsageError, match=match):
        sample(backbone, **options)
