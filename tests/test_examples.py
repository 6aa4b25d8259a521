"""The examples run, and agree with the library's own path."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from motive import ClipStandard, MotiveError, Run, RunConfig
from motive.clips import read_dataset, write_mp4

ROOT = Path(__file__).resolve().parent.parent
STANDARD = {"frames": 5, "fps": 16, "height": 32, "width": 32}


@pytest.fixture(scope="module")
def small_world(tiny_wan, tmp_path_factory):
    """A tiny model folder that takes 5 frames of 32x32, and folders of moving squares."""
    import shutil

    root = tmp_path_factory.mktemp("world")
    model = shutil.copytree(tiny_wan, root / "model")
    (model / "motive.json").write_text(json.dumps(STANDARD))
    for folder, count in (("videos", 6), ("queries", 2)):
        for index in range(count):
            pixels = torch.full((5, 32, 32, 3), 40, dtype=torch.uint8)
            for frame in range(5):
                x = 2 + frame * (1 + index % 4)
                pixels[frame, 8 + index : 16 + index, x : x + 8] = 220 - 10 * index
            (root / folder).mkdir(exist_ok=True)
            write_mp4(root / folder / f"{folder}{index}.mp4", pixels, 16)
            (root / folder / f"{folder}{index}.txt").write_text(f"square number {index}")
    return root


def example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_hundred_lines_select_the_same_clips_as_the_library(small_world, tmp_path, capsys):
    model, videos, queries = (str(small_world / n) for n in ("model", "videos", "queries"))
    by_example = example("motive_in_100_lines").main(videos, queries, model, top=3)
    assert "queries0.mp4: square number 0" in capsys.readouterr().out

    run = Run(tmp_path / "run", RunConfig(model=model, device="cpu"))
    run.index(videos)
    run.rank(queries)
    by_library = run.select(3)
    assert [c.clip_id for c in by_example.choices] == [c.clip_id for c in by_library.choices]
    for a, b in zip(by_example.choices, by_library.choices, strict=True):
        assert a.mean_score == pytest.approx(b.mean_score, abs=1e-5)


def test_the_example_stays_about_a_hundred_lines():
    lines = (ROOT / "examples" / "motive_in_100_lines.py").read_text().splitlines()
    assert len(lines) <= 110


def test_public_names_exist():
    import motive

    for name in motive.__all__:
        assert getattr(motive, name) is not None
    assert issubclass(MotiveError, Exception)
    assert ClipStandard(**STANDARD).seconds == 0.25
    with pytest.raises(AttributeError):
        _ = motive.no_such_name
    assert read_dataset is motive.read_dataset
