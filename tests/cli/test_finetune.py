"""`motive finetune` and `motive generate` as people type them."""

import json
import shutil

import pytest

from motive.clips import read_dataset
from motive.runs import Run

QUICK = ["--steps", 2, "--batch", 2, "--lr", "1e-3", "--device", "cpu"]


def test_a_run_is_trained_on_its_selection_with_its_model_and_cache(
    motive, run, tmp_path, monkeypatch
):
    def decoded(*_args, **_kwargs):
        raise AssertionError("the run's cache was not used")

    monkeypatch.setattr("motive.backbones.encoding.decode_unchanged", decoded)
    out = tmp_path / "tuned"
    found = motive("finetune", "--data", run, "--out", out, *QUICK)
    assert found.code == 0, found.err
    assert "2 updates on 3 clips (2 now, 0 already there)" in found.out
    assert f"next: motive generate --model {out / 'pipeline'} --prompts" in found.out
    assert "training: 2/2" in found.err
    again = motive("finetune", "--data", run, "--out", out, *QUICK, "--json").json
    assert (again["steps"], again["resumed_at"], again["clips"]) == (2, 2, 3)
    selected = (run / "selection.csv").read_text().splitlines()
    one = tmp_path / "one.csv"
    one.write_text("\n".join(selected[:2]) + "\n")
    other = motive(
        "finetune", "--data", run, "--selection", one, "--out", tmp_path / "b", *QUICK, "--json"
    ).json
    assert other["clips"] == 1


def test_a_list_is_trained_on_and_the_result_generates(motive, world, run, tmp_path):
    (tmp_path / "prompts.txt").write_bytes(
        b"\xef\xbb\xbfsquare number 1\r\n\r\nsquare number 2\r\n"
    )
    out = tmp_path / "tuned"
    found = motive(
        "finetune", "--model", world / "model", "--data", run / "selection.jsonl", "--out", out,
        "--held-out", world / "queries", "--samples", tmp_path / "prompts.txt",
        "--sample-steps", 1, "--held-out-every", 1, *QUICK, "--json",
    ).json  # fmt: skip
    assert [step for step, _ in found["held_out"]] == [0, 1, 2]
    assert (out / "index.html").is_file()
    made = motive(
        "generate", "--model", found["pipeline"], "--prompts", tmp_path / "prompts.txt",
        "--out", tmp_path / "v", "--seeds", "0,3", "--steps", 1, "--guidance", 1,
    )  # fmt: skip
    assert made.code == 0, made.err
    assert "4 videos in" in made.out
    assert "blank rows left out: 1 (row 2)" in made.out
    assert [clip.extra["seed"] for clip in read_dataset(tmp_path / "v")] == [0, 3, 0, 3]
    again = motive(
        "generate", "--model", found["pipeline"], "--prompts", tmp_path / "prompts.txt",
        "--out", tmp_path / "v", "--seeds", "0,3", "--steps", 1, "--guidance", 1, "--json",
    ).json  # fmt: skip
    assert (again["made"], again["reused"]) == (0, 4)


def test_embedded_models_generate_by_name(motive, tmp_path):
    (tmp_path / "p.txt").write_text("a red ball rolls\n")
    for name in ("wan-nano", "wan-nano-base"):
        out = tmp_path / name
        found = motive(
            "generate", "--model", name, "--prompts", tmp_path / "p.txt", "--out", out,
            "--steps", 1, "--guidance", 1, "--device", "cpu", "--json",
        ).json  # fmt: skip
        assert found["made"] == 1
        assert json.loads((out / "generation.json").read_text())["model"] == name


WRONG_USE = [
    (["finetune", "--data", "RUN"], "out"),
    (["finetune", "--data", "RUN", "--out", "NEW", "--lora", "0"], "--lora 0: must be"),
    (
        ["finetune", "--data", "DATA", "--out", "NEW", "--selection", "x.csv"],
        "only with --data RUN",
    ),
    (["finetune", "--data", "RUN", "--out", "NEW", "--selection", "NEW"], "no selection yet"),
    (["finetune", "--data", "RUN", "--out", "NEW", "--density", "x"], "choose one of uniform"),
    (["generate", "--prompts", "P", "--out", "NEW", "--seeds", "a"], "--seeds a: give whole"),
    (["generate", "--prompts", "P", "--out", "NEW", "--naming", "x"], "--naming x: choose one"),
]
FAILED = [
    (["finetune", "--data", "NOWHERE", "--out", "NEW"], "no such file or folder"),
    (["finetune", "--model", "DATA", "--data", "DATA", "--out", "NEW"], "no model_index.json"),
    (["generate", "--prompts", "NOWHERE", "--out", "NEW"], "no such file; give a list of prompts"),
    (["generate", "--model", "DATA", "--prompts", "P", "--out", "NEW"], "no model_index.json"),
]


@pytest.mark.parametrize(
    ("arguments", "reason", "code"),
    [(*case, 2) for case in WRONG_USE] + [(*case, 1) for case in FAILED],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_one_line_with_the_right_exit_code(
    motive, world, finished, tmp_path, arguments, reason, code
):
    (tmp_path / "p.txt").write_text("a ball\n")
    names = {
        "RUN": finished, "NEW": tmp_path / "new", "DATA": world / "videos",
        "NOWHERE": tmp_path / "nowhere", "P": tmp_path / "p.txt",
    }  # fmt: skip
    found = motive(*(names.get(part, part) for part in arguments))
    assert reason in found.error(code)
    assert not (tmp_path / "new").exists()


def test_a_selection_that_names_missing_clips_is_refused(motive, world, run, tmp_path):
    moved = shutil.copytree(world / "videos", tmp_path / "videos")
    rows = [{"video": str(path), "prompt": path.stem} for path in sorted(moved.glob("*.mp4"))]
    listing = tmp_path / "selection.jsonl"
    listing.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (moved / "square2.mp4").unlink()
    options = ["finetune", "--model", world / "model", "--data", listing, "--out", tmp_path / "t"]
    line = motive(*options, *QUICK).error(1)
    assert "1 of 6 clips cannot be trained on" in line
    assert "square2.mp4: file not found" in line
    found = motive(*options, *QUICK, "--skip-unusable")
    assert found.code == 0, found.err
    assert "1 not usable:" in found.out
    strange = tmp_path / "strange.csv"
    strange.write_text("clip_id\n" + "0" * 32 + "\n")
    line = motive("finetune", "--data", run, "--selection", strange, "--out", tmp_path / "u").error(
        2
    )
    assert "1 of 1 clips are not in this run" in line
    assert Run(run).config.model
