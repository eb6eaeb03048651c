"""Patterns, creases and weave of cloth on the mean body."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from synthaug.avatars.procedural.figure import Floats, Mask, ramp
from synthaug.avatars.procedural.noise import grain, noise, octaves, ridges
from synthaug.avatars.procedural.tailoring import CROTCH_Y, hem_of_top
from synthaug.avatars.procedural.wardrobe import Color, ProceduralPerson


@dataclass(frozen=True, eq=False)
class Cloth:
    """Coordinates on a garment: horizontal and vertical metres, and the position on the mean body."""

    u: Floats
    v: Floats
    canonical: Floats


Chart: TypeAlias = Callable[[Floats], Cloth]


def trunk_chart(canonical: Floats) -> Cloth:
    """Coordinates around the trunk and along the arms, so that stripes run around the chest and the sleeves."""
    x, y, z = canonical.T
    arm = np.abs(x) > 0.205
    around = np.arctan2(x, z - 0.02) * 0.15
    about_arm = np.arctan2(y - 0.387, z - 0.03) * 0.06
    return Cloth(np.where(arm, about_arm, around), np.where(arm, 0.55 - np.abs(x), y), canonical)


def leg_chart(canonical: Floats) -> Cloth:
    """Coordinates around each leg and down it."""
    x, y, z = canonical.T
    about = np.arctan2((np.abs(x) - 0.1) * np.sign(x), z) * 0.085
    return Cloth(about, y, canonical)


def paint_pattern(name: str, cloth: Cloth, colors: tuple[Color, Color], *, scale: float, seed: int) -> Floats:
    """Colours [P, 3] of a pattern in two colours with sharp edges.

    Raises:
        ValueError: If there is no such pattern.
    """
    a, b = (np.array(color, np.float32) for color in colors)
    u, v = cloth.u / scale, cloth.v / scale
    x, y, z = cloth.canonical.T
    plain = np.broadcast_to(a, (len(u), 3)).astype(np.float32)
    if name == "plain":
        return plain
    if name == "heather":
        spots = 0.16 * octaves(cloth.canonical * 140, seed, 2)
        return np.clip(plain * (1 + spots[:, None]) + 0.05 * np.abs(spots[:, None]), 0, 1)
    if name == "stripes":
        return np.where(((v % 0.07) < 0.028)[:, None], b, a)
    if name == "pinstripes":
        return np.where(((u % 0.045) < 0.011)[:, None], b, a)
    if name == "gingham":
        share = 0.5 * ((u % 0.05) < 0.025) + 0.5 * ((v % 0.05) < 0.025)
        return a + (b - a) * share[:, None].astype(np.float32)
    if name == "plaid":
        wide = 0.45 * ((u % 0.12) < 0.04) + 0.45 * ((v % 0.12) < 0.04)
        line = (np.abs(u % 0.12 - 0.08) < 0.006) | (np.abs(v % 0.12 - 0.08) < 0.006)
        color = a + (b - a) * wide[:, None].astype(np.float32)
        return np.where(line[:, None], 0.4 * color + 0.6 * np.array([0.93, 0.91, 0.85], np.float32), color)
    if name == "dots":
        row = np.floor(v / 0.04)
        du, dv = (u + 0.02 * (row % 2)) % 0.04 - 0.02, v % 0.04 - 0.02
        return np.where((du * du + dv * dv < 0.0105**2)[:, None], b, a)
    if name in ("logo", "print"):
        return np.where(_graphic_mask(name, x, y, z, seed)[:, None], b, a)
    raise ValueError(
        "Expected a pattern among plain, heather, stripes, pinstripes, gingham, plaid, dots, logo and print, got "
        f"{name!r}. synthaug.avatars.procedural.wardrobe lists them by family."
    )


def paint_soft_pattern(
    name: str, place: Floats, chart: Chart, *, colors: tuple[Color, Color], scale: float, seed: int
) -> Floats:
    """Colours [P, 3] of a pattern averaged over 10 mm, so that Gaussians of that size do not make ragged edges."""
    reach = np.float32(0.005)
    offsets = reach * np.array([[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]], np.float32)
    samples = [paint_pattern(name, chart(place + offset), colors, scale=scale, seed=seed) for offset in offsets]
    return np.asarray(np.mean(samples, axis=0), np.float32)


def _graphic_mask(name: str, x: Floats, y: Floats, z: Floats, seed: int) -> Mask:
    """Where a chest is printed: a ring, bars, a band or a flower ("logo"), or a sprite of squares ("print")."""
    front = z > 0.03
    rng = np.random.default_rng(seed)
    if name == "print":
        half = rng.random((6, 4)) < 0.6
        sprite = np.concatenate([half, half[:, 2::-1]], axis=1)
        column = np.floor((x + 0.105) / 0.030).astype(int)
        row = np.floor((0.340 - y) / 0.032).astype(int)
        inside = front & (column >= 0) & (column < 7) & (row >= 0) & (row < 6)
        return inside & sprite[np.clip(row, 0, 5), np.clip(column, 0, 6)]
    kind = int(rng.integers(4))
    dx, dy = x, y - 0.27
    if kind == 0:
        distance = np.hypot(dx, dy)
        return front & (((distance < 0.075) & (distance > 0.052)) | (distance < 0.026))
    if kind == 1:
        bars = (np.abs(dy) < 0.045) & (np.abs(dx) < 0.105) & ((dx * 40 + np.floor(dy / 0.018) * 1.7) % 1 < 0.66)
        return front & bars
    if kind == 2:
        return np.asarray((y > 0.19) & (y < 0.27) & (np.abs(x) < 0.5))
    angle = np.arctan2(dx, dy)
    return front & (np.hypot(dx, dy) < 0.055 + 0.03 * np.cos(5 * angle))


def _crumple(canonical: Floats, seed: int) -> Floats:
    warp = canonical + 0.03 * np.stack([noise(canonical * 9, seed + k) for k in (1, 2, 3)], axis=1)
    return warp


def top_creases(canonical: Floats, seed: int) -> Floats:
    """Height of the creases of an upper garment, about -0.5..1, [P]: slanted on the trunk, rings on the sleeves."""
    x, y, z = canonical.T
    p = _crumple(canonical, seed)
    side = np.sign(x)
    slant = np.stack([p[:, 0] * 9 + side * p[:, 1] * 6, p[:, 1] * 4.5 - side * p[:, 0] * 3, p[:, 2] * 7], axis=1)
    trunk = ridges(slant, seed) * (0.35 + 0.65 * ramp(y, 0.25, 0.0)) + 0.4 * octaves(p * 11, seed + 9)
    bunch = ridges(np.stack([p[:, 0] * 4, p[:, 1] * 26, p[:, 2] * 4], axis=1), seed + 5) * ramp(y, 0.06, -0.08)
    rings = ridges(np.stack([p[:, 0] * 22, p[:, 1] * 7, p[:, 2] * 7], axis=1), seed + 7)
    elbow = np.exp(-(((np.abs(x) - 0.43) / 0.09) ** 2)) + np.exp(-(((np.abs(x) - 0.20) / 0.05) ** 2))
    cuff = ramp(np.abs(x), 0.56, 0.64)
    sleeve = rings * (0.25 + 0.75 * np.clip(elbow + 0.7 * cuff, 0, 1))
    arm = ramp(np.abs(x), 0.17, 0.24)
    return np.asarray((1 - arm) * (trunk + 0.6 * bunch) + arm * sleeve - 0.35, np.float32)


def bottom_creases(canonical: Floats, seed: int) -> Floats:
    """Height of the creases of trousers, [P]: rays from the crotch, folds behind the knee, rings at the ankle."""
    x, y, z = canonical.T
    p = _crumple(canonical, seed)
    reach = np.hypot(np.abs(x), y - CROTCH_Y)
    fan = np.arctan2(y - CROTCH_Y, np.abs(x) + 1e-6)
    whiskers = ridges(np.stack([fan * 3.5, reach * 5, np.sign(z) + 0 * x], axis=1), seed) * ramp(reach, 0.26, 0.05)
    rings = ridges(np.stack([p[:, 0] * 6, p[:, 1] * 20, p[:, 2] * 6], axis=1), seed + 3)
    knee = np.exp(-(((y + 0.50) / 0.10) ** 2)) * (0.5 + 0.5 * ramp(z, 0.04, -0.02))
    stack = 0.9 * ramp(y, -0.72, -0.84)
    long = ridges(np.stack([p[:, 0] * 15, p[:, 1] * 2.2, p[:, 2] * 15], axis=1), seed + 4)
    return np.asarray(0.6 * whiskers + rings * np.clip(knee + stack, 0, 1) + 0.45 * long - 0.35, np.float32)


def weave(cloth: str, canonical: Floats, seed: int) -> Floats:
    """Factor on a cloth's colour, [P, 1]: threads and wear."""
    fine = grain(len(canonical), seed)
    broad = octaves(canonical * 6, seed + 11)
    if cloth == "denim":
        y, z = canonical[:, 1], canonical[:, 2]
        worn = 0.22 * ramp(z, 0.03, 0.09) * np.exp(-(((y + 0.27) / 0.16) ** 2)) + 0.14 * octaves(
            canonical * 28, seed, 2
        )
        return (1 + 0.05 * fine + 0.08 * broad + worn)[:, None]
    strength = 0.055 if cloth == "knit" else 0.025
    return (1 + strength * fine + 0.04 * broad)[:, None]


