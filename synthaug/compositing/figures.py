"""Measure what a camera leaves in a clip: sharpness, noise, contrast, colour cast, repeated frames. Pure functions.

Film and synthetic clips are measured alike, at the size that a recognizer sees, around the people and in the rest.
"""

import math
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from synthaug.structures import Plain

BANDS = ((1 / 16, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 1 / 2))
"""Cycles a pixel: coarse, middle and fine detail. Pictures of the world have about equal power in octaves, so what a
lens and a codec take away shows as a share."""
SIDE = 16
"""Pixels of the square that a spectrum is taken of; half of each overlaps the next."""
MAX_SPECTRA = 6
"""Frames of a clip whose spectra are taken."""
PEOPLE = 0.25
"""Share of a square from which it belongs to the people; squares without them belong to the rest."""
_BLOCK = 8
"""Side of the squares that are found still or moving."""
_STILL = 0.1
"""Share of the squares that must be still for noise to be told."""
_TEXTURE = 4.0
"""Levels by which the smoothed luma must vary in a square for motion to show there."""
_EXPLAINED = 0.25
"""Share of what changes between two frames that a small shift of the picture explains where the camera moves; of noise
it explains 3 %."""
_UNLIKE = 1.1
"""Change between two frames, for one of the variation in the picture, from which they show different things: 1.4 if
nothing of the one is in the other."""
_EVEN = 1e-4
"""Variance of the luma below which a picture is even: the error of float32."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Region:
    """What is measured of a part of the picture.

    Attributes:
        power: Variance of the luma (0..255) in each of BANDS, without that of the noise.
        level: Mean luma, 0..1.
        contrast: Standard deviation of the luma, 0..1.
        cast: Mean of red and of blue above that of green, as shares of the level.
    """

    power: tuple[float, float, float]
    level: float
    contrast: float
    cast: tuple[float, float]

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of the bands in their sum; zeros of an even picture."""
        total = sum(self.power)
        low, middle, high = (part / total if total > 0 else 0.0 for part in self.power)
        return low, middle, high

    @property
    def sharpness(self) -> float:
        """Strength of fine detail (an amplitude) for one of coarse detail; 0 of an even picture."""
        return math.sqrt(self.power[2] / self.power[0]) if self.power[0] > 0 else 0.0


@dataclass(frozen=True)
class Figures:
    """What is measured of a clip.

    Attributes:
        whole: The whole picture.
        people: Around the people; None if there are none.
        rest: Where they are not; None if that is nowhere.
        noise: Standard deviation of still pixels over time, levels of luma (0..255). None where it cannot be told: a
            single frame, a camera that moves, a picture without a still part.
        repeated: Share of the frames that equal the one before.
    """

    whole: Region
    people: Region | None
    rest: Region | None
    noise: float | None
    repeated: float

    def to_plain(self) -> dict[str, Plain]:
        """As JSON has it."""
        return asdict(self)

    @staticmethod
    def from_plain(plain: dict[str, Plain]) -> "Figures":
        """Read what `to_plain` wrote.

        Raises:
            KeyError: If an entry is missing.
            TypeError: If one is of another kind.
        """
        parts = {name: _read_region(plain[name]) for name in ("whole", "people", "rest")}
        noise, repeated = plain["noise"], plain["repeated"]
        if parts["whole"] is None or not isinstance(repeated, int | float):
            raise TypeError(f"Expected figures of a whole picture and a number of repeated frames, got {plain}.")
        level = float(noise) if isinstance(noise, int | float) else None
        return Figures(parts["whole"], parts["people"], parts["rest"], level, float(repeated))


def _read_region(plain: Plain) -> Region | None:
    if plain is None:
        return None
    if not isinstance(plain, dict):
        raise TypeError(f"Expected a region's figures as a mapping, got {plain!r}.")
    low, middle, high = plain["power"]
    red, blue = plain["cast"]
    return Region((low, middle, high), plain["level"], plain["contrast"], (red, blue))


