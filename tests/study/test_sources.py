"""What a study is made of is read whole, or refused by name."""

import logging
from pathlib import Path

import pytest

from motive.errors import DatasetError, UsageError
from motive.study import Prompt, StudyPlan, numbered_annotators, read_plan, read_prompts
from motive.study.sources import condition_folders, find_videos

FOLDERS = {"motive": Path("a"), "base": Path("b"), "random": Path("c")}


def folder_of(root: Path, *names: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / name).write_bytes(b"video")
    return root


def test_the_main_condition_meets_every_other_and_on_request_all_meet_all():
    plan = StudyPlan(FOLDERS)
    assert plan.pairings == [("motive", "base"), ("motive", "random")]
    assert StudyPlan(FOLDERS, main="random").pairings == [("random", "motive"), ("random", "base")]
    every = StudyPlan(FOLDERS, main="base", every_pairing=True).pairings
    assert every == [("base", "motive"), ("base", "random"), ("motive", "random")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conditions": {"motive": Path("a")}}, "at least two conditions"),
        ({"main": "gone"}, "'gone': must be one of motive, base, random"),
        ({"checks": -1}, "checks -1"),
        ({"question": "  "}, "must not be empty"),
        ({"annotators": ["anna", "ben", "anna"]}, "'anna' is listed twice"),
        ({"annotators": ["a\nb"]}, "printable name"),
        ({"annotators": [""]}, "printable name"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        StudyPlan(**({"conditions": FOLDERS} | options))


def test_prompts_are_read_under_the_names_that_data_sets_use(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"id": "a", "prompt": "A ball", "motion": "roll"}\n\n'
        b'{"prompt_id": "b", "caption": "A coin", "label": "spin"}\n'
        b'{"video": "clips/c.mp4", "text": "Half an emoji \\ud83d"}\r\n'
    )
    assert read_prompts(path) == [
        Prompt("a", "A ball", "roll"),
        Prompt("b", "A coin", "spin"),
        Prompt("c", "Half an emoji ?", ""),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no prompt"),
        (b"\n  \n", "holds no prompt"),
        (b'{"id": "a"}\n{"id"', "line 2 is not JSON"),
        (b'{"id": "a"}\n["b"]', "line 2 is not an object"),
        (b'{"prompt": "A ball"}', 'line 1 has no "id"'),
        (b'{"id": "a"}\n{"id": "a"}', "line 2: prompt 'a' is listed twice"),
        (b'{"id": "caf\xe9"}', r"not UTF-8 \(byte 11\)"),
    ],
)
def test_a_broken_prompt_list_is_refused_with_its_line(tmp_path, content, message):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_prompts(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_prompts(tmp_path / "gone.jsonl")


def test_missing_videos_are_named_with_their_condition(tmp_path):
    a = folder_of(tmp_path / "a", "p1.mp4", "p2.mp4", "p3.mp4", "p4.mp4", "p5.mp4")
    b = folder_of(tmp_path / "b", "p1.mp4", "notes.txt", ".p2.mp4")
    with pytest.raises(DatasetError) as error:
        find_videos(StudyPlan({"motive": a, "base": b}))
    assert "condition base" in str(error.value)
    assert "no video for 4 of 5 prompts (p2, p3, p4 and 1 more)" in str(error.value)


def test_two_videos_for_one_prompt_and_empty_or_lost_folders_are_refused(tmp_path):
    a = folder_of(tmp_path / "a", "p1.mp4")
    twice = folder_of(tmp_path / "twice", "p1.mp4", "p1.webm")
    with pytest.raises(DatasetError, match=r"p1\.mp4 and p1\.webm"):
        find_videos(StudyPlan({"motive": a, "base": twice}))
    with pytest.raises(DatasetError, match="condition base: no video in"):
        find_videos(StudyPlan({"motive": a, "base": folder_of(tmp_path / "none")}))
    with pytest.raises(DatasetError, match=r"condition base: .*gone cannot be read"):
        find_videos(StudyPlan({"motive": a, "base": tmp_path / "gone"}))
    with pytest.raises(DatasetError, match="cannot be read"):
        find_videos(StudyPlan({"motive": a, "base": a / "p1.mp4"}))


def test_videos_of_no_prompt_are_left_out_aloud(tmp_path, caplog):
    a = folder_of(tmp_path / "a", "p1.mp4", "old.mp4")
    with caplog.at_level(logging.WARNING):
        prompts, videos = find_videos(StudyPlan({"x": a, "y": a}, prompts=[Prompt("p1")]))
    assert [prompt.id for prompt in prompts] == ["p1"]
    assert set(videos) == {("x", "p1"), ("y", "p1")}
    assert "1 videos belong to no prompt and are left out (old)" in caplog.text


def test_a_plan_file_counts_its_paths_from_itself(tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"id": "p1"}\n')
    path = tmp_path / "study.yaml"
    path.write_text(
        "conditions: {motive: out/m, base: out/b}\nprompts: prompts.jsonl\nmain: base\n"
        "annotators: 3\nchecks: 4\nseed: 7\nquestion: Which?\nevery_pairing: true\n"
    )
    plan = read_plan(path)
    assert plan.conditions == {"motive": tmp_path / "out/m", "base": tmp_path / "out/b"}
    assert plan.prompts == [Prompt("p1")]
    assert list(plan.annotators) == numbered_annotators(3)
    assert (plan.main, plan.checks, plan.seed, plan.every_pairing) == ("base", 4, 7, True)
    path.write_text("conditions: {a: x, b: y}\nannotators: [Anna, Ben]\n")
    assert read_plan(path).annotators == ["Anna", "Ben"]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("conditions: [a, b]", UsageError, "name the folders under conditions"),
        ("- 1", UsageError, "name the folders"),
        ("conditions: {a: x, b: y}\nsead: 1", UsageError, "'sead'; did you mean seed"),
        ("conditions: {a: x, b: y}\nseed: one", UsageError, "seed: 'one' is not a whole number"),
        ("conditions: {a: x, b: y}\nannotators: 0", UsageError, "at least one"),
        ("conditions: {a: x, b: y}\nannotators: true", UsageError, "is not a whole number"),
        ("conditions: {a: x\n", DatasetError, "not YAML"),
    ],
)
def test_a_broken_plan_file_is_refused(tmp_path, text, error, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(error, match=message):
        read_plan(path)


def test_a_condition_is_named_once():
    assert condition_folders([("a", "x"), ("b", "y")]) == {"a": Path("x"), "b": Path("y")}
    with pytest.raises(UsageError, match="'a' is given twice"):
        condition_folders([("a", "x"), ("a", "y")])
