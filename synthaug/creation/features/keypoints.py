"""How far a person's poses can be trusted: whole-body keypoints that another program found in the film."""

import json
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton
from synthaug.creation import CreationError, Cutouts, Evidence, Feature
from synthaug.creation.cutting import project
from synthaug.motions.coco_wholebody import parse_wholebody
from synthaug.motions.files.recordings import FlawError
from synthaug.motions.pose.following import Detection
from synthaug.video import probe

MARKED = {
    5: "left_shoulder", 6: "right_shoulder", 7: "left_elbow", 8: "right_elbow", 9: "left_wrist", 10: "right_wrist",
    11: "left_hip", 12: "right_hip", 13: "left_knee", 14: "right_knee", 15: "left_ankle", 16: "right_ankle",
}  # fmt: skip
"""Keypoints of COCO and the joints that they mark."""
_POINTS, _JOINTS = list(MARKED), [JOINT[name] for name in MARKED.values()]
_GOOD, _BAD = 0.04, 0.1
"""Median distance between joints and keypoints, as a share of a stature of 1.7 m, up to which poses are trusted, and
from which they are not."""
_OTHER_FILM = 0.25
"""The same over all frames, beyond which the keypoints are of another film."""
_SURE = 0.3
"""Confidence below which a keypoint says nothing."""
_STATURE = 1.7
_MOST_BYTES = 512 * 2**20


@final
class KeypointFile(Feature):
    """Frames whose poses lie off the keypoints are left out. Says nothing of silhouettes.

    Args:
        path: A JSON file of the whole film, as `motions.coco_wholebody.parse_wholebody` reads it, in its pixels.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)

    def observe(self, cutouts: Cutouts) -> Evidence:
        """The trust of each cutout's pose.

        Raises:
            CreationError: If the file cannot be read, or belongs to another film.
        """
        frames = self._read(cutouts)
        joints = joint_positions(cutouts.motion, mean_skeleton())[:, _JOINTS]
        pixels, depth = project(joints, cutouts.camera.viewmats, cutouts.camera.Ks)
        errors = []
        for k, where in enumerate(pixels.double().numpy()):
            stature = _STATURE * float(cutouts.camera.Ks[k, 0, 0]) / max(float(depth[k].median()), 0.1)
            corner, scale = cutouts.corners[k].double().numpy(), float(cutouts.scales[k])
            errors.append(min((_miss(one, where, corner, scale) / stature for one in frames[int(cutouts.indices[k])]),
                              default=np.inf))  # fmt: skip
        middle = float(np.median(errors))
        if not np.isfinite(middle):
            raise CreationError(
                f"Expected sure keypoints of trunk and limbs in '{self._path}' for the person in "
                f"'{cutouts.films[0].name}', got fewer than four above {_SURE} in half of the frames or more. Are the "
                "confidences in 0..1, and the keypoints of this film?"
            )
        if middle >= _OTHER_FILM:
            raise CreationError(
                f"Expected the keypoints in '{self._path}' to lie on the person in '{cutouts.films[0].name}', got a "
                f"median distance of {middle:.0%} of a person's height. Are they of this film, in its pixels?"
            )
        trust = torch.tensor([min(1.0, max(0.0, (_BAD - error) / (_BAD - _GOOD))) for error in errors])
        nothing = torch.zeros(len(cutouts), cutouts.side, cutouts.side)
        return Evidence(nothing, nothing > 0, trust.float())

    def _read(self, cutouts: Cutouts) -> list[list[Detection]]:
        if len(cutouts.films) > 1:
            raise CreationError(
                f"Expected one film with a file of keypoints, got {len(cutouts.films)}. Make the avatar from one film, "
                "or leave the keypoints out."
            )
        if not self._path.is_file() or self._path.stat().st_size > _MOST_BYTES:
            raise CreationError(
                f"Expected a JSON file of keypoints of at most {_MOST_BYTES >> 20} MB in '{self._path}', got none. "
                "Write the keypoints of the whole film into one file."
            )
        try:
            frames, _ = parse_wholebody(json.loads(self._path.read_text(encoding="utf-8")))
        except (FlawError, ValueError, RecursionError) as error:
            raise CreationError(f"'{self._path}' holds no keypoints of a film: {error}") from error
        count = probe(cutouts.films[0]).num_frames
        if len(frames) > count or len(frames) <= int(cutouts.indices.max()):
            raise CreationError(
                f"Expected keypoints of each of the {count} frames of '{cutouts.films[0].name}' in '{self._path}', got "
                f"{len(frames)}. Write them for all frames of this very film."
            )
        return frames


def _miss(one: Detection, joints: Float[np.ndarray, "joint 2"], corner: NDArray[np.float64], scale: float) -> float:
    """Median distance in a cutout's pixels between joints and the keypoints that are sure; infinite below four."""
    points = (one.points[_POINTS, :2] - corner) * scale
    sure = (one.confidence[_POINTS] > _SURE) & np.isfinite(points).all(-1)
    return float(np.median(np.linalg.norm(points - joints, axis=-1)[sure])) if sure.sum() >= 4 else np.inf
