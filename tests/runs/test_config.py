"""`config.yaml` is enough to repeat a run, and mistakes in it are one line."""

import shutil

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from motive.errors import UsageError
from motive.runs import Run, RunConfig
from motive.runs.config import config_from, config_yaml, read_config


def written(folder, text):
    path = folder / "config.yaml"
    path.write_text(text, "utf-8")
    return path


def round_trip(config, folder):
    path = written(folder, config_yaml(config))
    return config_from(read_config(path), path)


configs = st.builds(
    RunConfig,
    model=st.text(),
    frames=st.none() | st.integers(2, 500),
    fps=st.none() | st.floats(1e-9, 1e9),
    timesteps=st.none() | st.lists(st.floats(1e-7, 1000), min_size=1, max_size=3).map(tuple),
    mask=st.booleans(),
    motion=st.sampled_from(["default", "objects"]),
    motion_options=st.sampled_from([(), ("noise_floor=0.1", "tracker.preset=fast")]),
    residual=st.sampled_from(["error", "temporal-difference"]),
    projection_seed=st.integers(0, 2**64 - 1),
    parameters=st.sampled_from([".*", r"blocks\.\d+\.attn", "a|b: #'\"", "[é]"]),
    device=st.text(st.characters(exclude_categories=())),
)


@settings(max_examples=50, deadline=None)
@given(config=configs)
def test_every_value_survives_the_file(config, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    assert round_trip(config, folder) == config


@pytest.mark.parametrize(
    "model", ["my models/wan é 🎾", "a: b # c", "'\"", "null", "12", "x\ny", "\u2028", "~/m"]
)
def test_names_with_spaces_and_signs_survive(tmp_path, model):
    assert round_trip(RunConfig(model=model), tmp_path).model == model


def test_every_option_carries_its_help_as_a_comment():
    text = config_yaml(RunConfig(), data="videos")
    assert "  # Projected dimension D', a power of two.\n  dim: 512\n" in text
    assert yaml.safe_load(text)["data"] == "videos"
    assert yaml.safe_load(text)["versions"]["torch"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("options: {dimension: 5}", "unknown option 'dimension'"),
        ("options: {dim: many}", "dim: 'many' is no int"),
        ("options: {dim: 512.5}", "dim: 512.5 is no int"),
        ("options: {dim: true}", "dim: True is no int"),
        ("options: {mask: 3}", "mask: 3 is no bool"),
        ("options: {timesteps: 751}", "timesteps: 751 is no"),
        ("options: {timesteps: [a]}", "timesteps: ['a'] is no"),
        ("options: {model: [x]}", "model: ['x'] is no str"),
        ("options: {dim: 1000}", "must be a power of two"),
        ("options: {timesteps: [-3]}", "must be above 0"),
        ("options: {parameters: '['}", "parameter pattern '['"),
        ("options: {pool: median}", "must be 'mean' or 'max'"),
        ("options: [1, 2]", "no options in it"),
        ("just words", "no options in it"),
        ("", "no options in it"),
        ("a: [", "cannot be read"),
        ("a: \x00", "cannot be read"),
    ],
)
def test_mistakes_by_hand_are_one_line_that_names_the_file(tmp_path, text, reason):
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as error:
        Run(tmp_path)
    assert reason in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_and_missing_files_are_named(tmp_path):
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UsageError, match="cannot be read"):
        Run(tmp_path)
    with pytest.raises(UsageError, match="file not found"):
        read_config(tmp_path / "gone.yaml")


def test_wrong_options_are_refused_before_any_work():
    for changes in (
        {"timesteps": (-1.0,)}, {"timesteps": ()}, {"dim": 500}, {"block": 3}, {"noise_seed": -1},
        {"parameters": "("}, {"tracker": "magic"}, {"displacement": "x"}, {"residual": "x"},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            RunConfig().updated(**changes)
    with pytest.raises(UsageError, match="unknown option 'dims'; options are"):
        RunConfig().updated(dims=5)


def test_a_run_opened_without_options_is_the_same_run(indexed, videos, config, tmp_path):
    folder = shutil.copytree(indexed, tmp_path / "run with spaces é")
    again = Run(folder)
    assert again.config == config
    assert again.stored["data"] == str(videos)
    assert again.index(again.stored["data"]).reused == 6


def test_a_relative_model_path_is_found_from_anywhere(model, config, videos, tmp_path, monkeypatch):
    monkeypatch.chdir(model.parent)
    Run(tmp_path / "run", config.updated(model=model.name)).index(videos)
    monkeypatch.chdir(tmp_path)
    assert Run(tmp_path / "run").index(videos).reused == 6


def test_sections_written_by_earlier_stages_stay(ranked, videos, queries):
    stored = read_config(ranked / "config.yaml")
    assert stored["data"] == str(videos)
    assert stored["queries"] == str(queries)
    assert stored["selection"] == {"top": "50%", "percentile": None}
    assert stored["fingerprint"]["digest"] == Run(ranked).fingerprint.digest


def test_motion_weights_are_a_preset_with_changes():
    asked = RunConfig(motion="objects", pool="max", motion_options=("noise_floor=0.25",))
    found = asked.motion_config()
    assert (found.weight_by, found.pool, found.noise_floor) == ("residual", "max", 0.25)
    paper = RunConfig(motion="paper", tracker="dis", motion_options=("tracker.preset=fast",))
    assert paper.motion_config().displacement == "anchor-literal"
    assert paper.motion_config().tracker_options == {"preset": "fast"}


def test_motion_settings_as_they_were_before_there_were_presets():
    settings = RunConfig().motion_config().settings
    assert settings["displacement"] == "consecutive"
    assert set(settings) == {"tracker", "displacement", "pool", "zeta", "antialias"}


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("weight_by", "write NAME=VALUE"),
        ("weight_by=magic", "must be 'raw' or 'residual'"),
        ("weight=raw", "no option 'weight'"),
        ("tracker.magic=1", "tracker='dis'"),
    ],
)
def test_wrong_motion_options_are_refused_before_any_work(option, reason):
    with pytest.raises(UsageError, match=reason):
        RunConfig(motion_options=(option,))
