"""Keypoints in film whose stored pixels are not square: detectors measure these, cameras have square ones."""

import numpy as np
import torch
from skeletonfiles import camera_before, performance, points_of, projected, seen

from synthaug.motions.fitting.layouts import COCO_WHOLEBODY_133
from synthaug.motions.pose.following import Detection
from synthaug.motions.pose.keypoints import Choice, FilmFormat, lift_person

K = np.array([[640.0, 0, 320], [0, 640.0, 180], [0, 0, 1]])


def test_points_in_stored_pixels_give_the_motion_of_the_round_picture():
    motion = performance("hand waving", 0.6, fps=20.0)
    round_pixels = projected(seen(points_of(motion, COCO_WHOLEBODY_133), camera_before(distance=3.4)), K)
    sure = np.ones(round_pixels.shape[1])

    def lift(pixels, film):
        return lift_person([[Detection(one, sure)] for one in pixels], COCO_WHOLEBODY_133, film, Choice())

    one = lift(round_pixels, FilmFormat(20.0, 360, 640))
    other = lift(round_pixels * [0.75, 1.0], FilmFormat(20.0, 360, 480, stretch=4 / 3))
    assert torch.allclose(one.motion.pose, other.motion.pose, atol=1e-3)
    assert torch.allclose(one.motion.transl, other.motion.transl, atol=1e-3)
    assert (other.camera.width, other.camera.height) == (640, 360)
