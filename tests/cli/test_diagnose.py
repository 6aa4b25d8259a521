"""`motive diagnose` on a run and on a model with clips."""

import shutil

import pytest


@pytest.fixture
def quick(world, tmp_path):
    """Clips, one of which is broken, and the model."""
    data = shutil.copytree(world / "videos", tmp_path / "data")
    (data / "square0.mp4").write_bytes(b"nothing")
    return ["--data", data, "--model", world / "model", "--device", "cpu", "--no-compile"]


def test_a_model_is_diagnosed_on_clips_that_can_be_used(motive, quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    found = motive("diagnose", *quick, "--clips", "5", "--dim", "64")
    assert found.code == 0
    lines = found.out.splitlines()
    assert "5 clips of 5 frames of 32x32" in lines[0]
    assert lines[1].startswith("reference: float32, one clip at a time, cpu")
    assert any(line.startswith("bfloat16") for line in lines)
    assert any(line.startswith("TF32") and "not here" in line for line in lines)
    assert any(line.startswith("use ") for line in lines)
    assert "square0.mp4: not a video" in found.err
    assert set(tmp_path.rglob("*")) == before


def test_a_run_is_diagnosed_with_its_own_clips(motive, run):
    features = sorted((run / "index.lance").rglob("*"))
    found = motive("diagnose", run, "--clips", "2", "--no-compile", "--json").json
    rows = {row["name"]: row for row in found["trials"]}
    assert len(found["clips"]) == 2
    assert rows["reference"]["worst"] == 1.0
    assert rows["batch of 2"]["worst"] > 0.9999
    assert rows["torch.compile"]["reason"] == "not tried: --no-compile"
    for row in rows.values():
        assert (row["worst"] is None) == bool(row["reason"])
    assert found["recommended"]["name"] in rows
    assert sorted((run / "index.lance").rglob("*")) == features
