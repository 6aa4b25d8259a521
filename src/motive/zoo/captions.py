"""English captions of MotionZoo clips, from a small vocabulary.

Every caption names the motion with a verb of its own, the solid and its colour.
"""

from __future__ import annotations

import numpy as np

from motive.zoo.motions import Factors

# {x} is the subject, {on} a place on the floor or in the scene, {way} a direction.
_PHRASES: dict[str, tuple[str, ...]] = {
    "compress": (
        "{x} is compressed {on}",
        "{x} gets compressed and flattens {on}",
        "{x} is being compressed until it is flat",
        "compressing {x} {on}",
        "{x} compresses and becomes wide and flat {on}",
        "a force compresses {x} {on}",
        "{x} is compressed from above {on}",
    ),
    "bounce": (
        "{x} bounces {on}",
        "{x} is bouncing {on}",
        "{x} drops, bounces and comes back up {on}",
        "bouncing {shape}: {x} {on}",
        "{x} bounces to the {way} {on}",
        "{x} falls and bounces {on}",
        "{x} bounces up and down {on}",
    ),
    "roll": (
        "{x} rolls {on}",
        "{x} is rolling {on}",
        "{x} rolls to the {way} {on}",
        "{x} rolls along the floor",
        "rolling {shape}: {x} {on}",
        "{x} turns over and over as it rolls to the {way}",
        "{x} is rolling across the frame {on}",
    ),
    "explode": (
        "{x} explodes {on}",
        "{x} is exploding into pieces {on}",
        "{x} explodes and its pieces fly apart",
        "{x} suddenly explodes into many fragments {on}",
        "exploding {shape}: {x} {on}",
        "{x} explodes and breaks apart {on}",
        "{x} explodes into flying fragments {on}",
    ),
    "float": (
        "{x} floats up {on}",
        "{x} is floating in the air {on}",
        "{x} floats slowly like a balloon",
        "{x} gently floats upward {on}",
        "floating {shape}: {x} {on}",
        "{x} floats and drifts to the {way} {on}",
        "{x} is floating and swaying {on}",
    ),
    "free fall": (
        "{x} falls freely {on}",
        "{x} is in free fall {on}",
        "{x} falls down from above {on}",
        "{x} falls straight down and stays {on}",
        "falling {shape}: {x} {on}",
        "{x} is falling to the floor",
        "{x} drops in free fall {on}",
    ),
    "slide": (
        "{x} slides {on}",
        "{x} is sliding {on}",
        "{x} slides to the {way} {on}",
        "{x} slides along the floor without turning",
        "sliding {shape}: {x} {on}",
        "{x} slides across the frame {on}",
        "{x} is sliding to the {way} and slows down {on}",
    ),
    "spin": (
        "{x} spins {on}",
        "{x} is spinning in place {on}",
        "{x} spins around its vertical axis",
        "spinning {shape}: {x} {on}",
        "{x} keeps spinning on the spot {on}",
        "{x} spins like a top {on}",
        "{x} spins without moving away {on}",
    ),
    "stretch": (
        "{x} is stretched {on}",
        "{x} stretches and becomes long and thin {on}",
        "{x} is being stretched {on}",
        "stretching {x} {on}",
        "{x} gets stretched until it is long",
        "a force stretches {x} {on}",
        "{x} stretches out {on}",
    ),
    "swing": (
        "{x} swings from a rod {on}",
        "{x} is swinging like a pendulum {on}",
        "{x} swings back and forth {on}",
        "{x} hangs from a rod and swings to the {way}",
        "swinging {shape}: {x} {on}",
        "{x} swings on a pendulum {on}",
        "{x} is swinging through the air {on}",
    ),
}


def caption(motion: str, factors: Factors, rng: np.random.Generator) -> str:
    """Describe a clip.

    Args:
        motion: A key of the motion vocabulary, one of `motions.MOTIONS`.
        factors: The clip's factors.
        rng: Chooses the phrasing.

    Returns:
        One lower-case phrase without a full stop.
    """
    phrases = _PHRASES[motion]
    phrase = phrases[int(rng.integers(len(phrases)))]
    detail = rng.random()
    look = f"{factors.colour} {factors.shape}"
    if detail < 0.7:
        look = f"{factors.colour} {factors.pattern} {factors.shape}"
    place = {"float": "above", "free fall": "over", "swing": "above"}.get(motion, "on")
    floor = f"{place} a {factors.floor} floor"
    wall = f"in front of a {factors.background} wall"
    scenery = ("", floor, floor, f"{floor} {wall}")[int(rng.integers(4))]
    article = "an" if look[0] in "aeiou" else "a"
    text = phrase.format(
        x=f"{article} {look}", shape=factors.shape, on=scenery, way=factors.direction
    )
    return " ".join(text.split()).replace(" ,", ",")
