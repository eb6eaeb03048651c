"""Silhouettes from a folder of pictures, one for each frame of the film, such as a matting tool leaves."""

from pathlib import Path
from typing import final

import cv2
import numpy as np
import torch

from synthaug.creation import CreationError, Cutouts, Evidence, Feature
from synthaug.creation.cutting import cut_square
from synthaug.creation.features.silhouettes import outline
from synthaug.creation.listing import list_by_frame
from synthaug.video import probe

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@final
class MaskFolder(Feature):
    """Masks in files, in the order of their names: white is the person.

    Args:
        folder: As many pictures as the film has frames, of its size or its shape.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)

    def observe(self, cutouts: Cutouts) -> Evidence:
        """The mask of each cutout."""
        files = list_by_frame(self._folder, cutouts, _SUFFIXES, "mask")
        info = probe(cutouts.films[0])
        masks, known = [], []
        for index, corner, scale in zip(cutouts.indices, cutouts.corners, cutouts.scales, strict=True):
            picture = _read(files[int(index)], info.height, info.width)
            cut = cut_square(picture, corner.double().numpy(), float(scale), cutouts.side)
            mask, sure = outline(cut.astype(np.float32) / 255)
            masks.append(mask)
            known.append(sure)
        return Evidence(
            torch.from_numpy(np.stack(masks)),
            torch.from_numpy(np.stack(known)) & cutouts.inside,
            torch.tensor([float(mask.mean() > 1e-3) for mask in masks]),
        )


def _read(path: Path, height: int, width: int) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise CreationError(f"Expected a picture in '{path}', got something else. Export this mask again.")
    if abs(picture.shape[1] * height - picture.shape[0] * width) > 0.02 * height * picture.shape[1]:
        raise CreationError(
            f"Expected a mask of the film's shape, {width}x{height}, in '{path}', got {picture.shape[1]}x"
            f"{picture.shape[0]}. Export masks of whole frames of this film."
        )
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR))