def measure(
    video: UInt8[Tensor, "time 3 height width"], people: Bool[np.ndarray, "time height width"] | None = None
) -> Figures:
    """Measure a clip.

    Args:
        video: sRGB, at the size at which clips are compared.
        people: Where the people are, see `silhouettes.mask_people`; None for nowhere.

    Raises:
        ValueError: If the clip has no frame, or is smaller than a square of 16 pixels.
    """
    height, width = video.shape[2:]
    if len(video) == 0 or min(height, width) < SIDE:
        raise ValueError(
            f"Expected a clip of at least one frame of {SIDE} x {SIDE} pixels, got {len(video)} of {height} x {width}. "
            "Use a larger clip.size."
        )
    frames = video.cpu().numpy()
    luma = to_luma(video)
    noise, repeated = measure_noise(luma)
    chosen = np.unique(np.linspace(0, len(luma) - 1, min(len(luma), MAX_SPECTRA)).round().astype(int))
    powers = _measure_power(luma[chosen])
    mask = np.zeros(luma[chosen].shape, np.bool_) if people is None else people[chosen]
    near = _cut_squares(mask.astype(np.float32)).mean(axis=(-1, -2))
    floor = (noise or 0.0) ** 2 * _WHITE

    def gather(squares: Bool[np.ndarray, "time row column"], pixels: Bool[np.ndarray, "time height width"]) -> Region:
        rest = np.maximum(powers[squares].mean(axis=0) - floor, 0.0)
        rest *= rest.sum() > _EVEN
        red, green, blue = (frames[chosen, c][pixels].mean() for c in range(3))
        level = max(float(luma[chosen][pixels].mean()), 1e-3)
        contrast = float(luma[chosen][pixels].std()) / 255
        low, middle, high = (float(part) for part in rest)
        cast = (float((red - green) / level), float((blue - green) / level))
        return Region((low, middle, high), level / 255, contrast, cast)

    parts = {"people": (near >= PEOPLE, mask), "rest": (near == 0, ~mask)}
    found = {name: gather(*part) if part[0].any() and part[1].any() else None for name, part in parts.items()}
    whole = gather(np.ones_like(near, np.bool_), np.ones_like(mask))
    return Figures(whole, found["people"], found["rest"], noise, repeated)


def to_luma(video: UInt8[Tensor, "time 3 height width"]) -> Float[np.ndarray, "time height width"]:
    """The luma of frames, 0..255."""
    return np.einsum("tchw,c->thw", video.cpu().numpy().astype(np.float32), _LUMA)


def measure_noise(luma: Float[np.ndarray, "time height width"]) -> tuple[float | None, float]:
    """Standard deviation of still pixels over time, in the luma's unit, and the share of repeated frames.

    Differences of neighbouring frames are judged in squares of 8 pixels. What moves shows as a square that differs
    more than most do, or as a whole; a change of the light, which alters a square as a whole, is no noise either.
    """
    steps = np.diff(luma, axis=0)
    same = ~steps.any(axis=(1, 2))
    repeated = float(same.sum()) / max(len(luma), 1)
    if len(steps) == 0:
        return None, 0.0
    if same.all():
        return 0.0, repeated
    pairs = [t for t in np.flatnonzero(~same) if not _moves(luma[t], luma[t + 1])]
    if not pairs:
        return None, repeated
    cut = _cut_blocks(steps[pairs])
    means, spreads = cut.mean(axis=-1), cut.std(axis=-1)
    usual = float(np.median(spreads))
    still = (np.abs(means) <= 0.7 + 3 * usual / _BLOCK) & (spreads <= 0.7 + 2 * usual)
    if still.mean() < _STILL:
        return None, repeated
    return float(np.sqrt((spreads[still] ** 2).mean() / 2)), repeated


