"""The ways to compute features that a diagnosis tries: one change of the reference each."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from motive.runs.config import RunConfig

ATTENTION = {  # name -> torch.nn.attention.SDPBackend
    "math": "MATH",
    "flash": "FLASH_ATTENTION",
    "memory-efficient": "EFFICIENT_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
}
_KNOWN = {entry.name for entry in dataclasses.fields(RunConfig)}


@dataclass(frozen=True)
class Setting:
    """One way to compute features.

    Attributes:
        device: A torch device.
        dtype: Precision of the transformer.
        batch: Clips at a time.
        attention: Key of `ATTENTION`, or "default": torch chooses.
        checkpointing: Recompute activations.
        offload: Weights in CPU memory.
        offload_activations: Keep activations in CPU memory.
        compile_blocks: Repeated blocks through torch.compile.
        tf32: Allow TF32 in float32 products (CUDA).
        threads: Of torch on the CPU.
    """

    device: str
    dtype: str = "float32"
    batch: int = 1
    attention: str = "default"
    checkpointing: bool = False
    offload: bool = False
    offload_activations: bool = False
    compile_blocks: bool = False
    tf32: bool = False
    threads: int = 1

    @property
    def of_run(self) -> dict[str, Any]:
        """Those that are options of a run; the rest are torch's own switches."""
        return {name: value for name, value in vars(self).items() if name in _KNOWN}

    @property
    def consistent(self) -> bool:
        """Whether its parts go together: several clips per pass exclude what saves memory."""
        alone = self.checkpointing or self.offload or self.offload_activations
        return self.batch == 1 or not (alone or self.compile_blocks)

    def options(self, reference: Setting) -> list[str] | None:
        """What to write on a command line for it; None if no option does it.

        `OMP_NUM_THREADS=N` goes before the command.
        """
        words: list[str] = []
        for name, value in self.changes(reference).items():
            option = name.replace("_", "-")
            if name == "threads":
                words.insert(0, f"OMP_NUM_THREADS={value}")
            elif name not in _KNOWN:
                return None
            elif isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words += [f"--{option}", str(value)]
        return words

    def changes(self, reference: Setting) -> dict[str, Any]:
        """What differs from the reference."""
        values = dataclasses.asdict(self)
        return {n: value for n, value in values.items() if value != getattr(reference, n)}


def candidates(base: Setting, clips: int) -> list[tuple[str, Setting]]:
    """What to try, by name.

    Args:
        base: The reference.
        clips: How many clips there are, which is the batch that is tried.
    """
    changed = dataclasses.replace
    found = [("the reference once more", base)]
    found += [(name, changed(base, dtype=name)) for name in ("bfloat16", "float16")]
    batch = max(2, clips)
    found.append((f"batch of {batch}", changed(base, batch=batch)))
    without = "without " if base.checkpointing else ""
    if not base.offload:  # which needs checkpointing
        name = f"{without}gradient checkpointing"
        found.append((name, changed(base, checkpointing=not base.checkpointing)))
        found.append(("weights offloaded", changed(base, offload=True, checkpointing=True)))
    found.append(("activations offloaded", changed(base, offload_activations=True)))
    found += [(f"attention: {name}", changed(base, attention=name)) for name in ATTENTION]
    found.append(("TF32", changed(base, tf32=True)))
    found.append(("torch.compile", changed(base, compile_blocks=True)))
    threads = 1 if base.threads > 1 else max(2, _cores())
    found.append((f"{threads} CPU thread{'s' * (threads > 1)}", changed(base, threads=threads)))
    other = "cpu" if torch.device(base.device).type == "cuda" else "cuda"
    found.append((f"device {other}", changed(base, device=other)))
    return found


def unavailable(setting: Setting, compiling: bool) -> str | None:
    """Why a setting is not tried, as far as that is known before."""
    if setting.compile_blocks and not compiling:
        return "not tried: --no-compile"
    kind = torch.device(setting.device).type
    if kind == "cuda" and not torch.cuda.is_available():
        return "not here: this PyTorch sees no CUDA device"
    if setting.tf32 and kind != "cuda":
        return "not here: TF32 is a CUDA format"
    if setting.tf32 and torch.cuda.get_device_capability() < (8, 0):
        return "not here: this GPU has no TF32"
    if setting.attention == "cudnn" and kind != "cuda":
        return "not here: cuDNN is for CUDA devices"
    if kind == "cpu" and setting.threads > 1 and _cores() == 1:
        return "not here: one CPU core"
    return None


@contextmanager
def switched(setting: Setting) -> Iterator[None]:
    """Threads, TF32 and attention kernel for the duration of the block."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = torch.get_num_threads(), matmul.allow_tf32, cudnn.allow_tf32
    with ExitStack() as stack:
        if setting.attention != "default":
            stack.enter_context(sdpa_kernel(getattr(SDPBackend, ATTENTION[setting.attention])))
        try:
            torch.set_num_threads(setting.threads)
            matmul.allow_tf32 = cudnn.allow_tf32 = setting.tf32
            yield
        finally:
            torch.set_num_threads(before[0])
            matmul.allow_tf32, cudnn.allow_tf32 = before[1:]


def _cores() -> int:
    return os.cpu_count() or 1
