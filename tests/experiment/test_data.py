"""Clips, queries and prompts: what is taken, what is refused, and what is told."""

import json
import os

import pytest

from motive.clips import read_dataset
from motive.errors import DatasetError, UsageError
from motive.experiment.config import DataChoice
from motive.experiment.data import load_data, zoo_prompts
from motive.zoo.pack import unpack_demo_clips
from moving_squares import write_list


@pytest.fixture
def choice(world):
    """Names the world's data, with changes on top."""

    def make(**changes):
        places = {
            "clips": str(world.root / "videos"),
            "queries": str(world.root / "queries"),
            "prompts": str(world.root / "prompts.jsonl"),
        }
        return DataChoice(**{**places, **changes})

    return make


def test_motionzoos_prompts_begin_with_those_of_its_test_clips(tmp_path):
    clips = read_dataset(unpack_demo_clips(tmp_path / "zoo") / "test")
    found = zoo_prompts(None, 5, set())
    assert {(p.text, p.facts["motion"]) for p in found} == {(c.caption, c.label) for c in clips}
    assert [p.facts["motion"] for p in found[:6]] == ["compress"] * 5 + ["bounce"]


def test_motionzoos_prompts_are_held_out_and_different(tmp_path):
    captions = {
        clip.caption.casefold()
        for part in ("candidates", "queries")
        for clip in read_dataset(unpack_demo_clips(tmp_path / "zoo") / part)
    }
    found = zoo_prompts(["spin", "swing"], 30, captions)
    texts = [prompt.text for prompt in found]
    assert len(set(texts)) == 60
    assert not captions & {text.casefold() for text in texts}
    assert [p.text for p in zoo_prompts(["swing"], 8, captions)] == texts[30:38]


def test_motions_that_motionzoo_lacks_and_too_many_prompts_are_refused():
    with pytest.raises(UsageError, match="no 'dance'"):
        zoo_prompts(["dance"], 5, set())
    with pytest.raises(UsageError, match="held-out prompts for spin"):
        zoo_prompts(["spin"], 1000, set())


def test_data_are_cut_down_as_asked(choice, tmp_path):
    found = load_data(choice(first_clips=5, motions=("bounce",), prompts_per_motion=1), tmp_path)
    assert len(found.clips) == 5
    assert [clip.label for clip in found.queries] == ["bounce"]
    assert [prompt.facts["motion"] for prompt in found.prompts.prompts] == ["bounce"]
    assert found.motions == ["bounce"]
    assert len(load_data(choice(queries_per_motion=1), tmp_path).queries) == 2


def test_a_motion_that_nothing_shows_is_named(choice, tmp_path):
    with pytest.raises(UsageError, match=r"nothing is labelled 'fly' \(labels: spin, bounce"):
        load_data(choice(motions=("fly",)), tmp_path)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_list_of_prompts_is_refused(choice, tmp_path, text):
    (tmp_path / "prompts.txt").write_text(text)
    with pytest.raises(DatasetError, match="no prompt in it"):
        load_data(choice(prompts=str(tmp_path / "prompts.txt")), tmp_path)


def test_prompts_that_are_training_captions_are_told(choice, tmp_path, caplog):
    path = write_list(tmp_path / "p.jsonl", [{"prompt": "Square  number 3."}, {"prompt": "new"}])
    found = load_data(choice(prompts=str(path)), tmp_path)
    assert any("1 of 2 prompts are captions of training clips" in note for note in found.notes)
    assert "not held out" in caplog.text


def test_queries_that_are_training_clips_are_told(choice, world, tmp_path):
    found = load_data(choice(queries=str(world.root / "videos")), tmp_path)
    assert any("12 of 12 queries are training clips too" in note for note in found.notes)


def test_blank_and_repeated_prompts_are_told(choice, tmp_path):
    (tmp_path / "p.txt").write_text("a\n\nb\na\n")
    found = load_data(choice(prompts=str(tmp_path / "p.txt")), tmp_path)
    assert [prompt.text for prompt in found.prompts.prompts] == ["a", "b"]
    assert any("repeated prompts" in note for note in found.notes)


@pytest.mark.parametrize("top", ["13", "0", "101%", "many"])
def test_a_selection_that_the_data_cannot_give_is_named(choice, tmp_path, top):
    data = load_data(choice(), tmp_path)
    with pytest.raises(UsageError, match=f"selection: top {top}: "):
        data.count_of(top)
    assert data.count_of("25%") == 3


def test_files_are_read_again_only_if_they_changed(choice, world, tmp_path, monkeypatch):
    first = load_data(choice(), tmp_path)
    monkeypatch.setattr("motive.experiment.data.file_digest", pytest.fail)
    again = load_data(choice(), tmp_path)
    assert [clip.id for clip in again.clips] == [clip.id for clip in first.clips]
    monkeypatch.undo()
    known = json.loads((tmp_path / "files.json").read_text())
    path = next(iter(known))
    os.utime(path)
    assert [clip.id for clip in load_data(choice(), tmp_path).clips] == [c.id for c in first.clips]
    (tmp_path / "files.json").write_text("torn")
    assert len(load_data(choice(), tmp_path).clips) == 12


def test_a_missing_clip_stays_for_its_error_to_be_told_later(choice, world, tmp_path):
    rows = [{"video": str(world.root / "videos" / "square1.mp4")}, {"video": "gone.mp4"}]
    path = write_list(tmp_path / "list.jsonl", rows)
    found = load_data(choice(clips=str(path)), tmp_path)
    assert [clip.digest is not None for clip in found.clips] == [True, False]
