"""Empty scenes that help each other out: what one film hides, another of the same fixed camera uncovers. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from synthaug.backgrounds.plate.filling import spread
from synthaug.backgrounds.plate.removal import Uncovered, masked_median
from synthaug.backgrounds.plate.silhouettes import widen

MAX_DONORS = 8
"""Scenes that one scene is completed from: a median of more hardly differs."""
ALIKE = 0.06
"""Share of the range of grey by which thumbnails of one place differ at most (median), after exposure."""
THUMBNAIL = (64, 48)
"""Width and height of thumbnails."""
MAX_MOVE = 0.06
"""Share of the width by which a camera that was touched between two films may have moved."""
AGREE = 12.0
"""Grey levels by which two pictures of one place differ at most (median, mean of the colours) around the hole."""
RING = 0.05
"""Width of that surrounding, share of the picture's width."""
AROUND = 0.2
"""The same for where exposures are compared: cameras balance them in ways that one gain does not describe."""
STEADY = 0.4
"""Pixels: a camera that moved less stood still, and its picture is taken as it is."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A small picture of an empty scene: enough to tell places apart.

    Attributes:
        grey: 0 to 255; meaningless where nothing is known.
        share: How much of each pixel is known.
        size: Height and width of the scene.
    """

    grey: Float[np.ndarray, "height width"]
    share: Float[np.ndarray, "height width"]
    size: tuple[int, int]

    @staticmethod
    def of(scene: Uncovered) -> "Thumbnail":
        """The thumbnail of a scene."""
        grey = cv2.cvtColor(scene.picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        known = (~scene.hole).astype(np.float32)
        share = cv2.resize(known, THUMBNAIL, interpolation=cv2.INTER_AREA)
        small = cv2.resize(grey * known, THUMBNAIL, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-3)
        return Thumbnail(small, share, (scene.hole.shape[0], scene.hole.shape[1]))


def choose_donors(own: Thumbnail, others: Sequence[Thumbnail]) -> list[int]:
    """Which scenes look like the same place and know some of what this one lacks: those that know most first."""
    found = []
    for place, other in enumerate(others):
        gain = np.maximum(other.share - own.share, 0).sum()
        if other is not own and other.size == own.size and gain > 0 and _compare(own, other) <= ALIKE:
            found.append((-float(gain), place))
    return [place for _, place in sorted(found)]


def _compare(own: Thumbnail, other: Thumbnail) -> float:
    both = (own.share > 0.5) & (other.share > 0.5)
    if both.sum() < 0.2 * both.size:
        return float("inf")
    a, b = own.grey[both], other.grey[both]
    gain, offset = _match(b, a)
    # In the scale of the picture's own range: a black one resembles everything.
    return float(np.median(np.abs(gain * b + offset - a)) / max(float(np.quantile(a, 0.95) - np.quantile(a, 0.05)), 20))


def pool(scene: Uncovered, others: Iterable[Uncovered]) -> tuple[Uncovered, list[int]]:
    """The scene with its hole filled from others of the same place, where these agree with it around the hole.

    Others are brought into the scene's view (a camera may have been touched between films) and exposure. Of several the
    median counts, and what it shows is levelled to meet the picture at the border of the hole.

    Args:
        scene: The scene.
        others: Scenes of the same size that may show the same place, the most similar first.

    Returns:
        The scene with what was still hidden by all as its hole, and the places of those that helped.
    """
    pictures, known, used = [], [], []
    for place, other in enumerate(others):
        lent = _lend(scene, other)
        if lent is None:
            continue
        pictures.append(lent[0])
        known.append(lent[1])
        used.append(place)
        if len(used) == MAX_DONORS:
            break
    if not used:
        return scene, []
    seen = np.stack(known)
    free = scene.hole & seen.any(0)
    found = masked_median(np.stack(pictures), ~seen).astype(np.float32)
    off = spread(scene.picture.astype(np.float32) - found, scene.hole | ~seen.any(0))
    met = np.clip(found + np.clip(off, -2 * AGREE, 2 * AGREE) + 0.5, 0, 255).astype(np.uint8)
    return Uncovered(np.where(free[..., None], met, scene.picture), scene.hole & ~free, scene.shift), used


def _match(values: Float[np.ndarray, " pixel"], target: Float[np.ndarray, " pixel"]) -> tuple[float, float]:
    """Gain and offset that take values to targets, fitted to most of them."""
    gain, offset = 1.0, 0.0
    keep = np.ones(len(values), np.bool_)
    for _ in range(3):
        v, t = values[keep], target[keep]
        spread_of = float(v.var())
        gain = float(((v - v.mean()) * (t - t.mean())).mean()) / spread_of if spread_of > 1 else 1.0
        gain = min(max(gain, 0.1), 10.0)
        offset = float(t.mean() - gain * v.mean())
        off = np.abs(gain * values + offset - target)
        keep = off <= max(2.5 * float(np.median(off)), 1.0)
    return gain, offset


def _lend(
    scene: Uncovered, other: Uncovered
) -> tuple[UInt8[np.ndarray, "height width 3"], Bool[np.ndarray, "height width"]] | None:
    """What the other scene shows in this one's view and exposure, and where; None if they disagree."""
    height, width = scene.hole.shape
    T = _register(scene, other)
    if T is None:
        return None
    picture, known = other.picture, ~other.hole
    if np.abs(_move_corners(T, height, width)).max() > STEADY:
        picture = cv2.warpAffine(picture, T, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.warpAffine(
            known.astype(np.float32), T, (width, height), flags=cv2.INTER_LINEAR, borderValue=(0.0,)
        )
        known = inside > 0.99
    away = cv2.distanceTransform((~scene.hole).astype(np.uint8), cv2.DIST_L2, 3)
    ring = (away <= max(RING * width, 2)) & ~scene.hole & known
    both = (away <= AROUND * width) & ~scene.hole & known
    if ring.sum() < 50:
        return None
    level = _match_colors(picture, scene.picture, both)
    off = np.abs(level - scene.picture).mean(-1)
    if np.median(off[ring]) > AGREE:
        return None
    return np.clip(level + 0.5, 0, 255).astype(np.uint8), known


def _match_colors(
    picture: UInt8[np.ndarray, "height width 3"],
    target: UInt8[np.ndarray, "height width 3"],
    where: Bool[np.ndarray, "height width"],
) -> Float[np.ndarray, "height width 3"]:
    """A picture in another's exposure and white balance: a quadratic of its colours, fitted to most of them."""
    x, y = picture[where].astype(np.float32) / 255, target[where].astype(np.float32)
    step = max(len(x) // 8000, 1)
    x, y = x[::step], y[::step]
    weights = np.ones((len(x), 1), np.float32)
    terms = _color_terms(x)
    for _ in range(4):
        fit = np.linalg.lstsq(terms * weights, y * weights, rcond=None)[0]
        off = np.abs(terms @ fit - y).mean(-1, keepdims=True)
        weights = 1 / (1 + off / max(float(np.median(off)), 1.0))
    return (_color_terms(picture.reshape(-1, 3).astype(np.float32) / 255) @ fit).reshape(picture.shape)


def _color_terms(colors: Float[np.ndarray, "pixel 3"]) -> Float[np.ndarray, "pixel 7"]:
    return np.hstack([np.ones((len(colors), 1), np.float32), colors, colors**2])


def _register(scene: Uncovered, other: Uncovered) -> Float[np.ndarray, "2 3"] | None:
    """The map from the other picture into this one: the identity, or a small shift, turn and zoom; None if neither."""
    height, width = scene.hole.shape
    identity = np.eye(2, 3)
    finder = cv2.ORB.create(nfeatures=1500, fastThreshold=8)
    found = []
    for one in (other, scene):
        grey = cv2.equalizeHist(cv2.cvtColor(one.picture, cv2.COLOR_RGB2GRAY))
        found.append(finder.detectAndCompute(grey, (~widen(one.hole, 4)).astype(np.uint8) * 255))
    (points, words), (own_points, own_words) = found
    if words is None or own_words is None or len(points) < 8 or len(own_points) < 8:
        return identity  # Bare walls: the surroundings of the hole must agree.
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(words, own_words)
    a = np.array([points[pair.queryIdx].pt for pair in pairs])
    b = np.array([own_points[pair.trainIdx].pt for pair in pairs])
    close = np.linalg.norm(a - b, axis=1) <= MAX_MOVE * width if len(pairs) else np.zeros(0, np.bool_)
    if close.sum() < 12:
        return identity
    T, kept = cv2.estimateAffinePartial2D(a[close], b[close], method=cv2.RANSAC, ransacReprojThreshold=2.0)
    if T is None or kept.sum() < 10:
        return identity
    moved = np.abs(_move_corners(T, height, width)).max()
    return T if moved <= MAX_MOVE * width else None


def _move_corners(T: Float[np.ndarray, "2 3"], height: int, width: int) -> Float[np.ndarray, "4 2"]:
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
    return corners @ T[:, :2].T + T[:, 2] - corners
