"""Calibrate a camera from points whose positions in space and in the picture are both known, as Kinect's files have."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class NominalLens:
    """A camera's nominal values, known before any measurement.

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
class CameraCalibration:
    """A pinhole and where it stands.

    Attributes:
        K: Intrinsics, pixels; pixel centres lie at half-integers.
        viewmat: From the points' frame to the camera, both with OpenCV's axes.
        error: Pixels, root mean square over the pairs that are not outliers.
    """

    K: Float[np.ndarray, "3 3"]
    viewmat: Float[np.ndarray, "4 4"]
    error: float


# Standard deviations of what may differ between one device and its nominal values: focal length 3 %, principal point
# 2 % of the width, rotation 1.5 degrees, shift 3 cm. They decide what a person at a constant distance leaves open.
_FOCAL, _CENTRE, _TURN, _SHIFT = 0.03, 0.02, 0.026, 0.03
_PIXELS = 1.0


def nominal_calibration(lens: NominalLens) -> CameraCalibration:
    """The camera with its nominal values."""
    return _build_camera(np.zeros(9), lens, error=0.0)


def calibrate(
    points: Float[np.ndarray, "pair 3"], pixels: Float[np.ndarray, "pair 2"], lens: NominalLens
) -> CameraCalibration:
    """Estimate the camera that best explains where points were seen, close to the nominal lens.

    Robust least squares over focal length, principal point, rotation and position (Huber at 2 pixels), with the
    lens's nominal values as prior.

    Args:
        points: Metres, OpenCV's axes, in front of the sensor; finite.
        pixels: Where they were seen; finite.
        lens: Nominal values.
    """
    scales = np.array([_FOCAL, _CENTRE, _CENTRE, _TURN, _TURN, _TURN, _SHIFT, _SHIFT, _SHIFT])
    # 400 pairs of a person's joints are as informative as thousands.
    step = max(1, len(points) // 400)
    chosen, seen = points[::step], pixels[::step]

    def residuals(unknown: np.ndarray) -> np.ndarray:
        camera = _build_camera(unknown * scales, lens, error=0.0)
        off = (_project(chosen, camera) - seen) / _PIXELS
        size = np.linalg.norm(off, axis=1, keepdims=True)
        huber = np.where(size <= 2, 1.0, np.sqrt(np.maximum(4 * size - 4, 1e-12)) / np.maximum(size, 1e-12))
        return np.concatenate([(off * huber).ravel(), unknown])

    found = least_squares(residuals, np.zeros(9), method="trf", max_nfev=60)
    camera = _build_camera(found.x * scales, lens, error=0.0)
    off = np.linalg.norm(_project(points, camera) - pixels, axis=1)
    good = off < max(10.0, 3 * float(np.median(off)))
    return CameraCalibration(camera.K, camera.viewmat, float(np.sqrt((off[good] ** 2).mean())))


def _build_camera(unknown: np.ndarray, lens: NominalLens, *, error: float) -> CameraCalibration:
    focal = lens.focal * (1 + unknown[0])
    K = np.array([
        [focal, 0.0, lens.width * (0.5 + unknown[1])], [0.0, focal, lens.height / 2 + lens.width * unknown[2]],
        [0.0, 0.0, 1.0],
    ])  # fmt: skip
    viewmat = np.eye(4)
    viewmat[:3, :3] = Rotation.from_rotvec(unknown[3:6]).as_matrix()
    viewmat[:3, 3] = unknown[6:9] + np.array([-lens.baseline, 0.0, 0.0])
    return CameraCalibration(K, viewmat, error)


def _project(points: np.ndarray, camera: CameraCalibration) -> np.ndarray:
    inside = points @ camera.viewmat[:3, :3].T + camera.viewmat[:3, 3]
    return (inside @ camera.K.T)[:, :2] / np.maximum(inside[:, 2:], 1e-3)
