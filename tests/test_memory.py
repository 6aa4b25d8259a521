"""Peaks of memory are seen, and what was there before is not counted."""

from pathlib import Path

import pytest
import torch

from motive.memory import PeakMemory, available_memory

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
MEGABYTE = 1 << 20


def test_a_peak_is_seen_though_it_is_freed_within():
    kept = torch.ones(32 * MEGABYTE // 4)
    with PeakMemory(CPU) as memory:
        torch.ones(64 * MEGABYTE // 4).cumsum(0).sum()  # 64 MB twice
    assert 100 * MEGABYTE < memory.bytes < 160 * MEGABYTE
    assert kept[0] == 1


def test_doing_nothing_needs_next_to_nothing():
    with PeakMemory(CPU) as memory:
        pass
    assert memory.bytes < 8 * MEGABYTE


def test_an_error_passes_and_the_watcher_ends():
    with pytest.raises(ValueError, match="inside"), PeakMemory(CPU) as memory:
        raise ValueError("inside")
    assert memory.bytes is not None


def test_free_memory_is_known():
    assert available_memory(CPU) > MEGABYTE
