"""Text encoders and VAEs: quantised ones are taken, and they make room for the transformer."""

import gc
import json
import weakref

import pytest
import torch
import transformers
from transformers.quantizers import HfQuantizer, register_quantization_config, register_quantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from motive.backbones import load_backbone
from motive.errors import ModelError
from motive.runs import Run, RunConfig
from moving_squares import square_videos
from tiny_families import TINY, save_tiny

STEP = 1 / 32  # the coarse grid of the weights below


@register_quantization_config("coarse")
class CoarseConfig(QuantizationConfigMixin):
    """Weights on a grid of `STEP`."""

    def __init__(self, **_):
        self.quant_method = "coarse"


@register_quantizer("coarse")
class CoarseQuantizer(HfQuantizer):
    """Rounds the weights once they are there, and notes where they were put."""

    requires_calibration = False
    requires_parameters_quantization = False

    def update_device_map(self, device_map):
        CoarseQuantizer.device_map = device_map
        return device_map

    def _process_model_after_weight_loading(self, model, **_):
        model.to = None  # as of the real ones: it must not be called
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_((parameter / STEP).round() * STEP)
        return model

    def is_serializable(self):
        return False

    @property
    def is_trainable(self):
        return False


@pytest.fixture(params=["wan-t2v", "ltx"])
def folder(request, tmp_path):
    return save_tiny(request.param, tmp_path / "model")


def quantise(folder, **settings):
    path = folder / "text_encoder" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "quantization_config": settings}))


def test_a_quantised_text_encoder_is_made_on_its_device_and_used(folder):
    caption = "a red ball"
    exact = load_backbone(folder, device="cpu").encode_text(caption)
    quantise(folder, quant_method="coarse")
    backbone = load_backbone(folder, device="cpu")
    coarse = backbone.encode_text(caption)
    assert CoarseQuantizer.device_map == {"": torch.device("cpu")}
    assert coarse.tokens.shape == exact.tokens.shape
    assert coarse.tokens.dtype == torch.float32
    difference = float((coarse.tokens - exact.tokens).abs().mean())
    assert 0 < difference < float(exact.tokens.abs().mean())


def test_a_quantised_text_encoder_without_its_library_says_which(folder, monkeypatch):
    def missing(self, *_, **__):
        raise ImportError("Loading needs coarse: pip install coarse")

    monkeypatch.setattr(CoarseQuantizer, "validate_environment", missing)
    quantise(folder, quant_method="coarse")
    with pytest.raises(ModelError, match=r"text_encoder needs another package.*pip install coarse"):
        load_backbone(folder, device="cpu").encode_text("a red ball")


def test_four_bits_of_bitsandbytes_work(folder):
    pytest.importorskip("bitsandbytes")
    before = load_backbone(folder, device="cpu")
    exact = before.encode_text("a red ball").tokens
    settings = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
    )
    kind = getattr(transformers, before.index["text_encoder"][1])
    encoder = kind.from_pretrained(folder / "text_encoder", quantization_config=settings)
    encoder.save_pretrained(folder / "text_encoder")
    assert "quantization_config" in (folder / "text_encoder" / "config.json").read_text()
    tokens = load_backbone(folder, device="cpu").encode_text("a red ball").tokens
    assert 0 < float((tokens - exact).norm()) < 0.5 * float(exact.norm())


def test_released_encoders_leave_memory_and_come_back(folder):
    backbone = load_backbone(folder, device="cpu")
    standard = TINY["wan-t2v" if "Wan" in backbone.family else "ltx"].standard
    video = torch.zeros(standard.frames, standard.height, standard.width, 3, dtype=torch.uint8)
    before = backbone.encode_video(video), backbone.encode_text("a red ball").tokens
    alive = [weakref.ref(module) for module in encoders(backbone)]
    assert alive
    backbone.release_encoders()
    gc.collect()
    assert not any(reference() is not None for reference in alive)
    assert not encoders(backbone)
    torch.testing.assert_close(backbone.encode_video(video), before[0])
    torch.testing.assert_close(backbone.encode_text("a red ball").tokens, before[1])


def encoders(backbone):
    """Networks that are loaded, but for the transformer."""
    found = []
    for value in vars(backbone).values():
        parts = value if isinstance(value, tuple) else getattr(value, "components", {}).values()
        found += [part for part in (value, *parts) if isinstance(part, torch.nn.Module)]
    return [module for module in found if module is not vars(backbone).get("transformer")]


def test_a_run_loads_the_transformer_when_the_encoders_are_gone(tmp_path, monkeypatch):
    folder = save_tiny("ltx", tmp_path / "model")
    standard = TINY["ltx"].standard
    config = RunConfig(
        model=str(folder), frames=standard.frames, height=32, width=48, device="cpu", dim=64
    )
    run = Run(tmp_path / "run", config)
    seen = []
    original = run.backbone.placement

    def watched(*arguments):
        seen.append(encoders(run.backbone))
        return original(*arguments)

    monkeypatch.setattr(run.backbone, "placement", watched)
    result = run.index(square_videos(tmp_path / "videos", range(2)))
    assert len(result.clips) == 2
    assert seen == [[]]
