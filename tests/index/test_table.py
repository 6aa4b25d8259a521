"""A Lance table survives what happens to it."""

from concurrent.futures import ThreadPoolExecutor

import lance
import pyarrow as pa
import pytest
from lance.dataset import DatasetOptimizer

from motive.errors import FingerprintError, MotiveError
from motive.index import LanceTable

SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())], metadata={"made.by": "a test"})


def filled(path, count=5):
    table = LanceTable(path, SCHEMA)
    for number in range(count):
        table.append([{"id": number, "name": f"row {number}"}])
    return table


def ids(path):
    return LanceTable(path, SCHEMA).read(["id"])["id"].to_pylist()


def test_rows_come_back_in_the_order_they_were_written(tmp_path):
    table = filled(tmp_path / "t.lance")
    table.append([{"id": 9, "name": None}, {"id": 7, "name": "é 🎾"}])
    assert ids(table.path) == [0, 1, 2, 3, 4, 9, 7]
    assert table.read().to_pylist()[-1] == {"id": 7, "name": "é 🎾"}
    assert table.metadata() == {"made.by": "a test"}


def test_an_empty_table_reads_as_no_rows_with_the_right_columns(tmp_path):
    table = LanceTable(tmp_path / "t.lance", SCHEMA)
    assert table.read().num_rows == 0
    assert table.read(["name"]).column_names == ["name"]
    assert table.metadata() == {}
    table.append([])
    table.compact()
    assert not table.path.exists()


def test_compaction_keeps_rows_order_and_metadata(tmp_path):
    table = filled(tmp_path / "t.lance", 30)
    assert len(lance.dataset(str(table.path)).get_fragments()) == 30
    table.compact()
    assert len(lance.dataset(str(table.path)).get_fragments()) == 1
    table.append([{"id": 30, "name": ""}])
    assert ids(table.path) == list(range(31))
    assert table.metadata() == {"made.by": "a test"}


def test_many_appends_compact_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr("motive.index.table._COMPACT_EVERY", 8)
    table = filled(tmp_path / "t.lance", 20)
    assert len(lance.dataset(str(table.path)).get_fragments()) <= 8
    assert ids(table.path) == list(range(20))


def test_a_folder_without_a_commit_counts_as_empty(tmp_path):
    path = tmp_path / "t.lance"
    (path / "data").mkdir(parents=True)
    (path / "_versions").mkdir()
    (path / "data" / "half.lance").write_bytes(b"half a file")
    assert ids(path) == []
    assert ids(filled(path, 2).path) == [0, 1]


def test_a_failed_append_leaves_the_rows_before_it(tmp_path, monkeypatch):
    table = filled(tmp_path / "t.lance", 3)

    def refuse(*_args, **_kwargs):
        raise OSError("LanceError(IO): No space left on device (os error 28), writer.rs:1")

    with monkeypatch.context() as patch:
        patch.setattr(lance, "write_dataset", refuse)
        with pytest.raises(MotiveError, match="the disk is full"):
            table.append([{"id": 3, "name": "lost"}])
    table.append([{"id": 4, "name": "kept"}])
    assert ids(table.path) == [0, 1, 2, 4]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MotiveError, match="cannot be written") as error:
        LanceTable(tmp_path / "file" / "t.lance", SCHEMA).append([{"id": 1, "name": ""}])
    assert "\n" not in str(error.value)


def test_failing_compaction_loses_nothing(tmp_path, monkeypatch, caplog):
    table = filled(tmp_path / "t.lance", 3)

    def refuse(*_args, **_kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(DatasetOptimizer, "compact_files", refuse)
    table.compact()
    assert "rows are safe" in caplog.text
    assert ids(table.path) == [0, 1, 2]


@pytest.mark.parametrize("part", ["_versions", "data"])
@pytest.mark.parametrize("left", [0, 10])
def test_damage_is_one_line_that_names_the_table(tmp_path, part, left):
    table = filled(tmp_path / "t.lance", 2)
    for file in (table.path / part).iterdir():
        file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(MotiveError, match="damaged data set") as error:
        LanceTable(table.path, SCHEMA).read()
    assert str(table.path) in str(error.value)
    assert "\n" not in str(error.value)


def test_columns_of_another_version_are_refused(tmp_path):
    filled(tmp_path / "t.lance")
    with pytest.raises(FingerprintError, match="use a new run folder"):
        LanceTable(tmp_path / "t.lance", pa.schema([("id", pa.int64())]))


def test_two_writers_at_once_lose_no_row(tmp_path):
    path = tmp_path / "t.lance"

    def write(worker):
        table = LanceTable(path, SCHEMA)
        for number in range(6):
            table.append([{"id": 100 * worker + number, "name": ""}])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    assert sorted(ids(path)) == [
        100 * worker + number for worker in range(3) for number in range(6)
    ]


def test_paths_with_spaces_and_signs_are_plain_paths(tmp_path):
    path = tmp_path / "my rün #1 100%?é" / "t.lance"
    assert ids(filled(path, 2).path) == [0, 1]
    assert path.is_dir()
