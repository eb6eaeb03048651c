"""Estimate in 3D what one camera saw of a body in 2D, by a small network over a second or two of film.

The network has learnt from procedural and random motions alone (`scripts/train_lifter.py`), so that no licence but the
project's lies on its weights. It says how far each joint can be trusted, and a fit of the skeleton uses both.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from synthaug.body.mirroring import COUNTERPARTS
from synthaug.body.skeleton import JOINT, Skeleton
from synthaug.motions.fitting.landmarks import SITES
from synthaug.motions.fitting.markers import NUM_BODY, Markers, joint_markers
from synthaug.motions.fitting.starts import rotation_onto

WEIGHTS = Path(__file__).resolve().parents[2] / "assets" / "lifter.safetensors"
RATE = 15.0
"""Frames a second that the network has learnt from. Faster film is read in interleaved parts."""
CHANNELS = 192
DILATIONS = (3, 9)
"""With the first layer's three frames these see 27 frames, 1.8 seconds."""
POINTS: tuple[tuple[str, tuple[float, float, float]], ...] = (
    *((site[1], site[2]) for site in SITES), ("head", (0.0, 0.07, 0.02)),
)  # fmt: skip
"""Joint and offset (metres, T-pose) of every point that the network knows: mediapipe's, and the middle of the head."""
_SAME = 0.035
"""Metres at rest within which a marker is one of these points: sources differ by as much in where a knuckle is."""
_BONES = (
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"), ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"), ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
)  # fmt: skip
_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_SIZE_SECONDS = 1.0
"""Half of the time over which the person's size in the picture is averaged."""


def _indices_of_points() -> dict[str, int]:
    return {joint: k for k, (joint, offset) in enumerate(POINTS) if offset == (0.0, 0.0, 0.0)}


def _mirrored_points() -> list[int]:
    """Index of every point's counterpart on the other side of the body."""
    result = []
    for joint, (x, y, z) in POINTS:
        other = joint.replace("left", "#").replace("right", "left").replace("#", "right")
        result.append(next(k for k, point in enumerate(POINTS) if point == (other, (-x, y, z))))
    return result


AT = _indices_of_points()
"""Index of the point that lies on a joint."""
SWAPPED = _mirrored_points()


@dataclass(frozen=True, eq=False)
class LiftedJoints:
    """What the network estimates of one person.

    Attributes:
        joints: Metres about the pelvis, of the mean skeleton's size, level camera's frame (y up, z towards it).
        spread: Metres by which each joint is usually off.
    """

    joints: Float[Tensor, "time 22 3"]
    spread: Float[Tensor, "time 22"]


class LifterNetwork(nn.Module):
    """Temporal convolutions with residual blocks, as in the source, over all frames of a clip at once.

    Source:
        Pavllo and others, "3D human pose estimation in video with temporal convolutions and semi-supervised training",
        CVPR 2019.
    """

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self.enter = _convolution(3 * len(POINTS) + 2, channels, 3, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(_convolution(channels, channels, 3, step), _convolution(channels, channels, 1, 1))
            for step in DILATIONS
        )
        self.leave = nn.Conv1d(channels, 4 * NUM_BODY, 1)

    def forward(self, features: Float[Tensor, "clip time feature"]) -> Float[Tensor, "clip time 22 4"]:
        """Positions about the pelvis, and the logarithm of their usual error, from what `normalize_points` returns."""
        hidden = self.enter(features.mT)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.leave(hidden).mT.unflatten(-1, (NUM_BODY, 4))


