"""A diffusers pipeline folder: its components, loaded by the classes that its index names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from motive.backbones.folder import INDEX_FILE, check_weights, read_json
from motive.errors import ModelError, MotiveError

_WITHOUT_WEIGHTS = ("tokenizer", "scheduler", "image_processor", "feature_extractor")


class PipelineFolder:
    """A folder with a model_index.json; what goes wrong with a part of it is said in one line.

    Args:
        folder: Local pipeline folder.
        name: What the caller asked for; by default the folder.
        device: Where components are put.
    """

    def __init__(self, folder: Path, name: str | None, device: torch.device | str) -> None:
        self.folder, self.name, self.device = folder, name or str(folder), torch.device(device)
        self.index = read_json(folder / INDEX_FILE)

    def check_components(self, components: tuple[str, ...]) -> None:
        """Check that components are there.

        Raises:
            ModelError: Names the first that is not.
        """
        for component in components:
            if not (self.folder / component).is_dir() or not self.has(component):
                where = "/ folder" if self.has(component) else f" in {INDEX_FILE}"
                raise ModelError(
                    f"{self.name}: no {component}{where}; a {self.index.get('_class_name')} has "
                    f"{', '.join(components)}. Download the whole repository"
                )

    def check_weights(self, components: tuple[str, ...]) -> None:
        """Check that the weight files of components are there and whole, by their headers.

        Raises:
            ModelError: Names the first that is not.
        """
        for component in components:
            if not component.startswith(_WITHOUT_WEIGHTS):
                check_weights(self.folder / component)

    def has(self, part: str) -> bool:
        """Whether the index names such a component."""
        return self.named_class(part) is not None

    def named_class(self, part: str) -> tuple[str, str] | None:
        """Library and class of a component, from the index; None if it has no such one.

        Raises:
            ModelError: The entry is none of a component.
        """
        match self.index.get(part):
            case None | [None, None]:
                return None
            case [str(library), str(kind)]:
                return library, kind
            case other:
                raise ModelError(
                    f"{self.name}: {INDEX_FILE} has {other!r:.60} as {part} and not the library "
                    "and the class of a component; download it again"
                )

    def scheduler(self) -> Any:
        """The folder's own sampler.

        Raises:
            ModelError: The folder has none, or one that cannot be loaded.
        """
        if not self.has("scheduler"):
            raise ModelError(f"{self.name}: {INDEX_FILE} names no scheduler to sample with")
        with self._loading("scheduler") as folder:
            return self.class_of("scheduler").from_pretrained(folder, local_files_only=True)

    def component(self, part: str, dtype: torch.dtype) -> Any:
        """A frozen network of the folder, on the device, by the class that the index names."""
        with self._loading(part) as folder:
            kind = self.class_of(part)
            options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
            ours = kind.__module__.startswith("diffusers")
            options["torch_dtype" if ours else "dtype"] = dtype
            quantised = not ours and "quantization_config" in read_json(folder / "config.json")
            if quantised:  # is made on its device and cannot be moved
                options["device_map"] = {"": self.device}
            model, found = kind.from_pretrained(folder, output_loading_info=True, **options)
            if found["missing_keys"]:  # they would be drawn at random
                raise ModelError(
                    f"{folder}: no tensor {min(found['missing_keys'])} in it; download the model "
                    "again"
                )
            model = model if quantised else model.to(self.device)
        return model.eval().requires_grad_(False)

    def tokenizer(self, part: str = "tokenizer") -> Any:
        """A tokenizer of the folder."""
        from transformers import AutoTokenizer

        with self._loading(part) as folder:
            return AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )

    def class_of(self, part: str) -> Any:
        """The class of a component, which the index names."""
        import diffusers
        import transformers

        library, kind = self.named_class(part) or ("", "")
        homes: dict[str, Any] = {"diffusers": diffusers, "transformers": transformers}
        # A library that is not diffusers itself is one of its pipelines, such as "ltx2".
        home = homes.get(library) or getattr(diffusers.pipelines, library, None)
        found = getattr(home, kind, None)
        if not isinstance(found, type):
            raise ModelError(
                f"{self.name}: {part} is {library}.{kind}, which the installed packages do not "
                "have; update diffusers and transformers"
            )
        return found

    @contextmanager
    def _loading(self, part: str) -> Iterator[Path]:
        """The folder of a component; what goes wrong with it is said in one line."""
        try:
            yield self.folder / part
        except torch.OutOfMemoryError as error:
            raise MotiveError(
                f"{self.name}: {part} does not fit into the memory of {self.device}; try "
                "--dtype bfloat16, --offload (weights in CPU memory) or --shard (several devices)"
            ) from error
        except (
            OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError,
            SafetensorError,
        ) as error:  # fmt: skip
            text = str(error).strip()
            first = text.splitlines()[0] if text else type(error).__name__
            if isinstance(error, ImportError):  # a quantised encoder without its library
                raise ModelError(f"{self.name}: {part} needs another package ({first})") from error
            raise ModelError(
                f"{self.name}: {part} cannot be loaded ({first:.200}); check that the "
                "download is whole"
            ) from error
