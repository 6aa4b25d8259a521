"""English captions of MotionZoo clips, from a small vocabulary.

Every caption names the motion with a verb of its own, the solid and its colour.
"""

from __future__ import annotations

import numpy as np

from motive.zoo.factors import Factors

# {x} is the subject, {on} a place on the floor or in the scene, {way} a direction.
_PHRASES: dict[str, tuple[str, ...]] = {
    "compress": (
        "{x} is compressed {on}",
        "{x} gets compressed {on}",
        "{x} is being compressed and moves to the {way}",
        "compressing {x} {on}",
        "{x} compresses {on}",
        "a force compresses {x} {on}",
    ),
    "bounce": (
        "{x} bounces {on}",
        "{x} is bouncing {on}",
        "{x} drops, bounces and comes back up {on}",
        "bouncing {shape}: {x} {on}",
        "{x} bounces to the {way} {on}",
        "{x} bounces up and down {on}",
    ),
    "roll": (
        "{x} rolls {on}",
        "{x} is rolling {on}",
        "{x} rolls to the {way} {on}",
        "{x} rolls along the floor",
        "rolling {shape}: {x} {on}",
        "{x} turns over and over as it rolls {on}",
    ),
    "explode": (
        "{x} explodes {on}",
        "{x} is exploding into pieces {on}",
        "{x} explodes and its pieces fly apart",
        "{x} moves to the {way} and explodes {on}",
        "exploding {shape}: {x} {on}",
        "{x} explodes and breaks apart {on}",
    ),
    "float": (
        "{x} floats up {on}",
        "{x} is floating in the air {on}",
        "{x} floats like a balloon",
        "{x} floats up to the {way} {on}",
        "floating {shape}: {x} {on}",
        "{x} is floating and swaying {on}",
    ),
    "free fall": (
        "{x} falls freely {on}",
        "{x} is in free fall {on}",
        "{x} falls down from above {on}",
        "{x} falls to the {way} {on}",
        "falling {shape}: {x} {on}",
        "{x} is falling to the floor",
    ),
    "slide": (
        "{x} slides {on}",
        "{x} is sliding {on}",
        "{x} slides to the {way} {on}",
        "{x} slides along the floor without turning",
        "sliding {shape}: {x} {on}",
        "{x} is sliding to the {way} {on}",
    ),
    "spin": (
        "{x} spins {on}",
        "{x} is spinning {on}",
        "{x} spins around its vertical axis",
        "spinning {shape}: {x} {on}",
        "{x} moves to the {way} and spins {on}",
        "{x} spins like a top {on}",
    ),
    "stretch": (
        "{x} is stretched {on}",
        "{x} stretches and becomes long and thin {on}",
        "{x} is being stretched and moves to the {way}",
        "stretching {x} {on}",
        "{x} gets stretched until it is long",
        "a force stretches {x} {on}",
    ),
    "swing": (
        "{x} swings {on}",
        "{x} is swinging like a pendulum {on}",
        "{x} swings back and forth {on}",
        "{x} moves to the {way} and swings {on}",
        "swinging {shape}: {x} {on}",
        "{x} is swinging through the air {on}",
    ),
    "none": (
        "{x} stands still {on}",
        "{x} does not move {on}",
        "still {shape}: {x} {on}",
        "{x} without motion {on}",
    ),
}
_CAMERAS = {
    "pan": "the camera pans",
    "zoom": "the camera zooms",
    "orbit": "the camera moves around it",
    "shake": "the camera shakes",
}
_ABOVE = ("float", "free fall", "swing")


def caption(motion: str, factors: Factors, rng: np.random.Generator) -> str:
    """Describe a clip.

    Args:
        motion: One of `motions.MOTIONS`, or "none".
        factors: The clip's factors.
        rng: Chooses the phrasing.

    Returns:
        One lower-case phrase without a full stop.
    """
    sideways = abs(np.cos(np.radians(factors.heading))) > 0.5  # else left and right hardly show
    phrases = [p for p in _PHRASES[motion] if sideways or "{way}" not in p]
    phrase = phrases[int(rng.integers(len(phrases)))]
    look = f"{factors.colour} {factors.shape}"
    if rng.random() < 0.5:
        look = f"{factors.colour} {factors.pattern} {factors.shape}"
    floor = f"{'over' if motion in _ABOVE else 'on'} a {factors.floor} floor"
    wall = f"in front of a {factors.background} wall"
    scenery = ("", floor, floor, f"{floor} {wall}")[int(rng.integers(4))]
    article = "an" if look[0] in "aeiou" else "a"
    text = phrase.format(
        x=f"{article} {look}", shape=factors.shape, on=scenery, way=factors.direction
    )
    text = " ".join(text.split())
    if rng.random() < 0.35 and factors.camera in _CAMERAS:
        text += f", {_CAMERAS[factors.camera]}"
    return text
