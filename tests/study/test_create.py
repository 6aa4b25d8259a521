"""A study folder is there whole or not at all."""

import sqlite3

import pytest

from motive.errors import ClipError, DatasetError, MotiveError, UsageError
from motive.study import StudyPlan, StudyStore, create_study
from motive.study.store import DATABASE, VIDEOS
from study_world import condition_folders, small_prompts, small_study


def test_a_study_holds_every_video_once_under_a_name_that_says_nothing(made_study):
    names = [path.name for path in (made_study / VIDEOS).iterdir()]
    assert len(names) == 3 * 2 + 1  # and one spoilt for the known-bad check
    assert all(len(name) == 20 and int(name[:16], 16) >= 0 for name in names)
    with StudyStore(made_study) as store:
        assert [(a.name, a.done, a.total) for a in store.annotators()] == [
            ("anna", 0, 5),
            ("ben", 0, 5),
        ]
        assert store.pairings() == [("motive", "base")]
    assert {path.name for path in made_study.iterdir()} >= {DATABASE, VIDEOS}


def test_the_same_plan_gives_the_same_order_and_sides(made_study, tmp_path):
    def laid_out(folder):
        with sqlite3.connect(folder / DATABASE) as db:
            query = "SELECT annotator, position, pair, swapped FROM trials ORDER BY 1, 2"
            return db.execute(query).fetchall()

    again = small_study(tmp_path)
    assert laid_out(again) == laid_out(made_study)
    assert laid_out(small_study(tmp_path / "other", seed=1)) != laid_out(made_study)


def test_an_existing_folder_is_never_touched(tmp_path):
    precious = tmp_path / "study" / "thesis.tex"
    precious.parent.mkdir()
    precious.write_text("years of work")
    with pytest.raises(UsageError, match="exists already"):
        small_study(tmp_path)
    assert [path.name for path in precious.parent.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("fault", ["missing", "text", "name"])
def test_a_study_that_cannot_be_made_leaves_nothing(tmp_path, fault):
    prompts = small_prompts(3)
    folders = condition_folders(tmp_path, ("motive", "base"), prompts)
    plan = StudyPlan(folders, prompts)
    if fault == "missing":
        (folders["base"] / "p01.mp4").unlink()
        error, message = DatasetError, "condition base: .* no video for 1 of 3 prompts"
    elif fault == "text":
        (folders["base"] / "p01.mp4").write_text("not a video")
        error, message = ClipError, r"p01\.mp4: not a video"
    else:
        plan = StudyPlan(folders, prompts, title="Is Motive better?")
        error, message = UsageError, "names the condition 'motive'"
    with pytest.raises(error, match=message):
        create_study(plan, tmp_path / "study")
    assert not [path for path in tmp_path.iterdir() if "study" in path.name]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("motive.study.create.os.rename", full)
    with pytest.raises(MotiveError, match="the disk is full"):
        small_study(tmp_path)
    assert not [path for path in tmp_path.iterdir() if "study" in path.name]


def test_pairs_that_format_tells_apart_are_warned_about(tmp_path):
    prompts = small_prompts(2)
    folders = condition_folders(tmp_path, ("motive",), prompts)
    folders |= condition_folders(tmp_path, ("base",), prompts, frames=12, size=(48, 32))
    warnings = create_study(StudyPlan(folders, prompts), tmp_path / "study")
    assert [w.split(": ")[1] for w in warnings] == [
        "the videos of 2 of 2 prompts differ in size, which annotators can see; generate them "
        "alike for a blind study",
        "the videos of 2 of 2 prompts differ in length, which annotators can see; generate them "
        "alike for a blind study",
    ]
