"""Control views of a clip: other pixels, to be scored under the moving clip's mask.

A method that finds motion must do worse on them; what it still finds there comes from where the
mask lies, from appearance, or from the caption.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch

from motive.errors import UsageError

View = Literal["moving", "frozen", "shuffled"]
VIEWS: tuple[View, ...] = get_args(View)


def view_pixels(pixels: torch.Tensor, view: View, clip_id: str) -> torch.Tensor:
    """The pixels that a view shows.

    Args:
        pixels: uint8 "f h w 3".
        view: "moving": as they are; "frozen": the first frame, repeated; "shuffled": the frames in
            a random order that belongs to the clip.
        clip_id: Hex digits; seeds the order.

    Returns:
        Same shape.

    Raises:
        UsageError: Unknown view.
    """
    if view not in VIEWS:
        raise UsageError(f"view {view!r}: must be one of {', '.join(VIEWS)}")
    if view == "frozen":
        return pixels[:1].expand_as(pixels).contiguous()
    if view == "shuffled":
        order = np.random.default_rng(int(clip_id[:16], 16)).permutation(len(pixels))
        return pixels[torch.from_numpy(order)]
    return pixels
