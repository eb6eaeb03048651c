"""Silhouettes by depth: what is as far away as the body, in a folder of depth maps, one for each frame of the film."""

from pathlib import Path
from typing import final

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from synthaug.backgrounds.picture.depths import DepthError, DepthMap, read_depth
from synthaug.body.skeleton import JOINT
from synthaug.creation import CreationError, Cutouts, Evidence, Feature
from synthaug.creation.around import find_joints, mark_far
from synthaug.creation.features.silhouettes import judge_trust, outline
from synthaug.creation.listing import list_by_frame
from synthaug.video import probe

_SUFFIXES = (".png", ".npy")
_CLEAR, _DOUBTFUL = 0.25, 0.4
"""Metres in front of or behind the nearest joint up to which something is the body's, and from which it is not."""
_FLESH = 0.08
"""Metres from a joint to the skin that a camera sees."""
_FLOOR = 0.12
"""Metres about ankles and feet, below which the floor is as near as they are: nothing is known there."""
_LEAST_AGREEMENT = 0.5
"""Share of all joints that must lie at the depth of their pixels, and of these alone: with fewer, the maps are of
another film."""
_MOST_BESIDE = 0.6
"""Share of what is away from the body that may be as deep as it."""
_FEET = [JOINT[name] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")]


@final
class DepthFolder(Feature):
    """What lies as deep as the body; scale, and the shift of relative depth, are fitted to the body in each frame.

    Depth is never copied into an avatar: networks' depth of a body is flatter than the body.

    Args:
        folder: As many maps as the film has frames, as `backgrounds.picture.depths.read_depth` reads them: 16-bit PNG
            in millimetres, .npy in metres, or relative inverse depth.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)

    def observe(self, cutouts: Cutouts) -> Evidence:
        """The silhouette in each cutout.

        Raises:
            CreationError: If a map is missing, cannot be read, or says nothing of the body.
        """
        files = list_by_frame(self._folder, cutouts, _SUFFIXES, "depth map")
        info = probe(cutouts.films[0])
        masks, known, trust, agreement = [], [], [], []
        for k, (where, depth) in enumerate(zip(*find_joints(cutouts), strict=True)):
            found = self._read(files[int(cutouts.indices[k])], (info.height, info.width))
            cut = _cut(found.values, cutouts, k, (info.height, info.width))
            metres, share = fit_metres(DepthMap(cut, found.meaning), where, depth)
            likely = compare(metres, where, depth)
            mask, sure = outline(likely)
            near_floor = _is_about_feet(where, depth, cutouts.side, float(cutouts.camera.Ks[k, 0, 0]))
            masks.append(mask)
            known.append(sure & np.isfinite(cut) & ~near_floor)
            trust.append(min(judge_trust(mask, where), share))
            far = mark_far(cutouts, k, where, float(depth[0]))
            # A wall as deep as the body agrees with all of its joints, and shows nobody.
            agreement.append(share if not far.any() or likely[far].mean() < _MOST_BESIDE else 0.0)
        if np.median(agreement) < _LEAST_AGREEMENT:
            raise CreationError(
                f"Expected the body of '{cutouts.films[0].name}' at the depth that '{self._folder}' gives, got "
                f"{np.median(agreement):.0%} of its joints there. Are these maps of this film, and of all its frames?"
            )
        return Evidence(
            torch.from_numpy(np.stack(masks)),
            torch.from_numpy(np.stack(known)) & cutouts.inside,
            torch.tensor(trust).float(),
        )

    def _read(self, path: Path, size: tuple[int, int]) -> DepthMap:
        try:
            return read_depth(path, size)
        except DepthError as error:
            raise CreationError(f"'{path}' says nothing of its frame. {error}") from error


def fit_metres(
    found: DepthMap, joints: Float[np.ndarray, "joint 2"], depth: Float[np.ndarray, " joint"]
) -> tuple[Float[np.ndarray, "side side"], float]:
    """Depth in the metres of the body's world, and the share of the joints that agree with it.

    People are put as far away as the mean body's size says, so metric maps have another scale. Relative maps are
    inverse depth up to a factor and a shift.

    Args:
        found: Depth of a cutout.
        joints: Pixels of the joints.
        depth: Their depth, metres.
    """
    side = len(found.values)
    at = np.clip(joints.astype(int), 0, side - 1)
    read, skin = found.values[at[:, 1], at[:, 0]].astype(np.float64), np.maximum(depth - _FLESH, 0.1)
    usable = np.isfinite(read) & (read > 0 if found.meaning == "metric" else np.ones(len(read), bool))
    if usable.sum() < 4:
        return np.full_like(found.values, np.nan), 0.0
    if found.meaning == "metric":
        metres = found.values * np.median(skin[usable] / read[usable])
    else:
        metres = _fit_relative(found.values, read[usable], skin[usable])
    here = metres[at[:, 1], at[:, 0]]
    return metres, float((np.abs(here - skin)[usable] < _CLEAR).sum() / len(read))


def _fit_relative(
    values: Float[np.ndarray, "side side"], read: NDArray[np.float64], skin: NDArray[np.float64]
) -> Float[np.ndarray, "side side"]:
    """Metres of relative inverse depth.

    Joints of one body hardly differ in depth and say little of the factor: what is farthest in the cutout, the place
    behind, is taken to be no nearer than the body, and infinitely far at most.
    """
    near = float(np.median(read))
    far = float(np.nanpercentile(values, 2))
    spread = np.polyfit(read, 1 / skin, 1)[0] if np.ptp(read) > 1e-6 else 0.0
    steepest = (1 / float(np.median(skin))) / max(near - far, 1e-6)
    factor = float(np.clip(spread, 0.3 * steepest, steepest))
    inverse = (values - near) * factor + 1 / float(np.median(skin))
    return np.where(np.isfinite(values), 1 / np.maximum(inverse, 1e-3), np.nan).astype(np.float32)


def compare(
    metres: Float[np.ndarray, "side side"], joints: Float[np.ndarray, "joint 2"], depth: Float[np.ndarray, " joint"]
) -> Float[np.ndarray, "side side"]:
    """How likely each pixel is of the body: as deep as the joint that is nearest in the picture."""
    side = len(metres)
    rows, columns = np.mgrid[:side, :side] + 0.5
    squares = (columns[..., None] - joints[:, 0]) ** 2 + (rows[..., None] - joints[:, 1]) ** 2
    skin = (depth - _FLESH)[squares.argmin(-1)]
    apart = np.abs(np.nan_to_num(metres, nan=1e3) - skin)
    return ((_DOUBTFUL - apart) / (_DOUBTFUL - _CLEAR)).clip(0, 1)


def _cut(
    values: Float[np.ndarray, "rows columns"], cutouts: Cutouts, frame: int, size: tuple[int, int]
) -> Float[np.ndarray, "side side"]:
    """The cutout of a depth map, each pixel the nearest of the map: depths between near and far are neither."""
    shares = np.array([values.shape[1] / size[1], values.shape[0] / size[0]])
    corner, scale = cutouts.corners[frame].double().numpy(), float(cutouts.scales[frame])
    middles = (np.arange(cutouts.side) + 0.5) / scale
    x, y = ((corner[axis] + middles) * shares[axis] - 0.5 for axis in (0, 1))
    grid = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    outside = cv2.BORDER_CONSTANT
    return np.asarray(
        cv2.remap(
            values.astype(np.float32), grid[0], grid[1], cv2.INTER_NEAREST, borderMode=outside, borderValue=[np.nan]
        )
    )


def _is_about_feet(
    joints: Float[np.ndarray, "joint 2"], depth: Float[np.ndarray, " joint"], side: int, focal: float
) -> Bool[np.ndarray, "side side"]:
    rows, columns = np.mgrid[:side, :side] + 0.5
    about = np.zeros((side, side), bool)
    for foot in _FEET:
        reach = _FLOOR * focal / max(float(depth[foot]), 0.1)
        about |= np.hypot(columns - joints[foot, 0], rows - joints[foot, 1]) < reach
    return about
