"""Place a person before a camera, and estimate which way is down and where the floor is. Pure functions."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from synthaug.body.rotations import axis_angle_to_matrix
from synthaug.body.skeleton import JOINT, PARENTS, SUPPORTS, Skeleton, joint_positions, lowest_heights, move_motion
from synthaug.motions.fitting.markers import NUM_BODY, Markers, smooth
from synthaug.structures import Camera, Motion

FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
"""Level camera's frame (y up, z towards the viewer) to OpenCV's (y down, z forward); its own inverse."""
LOWEST_CAMERA = 0.1
"""Metres above the floor at which a camera is, at least: on a thin book."""


def intrinsics(width: int, height: int, focal: float) -> Float[Tensor, "3 3"]:
    """Pinhole intrinsics for a focal length in longer sides of the picture, with a central principal point."""
    f = focal * max(width, height)
    return torch.tensor([[f, 0.0, width / 2], [0.0, f, height / 2], [0.0, 0.0, 1.0]])


def level_camera(K: Float[Tensor, "3 3"], width: int, height: int, time: int) -> Camera:
    """A camera at the origin that looks along -z, y up: the frame in which people are placed first."""
    return Camera(viewmats=FLIP.expand(time, 4, 4), Ks=K.expand(time, 3, 3), width=width, height=height)


def place_shapes(
    shapes: Float[Tensor, "time marker 3"],
    pixels: Float[Tensor, "time marker 2"],
    confidence: Float[Tensor, "time marker"],
    K: Float[Tensor, "3 3"],
    *,
    smoothing: float,
) -> Float[Tensor, "time 3"]:
    """Shifts, in the level camera's frame, that bring each shape to where the picture shows it.

    For a shift t the pinhole gives (p_x + t_x) = -u (p_z + t_z), with u the pixel in focal lengths, and likewise for y,
    which is linear in t. Solved by least squares, reweighted ten times so that single wrong landmarks have no effect.

    Args:
        shapes: Metres.
        pixels: Where the points are seen.
        confidence: 0 leaves out a marker, or a whole frame, which is then interpolated between its neighbours.
        K: Intrinsics of the camera.
        smoothing: Frames; distance is noisy, since an error of 1 cm in size is 10 cm in distance.
    """
    u = (pixels[..., 0] - K[0, 2]) / K[0, 0]
    v = -(pixels[..., 1] - K[1, 2]) / K[1, 1]
    good = (confidence > 0) & u.isfinite() & v.isfinite() & shapes.isfinite().all(-1)
    zero = torch.zeros_like(u)
    u, v = torch.where(good, u, zero), torch.where(good, v, zero)
    shape = torch.where(good[..., None], shapes, torch.zeros_like(shapes))
    base = torch.where(good, confidence, zero)
    one = torch.ones_like(u)
    A = torch.stack([torch.stack([one, zero, u], -1), torch.stack([zero, one, v], -1)], dim=-2)
    b = torch.stack([-shape[..., 0] - u * shape[..., 2], -shape[..., 1] - v * shape[..., 2]], dim=-1)
    weight = base
    shift = shape.new_zeros(len(shape), 3)
    for _ in range(10):
        # Two stacked rows for each marker: einsum would spend longer on finding an order than on the sums.
        weighted = (weight[..., None, None] * A).flatten(1, 2)
        normal = weighted.mT @ A.flatten(1, 2) + 1e-9 * torch.eye(3)
        shift = torch.linalg.solve(normal, (weighted.mT @ b.flatten(1)[..., None]).squeeze(-1))
        error = ((A.flatten(1, 2) @ shift[..., None]).view_as(b) - b).norm(dim=-1)
        weight = base / (1 + (error / 0.05) ** 2)  # 5 cm: twice mediapipe's usual error on limbs
    trust = base.sum(1)
    # Ignore frames that are not between 0.3 and 50 m in front of the camera.
    trust = torch.where((shift[:, 2] < -0.3) & (shift[:, 2] > -50), trust, torch.zeros_like(trust))
    # Smooth along and across the ray separately: directions are ten times as exact as distances.
    distance = (-shift[:, 2:]).clamp(min=0.3)
    direction = shift / distance
    log_distance, _ = smooth(distance.log()[:, None], trust[:, None], smoothing)
    direction, _ = smooth(direction[:, None], trust[:, None], smoothing / 4)
    return direction[:, 0] * log_distance[:, 0].exp()


@dataclass(frozen=True)
class Tilt:
    """The pitch of a camera and the evidence for it.

    Attributes:
        pitch_deg: Degrees; positive looks down.
        evidence: Share of frames in which the person stood.
    """

    pitch_deg: float
    evidence: float


def estimate_tilt(motion: Motion, skeleton: Skeleton) -> Tilt:
    """Estimate the camera's pitch from people who stand upright and from the floor under their feet.

    The best of a grid of angles for which bodies are upright (deviation 8 degrees), the lowest point of the body stays
    at one height (5 cm for an adult) and the camera is level (15 degrees). Roll is assumed to be 0.

    Args:
        motion: In the level camera's frame.
        skeleton: The performer's skeleton.
    """
    standing, whole = _find_standing(joint_positions(motion, skeleton), skeleton)
    evidence = float(standing.float().mean())
    if not standing.any():
        return Tilt(pitch_deg=0.0, evidence=0.0)
    lean = float(torch.atan2(whole[standing, 2], whole[standing, 1]).median().rad2deg())
    certainty = min(1.0, float(standing.sum()) / motion.fps)  # more than a second of standing adds nothing
    best, least = 0.0, float("inf")
    for pitch in range(-30, 61):
        turned = move_motion(motion, leveling_rotation(float(pitch)), torch.zeros(3))
        heights = lowest_heights(joint_positions(turned, skeleton), scale=skeleton.size)[standing]
        spread = float((heights - heights.median()).abs().mean()) / skeleton.size
        cost = certainty * ((pitch - lean) / 8) ** 2 + (spread / 0.05) ** 2 + (pitch / 15) ** 2
        if cost < least:
            best, least = float(pitch), cost
    return Tilt(pitch_deg=best, evidence=evidence)


def _find_standing(
    joints: Float[Tensor, "time 55 3"], skeleton: Skeleton
) -> tuple[Bool[Tensor, " time"], Float[Tensor, "time 3"]]:
    """Find the frames in which the person stands; also returns the direction from the ankles to the neck."""
    ankles = [JOINT["left_ankle"], JOINT["right_ankle"]]
    legs = joints[:, ankles].mean(1)
    trunk = torch.nn.functional.normalize(joints[:, JOINT["neck"]] - joints[:, 0], dim=-1)
    whole = torch.nn.functional.normalize(joints[:, JOINT["neck"]] - legs, dim=-1)
    tall = (skeleton.joints[JOINT["neck"]] - skeleton.joints[ankles].mean(0)).norm()
    span = (joints[:, JOINT["neck"]] - legs).norm(dim=-1) / tall
    # Straight legs, the trunk in line with them (20 degrees), the head up in the picture (45 degrees).
    return (span > 0.92) & ((trunk * whole).sum(-1) > 0.94) & (whole[:, 1] > 0.7), whole


def estimate_floor(
    motion: Motion,
    trust: Float[Tensor, "time marker"],
    markers: Markers,
    skeleton: Skeleton,
    *,
    pitch_deg: float,
    roll_deg: float = 0.0,
) -> Float[Tensor, "4"]:
    """Estimate unit normal and offset of the floor in the level camera's frame, below the visible parts of the body.

    The floor is below the soles of a standing person (median over such frames), since lying bodies are foreshortened
    and their distance is uncertain. If the person never stands it is the 10th percentile over frames of the lowest
    visible part, so that single low frames do not matter. A part is visible if a marker on it, or on the joint above
    it, has a trust above a half. No floor is above the camera: who seems to be lies, or was not seen well.
    """
    R = leveling_rotation(pitch_deg, roll_deg)
    joints = joint_positions(move_motion(motion, R, torch.zeros(3)), skeleton)
    ids = [JOINT[name] for name in SUPPORTS if JOINT[name] < NUM_BODY]
    flesh = torch.tensor([depth for name, depth in SUPPORTS.items() if JOINT[name] < NUM_BODY]) * skeleton.size
    own = torch.zeros(len(trust), NUM_BODY)
    for marker, joint in enumerate(markers.frames.tolist()):
        own[:, joint] = torch.maximum(own[:, joint], trust[:, marker])
    seen = torch.stack([own[:, j] if j == 0 else torch.maximum(own[:, j], own[:, PARENTS[j]]) for j in ids], dim=1)
    heights = joints[:, ids, 1] - flesh
    low = torch.where(seen > 0.5, heights, torch.full_like(heights, torch.inf)).amin(dim=1)
    standing, _ = _find_standing(joint_positions(motion, skeleton), skeleton)
    upright = low[standing & low.isfinite()]
    low = low[low.isfinite()]
    if len(upright) >= 2:
        level = upright.median()
    else:
        level = (low if len(low) else lowest_heights(joints, scale=skeleton.size)).quantile(0.1)
    return torch.cat([R[1], (-level).clamp(min=LOWEST_CAMERA)[None]])


def leveling_rotation(pitch_deg: float, roll_deg: float = 0.0) -> Float[Tensor, "3 3"]:
    """Rotation from the frame of a camera with this pitch and clockwise roll to a frame with y up."""
    pitch, roll = torch.tensor([[-pitch_deg, 0.0, 0.0], [0.0, 0.0, -roll_deg]]).deg2rad()
    return axis_angle_to_matrix(pitch) @ axis_angle_to_matrix(roll)


def put_on_floor(
    motion: Motion, camera: Camera, floor: Float[Tensor, "4"], *, pitch_deg: float, roll_deg: float = 0.0
) -> tuple[Motion, Camera]:
    """Move motion and camera into a world with y up and the floor at 0, the middle of the path above the origin."""
    R = leveling_rotation(pitch_deg, roll_deg)
    turned = move_motion(motion, R, torch.zeros(3))
    middle = turned.transl.median(dim=0).values
    shift = torch.stack([-middle[0], floor[3], -middle[2]])
    T_world_level = torch.eye(4)
    T_world_level[:3, :3], T_world_level[:3, 3] = R, shift
    viewmats = camera.viewmats @ torch.linalg.inv(T_world_level)
    world = Camera(viewmats=viewmats, Ks=camera.Ks, width=camera.width, height=camera.height)
    return move_motion(motion, R, shift), world
