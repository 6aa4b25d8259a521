"""Does the video show the motion that its prompt asks for? Judged by the MotionZoo classifier."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from motive.clips import Clip, ClipStandard, decode_clip
from motive.errors import ClipError, ModelError
from motive.evaluation.classifier_training import as_video
from motive.evaluation.metrics.protocol import Opened, Readings
from motive.evaluation.motion_classifier import MotionClassifier, classify

CLIP = ClipStandard(frames=17, fps=16.0, height=64, width=64)  # what the classifier was trained on


class ShownMotion:
    """Yes or no, and the probability that the classifier gives the asked motion.

    The classifier never sees the prompt. It was trained on MotionZoo and knows no other look.

    Args:
        classifier: Reads pixels.
        identity: Says which classifier it is.
        standard: Clip shape it was trained on.
    """

    keys = ("motion_shown", "motion_probability")

    def __init__(
        self, classifier: MotionClassifier, identity: str, standard: ClipStandard = CLIP
    ) -> None:
        if classifier.kind != "pixel":
            raise ModelError(f"{identity}: this classifier reads latents; give one for pixels")
        self.classifier, self.identity, self.standard = classifier, identity, standard

    @property
    def settings(self) -> Mapping[str, Any]:
        """The classifier and the clip shape."""
        return {"classifier": self.identity, "standard": dict(vars(self.standard))}

    def begin(self, video: Opened) -> ShownMotionTally:
        """Reads the file by timestamps once all other measures have seen it."""
        return ShownMotionTally(self, video)


class ShownMotionTally:
    """Decodes the clip as the classifier wants it."""

    def __init__(self, measure: ShownMotion, video: Opened) -> None:
        self.measure, self.video = measure, video

    def add(self, frames: np.ndarray) -> None:
        """The classifier has its own sampling."""

    def finish(self) -> Readings:
        """Both metrics."""
        classifier, asked = self.measure.classifier, self.video.motion
        if asked is None:
            return dict.fromkeys(ShownMotion.keys, "the asked motion is not known")
        if asked not in classifier.motions:
            return dict.fromkeys(
                ShownMotion.keys, f"the classifier does not know the motion {asked!r}"
            )
        try:
            decoded = decode_clip(Clip(self.video.path), self.measure.standard)
        except ClipError as error:
            return dict.fromkeys(ShownMotion.keys, str(error).removeprefix(f"{self.video.path}: "))
        logs = classify(classifier, as_video(decoded.pixels[None]))[0]
        place = classifier.motions.index(asked)
        return {
            "motion_shown": float(int(logs.argmax()) == place),
            "motion_probability": math.exp(float(logs[place])),
        }
