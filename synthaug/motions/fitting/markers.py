"""Define markers on the body, their measured tracks over time, and how to smooth them. Pure functions.

A marker is a point of the skeleton that a source measures: a joint, a mean of joints, or a point fixed to a bone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from synthaug.body.skeleton import JOINT, PARENTS, Skeleton
from synthaug.structures import Camera

NUM_BODY = 22
"""Number of body joints, pelvis to wrists. Jaw, eyes and fingers move rigidly with head and wrists here."""

_MAX_SHIFT = 8
"""Frames to either side that smoothing uses; a Gaussian of 3 frames has 1 % of its weight beyond."""
_MAD = 0.6745
"""Median of |x| for a unit normal x: turns a median absolute deviation into a standard deviation."""


@dataclass(frozen=True, eq=False)
class Markers:
    """Measured points of the body: a weighted sum of joints plus an offset that rotates with one joint.

    Attributes:
        weights: Shares of the 22 body joints; each row adds up to 1.
        frames: The joint that each offset rotates with.
        offsets: Metres, in the T-pose.
    """

    weights: Float[Tensor, "marker 22"]
    frames: Int[Tensor, " marker"]
    offsets: Float[Tensor, "marker 3"]

    @property
    def direct(self) -> dict[int, int]:
        """Marker index by joint, for markers that lie exactly on a joint."""
        exact = (self.weights.amax(1) == 1) & (self.offsets.abs().amax(1) == 0)
        return {int(self.weights[k].argmax()): k for k in range(len(exact)) if exact[k]}

    def rest(self, skeleton: Skeleton) -> Float[Tensor, "marker 3"]:
        """Positions in the T-pose."""
        return self.weights @ skeleton.joints[:NUM_BODY].to(self.weights) + self.offsets

    def place(
        self, rotations: Float[Tensor, "time 22 3 3"], joints: Float[Tensor, "time 22 3"]
    ) -> Float[Tensor, "time marker 3"]:
        """World positions of the markers, from rotation and position of every body joint."""
        turned = torch.einsum("tmij,mj->tmi", rotations[:, self.frames], self.offsets.to(joints))
        return torch.einsum("mj,tji->tmi", self.weights.to(joints), joints) + turned


def joint_markers(names: Sequence[str], skeleton: Skeleton) -> Markers:
    """Markers on joints, by SMPL-X name; joints beyond wrists and head are fixed to these."""
    ids = [JOINT[name] for name in names]
    bearers = [_bearing_joint(joint) for joint in ids]
    offsets = torch.stack([skeleton.joints[j] - skeleton.joints[b] for j, b in zip(ids, bearers, strict=True)])
    frames = torch.tensor(bearers)
    return Markers(weights=torch.nn.functional.one_hot(frames, NUM_BODY).float(), frames=frames, offsets=offsets)


def linear_markers(weights: Float[Tensor, "marker 55"], skeleton: Skeleton) -> Markers:
    """Markers that are means of joints: row k holds the shares of all 55 joints in marker k, adding up to 1.

    Fingers, jaw and eyes count as fixed to wrist and head; the offset rotates with the joint of the largest share.
    """
    bearers = torch.tensor([_bearing_joint(joint) for joint in range(len(PARENTS))])
    body = weights.new_zeros(len(weights), NUM_BODY).index_add(1, bearers, weights)
    offsets = weights @ (skeleton.joints - skeleton.joints[bearers]).to(weights)
    return Markers(weights=body, frames=body.argmax(1), offsets=offsets)


def _bearing_joint(joint: int) -> int:
    while joint >= NUM_BODY:
        joint = PARENTS[joint]
    return joint


@dataclass(frozen=True, eq=False)
class Sighting:
    """Markers as one camera saw them.

    Attributes:
        pixels: Pixel positions; pixel centres lie at half-integers.
        confidence: 0 (not seen) to 1.
        camera: In the world frame of the track, one frame for each of the track's.
    """

    pixels: Float[Tensor, "time marker 2"]
    confidence: Float[Tensor, "time marker"]
    camera: Camera


@dataclass(frozen=True, eq=False)
class Track:
    """Measured markers over time.

    Attributes:
        points: World frame, metres. Arbitrary, even nan, where the confidence is 0.
        confidence: 0 (missing) to 1 (as good as the track's noise).
        fps: Frames per second.
        sighting: The picture that the points were estimated from. With one, position comes from the picture and only
            shape from `points`, since a single view shows shape much better than distance.
        floor: Unit normal n and offset d of the floor, where n x + d = 0; bodies stay above it. None has no floor.
    """

    points: Float[Tensor, "time marker 3"]
    confidence: Float[Tensor, "time marker"]
    fps: float
    sighting: Sighting | None = None
    floor: Float[Tensor, "4"] | None = None


def noise(points: Float[Tensor, "time marker axis"], confidence: Float[Tensor, "time marker"]) -> Float[Tensor, ""]:
    """Standard deviation of the measurement noise of one track along each axis, in the unit of the points.

    Third differences remove position, velocity and acceleration of the movement, and turn white noise into
    sqrt(1 + 9 + 9 + 1) times itself; their median ignores the few frames in which the movement jerks.
    """
    seen = (confidence > 0) & points.isfinite().all(-1)
    whole = seen[3:] & seen[2:-1] & seen[1:-2] & seen[:-3]
    third = points[3:] - 3 * points[2:-1] + 3 * points[1:-2] - points[:-3]
    values = third[whole].abs()
    if values.numel() == 0:
        return points.new_zeros(())
    return values.median() / (_MAD * 20**0.5)


def smooth(
    points: Float[Tensor, "time marker axis"], confidence: Float[Tensor, "time marker"], width: float
) -> tuple[Float[Tensor, "time marker axis"], Float[Tensor, "time marker"]]:
    """Smooth points by a Gaussian over time, weighted by confidence; returns points and confidence.

    Gaps are filled; where the Gaussian does not reach, by linear interpolation between their edges. A marker that is
    never seen becomes zeros with confidence 0.

    Args:
        points: Arbitrary where the confidence is 0.
        confidence: 0 to 1.
        width: Standard deviation in frames.
    """
    weight = torch.where(points.isfinite().all(-1), confidence, torch.zeros_like(confidence)).clamp(min=0)
    value = torch.where(weight[..., None] > 0, points, torch.zeros_like(points))
    total, mass = torch.zeros_like(value), torch.zeros_like(weight)
    time = len(points)
    for shift in range(-min(_MAX_SHIFT, time - 1), min(_MAX_SHIFT, time - 1) + 1):
        kernel = float(torch.exp(torch.tensor(-0.5 * (shift / max(width, 1e-3)) ** 2)))
        here, there = slice(max(shift, 0), time + min(shift, 0)), slice(max(-shift, 0), time - max(shift, 0))
        total[here] += kernel * weight[there, :, None] * value[there]
        mass[here] += kernel * weight[there]
    # Beyond 3.7 standard deviations, linear interpolation across the gap is better than a neighbour.
    filled = mass > 1e-3 * weight.amax(dim=0).clamp(min=1e-9)
    result = torch.where(filled[..., None], total / mass.clamp(min=1e-30)[..., None], torch.zeros_like(total))
    for marker in range(points.shape[1]):
        result[:, marker] = _bridge_gaps(result[:, marker], filled[:, marker])
    peak = (2 * torch.pi) ** 0.5 * max(width, 1 / (2 * torch.pi) ** 0.5)
    # Interpolated points are guesses, but better than the rest pose.
    return result, torch.where(filled.any(dim=0), (mass / peak).clamp(min=1e-4, max=1), torch.zeros_like(mass))


def _bridge_gaps(values: Float[Tensor, "time axis"], known: Tensor) -> Float[Tensor, "time axis"]:
    """Fill unknown rows linearly between known neighbours, and hold the first and last known ones."""
    if known.all() or not known.any():
        return values
    at = known.nonzero().squeeze(1)
    query = torch.arange(len(values))
    right = torch.searchsorted(at, query).clamp(max=len(at) - 1)
    left = (right - 1).clamp(min=0)
    left = torch.where(at[right] <= query, right, left)
    span = (at[right] - at[left]).clamp(min=1)
    share = ((query - at[left]).to(values) / span).clamp(0, 1)[:, None]
    return torch.where(known[:, None], values, torch.lerp(values[at[left]], values[at[right]], share))
