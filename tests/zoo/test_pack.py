"""The clips inside the package."""

import json
import zipfile
from collections import Counter

import pytest

from motive.clips import read_dataset
from motive.errors import DatasetError
from motive.zoo import pack
from motive.zoo.make import MOTIONS


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    return pack.unpack_demo_clips(tmp_path_factory.mktemp("demo") / "motionzoo")


def test_the_shipped_clips_are_enough_for_the_demo_and_balanced(unpacked):
    train, queries = (read_dataset(unpacked / name) for name in ("candidates", "queries"))
    assert len(train) >= 400
    assert len(queries) >= 50
    for clips in (train, queries):
        counts = Counter(clip.label for clip in clips if clip.extra["decoy"] is None)
        assert set(counts) == set(MOTIONS)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert all(clip.caption for clip in train + queries)


def test_every_kind_of_decoy_is_among_the_candidates_and_none_among_the_queries(unpacked):
    decoys = Counter(
        clip.extra["decoy"] for clip in read_dataset(unpacked / "candidates") if clip.extra["decoy"]
    )
    assert decoys == {"static": 14, "camera": 14, "corner": 14}
    assert not any(clip.extra["decoy"] for clip in read_dataset(unpacked / "queries"))


def test_no_query_is_a_training_clip(unpacked):
    train, queries = (read_dataset(unpacked / name) for name in ("candidates", "queries"))
    assert not {clip.id for clip in train} & {clip.id for clip in queries}
    assert len({clip.id for clip in train}) == len(train)


def test_unpacking_again_touches_nothing(unpacked):
    path = next((unpacked / "candidates" / "clips").glob("*.mp4"))
    before = path.stat().st_mtime_ns
    assert pack.unpack_demo_clips(unpacked) == unpacked
    assert path.stat().st_mtime_ns == before


def test_packing_the_same_clips_gives_the_same_bytes(tmp_path, unpacked):
    archives = []
    for name in ("a.zip", "b.zip"):
        pack.pack_clips({"queries": unpacked / "queries"}, tmp_path / name)
        archives.append((tmp_path / name).read_bytes())
    assert archives[0] == archives[1]
    rows = zipfile.ZipFile(tmp_path / "a.zip").read("queries/metadata.jsonl").decode()
    assert len([json.loads(line) for line in rows.splitlines()]) == 50


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt"])
def test_an_archive_that_points_outside_is_refused(tmp_path, name):
    archive = tmp_path / "bad.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, "x")
    with pytest.raises(DatasetError, match="unsafe path"):
        pack._extract(archive, tmp_path / "out")
    assert not list(tmp_path.rglob("evil.txt"))


def test_a_damaged_archive_is_one_line(tmp_path):
    archive = tmp_path / "bad.zip"
    archive.write_bytes(b"not a zip")
    with pytest.raises(DatasetError, match="damaged archive"):
        pack._extract(archive, tmp_path / "out")
