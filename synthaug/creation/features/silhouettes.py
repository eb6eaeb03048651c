"""Silhouettes by the network that also finds landmarks, in every cutout."""

from contextlib import ExitStack
from typing import final

import numpy as np
import torch
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, label

from synthaug.backgrounds.plate.silhouettes import MediapipeSegmenter, Segmenter, find_region
from synthaug.body.skeleton import joint_positions, mean_skeleton
from synthaug.creation import Cutouts, Evidence, Feature
from synthaug.creation.cutting import project

BAND = 0.007
"""Half the width of the outline about which nothing is sure, as a share of the cutout's side."""
_FOUND = 0.6
"""Share of the body's joints that must lie in the silhouette; with less the frame is not used."""
_REACH = 0.02
"""Share of the side by which a joint may lie outside."""


@final
class Silhouettes(Feature):
    """The network's mask, its largest part, with an outline of unknown pixels.

    Args:
        segmenter: Finds one person in a picture; None takes mediapipe's, which needs the extra `pose`.
    """

    def __init__(self, segmenter: Segmenter | None = None) -> None:
        self._segmenter = segmenter

    def observe(self, cutouts: Cutouts) -> Evidence:
        """The silhouette in each cutout."""
        joints = joint_positions(cutouts.motion, mean_skeleton())[:, :22]
        pixels = project(joints, cutouts.camera.viewmats, cutouts.camera.Ks)[0].numpy()
        masks, known, trust = [], [], []
        with ExitStack() as stack:
            segmenter = self._segmenter or stack.enter_context(MediapipeSegmenter())
            for picture, where in zip(cutouts.pictures, pixels, strict=True):
                frame = np.ascontiguousarray(picture.permute(1, 2, 0).numpy())
                likely = segmenter.segment(frame, find_region(where))
                mask, sure = outline(likely)
                masks.append(mask)
                known.append(sure)
                trust.append(judge_trust(mask, where))
        return Evidence(
            torch.from_numpy(np.stack(masks)),
            torch.from_numpy(np.stack(known)) & cutouts.inside,
            torch.tensor(trust).float(),
        )


def outline(likely: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A soft mask of the largest part of what is likelier than not, and where it is sure."""
    inside = _largest(likely > 0.5)
    band = max(1, round(BAND * max(likely.shape)))
    sure = ~binary_dilation(inside, iterations=band) | binary_erosion(inside, iterations=band)
    doubtful = (likely > 0.2) & (likely < 0.8)
    soft = gaussian_filter(inside.astype(np.float32), 0.7)
    return soft.clip(0, 1), sure & ~doubtful


def _largest(mask: np.ndarray) -> np.ndarray:
    parts, count = label(mask)
    if count < 2:
        return mask
    return np.asarray(parts == 1 + np.bincount(parts.ravel())[1:].argmax())


def judge_trust(mask: np.ndarray, joints: np.ndarray) -> float:
    """1 if nearly all joints lie in the silhouette, 0 if the silhouette is of somebody else or lacks limbs."""
    side = len(mask)
    wide = binary_dilation(mask > 0.5, iterations=max(1, round(_REACH * side)))
    at = np.clip(joints.round().astype(int), 0, side - 1)
    share = float(wide[at[:, 1], at[:, 0]].mean())
    return min(1.0, max(0.0, (share - _FOUND) / (1 - _FOUND)))
