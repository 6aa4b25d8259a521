"""Lists of prompts as people have them: blanks, marks, line ends, encodings, repetitions."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.errors import DatasetError
from motive.generation import Prompt, read_prompts

TEXTS = ["a red ball rolls", "eine Kugel fällt, langsam", "un café tourne"]


def texts(found):
    return [prompt.text for prompt in found.prompts]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_line_ends_and_encodings_do_not_matter(tmp_path, end, encoding):
    path = tmp_path / "prompts.txt"
    path.write_bytes((end.join(TEXTS) + end).encode(encoding))
    found = read_prompts(path)
    assert texts(found) == TEXTS
    assert found.blanks == found.duplicates == ()


def test_windows_text_is_read_and_said_to_be_guessed(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes("\r\n".join(TEXTS).encode("cp1252"))
    found = read_prompts(path)
    assert texts(found) == TEXTS
    assert found.notes() == ["the list is not UTF-8; read as cp1252"]


def test_blanks_and_repetitions_are_reported(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n a ball \n\n\t\na cube\na ball\n  a cube  \n\n")
    found = read_prompts(path)
    assert [(prompt.text, prompt.row) for prompt in found.prompts] == [("a ball", 2), ("a cube", 5)]
    assert found.blanks == (1, 3, 4, 8)
    assert found.duplicates == ((6, 2), (7, 5))
    assert found.notes() == [
        "blank rows left out: 4 (row 1, 3, 4, 8)",
        "repeated prompts, used once: 2 (row 6, 7)",
    ]


def test_tables_keep_their_other_columns(tmp_path):
    rows = [{"Prompt": text, "motion": "roll", "n": 1} for text in TEXTS]
    table = tmp_path / "prompts.csv"
    table.write_text("Prompt,motion,n\n" + "".join(f'"{r["Prompt"]}",roll,1\n' for r in rows))
    lines = tmp_path / "prompts.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    array = tmp_path / "prompts.json"
    array.write_text(json.dumps(rows))
    for path, number in ((table, "1"), (lines, 1), (array, 1)):
        found = read_prompts(path)
        assert texts(found) == TEXTS
        assert found.prompts[0].facts == {"motion": "roll", "n": number}


def test_json_may_hold_plain_texts_and_vbench_names(tmp_path):
    path = tmp_path / "all.json"
    path.write_text(json.dumps([{"prompt_en": "a", "dimension": ["x"]}, "b", {"caption": "c"}]))
    assert texts(read_prompts(path)) == ["a", "b", "c"]
    path = tmp_path / "all.jsonl"
    path.write_text('"a"\n\n{"text": "b"}\n')
    assert [(p.text, p.row) for p in read_prompts(path).prompts] == [("a", 1), ("b", 3)]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("p.txt", b"", "no prompt in it"),
        ("p.txt", b"\xef\xbb\xbf\r\n \r\n", "no prompt in it"),
        ("p.csv", b"", "no prompt in it"),
        ("p.csv", b"prompt\n", "no prompt in it"),
        ("p.csv", b"wish,n\nball,1\n", r"no column holds a prompt \(found: wish, n\)"),
        ("p.csv", b"prompt\na, b\n", "more fields than the header"),
        ("p.json", b"{", "not JSON"),
        ("p.json", b'{"prompt": "a"}', "holds no list"),
        ("p.json", b"[1]", "row 1 is neither a text nor an object"),
        ("p.jsonl", b'"a"\nnonsense\n', "line 2 is not JSON"),
        ("p.txt", bytes(range(256)), "no text file"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_line(tmp_path, name, content, match):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=match) as caught:
        read_prompts(path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_list_is_one_line(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        read_prompts(tmp_path / "none.txt")
    with pytest.raises(DatasetError, match="no prompt"):
        read_prompts([])


@settings(deadline=None)
@given(st.lists(st.text(" ab\t\u2028é", max_size=3), max_size=8))
def test_every_row_is_a_prompt_a_blank_or_a_repetition(rows):
    try:
        found = read_prompts(rows)
    except DatasetError:
        assert not any(row.strip() for row in rows)
        return
    used = [prompt.row for prompt in found.prompts]
    repeated = [row for row, _ in found.duplicates]
    assert sorted([*used, *found.blanks, *repeated]) == list(range(1, len(rows) + 1))
    assert len(set(texts(found))) == len(used)
    assert all(first in used for _, first in found.duplicates)


def test_prompts_with_facts_can_be_given_directly():
    found = read_prompts([Prompt("a ball", 1, {"motion": "roll"}), "a cube"])
    assert found.prompts[0].facts == {"motion": "roll"}
