"""wan-nano's models: real Wan classes, and exact shortcuts around them in training."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.backbones.flow import shifted
from motive.backbones.wan_vae import decode_whole, encode_whole
from motive.errors import UsageError
from motive.zoo.nano_data import mirror_caption, tokenize
from motive.zoo.nano_denoiser import change_weights, flow_loss
from motive.zoo.nano_model import (
    FLOW_SHIFT,
    TEXT_TOKENS,
    NanoConfig,
    build_wan_nano,
    embed_tokens,
    parameter_counts,
    save_wan_nano,
    train_tokenizer,
)
from motive.zoo.nano_muon import hidden_matrices, orthogonal_updates, orthogonalise

CAPTIONS = ["a red ball bounces on a grey floor", "a blue cube, striped, slides to the left"]
TINY = NanoConfig(
    vae_width=4, text_dim=8, text_layers=1, heads=2, head_dim=12, layers=1, ffn_dim=16
)


@pytest.fixture(scope="module")
def tiny():
    return build_wan_nano(CAPTIONS, 0, TINY)


def test_saved_folder_is_an_ordinary_wan_pipeline(tiny, tmp_path):
    from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
    from transformers import AutoTokenizer, T5TokenizerFast, UMT5EncoderModel

    save_wan_nano(tiny, tmp_path)
    loaded = WanPipeline.from_pretrained(tmp_path, local_files_only=True)
    assert type(loaded.transformer) is WanTransformer3DModel
    assert type(loaded.vae) is AutoencoderKLWan
    assert type(loaded.text_encoder) is UMT5EncoderModel
    assert isinstance(loaded.tokenizer, T5TokenizerFast)
    assert loaded.scheduler.config.flow_shift == 3.0
    assert loaded.tokenizer.model_max_length == TEXT_TOKENS
    by_auto = AutoTokenizer.from_pretrained(tmp_path / "tokenizer", local_files_only=True)
    for text in CAPTIONS:
        assert by_auto(text).input_ids == tiny.tokenizer(text).input_ids
    for name in ("transformer", "vae", "text_encoder"):
        before, after = getattr(tiny, name).state_dict(), getattr(loaded, name).state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert not list(tmp_path.rglob("*.bin"))


def test_pipeline_generates_seventeen_frames(tiny):
    video = tiny(
        CAPTIONS[0],
        height=64,
        width=64,
        num_frames=17,
        num_inference_steps=2,
        guidance_scale=3.0,
        max_sequence_length=TEXT_TOKENS,
        output_type="np",
    ).frames
    assert video.shape == (1, 17, 64, 64, 3)


def test_embedded_model_fits_in_22_megabytes():
    counts = parameter_counts(build_wan_nano(CAPTIONS))
    assert 2.5e6 < counts["transformer"] < 4.5e6
    assert 4 * sum(counts.values()) < 21.5e6  # float32; the rest of the folder is text


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build_wan_nano(CAPTIONS, 5, TINY)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = build_wan_nano(CAPTIONS, 5, TINY)
    third = build_wan_nano(CAPTIONS, 6, TINY)
    weight = [pipeline.vae.encoder.conv_in.weight for pipeline in (first, second, third)]
    assert torch.equal(weight[0], weight[1])
    assert not torch.equal(weight[0], weight[2])


@pytest.mark.parametrize("frames", [1, 5, 17])
@pytest.mark.parametrize("residual", [True, False])
def test_whole_clip_passes_equal_the_chunked_ones(residual, frames):
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        is_residual=residual,
        patch_size=2 if residual else None,
        in_channels=12 if residual else 3,
        out_channels=12 if residual else 3,
        latents_mean=[0.0] * 16,
        latents_std=[1.0] * 16,
    ).eval()
    video = torch.rand(1, 3, frames, 32, 32) * 2 - 1
    with torch.no_grad():
        posterior = vae.encode(video).latent_dist
        whole = encode_whole(vae, video)
        torch.testing.assert_close(whole.chunk(2, dim=1)[0], posterior.mode(), atol=1e-5, rtol=0)
        latents = torch.randn_like(posterior.mode())
        torch.testing.assert_close(
            decode_whole(vae, latents).clamp(-1, 1), vae.decode(latents).sample, atol=1e-5, rtol=0
        )


def test_training_embeds_text_exactly_as_the_pipeline_does(tiny):
    captions = [*CAPTIONS, "", "a word the vocabulary has never seen: Zyx &amp; more " * 4]
    expected, _ = tiny.encode_prompt(
        captions, do_classifier_free_guidance=False, max_sequence_length=TEXT_TOKENS
    )
    ids, mask = tokenize(tiny.tokenizer, captions, TEXT_TOKENS)
    torch.testing.assert_close(embed_tokens(tiny.text_encoder, ids, mask), expected)
    assert mask[2].sum() == 1  # the empty caption is the end token alone


def test_known_words_are_one_token_and_unseen_words_are_spelled():
    tokenizer = train_tokenizer(CAPTIONS)
    assert tokenizer.tokenize("a red ball") == ["▁a", "▁red", "▁ball"]
    assert "".join(tokenizer.tokenize("a wolf")).replace("▁", " ").strip() == "a wolf"
    assert tokenizer.unk_token_id not in tokenizer("the quick brown fox? 42!").input_ids
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)


def test_a_model_without_captions_is_refused():
    with pytest.raises(UsageError, match="caption"):
        build_wan_nano(["", "  "])


@pytest.mark.parametrize("bad", [{"layers": 0}, {"text_dim": 10}, {"head_dim": 7}])
def test_impossible_sizes_are_refused(bad):
    with pytest.raises(UsageError, match=next(iter(bad))):
        NanoConfig(**bad)


def test_noise_levels_are_shifted_as_the_scheduler_shifts_them(tiny):
    from diffusers import FlowMatchEulerDiscreteScheduler

    level = torch.linspace(0.001, 1.0, 1000)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    torch.testing.assert_close(
        shifted(level, FLOW_SHIFT).flip(0), scheduler.sigmas, atol=1e-6, rtol=1e-5
    )
    assert shifted(torch.tensor([0.0, 0.5, 1.0]), FLOW_SHIFT).tolist() == [0.0, 0.75, 1.0]


def test_flow_loss_is_zero_for_the_true_velocity_and_one_formula():
    clean, noise = torch.randn(2, 16, 1, 2, 2), torch.randn(2, 16, 1, 2, 2)
    sigma = torch.tensor([0.25, 0.75])

    def oracle(noisy, timestep, text, return_dict):
        assert timestep.tolist() == [250.0, 750.0]
        level = (timestep / 1000).view(-1, 1, 1, 1, 1)
        # from z = (1 - s) x + s e and a known e, velocity = e - x = (e - z) / (1 - s)
        return ((noise - noisy) / (1 - level),)

    assert flow_loss(oracle, clean, noise, sigma, text=None) < 1e-9

    def zero(noisy, *_, **__):
        return (torch.zeros_like(noisy),)

    expected = ((noise - clean) ** 2).mean()
    torch.testing.assert_close(flow_loss(zero, clean, noise, sigma, text=None), expected)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="leftrighLRdbal wsc,.", max_size=40))
def test_a_mirror_seen_in_a_mirror_is_the_caption(caption):
    assert mirror_caption(mirror_caption(caption)) == caption


def test_mirrored_captions_exchange_directions_as_whole_words():
    assert mirror_caption("Left to the right") == "Right to the left"
    assert mirror_caption("spins clockwise") == "spins counterclockwise"
    assert mirror_caption("a bright cleft") == "a bright cleft"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 24), st.integers(2, 24), st.integers(0, 10))
def test_orthogonalised_updates_have_singular_values_near_one(rows, columns, seed):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    values = torch.linalg.svdvals(orthogonalise(matrix).double())
    strong = torch.linalg.svdvals(matrix.double()) > 0.05 * torch.linalg.matrix_norm(matrix)
    assert (values < 1.3).all()
    assert (values[strong] > 0.5).all()


@pytest.mark.parametrize("shape", [(30, 20), (192, 192), (96, 384), (192, 96), (384, 192)])
def test_updates_have_the_size_of_whole_orthogonal_ones_whatever_the_tiles(shape):
    rows, columns = shape
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    (update,) = orthogonal_updates([matrix])
    whole = orthogonalise(matrix) * max(1.0, rows / columns) ** 0.5
    assert update.shape == shape
    assert float(update.square().mean() / whole.square().mean()) == pytest.approx(1.0, abs=0.25)
    assert float((update * matrix).sum()) > 0.5 * float((whole * matrix).sum())


def test_tiles_are_straightened_by_themselves_and_put_back_in_place():
    matrix = torch.randn(96, 384, generator=torch.Generator().manual_seed(1))
    (update,) = orthogonal_updates([matrix])
    tile = orthogonalise(matrix[48:, :192])
    expected = tile * (192 / 384) ** 0.5
    torch.testing.assert_close(update[48:, :192], expected, atol=1e-5, rtol=1e-4)
    tall = torch.randn(192, 96, generator=torch.Generator().manual_seed(2))
    both = orthogonal_updates([tall, matrix])
    torch.testing.assert_close(both[1], update, atol=1e-5, rtol=1e-4)


def test_places_that_change_weigh_more_and_every_clip_weighs_the_same():
    latents = torch.zeros(2, 16, 3, 2, 2)
    latents[0, :, 2, 0, 0] = 1.0  # one place of one clip changes between frames 1 and 2
    weights = change_weights(latents, 3.0)
    torch.testing.assert_close(weights.mean(dim=(1, 2, 3, 4)), torch.ones(2))
    ratio = weights[0, 0, :, 0, 0] / weights[0, 0, 0, 1, 1]
    torch.testing.assert_close(ratio, torch.tensor([1.0, 2.5, 4.0]))
    assert torch.equal(weights[1], torch.ones_like(weights[1]))
    assert torch.equal(change_weights(latents, 0.0), torch.ones(2, 1, 3, 2, 2))


def test_muon_leaves_tables_vectors_and_data_layers_alone(tiny):
    chosen = {id(p) for p in hidden_matrices([tiny.transformer, tiny.text_encoder, tiny.vae])}
    assert id(tiny.transformer.blocks[0].ffn.net[0].proj.weight) in chosen
    assert id(tiny.vae.decoder.mid_block.resnets[0].conv1.weight) in chosen
    for parameter in (
        tiny.text_encoder.shared.weight,
        tiny.transformer.patch_embedding.weight,
        tiny.transformer.proj_out.weight,
        tiny.transformer.blocks[0].scale_shift_table,
        tiny.vae.encoder.conv_in.weight,
        tiny.vae.encoder.norm_out.gamma,
    ):
        assert id(parameter) not in chosen