def _convolution(inside: int, outside: int, width: int, step: int) -> nn.Sequential:
    padding = step * (width // 2)
    layer = nn.Conv1d(inside, outside, width, padding=padding, dilation=step, padding_mode="replicate")
    return nn.Sequential(layer, nn.BatchNorm1d(outside), nn.GELU())


def normalize_points(
    rays: Float[Tensor, "clip time point 2"], confidence: Float[Tensor, "clip time point"], *, fps: float
) -> tuple[Float[Tensor, "clip time feature"], Float[Tensor, "clip time 3 3"]]:
    """What the network reads, and the rotation from its view, which looks at the person, to the level camera's.

    Args:
        rays: Horizontal and vertical position in the picture in focal lengths, y up. Arbitrary where not seen.
        confidence: 0 (not seen) to 1.
        fps: Frames per second.
    """
    seen = (confidence > 0) & rays.isfinite().all(-1)
    confidence = torch.where(seen, confidence, 0)
    rays = torch.where(seen[..., None], rays, 0)
    weight = confidence.clone()
    weight[..., [AT[name] for name in _TRUNK]] *= 20
    total = weight.sum(-1, keepdim=True)
    centre = _hold_last((weight[..., None] * rays).sum(-2) / total.clamp(min=1e-6), total[..., 0] > 0)
    away = torch.cat([centre, -torch.ones_like(centre[..., :1])], dim=-1)
    away = nn.functional.normalize(away, dim=-1)
    ahead = torch.tensor([0.0, 0.0, -1.0]).expand_as(away)
    turn = rotation_onto(ahead.flatten(0, 1), away.flatten(0, 1)).unflatten(0, away.shape[:2])
    whole = torch.cat([rays, -torch.ones_like(rays[..., :1])], dim=-1) @ turn
    flat = whole[..., :2] / (-whole[..., 2:]).clamp(min=0.1)
    metres = 1 / _person_size(flat, seen, fps=fps)
    flat = torch.where(seen[..., None], flat * metres[..., None, None], 0)
    step = torch.diff(centre, dim=1, prepend=centre[:, :1]) * metres[..., None]
    parts = [flat.flatten(2), confidence, step * (fps / RATE)]
    return torch.cat(parts, dim=-1), turn


def _hold_last(values: Float[Tensor, "clip time 2"], known: Tensor) -> Float[Tensor, "clip time 2"]:
    """Fill frames in which nothing is known with the last known value, or the first."""
    time = torch.arange(values.shape[1]).expand_as(known)
    last = torch.where(known, time, -1).cummax(dim=1).values
    first = known.float().argmax(dim=1, keepdim=True)
    return values.gather(1, torch.where(last < 0, first, last)[..., None].expand_as(values))


def _person_size(flat: Float[Tensor, "clip time point 2"], seen: Tensor, *, fps: float) -> Float[Tensor, "clip time"]:
    """Focal lengths that a metre covers at the person's distance: of the bones that are least foreshortened."""
    from synthaug.body.skeleton import mean_skeleton

    rest = mean_skeleton().joints
    ends = torch.tensor([[AT[a], AT[b]] for a, b in _BONES])
    metres = torch.stack([(rest[JOINT[a]] - rest[JOINT[b]]).norm() for a, b in _BONES])
    length = (flat[..., ends[:, 0], :] - flat[..., ends[:, 1], :]).norm(dim=-1) / metres
    both = seen[..., ends[:, 0]] & seen[..., ends[:, 1]]
    # The second longest: one bone may be wrong.
    size = torch.where(both, length, 0).topk(2, dim=-1).values[..., 1]
    known = (both.sum(-1) > 1) & (size > 1e-4)
    reach = max(1, round(_SIZE_SECONDS * fps))
    window = torch.ones(1, 1, 2 * reach + 1)
    total = nn.functional.conv1d(torch.where(known, size, 0)[:, None], window, padding=reach)[:, 0]
    count = nn.functional.conv1d(known[:, None].to(size), window, padding=reach)[:, 0]
    everywhere = torch.where(known, size, 0).sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp(min=1)
    return torch.where(count > 0, total / count.clamp(min=1), everywhere).clamp(min=1e-3)


def match_points(markers: Markers, skeleton: Skeleton) -> tuple[Int[Tensor, " match"], Int[Tensor, " match"]]:
    """Markers and the points of the network that they are: the nearest at rest, if it is near enough."""
    known = joint_markers([joint for joint, _ in POINTS], skeleton)
    place = known.rest(skeleton) + torch.tensor([offset for _, offset in POINTS])
    apart = torch.cdist(markers.rest(skeleton), place)
    pairs: dict[int, int] = {}
    for marker, point in enumerate(apart.argmin(1).tolist()):
        if apart[marker, point] > _SAME:
            continue
        if point not in pairs or apart[marker, point] < apart[pairs[point], point]:
            pairs[point] = marker
    return torch.tensor(list(pairs.values()), dtype=torch.int64), torch.tensor(list(pairs), dtype=torch.int64)


@functools.cache
def load_lifter() -> LifterNetwork:
    """The network that the package carries."""
    from safetensors.torch import load_file

    network = LifterNetwork()
    network.load_state_dict(load_file(WEIGHTS))
    return network.eval().requires_grad_(False)


def lift_points(
    pixels: Float[Tensor, "time point 2"],
    confidence: Float[Tensor, "time point"],
    K: Float[Tensor, "3 3"],
    *,
    fps: float,
    network: LifterNetwork | None = None,
) -> LiftedJoints:
    """Estimate the joints of one person from the points of `POINTS` in the picture of a static camera.

    The mean of the estimate and of the mirrored one of the mirror image, so that neither side is preferred.

    Args:
        pixels: Arbitrary where the confidence is 0.
        confidence: 0 (not seen) to 1.
        K: The camera's intrinsics.
        fps: Frames per second.
        network: Another network; None is the package's own.
    """
    network = network or load_lifter()
    rays = torch.stack([(pixels[..., 0] - K[0, 2]) / K[0, 0], -(pixels[..., 1] - K[1, 2]) / K[1, 1]], dim=-1)
    image = rays[:, SWAPPED] * rays.new_tensor([-1.0, 1.0])
    features, turn = normalize_points(
        torch.stack([rays, image]), torch.stack([confidence, confidence[:, SWAPPED]]), fps=fps
    )
    parts = max(1, round(fps / RATE))
    found = torch.empty(2, len(rays), NUM_BODY, 4)
    with torch.no_grad():
        for part in range(min(parts, len(rays))):
            found[:, part::parts] = network(features[:, part::parts])
    found[1] = found[1, :, list(COUNTERPARTS[:NUM_BODY])]
    joints = (found[0, ..., :3] + found[1, ..., :3] * found.new_tensor([-1.0, 1.0, 1.0])) / 2
    joints = torch.einsum("tij,tmj->tmi", turn[0], joints - joints[:, :1])
    return LiftedJoints(joints, found[..., 3].mean(0).exp())
