"""Measures of single frames and their likeness, with extractors whose answers are known."""

import math
from types import MappingProxyType

import numpy as np
import pytest
import torch

from fake_metrics import MeanColour, numbered, shown
from motive.errors import MissingExtraError, ModelError, UsageError
from motive.evaluation.metrics.consistency import ONE_FRAME, Consistency
from motive.evaluation.metrics.plugins import load_callable, names_callable
from motive.evaluation.metrics.quality import (
    AestheticQuality,
    ImagingQuality,
    LinearHead,
    MUSIQScorer,
    load_linear_head,
)


def coloured(*colours, size=(6, 8)):
    frames = np.zeros((len(colours), *size, 3), np.uint8)
    for frame, colour in zip(frames, colours, strict=True):
        frame[:] = colour
    return frames


@pytest.mark.parametrize("chunk", [1, 2, 8])
def test_consistency_of_a_video_is_the_mean_over_its_frames_however_it_is_cut(chunk):
    frames = coloured((9, 0, 0), (0, 9, 0), (9, 9, 0))
    found = shown(Consistency("subject_consistency", MeanColour()), frames, chunk=chunk)
    assert found == {"subject_consistency": pytest.approx((0 + math.sqrt(0.5)) / 2)}


def test_consistency_of_one_frame_is_not_measured():
    found = shown(Consistency("background_consistency", MeanColour()), coloured((1, 2, 3)))
    assert found == {"background_consistency": ONE_FRAME}


def test_the_aesthetic_head_sees_unit_features_and_the_score_is_divided_by_ten():
    head = LinearHead(torch.tensor([3.0, 4.0, 0.0]), 2.0)
    frames = coloured((10, 0, 0), (0, 250, 0))
    found = shown(AestheticQuality(MeanColour(), head), frames)
    assert found == {"aesthetic_quality": pytest.approx(((3 + 2) + (4 + 2)) / 2 / 10)}


class Brightness:
    """Scores a picture by its mean value times 100, and remembers what it saw."""

    settings = MappingProxyType({"fake": "brightness"})

    def __init__(self):
        self.sizes = set()

    def __call__(self, images):
        self.sizes.add(tuple(images.shape[-2:]))
        return 100 * images.mean(dim=(1, 2, 3))


def test_imaging_quality_shows_pictures_in_zero_to_one_and_divides_by_a_hundred():
    found = shown(ImagingQuality(Brightness()), coloured((0, 0, 0), (255, 255, 255)))
    assert found == {"imaging_quality": pytest.approx(0.5)}


def test_large_frames_are_shrunk_to_512_on_the_longer_side_and_small_ones_left_alone():
    scorer = Brightness()
    shown(ImagingQuality(scorer), numbered(1, 480, 832))
    shown(ImagingQuality(scorer), numbered(1, 64, 64))
    assert scorer.sizes == {(295, 512), (64, 64)}


def test_a_linear_head_is_read_from_a_state_dict_without_running_code(tmp_path):
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 1)
    torch.save(layer.state_dict(), tmp_path / "head.pth")
    head = load_linear_head(tmp_path / "head.pth")
    features = torch.rand(4, 3)
    assert torch.allclose(head(features).float(), layer(features)[:, 0], atol=1e-6)
    torch.save({"weight": torch.nn.Sequential}, tmp_path / "code.pth")
    with pytest.raises(ModelError, match=r"code\.pth"):
        load_linear_head(tmp_path / "code.pth")


def test_a_head_for_other_features_says_so():
    with pytest.raises(ModelError, match="ViT-L/14"):
        LinearHead(torch.zeros(768), 0.0)(torch.zeros(2, 512))


@pytest.mark.parametrize("content", [b"", b"not weights", None])
def test_a_file_that_holds_no_head_is_one_line(tmp_path, content):
    path = tmp_path / "head.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"head\.pth") as caught:
        load_linear_head(path)
    assert "\n" not in str(caught.value)


def test_musiq_runs_from_torchscript_and_from_a_function_of_the_users(tmp_path):
    class Mean(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 100 * images.mean(dim=(1, 2, 3))

    torch.jit.script(Mean()).save(str(tmp_path / "musiq.pt"))
    (tmp_path / "mine.py").write_text(
        "def score(images):\n    return 50 + 0 * images.sum((1,2,3))\n"
    )
    frames = coloured((255, 255, 255))
    for source, known in (("musiq.pt", 1.0), ("mine.py:score", 0.5)):
        scorer = MUSIQScorer(str(tmp_path / source), torch.device("cpu"))
        assert shown(ImagingQuality(scorer), frames) == {"imaging_quality": pytest.approx(known)}


def test_a_checkpoint_of_pyiqa_without_pyiqa_names_the_package(tmp_path):
    torch.save({"params": {}}, tmp_path / "musiq.pth")
    with pytest.raises(MissingExtraError, match="pyiqa"):
        MUSIQScorer(str(tmp_path / "musiq.pth"), torch.device("cpu"))(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("text", "is_name"),
    [("a.b:c", True), ("x/y.py:f", True), ("x/y.pt", False), ("C:/weights.pth", False)],
)
def test_functions_are_told_from_paths(text, is_name):
    assert names_callable(text) == is_name


@pytest.mark.parametrize("text", ["no_such_module:f", "math:no_such_thing", "math:pi", "gone.py:f"])
def test_a_function_that_is_not_there_is_one_line(text):
    with pytest.raises(UsageError, match=text.split(":")[0]) as caught:
        load_callable(text)
    assert "\n" not in str(caught.value)
