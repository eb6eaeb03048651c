"""The camera that saw points whose places in space and in the picture are both known.

Below the sources whose files hold both, such as Kinect's. Pure.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Lens:
    """What is known of a camera before anything was seen.

    Attributes:
        width: Pixels.
        height: Pixels.
        focal: Pixels.
        baseline: Metres from the sensor's origin to the camera, along the picture's x.
    """

    width: int
    height: int
    focal: float
    baseline: float = 0.0


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A pinhole and where it stands.

    Attributes:
        K: Intrinsics, pixels; pixel centres lie at half-integers.
        viewmat: From the points' frame to the camera, both with OpenCV's axes.
        error: Pixels, root mean square over the pairs that are no outliers.
    """

    K: Float[np.ndarray, "3 3"]
    viewmat: Float[np.ndarray, "4 4"]
    error: float


# Standard deviations of what may differ between one device and its nominal values: focal length 3 %, principal point
# 2 % of the width, rotation 1.5 degrees, shift 3 cm. They settle what a person who keeps their distance leaves open.
_FOCAL, _CENTRE, _TURN, _SHIFT = 0.03, 0.02, 0.026, 0.03
_PIXELS = 1.0


def nominal(lens: Lens) -> Calibrated:
    """The camera as built, nothing having been seen."""
    return _camera(np.zeros(9), lens, error=0.0)


def calibrated(points: Float[np.ndarray, "pair 3"], pixels: Float[np.ndarray, "pair 2"], lens: Lens) -> Calibrated:
    """The camera that best explains where points were seen, near what is known of the lens.

    Robust least squares over focal length, principal point, rotation and position (Huber at 2 pixels), with the
    lens's nominal values as prior.

    Args:
        points: Metres, OpenCV's axes, in front of the sensor; finite.
        pixels: Where they were seen; finite.
        lens: Nominal values.
    """
    scales = np.array([_FOCAL, _CENTRE, _CENTRE, _TURN, _TURN, _TURN, _SHIFT, _SHIFT, _SHIFT])
    # 400 pairs say all that thousands do: a person's joints.
    step = max(1, len(points) // 400)
    chosen, seen = points[::step], pixels[::step]

    def residuals(unknown: np.ndarray) -> np.ndarray:
        camera = _camera(unknown * scales, lens, error=0.0)
        off = (_projected(chosen, camera) - seen) / _PIXELS
        size = np.linalg.norm(off, axis=1, keepdims=True)
        huber = np.where(size <= 2, 1.0, np.sqrt(np.maximum(4 * size - 4, 1e-12)) / np.maximum(size, 1e-12))
        return np.concatenate([(off * huber).ravel(), unknown])

    found = least_squares(residuals, np.zeros(9), method="trf", max_nfev=60)
    camera = _camera(found.x * scales, lens, error=0.0)
    off = np.linalg.norm(_projected(points, camera) - pixels, axis=1)
    good = off < max(10.0, 3 * float(np.median(off)))
    return Calibrated(camera.K, camera.viewmat, float(np.sqrt((off[good] ** 2).mean())))


def _camera(unknown: np.ndarray, lens: Lens, *, error: float) -> Calibrated:
    focal = lens.focal * (1 + unknown[0])
    K = np.array([
        [focal, 0.0, lens.width * (0.5 + unknown[1])], [0.0, focal, lens.height / 2 + lens.width * unknown[2]],
        [0.0, 0.0, 1.0],
    ])  # fmt: skip
    viewmat = np.eye(4)
    viewmat[:3, :3] = Rotation.from_rotvec(unknown[3:6]).as_matrix()
    viewmat[:3, 3] = unknown[6:9] + np.array([-lens.baseline, 0.0, 0.0])
    return Calibrated(K, viewmat, error)


def _projected(points: np.ndarray, camera: Calibrated) -> np.ndarray:
    inside = points @ camera.viewmat[:3, :3].T + camera.viewmat[:3, 3]
    return (inside @ camera.K.T)[:, :2] / np.maximum(inside[:, 2:], 1e-3)