def seam_masks(person: ProceduralPerson, canonical: Floats) -> tuple[Mask, Mask]:
    """Where the top has darker seams, and where it has buttons, hood cords or the teeth of a zip; each [P]."""
    x, y, z = canonical.T
    neck, front = person.top.neck, z > 0.03
    hem, sleeve = hem_of_top(person), person.sizes["sleeve"]
    rib = 0.045 if neck in ("hood", "turtle", "zip") else 0.018
    line = (np.abs(y - hem - rib) < 0.004) & (np.abs(x) < 0.25)
    line |= (np.abs(np.abs(x) - sleeve + rib) < 0.004) & (np.abs(x) > 0.2)
    line |= (np.abs(np.abs(x) - 0.188 - 0.05 * (y - 0.39)) < 0.003) & (y > 0.30)
    extra = np.zeros(len(x), bool)
    if neck == "collar":
        line |= front & (np.abs(np.abs(x) - 0.016) < 0.003)
        extra = front & (np.abs(x) < 0.007) & (np.abs((y - 0.37) % 0.085 - 0.0425) < 0.007)
        line |= front & (np.abs(np.abs(x - 0.085) - 0.045) < 0.003) & (np.abs(y - 0.27) < 0.055)
    if neck == "flap":
        line |= front & (np.abs(np.abs(x) - 0.014) < 0.003) & (y > 0.27)
        extra = front & (np.abs(x) < 0.007) & (y > 0.28) & (np.abs((y - 0.28) % 0.05 - 0.025) < 0.007)
    if neck == "hood":
        extra = front & (np.abs(np.abs(x) - 0.035 - 0.1 * (0.4 - y)) < 0.005) & (y > 0.24) & (y < 0.41)
        line |= front & (np.abs(np.abs(x) - 0.075 - 0.35 * (y - hem)) < 0.004) & (y < hem + 0.19) & (y > hem + 0.05)
        line |= front & (np.abs(y - hem - 0.19) < 0.004) & (np.abs(x) < 0.14)
    if neck == "zip":
        extra = front & (np.abs(x) < 0.006)
        line |= front & (np.abs(np.abs(x) - 0.015) < 0.003)
        line |= front & (np.abs(np.abs(x) - 0.10 - 0.3 * (y - 0.02)) < 0.004) & (y < 0.08) & (y > -0.04)
    return np.asarray(line), np.asarray(extra)
