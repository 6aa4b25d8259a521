"""Checkpoints in every form they come in, and one clear line for everything else."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from motive.errors import ModelError, UsageError
from motive.motion.alltracker import HUB_ID, find_checkpoint, load_alltracker, loading
from motive.motion.alltracker.loading import checkpoint_digest
from seeded_alltracker import flat_state_dict, seeded_state_dict


@pytest.fixture(scope="module")
def tiny() -> dict[str, torch.Tensor]:
    return seeded_state_dict("tiny")


@pytest.mark.parametrize("form", ["released", "bare", "safetensors", "bfloat16"])
def test_checkpoints_load_from_pickles_and_safetensors(tiny, tmp_path, form):
    path = tmp_path / ("w.safetensors" if form in ("safetensors", "bfloat16") else "w.pth")
    if form == "released":
        torch.save({"model": tiny}, path)
    elif form == "bare":
        torch.save(tiny, path)
    elif form == "safetensors":
        save_file(tiny, path)
    else:
        save_file({name: tensor.bfloat16() for name, tensor in tiny.items()}, path)
    net = load_alltracker(path)
    assert net.variant == "tiny"
    assert not net.training
    for name, tensor in net.state_dict().items():
        assert tensor.dtype == torch.float32
        assert not tensor.requires_grad
        torch.testing.assert_close(
            tensor, tiny[name], rtol=0 if form != "bfloat16" else 0.01, atol=0
        )


def test_the_full_network_is_recognised_by_its_keys(tmp_path):
    torch.save(flat_state_dict("full"), tmp_path / "any.pt")
    assert load_alltracker(tmp_path / "any.pt").variant == "full"


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("evil-was-here"),))


def test_pickles_that_run_code_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Evil()}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="not a file of tensors alone"):
        load_alltracker(tmp_path / "w.pth")
    assert not Path("evil-was-here").exists()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "w.pth"),
        (b"hello, this is text\n", "w.pth"),
        (b"PK\x03\x04 cut off", "w.pth"),
        (b"\x80\x02}q\x00.", "w.pth"),
        (pickle.dumps([1, 2, 3]), "w.pth"),
        (b"\x00" * 100, "w.safetensors"),
        (b"", "w.safetensors"),
    ],
)
def test_damaged_files_are_one_line(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match="or use tracker dis") as error:
        load_alltracker(tmp_path / name)
    assert "\n" not in str(error.value)
    assert str(tmp_path / name) in str(error.value)


def _without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda s: _without(s, "fnet.conv1.weight"), "no cnn or fnet in it"),
        (lambda s: _without(s, "dot_conv.bias") | {"x": torch.ones(1)}, r"\(x is unknown\)"),
        (lambda s: _without(s, "flow_head.0.bias"), r"\(flow_head.0.bias is missing\)"),
        (
            lambda s: s | {"flow_head.0.bias": torch.ones(3), "fnet.conv3.bias": torch.ones(3)},
            r"flow_head.0.bias has shape \(3,\) instead of \(256,\) and 1 more",
        ),
        (lambda s: s | {"flow_head.0.bias": torch.full((256,), torch.nan)}, "NaN"),
        (lambda s: {"model": 3}, "no named tensors"),
    ],
)
def test_other_weights_are_refused_by_name(tmp_path, change, word):
    torch.save(change(flat_state_dict("tiny")), tmp_path / "w.pth")
    with pytest.raises(ModelError, match=word):
        load_alltracker(tmp_path / "w.pth")


def test_the_other_variant_is_refused(tmp_path):
    torch.save(flat_state_dict("tiny"), tmp_path / "w.pth")
    with pytest.raises(ModelError, match="holds the tiny network, not the full one"):
        load_alltracker(tmp_path / "w.pth", "full")


@pytest.mark.parametrize(
    "weights",
    ["missing.pth", "runs/missing.safetensors", "a/b/c", "/nowhere/alltracker.pth", "x y"],
)
def test_a_missing_checkpoint_says_where_to_get_it_and_what_else_there_is(weights):
    with pytest.raises(ModelError) as error:
        find_checkpoint(weights)
    message = str(error.value)
    assert message.startswith(f"{weights}: no such AllTracker checkpoint")
    assert f"huggingface.co/{HUB_ID}" in message
    assert "tracker dis" in message
    assert "\n" not in message


def test_a_folder_gives_the_file_of_the_variant(tmp_path):
    with pytest.raises(ModelError, match=r"holds no alltracker.pth or alltracker_tiny.pth"):
        find_checkpoint(tmp_path)
    (tmp_path / "alltracker_tiny.pth").touch()
    assert find_checkpoint(tmp_path).name == "alltracker_tiny.pth"
    with pytest.raises(ModelError, match=r"holds no alltracker.pth;"):
        find_checkpoint(tmp_path, "full")
    (tmp_path / "alltracker.pth").touch()
    assert find_checkpoint(tmp_path).name == "alltracker.pth"
    assert find_checkpoint(tmp_path, "tiny").name == "alltracker_tiny.pth"


def test_the_hub_is_asked_once_for_the_file_of_the_variant(tmp_path, monkeypatch):
    asked = []

    def download(repository, name):
        asked.append((repository, name))
        return str(tmp_path / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    loading._from_hub.cache_clear()
    try:
        for _ in range(2):
            assert find_checkpoint(HUB_ID) == tmp_path / "alltracker.pth"
            assert find_checkpoint(HUB_ID, "tiny") == tmp_path / "alltracker_tiny.pth"
    finally:
        loading._from_hub.cache_clear()
    assert asked == [(HUB_ID, "alltracker.pth"), (HUB_ID, "alltracker_tiny.pth")]


def test_a_hub_out_of_reach_is_one_line(monkeypatch):
    def download(repository, name):
        raise OSError("no route to host\nand a long story")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(
        ModelError, match=r"did not give alltracker.pth \(no route to host\)"
    ) as error:
        find_checkpoint("someone/alltracker")
    assert "\n" not in str(error.value)


def test_an_unknown_variant_is_a_usage_error():
    with pytest.raises(UsageError, match="must be one of full, tiny"):
        find_checkpoint(HUB_ID, "small")


def test_the_digest_follows_the_bytes(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(b"one")
    first = checkpoint_digest(path)
    assert len(first) == 16
    path.write_bytes(b"other")
    assert checkpoint_digest(path) != first


def test_it_is_known_whether_the_hub_has_given_a_checkpoint_before(monkeypatch):
    cached = {"alltracker.pth": None, "alltracker_tiny.pth": None}
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda _, name: cached[name])
    assert not loading.fetched()
    cached["alltracker_tiny.pth"] = "somewhere/alltracker_tiny.pth"
    assert loading.fetched()
