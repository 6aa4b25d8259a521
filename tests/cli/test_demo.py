"""`motive demo` on the clips and the model inside the package, shortened."""

import json
from importlib import resources
from pathlib import Path

import pytest

from motive.backbones import load_backbone
from motive.cli.main import main
from motive.clips import ClipStandard

ASSETS = Path(str(resources.files("motive.zoo"))) / "assets"


def test_the_package_ships_a_model_and_clips_of_at_most_25_megabytes():
    size = sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file())
    assert size <= 25e6
    assert not [path for path in ASSETS.rglob("*") if path.suffix in {".bin", ".pt", ".pkl"}]


def test_wan_nano_is_an_ordinary_wan_pipeline_folder():
    from diffusers import WanPipeline

    pipeline = WanPipeline.from_pretrained(ASSETS / "wan-nano")
    kinds = {
        "transformer": "WanTransformer3DModel",
        "vae": "AutoencoderKLWan",
        "text_encoder": "UMT5EncoderModel",
    }
    for name, kind in kinds.items():
        assert type(getattr(pipeline, name)).__name__ == kind
    backbone = load_backbone("wan-nano", device="cpu")
    assert backbone.standard == ClipStandard(17, 16, 64, 64)
    assert backbone.encode_text("a red ball bounces").length == 32


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_ends_with_a_report_and_finds_all_work_done_the_second_time(tmp_path, capsys):
    out = tmp_path / "demo"
    command = ["demo", "--out", str(out), "--clips", "20", "--json"]
    assert main(command) == 0
    first = json.loads(capsys.readouterr().out)
    page = Path(first["report"])
    assert "without motion mask" in page.read_text("utf-8")
    assert len(list((page.parent / "media").glob("*.mp4"))) > 40
    assert main(command) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["seconds"] < first["seconds"] / 2


def test_too_few_clips_for_a_demo_is_wrong_use(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "demo"), "--clips", "3"]) == 2
    assert "at least 20" in capsys.readouterr().err
