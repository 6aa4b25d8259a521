"""A tiny model, eight clips of moving squares, and one way to train on them."""

import os

import pytest

from motive.clips import read_dataset
from motive.finetuning import FinetuneConfig, finetune
from motive.processes import one_thread
from moving_squares import small_model, square_videos


class World:
    """Where the tests train: `world.train("name", steps=3)` is one call of `finetune`."""

    def __init__(self, root, tiny_wan):
        self.root = root
        self.model = small_model(tiny_wan, root / "model")
        self.videos = square_videos(root / "videos", range(6))
        self.held_out = square_videos(root / "held out", (21, 22))
        self.cache = root / "cache"

    @property
    def clips(self):
        return read_dataset(self.videos)

    def config(self, **options):
        defaults = {"learning_rate": 1e-3, "batch": 2, "steps": 4, "device": "cpu"}
        return FinetuneConfig(model=str(self.model), **{**defaults, **options})

    def train(self, out, *, data=None, held_out=None, samples=None, on_progress=None, **options):
        with one_thread():
            return finetune(
                self.config(**options),
                self.clips if data is None else data,
                out,
                held_out=held_out,
                samples=samples,
                cache=self.cache,
                on_progress=on_progress,
            )


@pytest.fixture(scope="session")
def world(tiny_wan, tmp_path_factory):
    return World(tmp_path_factory.mktemp("finetuning"), tiny_wan)


@pytest.fixture
def tuned_bytes():
    """The saved transformer of a result, as bytes."""

    def read(tuned):
        return (tuned.pipeline / "transformer/diffusion_pytorch_model.safetensors").read_bytes()

    return read


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    """Tests are one process, whatever started them."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        if name in os.environ:
            monkeypatch.delenv(name)
