"""Starting with and without torchrun: each mistake is one line."""

import pytest
import torch

from motive.errors import UsageError
from motive.ranks import launched
from motive.runs import RunConfig, open_backbone

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}


@pytest.fixture
def torchrun(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)


def test_alone_and_not_asked_for_nothing_is_joined():
    with launched(False) as ranks:
        assert ranks is None


def test_sharding_needs_torchrun(monkeypatch):
    for name in TORCHRUN:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="torchrun --nproc-per-node 8"), launched(True):
        pass


def test_several_processes_that_were_not_asked_to_share_a_model_do_not_start(torchrun):
    with pytest.raises(UsageError, match="as 2 processes: add --shard"), launched(False):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    ("device", "reason"), [("cuda", "no CUDA device"), ("mps", "works on cuda and cpu")]
)
def test_a_device_that_cannot_be_shared_is_named(torchrun, device, reason):
    with pytest.raises(UsageError, match=reason), launched(True, device):
        pass


def test_a_model_is_either_sharded_or_offloaded():
    with pytest.raises(UsageError, match="choose one"):
        open_backbone(RunConfig(offload=True, device="cpu"), ranks=object())
