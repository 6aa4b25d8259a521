"""The tensor cache: whole entries or none."""

import errno

import pytest
import torch

from motive.backbones import TensorCache
from motive.backbones.cache import cache_key
from motive.errors import MotiveError


def test_what_is_put_comes_back(tmp_path):
    cache = TensorCache(tmp_path)
    cache.put("latents", "abcd", {"x": torch.arange(6).view(2, 3).t()}, {"n": [1, 2]})
    tensors, facts = cache.get("latents", "abcd")
    assert torch.equal(tensors["x"], torch.arange(6).view(2, 3).t())
    assert facts == {"n": [1, 2]}
    assert cache.has("latents", "abcd")
    assert cache.get("latents", "ffff") is None


def test_a_damaged_entry_counts_as_missing_and_is_said(tmp_path, caplog):
    cache = TensorCache(tmp_path)
    cache.put("latents", "abcd", {"x": torch.ones(100)}, {})
    path = next(tmp_path.rglob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:50])
    assert cache.get("latents", "abcd") is None
    assert "damaged" in caplog.text


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    cache = TensorCache(tmp_path)

    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("motive.files.os.replace", full)
    with pytest.raises(MotiveError, match="the disk is full"):
        cache.put("latents", "abcd", {"x": torch.ones(1)}, {})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_keys_depend_on_every_part():
    keys = {cache_key("a", {"x": 1}), cache_key("a", {"x": 2}), cache_key("b", {"x": 1})}
    assert len(keys) == 3
    assert cache_key("a", {"x": 1, "y": 2}) == cache_key("a", {"y": 2, "x": 1})
