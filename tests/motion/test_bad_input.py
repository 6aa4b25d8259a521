"""Clips that spoil weights, through the whole way from file to weights."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
import torch

from motive.clips import Clip, ClipStandard, decode_clip
from motive.errors import ClipError, MotiveError
from motive.motion import CodecTracker, MotionConfig, MotionWeights, compute_motion_weights
from numbered_videos import write_video

HEIGHT, WIDTH, FRAMES = 64, 96, 5
STANDARD = ClipStandard(FRAMES, 16, HEIGHT, WIDTH)
GROUPS = [[0], [1, 2, 3, 4]]
PRESETS = ("default", "objects", "paper")


def texture(seed: int, height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return (127 + 100 * smooth / np.abs(smooth).max()).astype(np.uint8)


def scene(pan: int = 0, speed: int = 4, seed: int = 0) -> np.ndarray:
    """A square of 24 px that goes right over a texture, uint8 "f h w 3"."""
    big = texture(seed, HEIGHT, WIDTH + pan * FRAMES)
    frames = np.stack([big[:, pan * f : pan * f + WIDTH] for f in range(FRAMES)])
    for f in range(FRAMES):
        frames[f, 20:44, 16 + speed * f : 40 + speed * f] = texture(seed + 1, 24, 24)
    return frames


def weights_of(clip: Clip, preset: str = "default", short="error") -> MotionWeights:
    decoded = decode_clip(clip, STANDARD, short=short)
    config = MotionConfig.preset(preset, tracker="dis")
    return compute_motion_weights(
        decoded.pixels, GROUPS, (8, 12), config, clip=clip, provenance=decoded.provenance
    )


def alike(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(np.corrcoef(first.numpy().ravel(), second.numpy().ravel())[0, 1])


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> torch.Tensor:
    """Weights of the scene from a file that loses nothing."""
    path = tmp_path_factory.mktemp("plain") / "plain.mkv"
    write_video(path, scene(), codec="ffv1", pixel_format="bgr0")
    return weights_of(Clip(str(path))).weights


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("usual.mp4", "libx264", "yuv420p"),
        ("grey.mp4", "libx264", "gray"),
        ("grey.mkv", "ffv1", "gray"),
        ("deep.mp4", "libx264", "yuv420p10le"),
        ("deep.mkv", "ffv1", "yuv444p10le"),
    ],
)
def test_grey_and_10_bit_videos_give_the_weights_of_usual_ones(
    plain, tmp_path, name, codec, pixel_format
):
    path = write_video(tmp_path / name, scene(), codec=codec, pixel_format=pixel_format)
    assert alike(weights_of(Clip(str(path))).weights, plain) > 0.95


def test_alpha_is_no_motion(plain, tmp_path):
    """An alpha channel that flickers over colours that hardly move."""
    path = tmp_path / "alpha.mkv"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=16)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "bgra"
        for frame in scene():
            alpha = rng.integers(0, 256, (HEIGHT, WIDTH, 1)).astype(np.uint8)
            image = np.ascontiguousarray(np.concatenate([frame, alpha], -1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgba")))
        container.mux(stream.encode())
    assert torch.equal(weights_of(Clip(str(path))).weights, plain)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_phone_videos_have_their_weights_where_one_sees_the_motion(plain, tmp_path, degrees, turns):
    stored = [np.rot90(frame, -turns) for frame in scene()]
    path = write_video(tmp_path / "phone.mp4", stored, rotation=degrees)
    assert alike(weights_of(Clip(str(path))).weights, plain) > 0.95


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_the_encoder_s_vectors_turn_with_a_phone_video(tmp_path, degrees, turns):
    frames = scene(pan=3, speed=-3)  # all of the picture goes left by 3 px
    stored = [np.rot90(frame, -turns) for frame in frames]
    options = {"preset": "medium", "crf": "18"}
    path = write_video(tmp_path / "phone.mp4", stored, rotation=degrees, options=options)
    clip = Clip(str(path))
    provenance = decode_clip(clip, STANDARD).provenance
    flow = CodecTracker().consecutive_in_file(clip, provenance, (HEIGHT, WIDTH))
    middle = flow[1:, 16:-16, 16:-16].flatten(0, 2).median(0).values
    assert middle.tolist() == pytest.approx([-3, 0], abs=0.5)


def test_a_video_of_one_frame_is_too_short_or_has_no_weight(tmp_path):
    clip = Clip(str(write_video(tmp_path / "one.mp4", scene()[:1])))
    with pytest.raises(ClipError, match=r"one\.mp4: too short"):
        weights_of(clip)
    for preset in PRESETS:
        found = weights_of(clip, preset, short="repeat")
        assert found.weights.abs().max() == 0
        assert found.facts.static


def noise_frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)


def boxed(frames: np.ndarray) -> np.ndarray:
    frames[:, :12], frames[:, -12:] = 16, 16
    return frames


def blinking() -> np.ndarray:
    frames = scene()
    frames[2] = 0
    return frames


CLIPS = {
    "nothing moves": lambda: scene(speed=0),
    "all moves": lambda: scene(pan=4, speed=-4),
    "every pixel by itself": noise_frames,
    "a cut": lambda: np.concatenate([scene()[:2], scene(seed=5)[:3]]),
    "only cuts": lambda: np.stack([texture(seed, HEIGHT, WIDTH) for seed in range(FRAMES)]),
    "black": lambda: np.zeros_like(scene()),
    "black, then a picture": lambda: np.concatenate([0 * scene()[:2], scene()[2:]]),
    "a black frame": blinking,
    "letterbox": lambda: boxed(scene(pan=3)),
    "pillars": lambda: boxed(scene(pan=3).swapaxes(1, 2)).swapaxes(1, 2).copy(),
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", CLIPS)
def test_weights_of_any_clip_are_weights(kind, preset):
    pixels = torch.from_numpy(CLIPS[kind]())
    config = MotionConfig.preset(preset, tracker="dis")
    found = compute_motion_weights(pixels, GROUPS, (8, 12), config)
    assert found.weights.shape == (2, 8, 12)
    assert found.weights.isfinite().all()
    assert 0 <= found.weights.min() <= found.weights.max() <= 1


def test_object_weights_know_what_spoils_the_default():
    """Still clips, pans, cuts and bars have weights by default and none of moving objects."""
    objects = MotionConfig.objects()

    def weights(kind):
        pixels = torch.from_numpy(CLIPS[kind]())
        return compute_motion_weights(pixels, GROUPS, (8, 12), objects).weights

    for kind in ("nothing moves", "all moves", "only cuts", "black", "black, then a picture"):
        limit = 0.5 if kind == "black, then a picture" else 0.1  # its picture moves
        assert weights(kind).mean() < limit, kind
    bars = weights("letterbox")
    assert bars[:, :1].max() < 0.05
    assert bars[:, 3:5].max() > 0.4


@pytest.mark.parametrize("tracker", ["alltracker", "raft", "cotracker3"])
def test_missing_weights_are_one_line_with_a_way_out(tmp_path, monkeypatch, tracker):
    """Where the package is missing that is said first; nothing is fetched here."""

    def unreachable(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load", unreachable)
    option = {} if tracker == "cotracker3" else {"weights": str(tmp_path / "missing.pth")}
    config = MotionConfig.preset("paper", tracker=tracker, tracker_options=option)
    with pytest.raises(MotiveError) as found:
        compute_motion_weights(torch.from_numpy(scene()), GROUPS, (8, 12), config)
    message = str(found.value)
    assert "\n" not in message
    assert tracker in message.lower()
    assert any(word in message for word in ("dis", "another tracker", "install"))
