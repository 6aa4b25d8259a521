"""Features and clip records come back as they were written, under one fingerprint."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.errors import FingerprintError, MotiveError
from motive.index import (
    ClipRecord,
    FeatureRow,
    FeatureStore,
    Fingerprint,
    Manifest,
    differing_fields,
)

HERE = Fingerprint({"model": {"vae": "ab"}, "objective": {"timesteps": [751.0], "mask": True}})


def row(name, value=1.0, dim=4):
    vector = np.zeros(dim, np.float32)
    vector[int(value) % dim] = 1.0
    return FeatureRow(name, vector, value, 2 * value, 3 * value, 0.1)


def store(tmp_path, dim=4, fingerprint=HERE):
    return FeatureStore(tmp_path / "index.lance", dim, fingerprint)


def test_features_are_loaded_in_the_order_asked_for(tmp_path):
    features = store(tmp_path)
    features.append([row("c", 3), row("a", 1)])
    features.append([row("b", 2)])
    table = features.load(["b", "c"])
    assert table.ids == ["b", "c"]
    assert table.projected_norms.tolist() == [2.0, 3.0]
    assert table.vectors.argmax(axis=1).tolist() == [2, 3]
    assert table.vectors.dtype == np.float32
    assert features.load().ids == ["a", "b", "c"]


def test_features_survive_the_disk_bit_for_bit(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((7, 32)).astype(np.float32)
    features = store(tmp_path, 32)
    for number, vector in enumerate(vectors):
        features.append([FeatureRow(f"{number}", vector, 1.0, 1.0, 1.0, 1.0)])
        features.append([FeatureRow(f"bad{number}", error="no motion")])
    features.table.compact()
    np.testing.assert_array_equal(store(tmp_path, 32).load().vectors, vectors)


def test_the_parameter_table_is_stored_with_the_first_feature(tmp_path):
    features = store(tmp_path)
    assert features.parameters() is None
    features.describe_parameters('[["weight",[3,4]]]')
    assert features.parameters() is None  # nothing is stored before there is a feature
    features.append([row("a")])
    again = store(tmp_path)
    assert again.parameters() == '[["weight",[3,4]]]'
    assert again.load().ids == ["a"]


def test_features_stored_without_a_parameter_table_can_still_be_added_to(tmp_path):
    store(tmp_path).append([row("a")])
    features = store(tmp_path)
    features.describe_parameters("[]")
    features.append([row("b")])
    assert store(tmp_path).load().ids == ["a", "b"]


def test_a_missing_feature_is_an_error_with_its_id(tmp_path):
    features = store(tmp_path)
    features.append([row("a"), FeatureRow("still", error="gradient is zero")])
    for name in ("still", "other"):
        with pytest.raises(MotiveError, match=f"no feature for 1 clips, first {name}"):
            features.load(["a", name])


def test_error_rows_are_known_but_not_loaded(tmp_path):
    features = store(tmp_path)
    features.append([row("a"), FeatureRow("still", error="gradient is zero")])
    assert features.ids() == {"a", "still"}
    assert features.errors() == {"still": "gradient is zero"}
    assert features.load().ids == ["a"]


def test_a_clip_written_twice_counts_once_and_its_first_row_holds(tmp_path):
    features = store(tmp_path)
    features.append([row("a", 1), row("b", 2), row("a", 3)])
    features.append([FeatureRow("b", error="a worker had no memory left")])
    assert features.load().projected_norms.tolist() == [1.0, 2.0]
    assert features.errors() == {}


def test_an_empty_store_loads_nothing(tmp_path):
    features = store(tmp_path)
    assert (features.ids(), features.errors()) == (set(), {})
    assert features.load().vectors.shape == (0, 4)
    features.append([FeatureRow("still", error="gradient is zero")])
    assert features.load().vectors.shape == (0, 4)


def test_another_fingerprint_is_refused_with_the_field(tmp_path):
    store(tmp_path).append([row("a")])
    other = Fingerprint({"model": {"vae": "ab"}, "objective": {"timesteps": [5.0], "mask": True}})
    with pytest.raises(FingerprintError) as error:
        store(tmp_path, fingerprint=other)
    text = str(error.value)
    assert "objective.timesteps is [5.0] here and [751.0] there" in text
    assert "mask" not in text
    assert "\n" not in text
    assert store(tmp_path).ids() == {"a"}


def test_fingerprints_name_every_differing_field_and_no_other():
    here = {"a": {"x": 1, "y": [1, 2]}, "b": "same", "only_here": 1.5}
    there = {"a": {"x": 2, "y": [1, 2]}, "b": "same", "only_there": None, "c": True}
    assert differing_fields(here, there) == [
        ("a.x", "1", "2"),
        ("c", "absent", "true"),
        ("only_here", "1.5", "absent"),
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner),
    max_leaves=4,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(min_size=1), values, max_size=4))
def test_a_fingerprint_equals_itself_after_a_round_trip(content):
    here = Fingerprint(content)
    again = Fingerprint.from_json(here.to_json())
    again.require_same(here, "index.lance")
    assert again.digest == here.digest


def test_tuples_and_lists_and_whole_numbers_are_the_same_setting():
    assert differing_fields({"t": (751.0,), "fps": 16}, {"t": [751], "fps": 16.0}) == []


def test_records_come_back_whole(tmp_path):
    record = ClipRecord(
        "train", "ab", "ok", "/a b/é.mp4", "cap\ntion 🎾", "spin", 1.5, None, 2, None,
        10, 1_700_000_000_123_456_789, "ff", (0.0, 0.1), 24.0, 64, 36, (0.0, 1.5, 2.0, 3.0),
        {"mean_magnitude": 0.1 + 0.2, "static": False},
    )  # fmt: skip
    manifest = Manifest(tmp_path / "clips.lance")
    manifest.append(record)
    assert manifest.records() == [record]
    assert manifest.records("train") == [record]
    assert manifest.records("query") == []


def test_the_latest_record_of_an_entry_holds_and_its_history_stays(tmp_path):
    manifest = Manifest(tmp_path / "clips.lance")
    for clip_id, status, copy in (("x", "error", 0), ("y", "ok", 0), ("y", "duplicate", 1)):
        manifest.append(ClipRecord("train", clip_id, status, "/a.mp4", "c", copy=copy))
    manifest.append(ClipRecord("train", "z", "ok", "/a.mp4", "another caption"))
    manifest.append(ClipRecord("query", "y", "ok", "/a.mp4", "c"))
    found = [(r.clip_id, r.status) for r in manifest.records("train")]
    assert found == [("y", "ok"), ("y", "duplicate"), ("z", "ok")]
    assert len(manifest.history()) == 5
