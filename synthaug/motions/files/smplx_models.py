"""What a user's own SMPL-X model files say about bodies: where the pelvis rests, and how hands rest.

Below the sources whose files mean little without them. The files are licensed to each user and never ours to ship.
"""

import functools
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synthaug.motions.files.recordings import FlawError, npz_member

_MOST = 256 * 2**20
"""Bytes of one array: shapedirs of SMPL-X 1.1 has 101 million."""
NEUTRAL_PELVIS = (0.0031, -0.3514, 0.0120)
"""Rest pelvis of SMPL-X, neutral, mean shape, metres. Other genders and betas move it by centimetres."""


def rest_pelvis(models: Path | None, gender: str, betas: Float[np.ndarray, " beta"]) -> tuple[float, float, float]:
    """Where the pelvis of a body at rest is, which smplx turns about and adds `transl` to; metres.

    Args:
        models: Folder with SMPLX_NEUTRAL.npz and so on, or with `smplx/` holding them; None takes the neutral mean
            body's, whatever gender and betas say.
        gender: "neutral", "male" or "female".
        betas: As many as are known.

    Raises:
        FileNotFoundError: If the folder has no such file.
        FlawError: If the file is damaged.
    """
    if models is None:
        return NEUTRAL_PELVIS
    base, shapes = _pelvis(_model(models, gender))
    count = min(len(betas), shapes.shape[1])
    at = base + shapes[:, :count] @ betas[:count]
    return float(at[0]), float(at[1]), float(at[2])


def hand_means(models: Path, gender: str) -> tuple[Float[np.ndarray, "15 3"], Float[np.ndarray, "15 3"]]:
    """Axis-angles of the resting left and right hand against the flat one, radians: smplx adds them to hand poses.

    Raises:
        FileNotFoundError: If the folder has no such file.
        FlawError: If the file is damaged.
    """
    with _opened(_model(models, gender)) as archive:
        hands = [_wanted(archive, f"hands_mean{side}", (45,)) for side in "lr"]
    return hands[0].reshape(15, 3), hands[1].reshape(15, 3)


def _model(models: Path, gender: str) -> Path:
    name = f"SMPLX_{gender.upper()}.npz"
    places = [models / name, models / "smplx" / name]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"There is no '{places[0]}' and no '{places[1]}'. SMPL-X's model file was wanted, in npz form. Each user gets "
        "it under its own licence from smpl-x.is.tue.mpg.de; set models to its folder, or to null for the mean body."
    )


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise FlawError(f"'{path}' is no npz; SMPL-X's model file was wanted") from error


def _wanted(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of this shape; 0 stands for any length."""
    array = npz_member(archive, name, most=_MOST)
    if array is None:
        raise FlawError(f"'{archive.filename}' has no {name}; SMPL-X's model file was wanted")
    right = array.ndim == len(shape) and all(want in (0, have) for want, have in zip(shape, array.shape, strict=True))
    if not right or not np.isfinite(array).all():
        raise FlawError(f"{name} of '{archive.filename}' is {array.shape}; finite {shape} was wanted, 0 for any")
    return array.astype(np.float64)


@functools.lru_cache(maxsize=4)
def _pelvis(path: Path) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 beta"]]:
    """The pelvis of the mean shape, and how each beta moves it."""
    with _opened(path) as archive:
        template = _wanted(archive, "v_template", (0, 3))
        regressor = _wanted(archive, "J_regressor", (0, len(template)))[0]
        shapes = _wanted(archive, "shapedirs", (len(template), 3, 0))
    return regressor @ template, np.einsum("v,vkb->kb", regressor, shapes[:, :, : min(300, shapes.shape[2])])
