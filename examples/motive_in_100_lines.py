"""MOTIVE in 100 lines: from video files to the clips that move the model, nothing hidden.

    python examples/motive_in_100_lines.py TRAINING_CLIPS QUERY_CLIPS [MODEL]

TRAINING_CLIPS and QUERY_CLIPS are folders of videos (captions in .txt files of the same name) or
CSV / JSON / JSONL lists. `motive index`, `rank` and `select` do the same with caches, resume and a
report.
"""

import sys
from collections.abc import Callable

import numpy as np
import torch

from motive.backbones import Backbone, load_backbone
from motive.clips import Clip, decode_clip, read_dataset
from motive.gradients import fixed_noise, location_error, motion_weighted_loss
from motive.influence import cosine_scores, top_clips
from motive.motion import MotionConfig, compute_motion_weights
from motive.projection import BlockedFastfood, Projection
from motive.selection import Selection, majority_vote

SIGMA = 0.751  # t_fix = 751 of 1000, one noise level for all clips
NOISE_SEED = 0  # one noise sample for all clips


def clip_feature(clip: Clip, backbone: Backbone, projection: Projection) -> np.ndarray:
    """One clip -> its projected, motion-weighted gradient (unit length)."""
    standard = backbone.standard

    # 1. Decode to the model's frames, rate and size; measure where the clip moves.
    pixels = decode_clip(clip, standard).pixels  # uint8 (F, H, W, 3)
    grid = backbone.latent_grid(standard)  # (f, h, w)
    groups = backbone.temporal_groups(standard.frames)
    weights = compute_motion_weights(pixels, groups, grid[1:], MotionConfig()).weights  # (f, h, w)

    # 2. What the model sees: latents, caption embedding, and the one shared noise sample.
    latents = backbone.encode_video(pixels)[None]  # (1, c, f, h, w)
    text = backbone.encode_text(clip.caption).padded()[None]  # (1, tokens, d)
    noise = fixed_noise(tuple(latents.shape), NOISE_SEED)
    noisy = backbone.add_noise(latents, noise, SIGMA)

    # 3. Project every parameter's gradient the moment backward produces it, then free it:
    #    the full gradient never exists.
    total = torch.zeros(projection.dim)

    def project_and_free(name: str) -> Callable[[torch.Tensor], None]:
        def hook(parameter: torch.Tensor) -> None:
            if parameter.grad is not None:
                total.add_(projection.partial(name, parameter.grad))
            parameter.grad = None

        return hook

    model = backbone.transformer
    hooks = [
        parameter.register_post_accumulate_grad_hook(project_and_free(name))
        for name, parameter in model.named_parameters()
    ]
    try:
        # 4. The ordinary velocity error, weighted by motion: gradients follow what moves.
        prediction = backbone.predict(noisy, SIGMA, text)
        error = location_error(prediction, backbone.target(latents, noise, SIGMA))  # (1, f, h, w)
        motion_weighted_loss(error, weights[None], standard.frames).sum().backward()
    finally:
        for hook in hooks:
            hook.remove()
    feature = projection.finish(total)
    return (feature / feature.norm()).numpy()


def main(training: str, queries: str, model: str = "wan-nano", *, top: int = 0) -> Selection:
    """Rank the training clips for each query, and vote over all queries."""
    backbone = load_backbone(model, device="cpu")
    projection = BlockedFastfood(dim=512, seed=0)
    train_clips, query_clips = read_dataset(training), read_dataset(queries)
    train = np.stack([clip_feature(clip, backbone, projection) for clip in train_clips])
    query = np.stack([clip_feature(clip, backbone, projection) for clip in query_clips])

    scores = cosine_scores(query, train)  # (queries, clips), influence in [-1, 1]
    ids = [clip.id for clip in train_clips]
    for row, clip in zip(scores, query_clips, strict=True):
        positive, negative = top_clips(row, ids, count=3)
        print(f"{clip.name}: {clip.caption}")
        for sign, positions in (("+", positive), ("-", negative)):
            for n in positions:
                print(f"  {sign} {row[n]:+.3f}  {train_clips[n].name}  {train_clips[n].caption}")

    selection = majority_vote(
        scores, ids, [clip.id for clip in query_clips], top or max(1, len(ids) // 10)
    )
    print("selected:", [(choice.clip_id[:8], choice.votes) for choice in selection.choices])
    return selection


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2], *sys.argv[3:4])
