"""One file says everything, and what it says wrong is named with what would be right."""

import pytest
import yaml

from motive.errors import DatasetError, UsageError
from motive.experiment import PRESETS, preset, read_experiment
from motive.experiment.reading import merged, typed


@pytest.fixture
def given(tmp_path):
    """Writes a file and reads it."""

    def read(text, **options):
        path = tmp_path / "experiment.yaml"
        path.write_text(text, "utf-8")
        return read_experiment(path, **options)

    return read


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("modell: wan-nano", "unknown option 'modell'; did you mean model?"),
        ("finetune: {learning-rate: 1e-4}", "finetune: unknown option 'learning-rate'; did you "
         "mean learning_rate?"),
        ("finetune: {seed: 3}", "finetune: unknown option 'seed'"),
        ("data: {clip: x}", "did you mean clips?"),
        ("quick: {finetun: {steps: 1}}", None),
        ("conditions: [base, motiv]", "unknown option 'motiv'; did you mean motive?"),
        ("conditions: [base, motive, base]", "'base' is listed twice"),
        ("conditions: [base, {name: Base, by: full}]", "'Base' is listed twice"),
        ("conditions: []", "list at least one"),
        ("conditions: [{by: motive}]", "has no name"),
        ("conditions: [{name: a, by: magic}]", "by 'magic' must be one of"),
        ("conditions: [{name: full, top: 5%}]", "says nothing about full"),
        ("conditions: [{name: a/b, by: motive}]", "a name has 1 to 40 letters"),
        ("conditions: [{name: motive, diverse: 2}]", "diverse 2.0: from 0 to 1"),
        ("conditions: [{name: a, by: motive, draws: 0}]", "draws 0: must be at least 1"),
        ("conditions: [{name: a, by: random, draws: 2}]", "draws is for by: motive and no-mask"),
        ("conditions: [{name: full, features: {mask: false}}]", "features is for by: motive and"),
        ("conditions: [{name: a, by: motive, features: {timestep: 3}}]", "a: features: unknown "
         "option 'timestep'; did you mean timesteps?"),
        ("conditions: [{name: a, by: motive, features: {fps: 3}}]", "unknown option 'fps'"),
        ("conditions: [{name: a, by: motive, features: {timesteps: [0]}}]", "timestep 0.0: must"),
        ("conditions: [{name: a, by: motive, features: 3}]", "features: 3 must be names with"),
        ("seeds: [1, 1]", "each once"),
        ("seeds: []", "at least one"),
        ("seeds: [-1]", "none negative"),
        ("seeds: many", "'many' is not a whole number"),
        ("keep_models: 3", "3 is not true or false"),
        ("finetune: {steps: 0}", "finetune: --steps 0: must be at least 1"),
        ("finetune: {steps: yes}", "True is not a whole number"),
        ("finetune: [1]", "must be options with names"),
        ("evaluate: {metrics: [beauty]}", "evaluate: --metrics beauty"),
        ("evaluate: {weights: {dyno: x}}", "--weights dyno"),
        ("data: {first_clips: 0}", "first_clips 0: must be at least 1"),
        ("main: best", "main: unknown option 'best'"),
        ("model: a\nmodel: b", "line 2: 'model' is written twice"),
        ("- a", "no options in it"),
        ("", "no options in it"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_what_to_do(given, text, told):
    if told is None:
        assert given(text).model == "wan-nano-base"  # the section quick is not asked for
        with pytest.raises(UsageError, match="quick: unknown option 'finetun'; did you mean"):
            given(text, quick=True)
        return
    with pytest.raises(UsageError) as caught:
        given(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_yaml_and_one_that_is_missing_are_one_line(given, tmp_path):
    with pytest.raises(DatasetError, match="not YAML"):
        given("a: [")
    with pytest.raises(DatasetError, match="experiment init"):
        read_experiment(tmp_path / "nothing.yaml")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("quick", [False, True])
def test_presets_are_experiments(given, name, quick):
    config = given(preset(name), quick=quick)
    assert config.main == "motive"
    assert config.quick is quick
    assert {"base", "full", "random", "magnitude", "embedding", "no-mask", "motive", "bottom"} <= {
        condition.name for condition in config.conditions
    }
    assert len(config.seeds) == (1 if quick else 3)


def test_an_unknown_preset_is_named():
    with pytest.raises(UsageError, match=r"did you mean wan2\.1"):
        preset("wan2")


def test_defaults_are_those_of_the_commands(given):
    from motive.finetuning import FinetuneConfig
    from motive.runs import RunConfig

    config = given("title: x")
    assert config.features == RunConfig(model="wan-nano-base")
    assert config.finetune == FinetuneConfig(keep_checkpoint=False)
    assert config.seeds == (0, 1, 2)


def test_paths_count_from_the_file_and_names_stay_names(given, tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "wan-nano").mkdir()  # an embedded name comes first
    (tmp_path / "amt.py").write_text("")
    config = given(
        "model: wan-nano\ndata: {clips: clips}\n"
        "evaluate: {weights: {amt: 'amt.py:middle', dino: facebook/dino-vitb16}}"
    )
    assert config.model == "wan-nano"
    assert config.data.clips == str(tmp_path / "clips")
    assert config.data.queries == "motionzoo"
    assert config.evaluate.weights["amt"] == f"{tmp_path / 'amt.py'}:middle"
    assert config.evaluate.weights["dino"] == "facebook/dino-vitb16"


def test_quick_is_laid_on_top_section_by_section(given):
    text = (
        "seeds: [0, 1]\nfinetune: {steps: 100, batch: 4}\nquick: {seeds: [0], finetune: {steps: 2}}"
    )
    quick, whole = given(text, quick=True), given(text)
    assert (quick.finetune.steps, quick.finetune.batch, quick.seeds) == (2, 4, (0,))
    assert (whole.finetune.steps, whole.finetune.batch, whole.seeds) == (100, 4, (0, 1))
    with pytest.raises(UsageError, match="has no section quick"):
        given("title: x", quick=True)


def test_the_condition_to_compare_is_motive_or_the_one_that_is_named(given):
    assert given("conditions: [base, bottom, motive, random]").main == "motive"
    assert given("conditions: [base, random]").main == "random"
    assert given("conditions: [base, random, motive]\nmain: random").main == "random"


def test_titles_say_what_a_condition_is(given):
    def title(condition, encoder=None):
        return given(f"conditions: [{condition}]").conditions[0].shown("10%", encoder)

    assert title("random") == "Random 10 %"
    assert title("bottom") == "Bottom 10 % of MOTIVE (control)"
    assert title("embedding") == "Embedding (built-in encoder)"
    assert title("embedding", "facebook/vjepa2-vitl-fpc64-256") == "V-JEPA 2 embedding"
    assert title("{name: m5, by: motive, top: 5%}") == "MOTIVE, 5 %"
    assert title("{name: md, by: motive, diverse: 0.3}") == "MOTIVE, diverse 0.3"
    assert title("{name: x, by: motive, title: Ours}") == "Ours"


def test_features_of_a_condition_lie_on_top_of_the_experiments(given):
    config = given(
        "features: {dim: 64, timesteps: [751, 550], noise_seed: 3}\n"
        "conditions: [motive, {name: a, by: motive, draws: 2, features: {mask: false}}]"
    )
    assert config.features_of(config.condition("motive")) == (config.features,)
    first, second = config.features_of(config.condition("a"))
    assert (first.dim, first.mask, first.noise_seed) == (64, False, 3)
    assert second.noise_seed == 5  # the second timestep of the first draw has the noise of seed 4
    assert second.timesteps == first.timesteps == (751.0, 550.0)


@pytest.mark.parametrize(
    ("value", "hint", "found"),
    [
        ("1e-4", float, 1e-4),
        (3, float, 3.0),
        (10, str, "10"),
        ([1, 2], tuple[int, ...], (1, 2)),
        ("flow", tuple[str, ...], ("flow",)),
        (None, int | None, None),
        (4, int | None, 4),
        ({"a": "b"}, dict[str, str], {"a": "b"}),
    ],
)
def test_values_become_what_the_options_want(value, hint, found):
    assert typed(value, hint, "x") == found
    assert type(typed(value, hint, "x")) is type(found)


def test_merging_leaves_both_sides_as_they_were():
    below, above = {"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": 4}
    assert merged(below, above) == {"a": {"b": 3, "c": 2}, "d": 4}
    assert below == {"a": {"b": 1, "c": 2}}


def test_the_settings_of_a_config_can_be_written_down(given):
    import dataclasses
    import json

    config = given(preset("motionzoo"))
    assert yaml.safe_load(json.dumps(dataclasses.asdict(config)))["seeds"] == [0, 1, 2]
