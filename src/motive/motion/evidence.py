"""How far the pictures themselves contradict that only the camera moves.

In plain surfaces a tracker's flow is a guess, carried over from what moves nearby. There the
picture looks the same whether it follows the guess or the camera, so the guess proves nothing.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

Image = NDArray[np.float32]

_NOISE = 5.0  # grey levels that compression and resampling leave between matching places
_WINDOW = 1 / 64  # of the shorter side: sigma of the neighbourhood that is asked
_ENOUGH = 160  # px of the shorter side; the neighbourhood is then 2.5 px wide


def evidence_picture(frame: torch.Tensor) -> Image:
    """A frame as `motion_evidence` looks at it: grey, slightly smoothed, shrunk if it is large.

    Args:
        frame: uint8 "h w 3", RGB.

    Returns:
        float32 "y x", of a shorter side of at most 160 px.
    """
    height, width, _ = frame.shape
    factor = min(1.0, _ENOUGH / min(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    grey = np.asarray(cv2.cvtColor(frame.cpu().numpy(), cv2.COLOR_RGB2GRAY))
    if grey.shape[::-1] != size:
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.7), np.float32)


def motion_evidence(
    home: Image, target: Image, flow: torch.Tensor, baseline: torch.Tensor | None = None
) -> torch.Tensor:
    """Evidence for a motion against a baseline: E_b / (E_b + E_f + noise²) in [0, 1).

    E_b and E_f are squared differences in grey between a frame and its target brought back along
    the baseline and along the flow, averaged around every pixel. Where the baseline explains the
    picture, the evidence is near 0; where only the flow does, it is near 1; where neither does
    (something was uncovered), near 1/2.

    Args:
        home: `evidence_picture` of the frame in whose coordinates the flow stands.
        target: `evidence_picture` of the frame it leads to.
        flow: float "h w 2", pixels of the frame.
        baseline: float "h w 2", the motion to contradict, the camera's; None for no motion.

    Returns:
        float32 "h w".
    """
    height, width, _ = flow.shape
    sigma = max(1.0, min(home.shape) * _WINDOW)
    of_baseline = _mismatch(home, target, baseline, sigma)
    of_flow = _mismatch(home, target, flow, sigma)
    evidence = of_baseline / (of_baseline + of_flow + _NOISE**2)
    if evidence.shape != (height, width):
        return torch.from_numpy(cv2.resize(evidence, (width, height)))
    return torch.from_numpy(evidence)


def _mismatch(home: Image, target: Image, flow: torch.Tensor | None, sigma: float) -> Image:
    """Squared difference along a flow, averaged by a Gaussian; outside the picture the edge."""
    brought = target
    if flow is not None:
        x, y = _goals(home, flow.numpy().astype(np.float32, copy=False))
        brought = np.asarray(
            cv2.remap(target, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        )
    return np.asarray(cv2.GaussianBlur(np.square(home - brought), (0, 0), sigma), np.float32)


def _goals(home: Image, flow: Image) -> tuple[Image, Image]:
    """Where a flow "h w 2" of the whole frame leads in the pixels of its `evidence_picture`."""
    height, width = home.shape
    if flow.shape[:2] != home.shape:
        scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) * scale
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return x, y
