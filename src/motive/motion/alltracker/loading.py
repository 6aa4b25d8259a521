"""AllTracker's checkpoints: where they are, what is in them, and the network they fill.

Architecture and checkpoints after AllTracker (Harley et al. 2025, MIT). Pickles are read with
`weights_only`, so a checkpoint cannot run code. Everything wrong with one is said in one line.
"""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import safetensors
import safetensors.torch
import torch

from motive.clips import file_digest
from motive.errors import ModelError, UsageError
from motive.motion.alltracker.model import AllTrackerNet, Variant

_LOG = logging.getLogger(__name__)

HUB_ID = "aharley/alltracker"
FILES: dict[Variant, str] = {"full": "alltracker.pth", "tiny": "alltracker_tiny.pth"}
_HOW = (
    f"get {FILES['full']} or {FILES['tiny']} from https://huggingface.co/{HUB_ID} and give its "
    "path as weights, or use tracker dis, which needs none"
)
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")


def find_checkpoint(weights: str | Path = HUB_ID, variant: Variant | None = None) -> Path:
    """The file of a checkpoint, downloaded if need be.

    Args:
        weights: A file (a pickle of tensors or safetensors), a folder that holds one of the
            released files, or a hub id.
        variant: Which of a folder's or hub repository's files to take; "full" where None, or the
            only one that a folder has.

    Raises:
        ModelError: There is none, or the hub did not give it.
        UsageError: An unknown variant.
    """
    if variant is not None and variant not in FILES:
        raise UsageError(f"variant={variant!r}: must be one of {', '.join(get_args(Variant))}")
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    wanted = [variant] if variant else list(FILES)
    if path.is_dir():
        for name in wanted:
            if (path / FILES[name]).is_file():
                return path / FILES[name]
        names = " or ".join(FILES[name] for name in wanted)
        raise ModelError(f"{weights}: the folder holds no {names}; {_HOW}")
    if not _HUB_NAME.fullmatch(str(weights)) or path.suffix in _SUFFIXES:
        raise ModelError(f"{weights}: no such AllTracker checkpoint; {_HOW}")
    return _from_hub(str(weights), FILES[wanted[0]])


def checkpoint_digest(path: Path) -> str:
    """16 hex digits from the bytes of a checkpoint; read once per process while unchanged."""
    stat = path.stat()
    return _digest(path.resolve(), stat.st_size, stat.st_mtime_ns)


def fetched() -> bool:
    """Whether the hub's cache on this machine has a released checkpoint."""
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(HUB_ID, name), str) for name in FILES.values())


def load_alltracker(path: Path, variant: Variant | None = None) -> AllTrackerNet:
    """The network of a checkpoint, on the CPU, in float32, for inference.

    Args:
        path: A pickle of tensors (bare, or under "model" as released) or safetensors.
        variant: What the checkpoint must be; recognised from its keys where None.

    Raises:
        ModelError: The file cannot be read, or does not hold exactly the tensors of AllTracker.
    """
    state = _read(path)
    if "cnn.features.0.0.weight" in state:
        found: Variant = "full"
    elif "fnet.conv1.weight" in state:
        found = "tiny"
    else:
        raise ModelError(f"{path}: not an AllTracker checkpoint (no cnn or fnet in it); {_HOW}")
    if variant not in (None, found):
        raise ModelError(
            f"{path}: holds the {found} network, not the {variant} one; leave variant away or "
            f"give {FILES[variant]}"
        )
    with torch.device("meta"):  # no time spent on initial weights
        net = AllTrackerNet(found)
    _check(path, state, net.state_dict())
    net.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return net.eval().requires_grad_(False)


def _check(
    path: Path, state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> None:
    """Raise unless the checkpoint holds the expected tensors, all finite."""
    wrong = [f"{name} is missing" for name in expected if name not in state]
    wrong += [f"{name} is unknown" for name in state if name not in expected]
    for name in expected.keys() & state.keys():
        if state[name].shape != expected[name].shape:
            shapes = (tuple(state[name].shape), tuple(expected[name].shape))
            wrong.append(f"{name} has shape {shapes[0]} instead of {shapes[1]}")
        elif not state[name].isfinite().all():
            wrong.append(f"{name} holds NaN or infinity")
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ModelError(f"{path}: not an AllTracker checkpoint ({min(wrong)}{more}); {_HOW}")


def _read(path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of a file."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (
        pickle.UnpicklingError,
        safetensors.SafetensorError,
        # torch.load raises any of these for a truncated or foreign file
        ArithmeticError,
        AttributeError,
        EOFError,
        ImportError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ):
        raise ModelError(
            f"{path}: damaged, or not a file of tensors alone (pickle or safetensors); {_HOW}"
        ) from None
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not all(
        isinstance(tensor, torch.Tensor) for tensor in content.values()
    ):
        raise ModelError(f"{path}: not an AllTracker checkpoint (no named tensors in it); {_HOW}")
    return {str(name): tensor for name, tensor in content.items()}


@lru_cache(maxsize=8)
def _digest(path: Path, size: int, modified: int) -> str:
    """Digest of a file; size and modification time only key the memo."""
    return file_digest(path).hex()[:16]


@lru_cache(maxsize=8)
def _from_hub(repository: str, name: str) -> Path:
    """A file of a hub repository; asked for once per process."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    _LOG.warning("%s: no local file; asking the hub for %s", repository, name)
    try:
        return Path(hf_hub_download(repository, name))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{repository}: the hub did not give {name} ({reason.rstrip('.')}); {_HOW}"
        ) from None
