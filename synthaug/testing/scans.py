"""Make scans of procedural people: static splats in standing poses with known joints, pose, scale and up axis.

Tests and benchmarks of importers compare with these.
"""

from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from synthaug.avatars.anny import AnnyPerson
from synthaug.avatars.importers.fitting.attire import MODES
from synthaug.avatars.importers.fitting.stance import BETAS, Stance, stature
from synthaug.avatars.pack.splats import Splats
from synthaug.avatars.procedural.wardrobe import sample_person
from synthaug.body.rotations import matrix_to_quat
from synthaug.body.skeleton import JOINT, forward_kinematics
from synthaug.body.skinning import pose_frame
from synthaug.structures import Motion

Up: TypeAlias = Literal["y", "z", "-y"]
UPRIGHT: dict[str, NDArray[np.floating]] = {
    "y": np.eye(3),
    "z": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-y": np.diag([1.0, -1, -1]),
}
"""From our frame to the scan's, by the scan's up axis."""


def sample_standing_pose(rng: np.random.Generator) -> NDArray[np.floating]:
    """Sample a pose in which people stand to be scanned, axis-angles [55, 3]: arms from hanging to half out."""
    pose = np.zeros((55, 3))
    for side, sign in (("left", -1.0), ("right", 1.0)):
        twist, swing = rng.uniform(-0.3, 0.3, 2)
        pose[JOINT[f"{side}_shoulder"]] = twist, swing, sign * rng.uniform(0.1, 1.2)
        pose[JOINT[f"{side}_elbow"], 1] = sign * rng.uniform(0, 0.9)
        pose[JOINT[f"{side}_hip"]] = -rng.uniform(-0.1, 0.25), rng.uniform(-0.1, 0.1), -sign * rng.uniform(-0.02, 0.2)
        pose[JOINT[f"{side}_knee"], 0] = rng.uniform(0, 0.3)
        pose[JOINT[f"{side}_wrist"]] = rng.uniform(-0.2, 0.2, 3)
    for joint in ("spine1", "spine2", "spine3", "neck", "head"):
        pose[JOINT[joint]] = rng.uniform(-0.1, 0.1, 3)
    return pose


def scan_person(seed: int, *, up: Up, gaussians: int = 12_000) -> tuple[AnnyPerson, Splats, Stance, float]:
    """Scan a person of the studio family: the person, the splat, the true stance in the scan, and the bare height.

    Scale (0.2 to 4.5 units per metre), position, direction and pose are sampled from the seed.
    """
    rng = np.random.default_rng(seed)
    person, betas = AnnyPerson("studio", seed + 100, gaussians=gaussians), sample_person("studio", seed + 100).betas
    R = Rotation.from_rotvec(sample_standing_pose(rng)).as_matrix()
    R[0] = UPRIGHT[up] @ Rotation.from_euler("y", rng.uniform(0, 2 * np.pi)).as_matrix()
    scale, transl = float(np.exp(rng.uniform(-1.5, 1.5))), rng.normal(size=3)
    truth = Stance(R, betas[:BETAS].astype(float), transl, scale, np.zeros(MODES))
    motion = Motion.from_pose(torch.from_numpy(truth.pose)[None].float(), torch.zeros(1, 3), fps=1.0)
    posed = pose_frame(person.pose(motion), 0)
    values, axes = torch.linalg.eigh(posed.covars.double())
    axes[torch.linalg.det(axes) < 0, :, 0] *= -1
    splats = Splats(
        means=(posed.means.numpy() * scale + transl).astype(np.float32),
        quats=matrix_to_quat(axes).float().numpy(),
        scales=(values.clamp(min=1e-12).sqrt() * scale).float().numpy(),
        opacities=posed.opacities.numpy(),
        colors=posed.colors.numpy(),
        sh=np.zeros((gaussians, 0, 3), np.float32),
    )
    return person, splats, truth, stature(betas)


def joints_of(person: AnnyPerson, truth: Stance) -> NDArray[np.floating]:
    """Positions of the person's joints in the scan, [55, 3]."""
    motion = Motion.from_pose(torch.from_numpy(truth.pose)[None].float(), torch.zeros(1, 3), fps=1.0)
    places = forward_kinematics(motion, person.skeleton)[0, :, :3, 3].double().numpy()
    return places * truth.scale + truth.transl


def spoil(splats: Splats, truth: Stance, *, floaters: int, holes: int, seed: int) -> Splats:
    """Add stray Gaussians around a scan, and cut balls of 14 cm diameter out of its surface."""
    rng = np.random.default_rng(seed)
    centres = splats.means[rng.integers(len(splats.means), size=holes)]
    distance = np.linalg.norm(splats.means[:, None] - centres[None], axis=2)
    left = splats.take((distance > 0.07 * truth.scale).all(1))
    low, high = left.means.min(0), left.means.max(0)
    reach = 0.3 * truth.scale
    stray = Splats(
        means=rng.uniform(low - reach, high + reach, (floaters, 3)).astype(np.float32),
        quats=left.quats[:floaters],
        scales=2 * left.scales[:floaters],
        opacities=np.full(floaters, 0.6, np.float32),
        colors=rng.random((floaters, 3), dtype=np.float32),
        sh=left.sh[:floaters],
    )
    return Splats(
        **{name: np.concatenate([getattr(left, name), getattr(stray, name)]) for name in Splats.__dataclass_fields__}
    )
