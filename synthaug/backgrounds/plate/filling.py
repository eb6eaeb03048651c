"""Fill what a picture lacks out of the picture itself. Pure functions, deterministic.

Large holes are filled patch by patch from coarse to fine: first where the rough colours go, then which part of the
picture continues them. cv2.inpaint would leave a smear in a hole as wide as a person.
"""

from typing import no_type_check

import cv2
import numba
import numpy as np
from jaxtyping import Bool, Float, UInt8

SMALL = 4.0
"""Pixels from the border of a hole to its middle up to which diffusion shows no smear."""
RADIUS = 3
"""Half a patch's side less half a pixel: 7 x 7 pixels hold a corner and its surroundings."""
COARSEST = 2.5
"""Pixels from the border of a hole to its middle at the coarsest level: a patch there sees both borders."""
_ROUNDS = 4


def fill_holes(
    picture: UInt8[np.ndarray, "height width 3"], hole: Bool[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with its hole filled; nothing else changes.

    Source:
        Wexler, Shechtman and Irani, "Space-Time Completion of Video", PAMI 2007 (patches that vote, coarse to fine);
        Barnes and others, "PatchMatch", SIGGRAPH 2009 (neighbours hand on where they found theirs).
    """
    if not hole.any():
        return picture
    if hole.all():
        raise ValueError("Expected a picture of which something is known, got a hole as large as the picture.")
    depth = float(cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3).max())
    if depth <= SMALL:
        return np.asarray(cv2.inpaint(picture, hole.astype(np.uint8), round(SMALL) + 1, cv2.INPAINT_TELEA))
    levels: list[tuple[np.ndarray, np.ndarray]] = [(picture.astype(np.float32), hole)]
    while depth > COARSEST and min(hole.shape) > 16 * RADIUS:
        values, missing = levels[-1]
        levels.append(_shrink(values.astype(np.float32), missing))
        depth /= 2
        hole = levels[-1][1]
    places: np.ndarray | None = None
    guess = spread(*levels[-1])
    for values, missing in reversed(levels):
        height, width = missing.shape
        guess = np.where(missing[..., None], cv2.resize(guess, (width, height)), values)
        found = _complete(guess, missing, places)
        if found is None:  # no patch of the picture is whole
            return np.asarray(cv2.inpaint(picture, levels[0][1].astype(np.uint8), 6, cv2.INPAINT_TELEA))
        guess, places = found
    out = np.clip(guess + 0.5, 0, 255).astype(np.uint8)
    return np.where(levels[0][1][..., None], out, picture)


def spread(
    values: Float[np.ndarray, "height width channel"], hole: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width channel"]:
    """Smooth values in the hole that meet those around it: a pyramid of means, coarse to fine."""
    weight = (~hole).astype(np.float32)
    stack: list[tuple[np.ndarray, np.ndarray]] = [(values.astype(np.float32) * weight[..., None], weight)]
    while min(stack[-1][1].shape) > 1:
        total, share = stack[-1]
        size = (max(share.shape[1] // 2, 1), max(share.shape[0] // 2, 1))
        small = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (total, share)]
        stack.append((small[0].reshape(size[1], size[0], -1), small[1].reshape(size[1], size[0])))
    total, share = stack[-1]
    smooth = total / np.maximum(share[..., None], 1e-6)
    for total, share in reversed(stack[:-1]):
        larger = cv2.resize(smooth, share.shape[::-1], interpolation=cv2.INTER_LINEAR).reshape(*share.shape, -1)
        certain = np.minimum(share, 1)[..., None]
        smooth = total / np.maximum(share[..., None], 1e-6) * certain + larger * (1 - certain)
    return smooth


def _shrink(
    values: Float[np.ndarray, "height width 3"], hole: Bool[np.ndarray, "height width"]
) -> tuple[Float[np.ndarray, "small_height small_width 3"], Bool[np.ndarray, "small_height small_width"]]:
    """Half the size; a pixel is known if any part of it is."""
    size = (max(hole.shape[1] // 2, 1), max(hole.shape[0] // 2, 1))
    known = (~hole).astype(np.float32)
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(values * known[..., None], size, interpolation=cv2.INTER_AREA)
    return total / np.maximum(share[..., None], 1e-6), share < 0.25


def _complete(
    guess: Float[np.ndarray, "height width 3"],
    hole: Bool[np.ndarray, "height width"],
    places: np.ndarray | None,
) -> tuple[Float[np.ndarray, "height width 3"], np.ndarray] | None:
    """One level: search patches like those of the guess, let them vote, and again; None if no patch is known."""
    side = 2 * RADIUS + 1
    near = cv2.dilate(hole.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    sources = ~near
    sources[:RADIUS] = sources[-RADIUS:] = False
    sources[:, :RADIUS] = sources[:, -RADIUS:] = False
    if not sources.any():
        return None
    rows, columns = (axis.astype(np.int32) for axis in np.nonzero(near))
    if places is None:
        place = np.full((*hole.shape, 2), -1, np.int32)
        candidates = np.stack(np.nonzero(sources), 1).astype(np.int32)
    else:
        place = _enlarge(places, (hole.shape[0], hole.shape[1]))
        candidates = np.zeros((0, 2), np.int32)
    guess = np.ascontiguousarray(guess, np.float32)
    for step in range(_ROUNDS):
        known = np.ones_like(hole) if step or places is not None else ~hole
        _search(guess, known, sources, (rows, columns), candidates, place, step % 2 == 1)
        guess = _vote(guess, hole, (rows, columns), place)
    return guess, place


def _enlarge(places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The places found at half the size, for each pixel of a level."""
    rows = np.minimum(np.arange(shape[0]) // 2, places.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1]) // 2, places.shape[1] - 1)
    small = places[rows][:, columns]
    odd = np.stack(np.meshgrid(np.arange(shape[0]) % 2, np.arange(shape[1]) % 2, indexing="ij"), -1)
    return np.ascontiguousarray(np.where(small < 0, -1, 2 * small + odd).astype(np.int32))


@no_type_check
@numba.njit(nogil=True, cache=True)
def _distance(guess, known, row, column, r, c, best):
    """Squared difference of two patches over what is known of the first, a mean over its pixels; stops above best."""
    height, width, _ = guess.shape
    total, count = np.float32(0), 0
    for i in range(-RADIUS, RADIUS + 1):
        if row + i < 0 or row + i >= height:
            continue
        for j in range(-RADIUS, RADIUS + 1):
            if column + j < 0 or column + j >= width or not known[row + i, column + j]:
                continue
            for k in range(3):
                off = guess[row + i, column + j, k] - guess[r + i, c + j, k]
                total += off * off
            count += 1
        if total > best * (2 * RADIUS + 1) ** 2:
            return np.float32(np.inf)
    return total / count if count else np.float32(np.inf)


@no_type_check
@numba.njit(nogil=True, cache=True)
def _search(guess, known, sources, targets, candidates, place, backwards):
    """The most similar whole patch for each target: of all candidates, and around what its neighbours found."""
    height, width = sources.shape
    count = len(targets[0])
    for n in range(count):
        at = count - 1 - n if backwards else n
        row, column = targets[0][at], targets[1][at]
        best, r, c = np.float32(np.inf), place[row, column, 0], place[row, column, 1]
        if r >= 0 and r < height and c >= 0 and c < width and sources[r, c]:
            best = _distance(guess, known, row, column, r, c, best)
        for m in range(len(candidates)):
            off = _distance(guess, known, row, column, candidates[m, 0], candidates[m, 1], best)
            if off < best:
                best, r, c = off, candidates[m, 0], candidates[m, 1]
        best, r, c = _look_around(guess, known, sources, (row, column), place, (best, r, c))
        place[row, column, 0], place[row, column, 1] = (r, c) if best < np.float32(np.inf) else (-1, -1)


@no_type_check
@numba.njit(nogil=True, cache=True)
def _look_around(guess, known, sources, target, place, found):
    """The best of what was found and of the places beside those of the target's neighbours."""
    height, width = sources.shape
    row, column = target
    best, br, bc = found
    for i in range(-1, 2):
        for j in range(-1, 2):
            y, x = row + i, column + j
            if y < 0 or y >= height or x < 0 or x >= width or place[y, x, 0] < 0:
                continue
            # Around its own place all eight are tried, around those of neighbours the one that continues them.
            reach = 1 if i == 0 and j == 0 else 0
            for s in range(-reach, reach + 1):
                for t in range(-reach, reach + 1):
                    r, c = place[y, x, 0] - i + s, place[y, x, 1] - j + t
                    if r >= 0 and r < height and c >= 0 and c < width and sources[r, c]:
                        off = _distance(guess, known, row, column, r, c, best)
                        if off < best:
                            best, br, bc = off, r, c
    return best, br, bc


@no_type_check
@numba.njit(nogil=True, cache=True)
def _vote(guess, hole, targets, place):
    """Each pixel of the hole as the patches over it have it, those of near-by sources' middle weighing most."""
    height, width, _ = guess.shape
    out = guess.copy()
    for n in range(len(targets[0])):
        row, column = targets[0][n], targets[1][n]
        if not hole[row, column]:
            continue
        total, weight = np.zeros(3, np.float32), np.float32(0)
        for i in range(-RADIUS, RADIUS + 1):
            for j in range(-RADIUS, RADIUS + 1):
                y, x = row + i, column + j
                if y < 0 or y >= height or x < 0 or x >= width or place[y, x, 0] < 0:
                    continue
                r, c = place[y, x, 0] - i, place[y, x, 1] - j
                # The middle of a patch is what it matched best.
                share = np.float32(np.exp(-(i * i + j * j) / 3.0))
                for k in range(3):
                    total[k] += share * guess[r, c, k]
                weight += share
        if weight > 0:
            for k in range(3):
                out[row, column, k] = total[k] / weight
    return out
