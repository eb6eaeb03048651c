"""The network that lifts points of a picture to joints: laws of mirrors and sizes, and errors where truth is known."""

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.film_truth import procrustes
from synthaug.body.mirroring import COUNTERPARTS
from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT, forward_kinematics, mean_skeleton
from synthaug.motions.actions import perform
from synthaug.motions.fitting.layouts import COCO_17, COCO_WHOLEBODY_133, MEDIAPIPE_33, TOYOTA_13, Layout
from synthaug.motions.fitting.lifter import POINTS, SWAPPED, WEIGHTS, lift_points, match_points
from synthaug.motions.fitting.placement import intrinsics
from synthaug.motions.procedural.style import sample_style
from synthaug.structures import Motion

FPS = 15.0
K = intrinsics(640, 480, 1.0)
SKELETON = mean_skeleton()


def film(motion: Motion, azimuth_deg: float) -> tuple[Float[Tensor, "time 26 2"], Float[Tensor, "time 22 3"]]:
    """Pixels of the network's points, and joints about the pelvis before a level camera four metres away."""
    T = forward_kinematics(motion, SKELETON)[:, :22].float()
    ids, offsets = [JOINT[joint] for joint, _ in POINTS], torch.tensor([offset for _, offset in POINTS])
    points = T[:, ids, :3, 3] + torch.einsum("tmij,mj->tmi", T[:, ids, :3, :3], offsets)
    turn = axis_angle_to_matrix(torch.tensor([0.0, np.radians(azimuth_deg), 0.0]).float())
    middle = motion.transl.float().mean(0)
    away = torch.tensor([0.0, 0.0, -4.0])
    seen, joints = ((places - middle) @ turn.T + away for places in (points, T[..., :3, 3]))
    x = K[0, 2] - K[0, 0] * seen[..., 0] / seen[..., 2]
    y = K[1, 2] + K[1, 1] * seen[..., 1] / seen[..., 2]
    return torch.stack([x, y], dim=-1), joints - joints[:, :1]


def performance(action: str, seed: int) -> Motion:
    """Somebody whom the network has not seen."""
    return perform(action, sample_style(np.random.default_rng([77, seed]), "street"), fps=FPS, seconds=2.4)


@pytest.mark.parametrize("azimuth_deg", [0.0, 100.0, 220.0])
@pytest.mark.parametrize("action", ["walk", "pick up", "kicking something"])
def test_joints_are_near_the_truth(action: str, azimuth_deg: float) -> None:
    """After turning and scaling, since one view cannot tell somebody's lean from a camera that looks down."""
    pixels, truth = film(performance(action, 3), azimuth_deg)
    found = lift_points(pixels, torch.ones(pixels.shape[:2]), K, fps=FPS)
    error = procrustes(found.joints.numpy(), truth.numpy()).mean()
    assert error < 0.09
    # It knows how far it is off but for the lean, within a factor of two.
    assert 0.5 < float(found.spread.mean()) / error < 2


def test_the_mirror_image_is_lifted_to_the_mirror_image() -> None:
    pixels, _ = film(performance("throw", 5), 40.0)
    seen = torch.ones(pixels.shape[:2])
    image = pixels[:, SWAPPED] * torch.tensor([-1.0, 1.0]) + torch.tensor([640.0, 0.0])
    ours, theirs = (lift_points(points, seen, K, fps=FPS) for points in (pixels, image))
    mirrored = ours.joints[:, list(COUNTERPARTS[:22])] * torch.tensor([-1.0, 1.0, 1.0])
    assert (theirs.joints - mirrored).abs().max() < 1e-4


def test_size_of_the_picture_does_not_matter() -> None:
    pixels, _ = film(performance("throw", 5), 40.0)
    seen = torch.ones(pixels.shape[:2])
    large = lift_points(2 * pixels, seen, torch.diag(torch.tensor([2.0, 2.0, 1.0])) @ K, fps=FPS)
    assert (large.joints - lift_points(pixels, seen, K, fps=FPS).joints).abs().max() < 1e-4


def test_what_is_not_seen_has_no_effect() -> None:
    pixels, _ = film(performance("throw", 5), 40.0)
    seen = torch.ones(pixels.shape[:2])
    seen[:, 12] = 0
    gone, elsewhere = pixels.clone(), pixels.clone()
    gone[:, 12], elsewhere[:, 12] = torch.nan, 1e4
    found = [lift_points(points, seen, K, fps=FPS).joints for points in (pixels, gone, elsewhere)]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_film_of_twice_the_rate_is_lifted_alike() -> None:
    motion = perform("walk", sample_style(np.random.default_rng([77, 9]), "street"), fps=2 * FPS, seconds=2.4)
    pixels, truth = film(motion, 30.0)
    found = lift_points(pixels, torch.ones(pixels.shape[:2]), K, fps=2 * FPS)
    slow = lift_points(pixels[::2], torch.ones(pixels[::2].shape[:2]), K, fps=FPS)
    assert (found.joints[::2] - slow.joints).norm(dim=-1).mean() < 0.02
    assert procrustes(found.joints.numpy(), truth.numpy()).mean() < 0.09


@pytest.mark.parametrize(
    ("layout", "number"), [(MEDIAPIPE_33, 25), (TOYOTA_13, 13), (COCO_17, 17), (COCO_WHOLEBODY_133, 25)]
)
def test_sources_give_the_points_that_they_have(layout: Layout, number: int) -> None:
    markers, points = match_points(layout.markers(SKELETON), SKELETON)
    assert len(set(points.tolist())) == len(set(markers.tolist())) == number
    for marker, point in zip(markers.tolist(), points.tolist(), strict=True):
        joint, carrier = layout.sites[marker].joint, POINTS[point][0]
        sides = {name.split("_")[0] for name in (joint, carrier) if "_" in name}
        assert len(sides) <= 1


def test_the_weights_are_small() -> None:
    assert WEIGHTS.stat().st_size < 4e6
