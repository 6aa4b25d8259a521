"""`motive experiment run --quick` on what the package holds, as CI runs it."""

import pytest

CONDITIONS = {
    "base", "full", "random", "magnitude", "embedding", "no-mask", "motive", "bottom",
    "labelled", "motive-ff-300",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_quick_experiment_runs_from_the_package_alone(motive, tmp_path):
    file, out = tmp_path / "experiment.yaml", tmp_path / "run"
    file.write_text(motive("experiment", "init").out)
    found = motive("experiment", "run", file, "--out", out, "--quick", "--json")
    assert found.code == 0, found.err
    assert {cell["condition"] for cell in found.json["cells"]} == CONDITIONS
    assert "motion_shown" in found.json["columns"]
    table = (out / "table.md").read_text("utf-8")
    assert "A quick run: it shows that everything works." in table
    assert table.count("Not shown") >= 5  # eight prompts show nothing
    assert (out / "report" / "index.html").stat().st_size > 100_000
    assert len(list((out / "report" / "videos").rglob("*.mp4"))) == 8 * len(CONDITIONS)
