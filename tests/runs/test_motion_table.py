"""A motion table has one row per entry, is never measured twice, and does not depend on how."""

import dataclasses
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from flagged_clips import SHAPE, flagged_clips
from interrupting import Interrupt
from motive.clips import Clip, ClipStandard, decode_clip
from motive.errors import DatasetError, FingerprintError, MotiveError, UsageError
from motive.motion import MotionConfig, MotionFacts, measure_motion
from motive.runs.motion_rows import SCHEMA, ClipMotion, most_moving_first, stored_facts, summarise
from motive.runs.motion_settings import MotionSettings
from motive.runs.motion_table import MotionTable, clear
from moving_squares import square_video, square_videos

SMALL = ClipStandard(frames=5, fps=8, height=32, width=32)
SETTINGS = MotionSettings(SMALL)
FAST = MotionSettings(SMALL, MotionConfig(tracker_options={"preset": "ultrafast"}))


def columns(found):
    return [row.columns() for row in found.rows]


def measured_here(monkeypatch):
    """Sources of the clips that are measured from now on."""
    import motive.runs.motion_table as module

    sources, original = [], module.measure_record

    def counted(work, record):
        sources.append(record.source)
        return original(work, record)

    monkeypatch.setattr(module, "measure_record", counted)
    return sources


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory):
    """The table of the six square videos."""
    return MotionTable(tmp_path_factory.mktemp("whole"), SETTINGS, workers=1).measure(videos)


def test_every_fact_of_a_clip_is_a_column(whole, videos, tmp_path):
    table = MotionTable(tmp_path, SETTINGS, workers=1)
    found = table.measure(videos)
    stored = pq.read_table(table.parquet)
    assert stored.schema.names == SCHEMA.names
    assert stored.to_pylist() == columns(found) == columns(whole)
    row = found.rows[3]
    assert (row.error, row.record.caption, row.name) == (None, "square number 3", "square3.mp4")
    decoded = decode_clip(Clip(row.record.source), SMALL)
    expected = measure_motion(decoded.pixels, SETTINGS.config).facts
    assert row.facts == expected
    assert {f.name for f in dataclasses.fields(MotionFacts)} <= set(SCHEMA.names)
    assert row.columns()["object_motion"] == expected.object_magnitude * expected.moving_area
    assert (row.columns()["seconds"], row.columns()["source_fps"]) == (0.75, 8.0)
    assert (row.columns()["source_width"], row.columns()["tracker"]) == (32, "dis")
    metadata = stored.schema.metadata[b"motive.fingerprint"].decode()
    assert metadata == SETTINGS.fingerprint.to_json()


def test_two_processes_give_the_rows_of_one(whole, videos, tmp_path):
    found = MotionTable(tmp_path, SETTINGS, workers=2).measure(videos, overlays=None, strips=True)
    assert columns(found) == columns(whole)
    assert len(list((tmp_path / "overlays").glob("*.mp4"))) == 6
    assert len(list((tmp_path / "strips").rglob("*.jpg"))) == 6


