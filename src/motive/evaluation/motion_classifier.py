"""Which of the MotionZoo motions does a clip show? A small network that answers from pixels.

Invariant: the answer comes from change over time. Training shows the network frozen clips and clips
with shuffled frames too and asks it to know nothing about them; what it still gets right there is
measured and written beside its weights (see `facts` in `save_motion_classifier`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from motive.errors import ModelError, UsageError
from motive.files import whole_file

Kind = Literal["pixel", "latent"]
_CONFIG = "config.json"
_WEIGHTS = "model.safetensors"
_EMBEDDED = "zoo/assets/motion-classifier"  # inside the package
_CHANNELS: dict[str, int] = {"pixel": 3, "latent": 16}
_GROUPS = 8  # of the group normalisations


class MotionClassifier(nn.Module):
    """A 3-D convolutional network over a clip and its frame differences.

    Args:
        motions: The labels, in the order of the logits.
        kind: "pixel" reads decoded clips (made for 17 frames of 64x64); "latent" reads normalised
            latents "b 16 f h w", which spares the decoding.
        width: Channels of the last convolution; the others are fractions of it.

    Attributes:
        motions: The labels, in the order of the logits.
        kind: "pixel" or "latent".
        facts: What is known about it (data, accuracies, controls); empty until it was measured.

    Example:
        >>> model = MotionClassifier(("roll", "slide"))
        >>> model(torch.zeros(3, 3, 17, 64, 64)).shape
        torch.Size([3, 2])
    """

    def __init__(self, motions: Sequence[str], *, kind: Kind = "pixel", width: int = 128) -> None:
        super().__init__()
        if not motions or len(set(motions)) != len(motions):
            raise UsageError(f"motions {list(motions)}: give each label once, at least one")
        if kind not in _CHANNELS:
            raise UsageError(f"kind {kind!r}: choose one of {', '.join(_CHANNELS)}")
        if width < 128 or width % 128:
            raise UsageError(f"width {width}: must be a multiple of 128")
        self.motions = tuple(motions)
        self.kind: Kind = kind
        self.width = width
        self.facts: dict[str, Any] = {}
        narrow, middle = width * 3 // 8, width * 3 // 4
        stem = _pixel_stem(narrow) if kind == "pixel" else _latent_stem(narrow)
        self.features = nn.Sequential(
            *stem,
            nn.GroupNorm(_GROUPS, narrow),
            nn.GELU(),
            nn.Conv3d(narrow, middle, 3, stride=2, padding=1),
            nn.GroupNorm(_GROUPS, middle),
            nn.GELU(),
            nn.Conv3d(middle, width, 3, padding=1),
            nn.GroupNorm(_GROUPS, width),
            nn.GELU(),
        )
        self.head = nn.Linear(2 * width, len(self.motions))

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        """Logits of the motions.

        Args:
            video: float "b 3 f h w" in [-1, 1]; kind "latent": normalised latents "b 16 f h w".

        Returns:
            float "b m".

        Raises:
            UsageError: The tensor has another layout.
        """
        channels = _CHANNELS[self.kind]
        if video.ndim != 5 or video.shape[1] != channels or video.shape[2] < 2:
            raise UsageError(
                f"motion classifier ({self.kind}): got a tensor {tuple(video.shape)}; expected "
                f"b {channels} f h w with at least two frames"
            )
        change = video[:, :, 1:] - video[:, :, :-1]
        change = torch.cat([torch.zeros_like(video[:, :, :1]), change], dim=2)
        features = self.features(torch.cat([video, change], dim=1)).flatten(2)
        # The mean sees the whole scene, the maximum a small thing in it.
        return cast(
            torch.Tensor, self.head(torch.cat([features.mean(dim=2), features.amax(dim=2)], dim=1))
        )


def _pixel_stem(width: int) -> list[nn.Module]:
    fine = width // 2
    return [
        nn.Conv3d(6, fine, (1, 7, 7), stride=(1, 4, 4), padding=(0, 3, 3)),
        nn.GroupNorm(_GROUPS, fine),
        nn.GELU(),
        nn.Conv3d(fine, width, 3, stride=2, padding=1),
    ]


def _latent_stem(width: int) -> list[nn.Module]:
    return [nn.Conv3d(32, width, 3, padding=1)]


@torch.inference_mode()
def classify(model: MotionClassifier, video: torch.Tensor, batch_size: int = 32) -> torch.Tensor:
    """Log-probabilities of the motions, a batch at a time.

    Args:
        model: The classifier.
        video: What `MotionClassifier.forward` takes, "n c f h w".
        batch_size: Clips per pass.

    Returns:
        float32 "n m" on the CPU.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    parts = [model(part.to(device).float()).cpu() for part in video.split(batch_size)]
    model.train(was_training)
    return torch.cat(parts).log_softmax(dim=1)


def save_motion_classifier(
    model: MotionClassifier, folder: Path, facts: Mapping[str, Any] | None = None
) -> None:
    """Write weights (safetensors) and config.json.

    Args:
        model: The classifier.
        folder: Target; created if missing.
        facts: What was measured (data, accuracies, controls), as JSON values.

    Raises:
        MotiveError: The folder cannot be written.
    """
    from safetensors.torch import save

    config = {
        "motions": list(model.motions),
        "kind": model.kind,
        "width": model.width,
        "facts": dict(model.facts if facts is None else facts),
    }
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with whole_file(folder / _WEIGHTS) as partial:
        partial.write_bytes(save(state))
    with whole_file(folder / _CONFIG) as partial:
        partial.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def load_motion_classifier(folder: Path | None = None) -> MotionClassifier:
    """Load a classifier, in evaluation mode and without gradients.

    Args:
        folder: What `save_motion_classifier` wrote; None takes the one inside the package.

    Raises:
        ModelError: The folder holds no classifier, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    place = folder or Path(str(resources.files("motive"))) / _EMBEDDED
    try:
        config = json.loads((place / _CONFIG).read_text(encoding="utf-8"))
        model = MotionClassifier(config["motions"], kind=config["kind"], width=config["width"])
        model.load_state_dict(load((place / _WEIGHTS).read_bytes()))
    except FileNotFoundError as error:
        raise ModelError(
            f"{place}: no motion classifier ({Path(str(error.filename)).name} is missing)"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{place}: the motion classifier is damaged ({first:.160})") from error
    model.facts = dict(config.get("facts", {}))
    return model.eval().requires_grad_(False)
