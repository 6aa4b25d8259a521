"""CoTracker3 point tracks, fetched through torch.hub on first use.

Its code and weights are under CC-BY-NC-4.0: not for commercial use, and never part of this
package. Points start on a regular grid in frame 0; between them displacements are interpolated.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal
from urllib.error import URLError

import torch
from torch.nn import functional as F

from motive.errors import MissingExtraError, UsageError
from motive.motion.placement import place_in_frame

log = logging.getLogger(__name__)

_HUB = "facebookresearch/co-tracker"
_LICENCE = "CC-BY-NC-4.0"


class CoTracker:
    """Tracks of a grid of points through the whole clip."""

    name = "cotracker3"

    def __init__(self, step: int = 8, repository: str | None = None, device: str = "cpu") -> None:
        """Choose the settings; nothing is loaded yet.

        Args:
            step: Distance of the points in pixels, from 1 on.
            repository: A local copy of the CoTracker repository, instead of the hub's.
            device: Where to run; does not enter the settings.

        Raises:
            UsageError: A `step` below 1.
        """
        if step < 1:
            raise UsageError(f"step={step}: must be at least 1")
        self.step, self.repository, self.device = step, repository, device
        self._model: torch.nn.Module | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Name, variant and distance of the points."""
        return {"name": self.name, "variant": "offline", "step": self.step}

    def consecutive(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement to the next frame; see `Tracker.consecutive`."""
        return self.with_reliability(frames, "consecutive")[0]

    def anchor(self, frames: torch.Tensor) -> torch.Tensor:
        """Displacement from frame 0; see `Tracker.anchor`."""
        return self.with_reliability(frames, "anchor")[0]

    def with_reliability(
        self, frames: torch.Tensor, displacement: Literal["consecutive", "anchor"]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Displacement and visibility; see `ReliableTracker.with_reliability`.

        Consecutive steps are those of the tracks, put where the tracks are in each frame; what
        was not to be seen in frame 0 has none (displacement and reliability 0).
        """
        count, height, width, _ = frames.shape
        if count == 1:
            return torch.zeros(1, height, width, 2), torch.ones(1, height, width)
        flow, visible = self._track(frames)
        if displacement == "anchor":
            return flow, visible
        steps, seen = torch.empty_like(flow), torch.empty_like(visible)
        for f in range(count):
            step = flow[f + 1] - flow[f] if f + 1 < count else flow[f] - flow[f - 1]
            known = torch.cat([step, visible[f][..., None]], -1)
            placed, _ = place_in_frame(known, flow[f], visible[f] + 1e-3)
            steps[f], seen[f] = placed[..., :2], placed[..., 2]
        return steps, seen

    @torch.inference_mode()
    def _track(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Displacement "f h w 2" from frame 0 and visibility "f h w"."""
        count, height, width, _ = frames.shape
        rows, columns = max(1, height // self.step), max(1, width // self.step)
        y = (torch.arange(rows) + 0.5) * height / rows - 0.5
        x = (torch.arange(columns) + 0.5) * width / columns - 0.5
        places = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1).reshape(-1, 2)
        queries = torch.cat([torch.zeros(len(places), 1), places], 1)[None]
        video = frames.permute(0, 3, 1, 2)[None].float()
        tracks, visible = self._loaded()(video.to(self.device), queries=queries.to(self.device))
        moved = tracks[0].float().cpu() - places
        found = torch.cat([moved, visible[0].float().cpu().reshape(count, -1, 1)], -1)
        grid = found.reshape(count, rows, columns, 3).permute(0, 3, 1, 2)
        dense = F.interpolate(grid, size=(height, width), mode="bilinear", align_corners=False)
        return dense[:, :2].permute(0, 2, 3, 1).contiguous(), dense[:, 2].clamp(0, 1)

    def _loaded(self) -> torch.nn.Module:
        if self._model is None:
            log.info("CoTracker3: code and weights under %s, not for commercial use", _LICENCE)
            where = self.repository or _HUB
            source = "local" if self.repository else "github"
            try:
                model = torch.hub.load(where, "cotracker3_offline", source=source, trust_repo=True)
            except (URLError, OSError, ImportError, RuntimeError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
                raise MissingExtraError(
                    f"tracker 'cotracker3': cannot be loaded from {where} ({reason}); it needs the "
                    "internet once, or a local copy (repository=PATH) with its weights in "
                    "torch.hub's cache; or use --tracker dis"
                ) from None
            self._model = model.eval().to(self.device)
        return self._model


def fetched() -> bool:
    """Whether torch.hub has CoTracker's code already."""
    return any(Path(torch.hub.get_dir()).glob("facebookresearch_co-tracker*"))
