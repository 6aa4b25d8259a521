"""The videos of an experiment as a blind study."""

import shutil

import pytest

from motive.errors import UsageError
from motive.experiment import study_videos
from motive.study import StudyStore, create_study


def test_every_condition_has_the_same_videos_under_the_same_names(finished, tmp_path):
    plan = study_videos(finished, tmp_path / "videos", annotators=["ada"])
    assert list(plan.conditions) == ["motive", "base", "full", "random"]
    names = {tuple(sorted(p.name for p in place.iterdir())) for place in plan.conditions.values()}
    assert names == {tuple(f"p{number:04d}-s0.mp4" for number in (1, 2, 3, 4))}
    assert plan.main == "motive"
    assert [prompt.text for prompt in plan.prompts][:1] == ["a square that spins to the left"]
    assert {prompt.motion for prompt in plan.prompts} == {"spin", "bounce"}


def test_a_video_keeps_its_prompt_and_its_seed(finished, tmp_path):
    from motive.experiment.results import read_videos

    plan = study_videos(finished, tmp_path / "videos", conditions=["base"], seeds=[1, 0])
    assert list(plan.conditions) == ["motive", "base"]  # the main one is always there
    assert len(plan.prompts) == 8
    texts = {prompt.id: prompt.text for prompt in plan.prompts}
    for video in read_videos(finished):
        if video.condition not in plan.conditions:
            continue
        names = [
            name for name, text in texts.items()
            if text == video.prompt and name.endswith(f"-s{video.seed}")
        ]  # fmt: skip
        linked = plan.conditions[video.condition] / f"{names[0]}.mp4"
        assert linked.read_bytes() == (finished / video.path).read_bytes()


def test_a_study_can_be_made_of_it(finished, tmp_path):
    plan = study_videos(finished, tmp_path / "videos", conditions=["base"], annotators=["ada"])
    create_study(plan, tmp_path / "study")
    with StudyStore(tmp_path / "study") as store:
        assert store.pairings() == [("motive", "base")]
        assert store.standing("ada").total == 4 + 2  # two attention checks
    again = study_videos(finished, tmp_path / "videos", conditions=["base"], annotators=["ada"])
    assert again == plan  # links that are there are made again


def test_where_there_are_no_links_videos_are_copied(finished, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr("motive.experiment.studying.os.link", refuse)
    plan = study_videos(finished, tmp_path / "videos", conditions=["base"])
    for place in plan.conditions.values():
        assert all(path.stat().st_size > 0 for path in place.iterdir())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"conditions": ["bse"]}, "--conditions: unknown option 'bse'; did you mean base?"),
        ({"seeds": [7]}, r"--seeds [7]: the experiment has [0, 1]"),
        ({"seeds": []}, "--seeds none"),
    ],
)
def test_what_the_experiment_does_not_have_is_refused(finished, tmp_path, options, told):
    with pytest.raises(UsageError) as caught:
        study_videos(finished, tmp_path / "videos", **options)
    assert told in str(caught.value)


def test_an_experiment_that_is_not_finished_is_refused(finished, tmp_path):
    shutil.copytree(finished / "select", tmp_path / "out" / "select")
    with pytest.raises(UsageError, match="no finished experiment"):
        study_videos(tmp_path / "out", tmp_path / "videos")