def measure_blocks(luma: Float[np.ndarray, "time height width"]) -> float:
    """How much more neighbouring pixels differ across the borders of 8 x 8 blocks than within them, as a share.

    Args:
        luma: At the size at which it was compressed. About 0 of film without blocks.

    Source:
        Wang, Sheikh and Bovik, "No-reference perceptual quality assessment of JPEG compressed images", ICIP 2002 (the
        blockiness feature).
    """
    ratios = []
    for axis in (1, 2):
        steps = np.abs(np.diff(luma, axis=axis)).mean(axis=(0, 3 - axis))
        border = np.arange(len(steps)) % _BLOCK == _BLOCK - 1
        if border.any() and (~border).any():
            ratios.append(float(steps[border].mean() / max(float(steps[~border].mean()), 1e-6)))
    return float(np.mean(ratios)) - 1 if ratios else 0.0


def _moves(one: Float[np.ndarray, "height width"], other: Float[np.ndarray, "height width"]) -> bool:
    """Whether the camera moved between two frames: most squares with texture changed as a shift changes them."""
    before, after = (cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in (one, other))
    slopes = np.gradient((before + after) / 2)
    step, x, y, picture = (_cut_blocks(plane[None])[0] for plane in (after - before, slopes[1], slopes[0], before))
    step, texture = step - step.mean(axis=-1, keepdims=True), picture.std(axis=-1)
    shown = texture >= max(_TEXTURE, float(np.median(texture)))
    if not shown.any():
        return False
    step, x, y = step[shown], x[shown], y[shown]
    xx, xy, yy = (x * x).sum(axis=-1), (x * y).sum(axis=-1), (y * y).sum(axis=-1)
    xs, ys, total = (x * step).sum(axis=-1), (y * step).sum(axis=-1), (step**2).sum(axis=-1)
    area = np.maximum(xx * yy - xy * xy, 1e-6)
    explained = (xs * xs * yy - 2 * xs * ys * xy + ys * ys * xx) / area / np.maximum(total, 1e-6)
    unlike = step.std(axis=-1) / texture[shown]
    return bool(np.median(explained) > _EXPLAINED or np.median(unlike) > _UNLIKE)


def _cut_blocks(planes: Float[np.ndarray, "time height width"]) -> Float[np.ndarray, "time row column pixel"]:
    rows, columns = (side // _BLOCK for side in planes.shape[1:])
    cut = planes[:, : rows * _BLOCK, : columns * _BLOCK].reshape(-1, rows, _BLOCK, columns, _BLOCK)
    return cut.transpose(0, 1, 3, 2, 4).reshape(len(planes), rows, columns, -1)


def _cut_squares(planes: Float[np.ndarray, "time height width"]) -> Float[np.ndarray, "time row column side side"]:
    half = SIDE // 2
    rows = sliding_window_view(planes, SIDE, axis=1)[:, ::half]
    return sliding_window_view(rows, SIDE, axis=2)[:, :, ::half]


def _measure_power(luma: Float[np.ndarray, "time height width"]) -> Float[np.ndarray, "time row column 3"]:
    """Variance of each square in each band."""
    squares = _cut_squares(luma)
    centred = (squares - (squares * _WINDOW).sum(axis=(-1, -2), keepdims=True) / _WINDOW.sum()) * _WINDOW
    power = np.abs(np.fft.fft2(centred)) ** 2 / (SIDE**4 * float((_WINDOW**2).mean()))
    return np.stack([power[..., ring].sum(axis=-1) for ring in _RINGS], axis=-1)


_WINDOW = np.outer(*2 * [0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(SIDE) + 0.5) / SIDE)]).astype(np.float32)
_RADIUS = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
_RINGS = [(low <= _RADIUS) & ((high > _RADIUS) | (high == BANDS[-1][1]) & (high >= _RADIUS)) for low, high in BANDS]
_WHITE = np.array([ring.mean() for ring in _RINGS], np.float32)
"""Share of white noise's variance in each band."""
