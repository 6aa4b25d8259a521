"""The stage of gradients: prepared clips in, rows of a feature store out.

Invariant: a row is written once and whole, and an error of one clip ends neither the others nor the
run. What is a property of the clip is stored; what may go better another time is not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack

from motive.errors import ClipError
from motive.gradients import ClipInputs, Feature, Featurizer, TooLargeError
from motive.index import ClipRecord, FeatureRow, FeatureStore, Manifest
from motive.runs.entries import Progress, clip_of, unusable
from motive.runs.prepare import PreparedClip, Preparer

_LOG = logging.getLogger(__name__)


class FeatureStage:
    """Computes features of clips, as many at a time as the featurizer takes.

    Args:
        featurizer: Computes them.
        preparer: Gives latents, motion weights and embeddings.
        manifest: Gets a record of every clip that could not be used this time.
        store: Gets the features.
        frames: Pixel frames of every clip.
    """

    def __init__(
        self,
        featurizer: Featurizer,
        preparer: Preparer,
        manifest: Manifest,
        store: FeatureStore,
        frames: int,
    ) -> None:
        self.featurizer, self.preparer = featurizer, preparer
        self.manifest, self.store, self.frames = manifest, store, frames

    def compute(self, records: Sequence[ClipRecord], progress: Progress) -> dict[str, str]:
        """Features of clips not yet stored.

        Args:
            records: The clips.
            progress: Called after each batch.

        Returns:
            Clip id -> reason, of each clip that has none.
        """
        failed: dict[str, str] = {}
        with ExitStack() as stack:
            stack.callback(self.store.table.compact)
            stack.enter_context(self.featurizer.ready())
            step = self.featurizer.batch  # known now: not every model can be batched
            for start in range(0, len(records), step):
                failed |= self._batch(records[start : start + step])
                done = min(start + step, len(records))
                progress("computing gradients", done, len(records))
        return failed

    def _batch(self, records: Sequence[ClipRecord]) -> dict[str, str]:
        prepared: list[tuple[ClipRecord, PreparedClip]] = []
        failed: dict[str, str] = {}
        for record in records:
            try:
                prepared.append((record, self.preparer.prepare(clip_of(record))))
            except ClipError as error:
                # Readable a moment ago: an entry to try again, not a property of the clip.
                failed[record.clip_id] = self._to_try_again(record, error)
        began = time.perf_counter()
        found = self.featurizer.features(
            [ClipInputs(p.latents, p.text, p.weights, self.frames) for _, p in prepared]
        )
        seconds = (time.perf_counter() - began) / max(1, len(found))
        rows = []
        for (record, _), feature in zip(prepared, found, strict=True):
            if isinstance(feature, TooLargeError):  # for this machine and these options
                failed[record.clip_id] = self._to_try_again(record, feature)
                continue
            if isinstance(feature, ClipError):
                _LOG.info("%s: %s", record.source, feature)
                failed[record.clip_id] = str(feature)
            rows.append(feature_row(record.clip_id, feature, seconds))
        self.store.append(rows)
        return failed

    def _to_try_again(self, record: ClipRecord, error: ClipError) -> str:
        reason = str(error).removeprefix(f"{record.source}: ")
        self.manifest.append(unusable(record, f"{record.source}: {reason}"))
        return reason


def feature_row(clip_id: str, feature: Feature | ClipError, seconds: float) -> FeatureRow:
    """A feature, or why there is none, as it is stored."""
    if isinstance(feature, ClipError):
        return FeatureRow(clip_id, error=str(feature))
    numbers = feature.projected_norm, feature.gradient_norm, feature.loss, seconds
    return FeatureRow(clip_id, feature.vector.numpy(), *numbers)