def test_an_interrupted_table_continues_where_it_stopped(whole, videos, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        MotionTable(tmp_path, SETTINGS, workers=1, on_progress=Interrupt(4)).measure(videos)
    sources = measured_here(monkeypatch)
    found = MotionTable(tmp_path, SETTINGS, workers=1).measure(videos)
    assert (found.measured, found.reused, len(sources)) == (2, 4, 2)
    assert columns(found) == columns(whole)


def test_a_killed_process_loses_at_most_the_clip_in_hand(whole, videos, tmp_path):
    code = """if True:
        import os, signal, sys
        from motive.clips import ClipStandard
        from motive.runs.motion_settings import MotionSettings
        from motive.runs.motion_table import MotionTable
        def die(stage, done, total):
            if done == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        settings = MotionSettings(ClipStandard(frames=5, fps=8, height=32, width=32))
        MotionTable(sys.argv[1], settings, workers=1, on_progress=die).measure(sys.argv[2])
    """
    arguments = [str(tmp_path / "motion"), str(videos)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert not (tmp_path / "motion" / "motion.parquet").exists()
    found = MotionTable(tmp_path / "motion", SETTINGS, workers=1).measure(videos)
    assert (found.measured, found.reused) == (3, 3)
    assert columns(found) == columns(whole)


def test_a_second_call_measures_nothing_and_writes_no_row(videos, tmp_path, monkeypatch):
    table = MotionTable(tmp_path, SETTINGS, workers=1)
    table.measure(videos, overlays=2, strips=True)
    sources = measured_here(monkeypatch)
    monkeypatch.setattr("motive.runs.entries.file_digest", None)  # nor are files read again
    versions = len(list((tmp_path / "motion.lance" / "data").iterdir()))
    found = table.measure(videos, overlays=2, strips=True)
    assert (sources, found.measured, found.reused) == ([], 0, 6)
    assert len(list((tmp_path / "motion.lance" / "data").iterdir())) == versions


def test_rows_do_not_depend_on_order_and_a_moved_data_set_costs_nothing(
    whole, videos, tmp_path, monkeypatch
):
    first = shutil.copytree(videos, tmp_path / "first")
    clips = MotionTable(tmp_path / "a", SETTINGS, workers=1).measure(first).clips
    second = first.rename(tmp_path / "second")
    sources = measured_here(monkeypatch)
    found = MotionTable(tmp_path / "a", SETTINGS, workers=1).measure(second)
    assert sources == []
    assert [row.record.source for row in found.rows] == sorted(map(str, second.glob("*.mp4")))
    assert [row.facts for row in found.rows] == [row.facts for row in whole.rows]
    moved = [dataclasses.replace(c, source=c.source.replace("first", "second")) for c in clips]
    back = MotionTable(tmp_path / "b", SETTINGS, workers=1).measure(moved[::-1])
    assert [row.facts for row in back.rows[::-1]] == [row.facts for row in whole.rows]


def test_other_settings_are_refused_by_name_until_the_folder_is_cleared(videos, tmp_path):
    MotionTable(tmp_path, SETTINGS, workers=1).measure(videos, overlays=1, strips=True)
    (tmp_path / "overlays" / "mine.mp4").write_bytes(b"kept")
    with pytest.raises(FingerprintError, match="--restart") as caught:
        MotionTable(tmp_path, FAST)
    assert 'motion.tracker.preset is "ultrafast" now and was "medium"' in str(caught.value)
    with pytest.raises(FingerprintError, match=r"standard\.frames is 4 now and was 5"):
        MotionTable(tmp_path, SETTINGS.updated(frames=4))
    assert MotionTable(tmp_path).settings == SETTINGS  # without any, those of the folder
    clear(tmp_path)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["mine.mp4"]
    assert MotionTable(tmp_path, FAST, workers=1).measure(videos).measured == 6


def test_clips_that_fail_keep_their_row_with_the_reason(tmp_path, monkeypatch):
    data = square_videos(tmp_path / "data", (1,))
    (data / "empty.mp4").write_bytes(b"")
    (data / "text.mp4").write_text("not a video")
    square_video(data / "one.mp4", 2, frames=1)
    whole = square_video(tmp_path / "whole.mp4", 4, frames=60).read_bytes()
    (data / "cut-off.mp4").write_bytes(whole[: len(whole) // 2])
    clips = [
        *(Clip(str(path)) for path in sorted(data.glob("*.mp4"))),
        Clip(str(data / "absent.mp4")),
        Clip("", row=7),
        Clip(str(data / "square1.mp4"), start=3, end=2),
    ]
    table = MotionTable(tmp_path / "motion", SETTINGS, workers=1)
    found = table.measure(clips)
    reasons = {row.name.split()[0]: row.error for row in found.rows if row.error}
    expected = {
        "cut-off.mp4": "damaged at", "empty.mp4": "empty file", "text.mp4": "not a video",
        "one.mp4": "too short", "absent.mp4": "file not found", "(no": "row 7",
        "square1.mp4": "not after start",
    }  # fmt: skip
    assert reasons.keys() == expected.keys()
    for name, part in expected.items():
        assert part in reasons[name]
        assert "\n" not in reasons[name]
    assert [row.facts is None for row in found.rows].count(False) == 1
    assert found.rows[2].columns()["seconds"] == pytest.approx(1 / 8)  # known though too short
    assert [row["error"] for row in pq.read_table(table.parquet).to_pylist()] == [
        row.error for row in found.rows
    ]
    sources = measured_here(monkeypatch)
    square_video(data / "empty.mp4", 5)  # mended: tried again, and so is what may be mended
    again = MotionTable(tmp_path / "motion", SETTINGS, workers=1).measure(clips)
    assert again.measured == 1
    assert str(data / "square1.mp4") not in sources


def test_duplicates_have_their_row_and_are_measured_once(tmp_path, monkeypatch):
    data = square_videos(tmp_path / "data", (1, 2))
    for suffix in (".mp4", ".txt"):
        shutil.copy(data / f"square1{suffix}", data / f"twin{suffix}")
    sources = measured_here(monkeypatch)
    found = MotionTable(tmp_path / "motion", SETTINGS, workers=1).measure(data, overlays=3)
    assert len(sources) == 2
    twin = found.rows[2]
    assert (twin.duplicate_of, twin.flags[-1]) == (found.rows[0].record.source, "duplicate")
    assert twin.facts == found.rows[0].facts
    assert twin.columns()["status"] == "duplicate"
    assert len(list((tmp_path / "motion" / "overlays").iterdir())) == 2
    (data / "square1.mp4").write_bytes(b"nothing")
    (data / "twin.mp4").write_bytes(b"nothing")
    again = MotionTable(tmp_path / "motion", SETTINGS, workers=1).measure(data)
    assert [row.error is None for row in again.rows] == [False, True, False]
    assert "the same clip as" in again.rows[2].error


def test_a_clip_that_changes_is_measured_again(tmp_path):
    path = square_video(tmp_path / "a.mp4", 1)
    table = MotionTable(tmp_path / "motion", SETTINGS, workers=1)
    before = table.measure(path).rows[0].facts
    square_video(path, 3)
    again = table.measure(path)
    assert again.measured == 1
    assert again.rows[0].facts != before


def test_overlays_are_made_for_the_most_moving_clips_and_once(videos, tmp_path, monkeypatch):
    table = MotionTable(tmp_path, SETTINGS, workers=1)
    found = table.measure(videos, overlays=2)
    most = [row.record for row in most_moving_first(found.rows)[:2]]
    made = {path.name for path in (tmp_path / "overlays").iterdir()}
    assert made == {table.work().overlay_path(record).name for record in most}
    sources = measured_here(monkeypatch)
    table.measure(videos, overlays=3)
    assert len(sources) == 1


def test_overlays_inside_the_data_set_are_not_taken_for_clips(videos, tmp_path, caplog):
    data = shutil.copytree(videos, tmp_path / "data")
    for _ in range(2):
        found = MotionTable(data / "motion", SETTINGS, workers=1).measure(data, overlays=None)
        assert len(found.rows) == 6
    assert "6 overlay videos left out" in caplog.text


def test_memory_of_a_table_is_its_rows_not_its_pixels(tmp_path):
    # One frame of flow alone would take 32 kB.
    path = square_video(tmp_path / "a.mp4", 1, size=(64, 64))
    found = MotionTable(tmp_path / "motion", SETTINGS, workers=1).measure(path)
    assert len(pickle.dumps(found)) < 8_000


def test_a_still_clip_a_pan_and_a_cut_are_flagged(tmp_path):
    data = flagged_clips(tmp_path / "data")
    found = MotionTable(tmp_path / "motion", MotionSettings(SHAPE), workers=1).measure(data)
    rows = {row.name: row for row in found.rows}
    assert "cut" in rows["cut.mp4"].flags
    assert rows["pan.mp4"].flags == ("camera-only",)
    assert rows["still.mp4"].flags == ("static",)
    assert rows["walk.mp4"].flags == ()
    assert most_moving_first(found.rows)[0] is rows["walk.mp4"]
    count = summarise(found.rows)
    assert (count.clips, count.failed, count.unflagged, count.cameras["pan"]) == (4, 0, 1, 1)


def test_rows_without_the_settings_they_were_made_with_are_refused(videos, tmp_path):
    MotionTable(tmp_path, SETTINGS, workers=1).measure(videos / "square1.mp4")
    (tmp_path / "motion.yaml").unlink()
    with pytest.raises(MotiveError, match=r"motion\.lance but no motion\.yaml"):
        MotionTable(tmp_path, SETTINGS)


def test_no_clip_and_no_worker_is_wrong_use(tmp_path):
    with pytest.raises(DatasetError, match="no clips"):
        MotionTable(tmp_path, SETTINGS).measure([])
    with pytest.raises(UsageError, match="at least 1"):
        MotionTable(tmp_path, SETTINGS, workers=0)


@pytest.mark.parametrize(
    "text", ["options: [", "data: x\n", "fingerprint: {a: 1}\noptions: {q: 1}\n"]
)
def test_a_settings_file_that_is_none_is_one_line(tmp_path, text):
    (tmp_path / "motion.yaml").write_text(text)
    with pytest.raises(MotiveError, match=r"motion\.yaml") as caught:
        MotionTable(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a folder one cannot write")
def test_a_folder_that_cannot_be_written_is_one_line(videos, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(MotiveError, match="cannot be written"):
        MotionTable(tmp_path / "m", SETTINGS, workers=1).measure(videos)


def test_stored_facts_come_back_as_they_were(whole):
    row = whole.rows[1]
    record = dataclasses.replace(row.record, motion=json.loads(json.dumps(row.record.motion)))
    assert ClipMotion(record).facts == row.facts
    assert stored_facts(row.facts) == record.motion["facts"]
