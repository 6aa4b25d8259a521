"""`motive study` from the plan to the report."""

import json
import os
import signal
import subprocess
import sys

import pytest

from motive.study import StudyStore, Vote
from study_world import Client, condition_folders, small_prompts


@pytest.fixture
def videos(tmp_path):
    prompts = small_prompts(2)
    folders = condition_folders(tmp_path, ("motive", "base"), prompts)
    rows = [{"id": p.id, "prompt": p.text, "motion": p.motion} for p in prompts]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [f"{name}={folder}" for name, folder in folders.items()]


@pytest.fixture
def made(motive, videos, tmp_path):
    """A study folder made on the command line."""
    folder = tmp_path / "studies" / "a"
    prompts = tmp_path / "prompts.jsonl"
    made = motive("study", "new", folder, "--conditions", *videos, "--prompts", prompts,
                  "--annotators", "2")  # fmt: skip
    assert made.code == 0, made.err
    assert "4 pairs (checks included) for each of 2 annotators" in made.out
    assert f"next: motive study serve {folder}" in made.out
    return folder


@pytest.mark.parametrize("verb", ["new", "links", "serve", "report"])
def test_every_verb_explains_itself_with_an_example(motive, verb):
    found = motive("study", verb, "--help")
    assert found.code == 0
    assert f"motive study {verb}" in found.out.split("For example:")[1]
    assert "--json" in found.out


def test_a_study_from_a_plan_file_with_options_on_top(motive, videos, tmp_path):
    plan = tmp_path / "study.yaml"
    folders = dict(entry.split("=") for entry in videos)
    plan.write_text(json.dumps({"conditions": folders, "annotators": ["anna"], "checks": 0}))
    found = motive("study", "new", tmp_path / "s", "--plan", plan, "--checks", "3", "--json")
    assert found.json == {
        "study": str(tmp_path / "s"), "pairs": 5, "annotators": ["anna"], "warnings": [],
    }  # fmt: skip


def test_links_are_shown_and_annotators_added(motive, made):
    found = motive("study", "links", made, "--add", "clara", "--json").json
    assert [a["name"] for a in found["annotators"]] == ["annotator-01", "annotator-02", "clara"]
    assert all(a["link"].startswith("http://127.0.0.1:8765/a/") for a in found["annotators"])
    found = motive("study", "links", made, "--url", "https://study.example.org/")
    assert found.out.count("https://study.example.org/a/") == 3
    assert found.out.count("?token=") == 3


def test_a_report_is_printed_and_written(motive, made):
    assert "nobody has judged anything yet" in motive("study", "report", made).error(2)
    with StudyStore(made) as store:
        for person in store.annotators():
            while trial := store.standing(person.name).current:
                store.vote(person.name, trial.id, Vote(f"key-{trial.id}", "left"))
    found = motive("study", "report", made)
    assert found.code == 0
    assert "4 judgements by 2 of 2 annotators" in found.out
    assert "motive against base: win 50.0 %" in found.out
    assert "Bradley-Terry" in found.out
    assert "attention checks, counted" in found.out
    assert (made / "report" / "index.html").is_file()
    values = motive("study", "report", made, "--out", made.parent / "r", "--json").json
    assert values["comparisons"] == 4
    assert values["files"][1] == str(made.parent / "r" / "results.csv")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["new", "s"], 2, "what is compared?"),
        (["new", "s", "--conditions", "base"], 2, "write NAME=VALUE"),
        (["new", "s", "--conditions", "motive=gone"], 2, "at least two conditions"),
        (["new", "s", "--conditions", "a=gone", "b=gone"], 1, "condition a: gone cannot be read"),
        (["new", "s", "--plan", "gone.yaml"], 1, "gone.yaml: cannot be read"),
        (["new", "s", "--plan", "p.yaml", "--conditions", "a=b"], 2, "give either"),
        (["serve", "gone"], 2, "gone: holds no study"),
        (["links", "gone"], 2, "gone: holds no study"),
        (["report", "gone"], 2, "gone: holds no study"),
    ],
)
def test_wrong_use_is_one_line(motive, arguments, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in motive("study", *arguments).error(code)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_a_served_study_answers_and_stops_without_a_fuss(made):
    # A shell in the background hands on that Ctrl+C is ignored; a terminal does not.
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from motive.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, "study", "serve", str(made), "--port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    facts = json.loads(process.stdout.readline())
    client = Client(facts["address"])
    path = facts["annotators"][0]["link"].removeprefix(facts["address"])
    assert client.ask(path)[0] == 200
    client.close()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors.strip() == "stopped; serve it again and the same links continue"
