"""What varies between MotionZoo clips besides the motion.

Invariant: `draw_factors` never hears of the motion, so appearance, place, size, travel, camera and
distractors say nothing about it, in law and not only on average.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from motive.zoo.shading import ACCENTS, COLOURS, FLOORS, PATTERNS, WALLS
from motive.zoo.shapes import SHAPES

SPEEDS: dict[str, float] = {"slow": 0.20, "medium": 0.29, "fast": 0.38}
CAMERAS: tuple[str, ...] = ("static", "pan", "zoom", "orbit", "shake")
RODS: tuple[str, ...] = ("none", "standing", "drifting")
_CAMERA_SHARES = (0.5, 0.125, 0.125, 0.125, 0.125)
_CENTRE = 0.14  # half width of the square of drawn places, in frames
_COLUMNS, _ROWS = ("left", "middle", "right"), ("bottom", "centre", "top")
_LYING = ("cylinder", "capsule")  # solids that can lie on their side


@dataclass(frozen=True)
class Distractor:
    """A solid that stands around.

    Attributes:
        shape: One of `SHAPES`.
        colour: Its colour, never the body's.
        radius: Radius in scene units.
        across: Sideways place relative to the body's mean, in frame widths.
        behind: Distance behind the body's mean, in scene units.
        drift: Sideways travel over the clip in frame widths; 0 for one that stands.
    """

    shape: str
    colour: str
    radius: float
    across: float
    behind: float
    drift: float


@dataclass(frozen=True)
class Factors:
    """Appearance and layout of a clip; angles in degrees, image lengths in frames.

    Attributes:
        shape: Solid, one of `SHAPES`.
        lying: Whether a cylinder or capsule starts on its side, across its heading.
        colour: Main colour.
        accent: Second colour of the pattern.
        pattern: Surface pattern.
        floor: Colour name of the floor.
        background: Colour name of the wall.
        camera: "static", "pan", "zoom", "orbit" or "shake".
        direction: "left" or "right", the sign of the sideways travel.
        speed: "slow", "medium" or "fast" travel.
        place: Name of the cell of a 3 x 3 grid over the drawn places.
        rod: "none"; or a thin rod that is "standing" or "drifting" with the body. A swinging body
            hangs from it, everybody else only passes it.
        distractors: Other solids.
        place_x: Mean image place of the body over the clip, to the right of the centre.
        place_y: The same, upwards.
        apparent: Diameter of the body over the frame's height.
        travel: Length of the body's common drift over the clip (over 1 s in shorter clips), in
            frame widths at the body's distance.
        heading: Direction of the drift on the floor: 0 is right, 90 away from the camera.
        turn: Turn of the body about its own axis at the start.
        askew: Turn of an upright body against its heading.
        lift: Height above the floor where the motion leaves it free, in scene units.
        azimuth: Direction from which the camera looks.
        elevation: Height of the camera above the horizon.
        camera_variant: Four numbers in [0, 1) that vary the camera's path.
        light_x: Sideways slope of the light.
        light_depth: Backward slope of the light.
        warmth: Colour of the light, -1 cool to 1 warm.
        variant: Six numbers in [0, 1) that vary a motion within itself.
    """

    shape: str
    lying: bool
    colour: str
    accent: str
    pattern: str
    floor: str
    background: str
    camera: str
    direction: str
    speed: str
    place: str
    rod: str
    distractors: tuple[Distractor, ...]
    place_x: float
    place_y: float
    apparent: float
    travel: float
    heading: float
    turn: float
    askew: float
    lift: float
    azimuth: float
    elevation: float
    camera_variant: tuple[float, ...]
    light_x: float
    light_depth: float
    warmth: float
    variant: tuple[float, ...]


def draw_factors(rng: np.random.Generator) -> Factors:
    """Draw the factors of one clip."""
    shape, colour = str(rng.choice(SHAPES)), str(rng.choice(list(COLOURS)))
    speed = str(rng.choice(list(SPEEDS)))
    heading = _heading(rng)
    x, y = rng.uniform(-_CENTRE, _CENTRE, size=2)
    return Factors(
        shape=shape,
        lying=bool(rng.random() < 0.5) and shape in _LYING,
        colour=colour,
        accent=str(rng.choice(list(ACCENTS))),
        pattern=str(rng.choice(PATTERNS)),
        floor=str(rng.choice(list(FLOORS))),
        background=str(rng.choice(list(WALLS))),
        camera=str(rng.choice(CAMERAS, p=_CAMERA_SHARES)),
        direction="right" if np.cos(np.radians(heading)) > 0 else "left",
        speed=speed,
        place=place_name(float(x), float(y)),
        rod=str(rng.choice(RODS, p=(0.5, 0.25, 0.25))),
        distractors=_distractors(rng, colour),
        place_x=float(x),
        place_y=float(y),
        apparent=float(rng.uniform(0.28, 0.36)),
        travel=SPEEDS[speed] * float(rng.uniform(0.92, 1.08)),
        heading=heading,
        turn=float(rng.uniform(-180.0, 180.0)),
        askew=float(rng.uniform(-20.0, 20.0)),
        lift=max(float(rng.uniform(-0.7, 0.7)), 0.0),
        azimuth=float(rng.uniform(-20.0, 20.0)),
        elevation=float(rng.uniform(4.0, 20.0)),
        camera_variant=tuple(rng.random(4).tolist()),
        light_x=float(rng.uniform(-0.8, 0.8)),
        light_depth=float(rng.uniform(0.3, 0.85)),
        warmth=float(rng.uniform(-1.0, 1.0)),
        variant=tuple(rng.random(6).tolist()),
    )


def place_name(x: float, y: float) -> str:
    """Cell of the 3 x 3 grid over the drawn places, such as "top left" or "centre middle"."""
    column, row = (
        min(max(int((value + _CENTRE) / (2.0 * _CENTRE) * 3.0), 0), 2) for value in (x, y)
    )
    return f"{_ROWS[row]} {_COLUMNS[column]}"


def _heading(rng: np.random.Generator) -> float:
    """Any direction on the floor, two times out of three within 35 degrees of sideways."""
    if rng.random() < 1.0 / 3.0:
        return float(rng.uniform(0.0, 360.0))
    return float((rng.integers(2) * 180.0 + rng.uniform(-35.0, 35.0)) % 360.0)


def _distractors(rng: np.random.Generator, colour: str) -> tuple[Distractor, ...]:
    """None (0.45), one (0.40) or two (0.15) solids in other colours, on one side each."""
    chance = rng.random()
    count = 2 if chance < 0.15 else (1 if chance < 0.55 else 0)
    slides = rng.random() < 0.15
    side = float(rng.choice([-1.0, 1.0]))
    others = [name for name in COLOURS if name != colour]
    return tuple(
        Distractor(
            shape=str(rng.choice(SHAPES)),
            colour=str(rng.choice(others)),
            radius=float(rng.uniform(0.22, 0.36)),
            across=side * (-1.0) ** number * float(rng.uniform(0.2, 0.5)),
            behind=float(rng.uniform(1.1, 1.9)),
            drift=float(rng.choice([-0.15, 0.15])) if slides and number == 0 else 0.0,
        )
        for number in range(count)
    )


def decoy_factors(factors: Factors, decoy: str, rng: np.random.Generator) -> Factors:
    """Factors of a decoy clip.

    Args:
        factors: What `draw_factors` gave.
        decoy: "static" stops the camera too, "camera" makes sure that it moves, "corner" moves
            the clip's events into a corner of the frame and makes them small.
        rng: The clip's generator, for decoys.
    """
    if decoy == "static":
        return replace(factors, camera="static")
    if decoy == "camera":
        return replace(factors, camera=str(rng.choice(CAMERAS[1:])))
    shrink = float(rng.uniform(0.42, 0.5))
    right, top = (bool(coin) for coin in rng.integers(2, size=2))
    x, y = rng.uniform(0.30, 0.36, size=2)
    return replace(
        factors,
        place=f"corner {_ROWS[2 * top]} {_COLUMNS[2 * right]}",
        place_x=float(x if right else -x),
        place_y=float(y if top else -y),
        apparent=factors.apparent * shrink,
        travel=factors.travel * shrink,
    )
