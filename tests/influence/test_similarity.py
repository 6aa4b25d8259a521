"""Similarity scores agree with their formulas."""

import numpy as np
import pytest

from motive.influence import pooled_latents, small_frames, vector_cosine


def test_the_cosine_is_taken_around_the_mean_of_the_training_clips():
    train = np.array([[1.0, 0.0], [3.0, 0.0], [2.0, 3.0]])
    query = np.array([[2.0, 2.0], [3.0, 1.0]])
    found = vector_cosine(query, train)
    known = [[np.dot(q, t) / np.linalg.norm(q) / np.linalg.norm(t)
              for t in train - [2, 1]] for q in query - np.array([2, 1])]  # fmt: skip
    assert found == pytest.approx(np.array(known), abs=1e-6)
    assert vector_cosine(train, train, centred=False)[0, 1] == pytest.approx(1.0)


def test_latents_are_pooled_over_space_and_kept_in_time():
    latents = np.random.default_rng(0).random((2, 3, 5, 4, 6))
    found = pooled_latents(latents)
    assert found.shape == (2, 2, 3, 5)
    assert found[1, 0, 2, 3] == pytest.approx(latents[1, 2, 3].mean())
    assert found[1, 1, 2, 3] == pytest.approx(latents[1, 2, 3].std())
    assert np.array_equal(pooled_latents(latents[1]), found[1])


def test_small_frames_are_means_of_areas():
    frames = np.zeros((2, 32, 64, 3), np.uint8)
    frames[1, :2, :4] = 80
    found = small_frames(frames)
    assert found.shape == (2, 16, 16, 3)
    assert found[1, 0, 0].tolist() == [80, 80, 80]
    assert found[1].sum() == 240
