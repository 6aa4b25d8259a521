"""Small videos for people: a clip as the model saw it, and its motion drawn on it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from motive.clips import Clip, ClipStandard, decode_unchanged, write_mp4
from motive.motion import MotionConfig, measure_magnitude, overlay_frames


class Preview(NamedTuple):
    """Two browser-playable files of the same length and size."""

    video: Path
    overlay: Path


class Previews:
    """Makes previews on demand and keeps them; only clips that are shown cost anything.

    Args:
        folder: Where the mp4 files go. Safe to delete.
        standard: Clip shape of the run.
        motion: Motion options of the run.
    """

    def __init__(self, folder: Path, standard: ClipStandard, motion: MotionConfig) -> None:
        self.folder, self.standard, self.motion = folder, standard, motion

    def place(self, clip_id: str) -> Preview:
        """Where the preview of a clip is, or would be."""
        return Preview(
            self.folder / f"{clip_id}.mp4", self.folder / f"{clip_id}-{self.motion.tracker}.mp4"
        )

    def get(self, clip: Clip) -> Preview:
        """The preview of one clip.

        Raises:
            ClipError: The clip cannot be decoded, or its file changed.
        """
        preview = self.place(clip.id)
        if preview.video.exists() and preview.overlay.exists():
            return preview
        self.folder.mkdir(parents=True, exist_ok=True)
        decoded = decode_unchanged(clip, self.standard)
        pixels = decoded.pixels
        write_mp4(preview.video, pixels, self.standard.fps)
        motion = measure_magnitude(pixels, self.motion, clip=clip, provenance=decoded.provenance)
        write_mp4(preview.overlay, overlay_frames(pixels, motion.magnitude), self.standard.fps)
        return preview
