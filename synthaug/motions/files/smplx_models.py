"""Read the rest pelvis and the mean hands from a user's own SMPL-X model files.

Some motion files are relative to these. The model files are licensed to each user, so the package does not ship them.
"""

import functools
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from synthaug.motions.files.recordings import FlawError, read_npz_member

_MAX_BYTES = 256 * 2**20
"""Bytes of one array: shapedirs of SMPL-X 1.1 has 101 million."""
NEUTRAL_PELVIS = (0.0031, -0.3514, 0.0120)
"""Rest pelvis of SMPL-X, neutral, mean shape, metres. Other genders and betas move it by centimetres."""


def rest_pelvis(models: Path | None, gender: str, betas: Float[np.ndarray, " beta"]) -> tuple[float, float, float]:
    """Position of the pelvis at rest, about which smplx turns the body before it adds `transl`; metres.

    Args:
        models: Folder with SMPLX_NEUTRAL.npz and so on, or whose sub-folder `smplx/` holds them; None takes the
            neutral mean body's pelvis and ignores gender and betas.
        gender: "neutral", "male" or "female".
        betas: Shape coefficients, as many as are known.

    Raises:
        FileNotFoundError: If the folder has no such file.
        FlawError: If the file is damaged.
    """
    if models is None:
        return NEUTRAL_PELVIS
    base, shapes = _read_pelvis(_find_model(models, gender))
    count = min(len(betas), shapes.shape[1])
    at = base + shapes[:, :count] @ betas[:count]
    return float(at[0]), float(at[1]), float(at[2])


def hand_means(models: Path, gender: str) -> tuple[Float[np.ndarray, "15 3"], Float[np.ndarray, "15 3"]]:
    """Axis-angles of the resting left and right hand against the flat one, radians: smplx adds them to hand poses.

    Raises:
        FileNotFoundError: If the folder has no such file.
        FlawError: If the file is damaged.
    """
    with _open_model(_find_model(models, gender)) as archive:
        hands = [_read_array(archive, f"hands_mean{side}", (45,)) for side in "lr"]
    return hands[0].reshape(15, 3), hands[1].reshape(15, 3)


def _find_model(models: Path, gender: str) -> Path:
    name = f"SMPLX_{gender.upper()}.npz"
    places = [models / name, models / "smplx" / name]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"Expected SMPL-X's model file in npz form, found no '{places[0]}' and no '{places[1]}'. Get it under its own "
        "licence from smpl-x.is.tue.mpg.de and set models to its folder, or set models=null for the mean body."
    )


def _open_model(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise FlawError(f"expected SMPL-X's model file as npz, got '{path}'") from error


def _read_array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read an array of this shape; 0 stands for any length."""
    array = read_npz_member(archive, name, most=_MAX_BYTES)
    if array is None:
        raise FlawError(f"expected {name} in SMPL-X's model file, '{archive.filename}' has none")
    right = array.ndim == len(shape) and all(want in (0, have) for want, have in zip(shape, array.shape, strict=True))
    if not right or not np.isfinite(array).all():
        raise FlawError(
            f"expected {name} of '{archive.filename}' to be finite and {shape} (0 is any length), got {array.shape}"
        )
    return array.astype(np.float64)


@functools.lru_cache(maxsize=4)
def _read_pelvis(path: Path) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 beta"]]:
    """The pelvis of the mean shape, and how each beta moves it."""
    with _open_model(path) as archive:
        template = _read_array(archive, "v_template", (0, 3))
        regressor = _read_array(archive, "J_regressor", (0, len(template)))[0]
        shapes = _read_array(archive, "shapedirs", (len(template), 3, 0))
    return regressor @ template, np.einsum("v,vkb->kb", regressor, shapes[:, :, : min(300, shapes.shape[2])])
