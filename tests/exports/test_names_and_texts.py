"""Names that every system takes, and texts that every parser reads."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from motive.clips import Clip
from motive.exports import Item
from motive.exports.names import file_names
from motive.exports.texts import toml_string

RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(10)), "lpt1"}


@given(st.lists(st.text(max_size=300), min_size=1, max_size=8), st.booleans())
def test_names_are_unique_plain_and_short_for_any_source(stems, opaque):
    items = [
        Item(Clip("/data/" + stem.replace("/", "_").replace("\0", "") + ".mp4"), f"{n:032x}")
        for n, stem in enumerate(stems)
    ]
    names = file_names(items, opaque=opaque)
    assert len({name.casefold() for name in names}) == len(items)
    for name in names:
        assert name.isascii()
        assert name.replace("-", "").replace("_", "").isalnum()
        assert len(name) < 100
        assert name.casefold() not in RESERVED
        assert not name.startswith("-")


def test_a_name_depends_on_the_clip_and_not_on_its_rank():
    one, two = (Item(Clip(f"/{name}.mp4"), name * 32) for name in "ab")
    assert (
        file_names([one, two])
        == file_names([two, one])[::-1]
        == ["a-aaaaaaaaaaaa", "b-" + "b" * 12]
    )


def test_ids_that_begin_alike_are_told_apart():
    items = [Item(Clip("/v.mp4"), "0" * 31 + end) for end in "12"]
    assert file_names(items) == ["v-" + "0" * 31 + "1", "v-" + "0" * 31 + "2"]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_toml_strings_come_back_and_are_ascii(text):
    written = toml_string(text)
    assert written.isascii()
    assert "\n" not in written
    assert tomllib.loads(f"key = {written}") == {"key": text}
