"""Silhouettes by the empty place: what differs from a picture of it without the person, by the same still camera."""

from pathlib import Path
from typing import final

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import binary_fill_holes

from synthaug.creation import CreationError, Cutouts, Evidence, Feature
from synthaug.creation.around import find_joints, mark_far
from synthaug.creation.cutting import cut_square
from synthaug.creation.features.silhouettes import judge_trust, outline
from synthaug.video import SUFFIXES, decode_still, probe, read_frames

_CLEAR, _DOUBTFUL = 6.0, 3.0
"""Standard deviations of the film's noise by which the person differs from the place, and below which nothing does."""
_NOISE = (2.0, 8.0)
"""Levels of the smallest noise that is reckoned with, since compression leaves that much, and of the largest: what
differs by more is another place."""
_SHADOW = (0.45, 1.02)
"""Brightness of a place in the person's shadow, as a share of its own."""
_TINT = 0.03
"""Difference of the shares of red, green and blue below which something darker is the same thing in shadow."""
_MOST_CHANGED = 0.3
"""Share of what is not near the person that may differ: with more, the picture is of another place or camera."""
_FRAMES = 15
"""Frames of a film of the empty place, of which the median is taken."""


@final
class EmptyPlace(Feature):
    """What differs from the empty place; what could be the person's shadow is not known.

    Brightness and tint of the whole picture may drift: they are fitted outside of the person in each frame.

    Args:
        path: A picture of the place without anybody, or a film of it, by the camera that filmed the person, unmoved.
    """

    def __init__(self, path: Path) -> None:
        self._path = Path(path)

    def observe(self, cutouts: Cutouts) -> Evidence:
        """The silhouette in each cutout.

        Raises:
            CreationError: If the picture cannot be read, has another shape, or shows another place.
        """
        pixels, depth = find_joints(cutouts)
        plates = [self._read(probe(film).height, probe(film).width) for film in cutouts.films]
        masks, known, trust, changed = [], [], [], []
        for k, where in enumerate(pixels):
            corner, scale = cutouts.corners[k].double().numpy(), float(cutouts.scales[k])
            plate = cut_square(plates[int(cutouts.film[k])], corner, scale, cutouts.side)
            frame = cutouts.pictures[k].permute(1, 2, 0).numpy()
            far = mark_far(cutouts, k, where, float(depth[k, 0]))
            likely, shadow = compare(frame, plate, far)
            # What is closed in belongs to the person, whose clothes may have the place's colour.
            mask, sure = outline(np.where(binary_fill_holes(likely > 0.5), 1.0, likely))
            masks.append(mask)
            known.append(sure & ~shadow)
            trust.append(judge_trust(mask, where))
            changed.append(float((likely > 0.5)[far].mean()) if far.any() else 0.0)
        self._check_place(cutouts, np.array(changed))
        return Evidence(
            torch.from_numpy(np.stack(masks)),
            torch.from_numpy(np.stack(known)) & cutouts.inside,
            torch.tensor(trust).float(),
        )

    def _check_place(self, cutouts: Cutouts, changed: Float[np.ndarray, " cutout"]) -> None:
        """Raise unless each film shows this place: one of several may have been taken elsewhere."""
        which = np.asarray(cutouts.film)
        for number in np.unique(which).tolist():
            share = float(np.median(changed[which == number]))
            if share > _MOST_CHANGED:
                raise CreationError(
                    f"Expected the place of '{cutouts.films[number].name}' without anybody in '{self._path}', got a "
                    f"picture that differs in {share:.0%} of what lies away from the person. The camera must not move "
                    "between both; leave the picture out if it did."
                )

    def _read(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        picture = self._decode()
        if picture is None:
            raise CreationError(
                f"Expected a picture or a film of the empty place in '{self._path}', got none that can be read. Take a "
                "frame of the film before the person comes in."
            )
        rows, columns = picture.shape[:2]
        if abs(columns * height - rows * width) > 0.02 * height * columns:
            raise CreationError(
                f"Expected an empty place of the film's shape, {width}x{height}, in '{self._path}', got {columns}x"
                f"{rows}. Use a frame of the same camera."
            )
        return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))

    def _decode(self) -> UInt8[np.ndarray, "rows columns 3"] | None:
        if not self._path.is_file():
            return None
        if self._path.suffix.lower() not in SUFFIXES:
            return decode_still(self._path.read_bytes())
        info = probe(self._path)
        chosen = np.unique(np.linspace(0, info.num_frames - 1, _FRAMES).round().astype(int)).tolist()
        frames = read_frames(self._path, chosen, info=info)
        return np.median(frames.permute(0, 2, 3, 1).numpy(), axis=0).round().astype(np.uint8)


def compare(
    frame: UInt8[np.ndarray, "side side 3"], plate: UInt8[np.ndarray, "side side 3"], far: Bool[np.ndarray, "side side"]
) -> tuple[Float[np.ndarray, "side side"], Bool[np.ndarray, "side side"]]:
    """How likely each pixel shows the person, and what could be a shadow.

    Args:
        frame: With the person, sRGB.
        plate: Without.
        far: Pixels that nothing of the person reaches, from which brightness and noise are known.
    """
    shown, empty = frame.astype(np.float32), plate.astype(np.float32)
    if far.sum() > 50:
        gains = np.median((shown[far] + 1) / (empty[far] + 1), axis=0)
        empty = empty * gains.clip(0.5, 2.0)
    apart = cv2.GaussianBlur(np.abs(shown - empty).max(-1), (0, 0), 0.7)
    noise = float(np.clip(1.4826 * np.median(apart[far]), *_NOISE)) if far.sum() > 50 else _NOISE[1] / 2
    likely = ((apart / noise - _DOUBTFUL) / (_CLEAR - _DOUBTFUL)).clip(0, 1)
    light, before = shown.sum(-1) + 1, empty.sum(-1) + 1
    tint = np.abs(shown / light[..., None] - empty / before[..., None]).max(-1)
    ratio = light / before
    shadow = (ratio > _SHADOW[0]) & (ratio < _SHADOW[1]) & (tint < _TINT) & (likely > 0)
    return np.where(shadow, likely * 0.4, likely), shadow
