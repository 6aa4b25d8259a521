"""Tensors on disk, keyed by content and configuration: nothing is encoded twice.

One safetensors file per entry, written beside and renamed, so a killed run leaves whole files only.
A file that cannot be read is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from motive.files import whole_file

_LOG = logging.getLogger(__name__)


class TensorCache:
    """A folder of safetensors files, two levels deep. Safe to delete at any time.

    Example:
        >>> import tempfile
        >>> cache = TensorCache(Path(tempfile.mkdtemp()))
        >>> cache.put("latents", "ab12", {"x": torch.ones(2)}, {"note": "why"})
        >>> tensors, facts = cache.get("latents", "ab12")
        >>> tensors["x"].tolist(), facts["note"]
        ([1.0, 1.0], 'why')
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, kind: str, key: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The tensors and facts stored under a key, or None."""
        path = self._path(kind, key)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return tensors, json.loads((file.metadata() or {}).get("facts", "{}"))
        except (SafetensorError, OSError, ValueError) as error:
            _LOG.warning("%s: damaged cache file (%s); made again", path, error)
            return None

    def put(
        self, kind: str, key: str, tensors: dict[str, torch.Tensor], facts: dict[str, Any]
    ) -> None:
        """Store tensors (moved to the CPU) and JSON-able facts under a key."""
        path = self._path(kind, key)
        with whole_file(path) as partial:
            save_file(
                {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
                partial,
                metadata={"facts": json.dumps(facts)},
            )

    def has(self, kind: str, key: str) -> bool:
        """Whether an entry exists (it may still turn out damaged)."""
        return self._path(kind, key).exists()

    def _path(self, kind: str, key: str) -> Path:
        return self.folder / kind / key[:2] / f"{key}.safetensors"


def cache_key(*parts: object) -> str:
    """32 hex digits from JSON-able parts."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
