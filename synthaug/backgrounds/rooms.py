"""Procedural furnished rooms, seen through any camera.

Sampled values name every choice; `layout`, `lights` and `raycasting` turn them into pixels.
"""

import functools
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.backgrounds import Background, Outline
from synthaug.backgrounds.room.families import FAMILIES, Covering, Family
from synthaug.backgrounds.room.kinds import KINDS, Kind
from synthaug.backgrounds.room.layout import RoomPlan, lay_out
from synthaug.backgrounds.room.lights import RoomArray, light_room, stack_room
from synthaug.backgrounds.room.raycasting import render_picture, trace_points, trace_surfaces
from synthaug.structures import Camera, Light, Plain, Scene, Values

ITEMS = 11
"""Pieces sampled for each room; those for which there is no place are left out."""


@final
class Rooms(Background):
    """Rooms with floor, walls, windows, furniture and light, built around the world's origin, where the person is.

    A room is large enough to enclose the camera, and nothing but an occasional low piece stands between camera and
    person. The light is traced: it falls off from windows and lamps, furniture shades the floor softly, corners
    darken. A still camera costs one picture for the clip, a moving one costs one a frame.

    Args:
        family: `studio` (homes) or `street` (shops, halls, workshops); the two share no colour, pattern, piece of
            furniture or light.
        occluders: Share of rooms with a low table or similar in front of the person.
        free: Radius in metres around the origin that stays empty.
        samples: Rays along each side of a pixel.
        kinds: Of which kinds rooms are, all alike: kitchen, bathroom, bedroom, living room, office, corridor, yard.
            They have what tells them apart; "all" takes every kind. None gives homes of no particular kind, or those of
            the family `street`, which has no kinds.
    """

    def __init__(
        self,
        family: str = "studio",
        occluders: float = 0.08,
        free: float = 1.0,
        samples: int = 2,
        kinds: str | Sequence[str] | None = None,
    ) -> None:
        if family not in FAMILIES:
            raise ValueError(
                f"Expected family to be one of {sorted(FAMILIES)}, got '{family}'. Set synth.background.family."
            )
        if not 0 <= occluders <= 1 or free < 0 or samples < 1:
            raise ValueError(
                "Expected occluders to be a share in 0..1, free a radius of 0 or more and samples at least 1, got "
                f"occluders={occluders}, free={free}, samples={samples}. Set them under synth.background."
            )
        self.kinds = _check_kinds(kinds, family)
        self.family = family
        self.occluders = occluders
        self.free = free
        self.samples = samples

    @property
    def fingerprint(self) -> str:
        """Changes with the settings, and with the source text that turns values into pixels."""
        return f"rooms/{self.family}/{self.free}/{self.samples}/{_source_digest()}"

    def sample(self, rng: np.random.Generator) -> Values:
        """The whole room, by name, colour and measure."""
        if self.kinds:
            return self._sample_kind(_choose(self.kinds, rng), rng)
        return self._sample_room(FAMILIES[self.family], rng)

    def _sample_room(self, family: Family, rng: np.random.Generator) -> Values:
        light = int(rng.integers(len(family.lights)))
        lamp: list[Plain] = [float(part) for part in rng.uniform(-0.5, 0.5, 2)]
        return {
            "family": self.family,
            "yaw_deg": float(rng.uniform(0, 360)),
            "reach": [float(part) for part in rng.uniform(1.7, 3.4, 4)],
            "height": float(rng.uniform(*family.heights)),
            "floor": _sample_covering(family.floors, rng),
            "wall": _sample_covering(family.walls, rng),
            "feature": int(rng.integers(4)) if rng.uniform() < 0.4 else -1,
            "ceiling": _choose(family.ceilings, rng),
            "trim": _choose(family.trims, rng),
            "windows": [_sample_window(family, rng, k) for k in range(2 if rng.uniform() < 0.6 else 1)],
            "door": {"wall": int(rng.integers(4)), "along": float(rng.uniform()), "color": _choose(family.trims, rng)},
            "light": {"kind": light, "strength": float(rng.uniform(0.8, 1.25)), "lamp": lamp, "sun": _sample_sun(rng)},
            "items": [_sample_item(family, rng) for _ in range(ITEMS)],
            "hangings": [_sample_hanging(family, rng) for _ in range(7)],
            "rug": _sample_rug(family, rng) if rng.uniform() < family.rugs else None,
            "occluder": _sample_occluder(family, rng) if rng.uniform() < self.occluders else None,
            "seed": int(rng.integers(1 << 16)),
        }

    def _sample_kind(self, name: str, rng: np.random.Generator) -> Values:
        """A room of one kind: one of no kind with its own tables, and then what is peculiar to it."""
        kind = KINDS[name]
        values = self._sample_room(kind.family, rng)
        (narrow, wide), (short, long) = kind.reach
        across, along = rng.uniform(narrow, wide, 2), rng.uniform(short, long, 2)
        items = [{**_sample_item(kind.family, rng), "kind": piece} for piece in kind.always]
        if name != "corridor":
            items[0]["wall"] = 2 + int(rng.integers(2))  # a far one, before which there is room
        values["kind"] = name
        values["reach"] = [float(part) for part in (*across, *along)]
        values["items"] = [*items, *values["items"][: kind.items]]  # type: ignore[index]
        values["hangings"] = [] if name == "yard" else values["hangings"]
        windows = 0 if rng.uniform() >= kind.windows else 1 + int(rng.uniform() < 0.5 * kind.windows)
        # Neither window nor door take the place of what tells the kind.
        others = [wall for wall in range(4) if wall != items[0]["wall"]]
        sampled = [_sample_window(kind.family, rng, k, kind) for k in range(windows)]
        values["windows"] = [{**one, "wall": others[int(rng.integers(3))]} for one in sampled]
        values["door"] = {**values["door"], "wall": others[int(rng.integers(3))]}  # type: ignore[dict-item]
        return values

    def describe(self, values: Values) -> str:
        """The kind of the room."""
        return str(values.get("kind", ""))

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The room through this camera, which comes back with it.

        Raises:
            ValueError: If the camera is under the floor.
        """
        plan = lay_out(values, camera, free=self.free)
        room, light = light_room(plan)
        views = _unique_views(camera, plan)
        depths = np.empty((len(views), camera.height, camera.width))
        shots = [self._render_view(room, view, depth) for view, depth in zip(views, depths, strict=True)]
        stacked = torch.from_numpy(np.stack(shots))
        return Scene(
            frames=stacked.repeat(len(camera.viewmats), 1, 1, 1) if len(views) == 1 else stacked,
            camera=camera,
            spot=(0.0, 0.0, 0.0),
            depth=torch.from_numpy(depths[0].astype(np.float32)),
            light=_rotate_light(light, plan.yaw),
        )

    def outline(self, values: Values, camera: Camera) -> Outline:
        """The room through this camera, unlit: rays are cast at the pixels that are asked for, and no others."""

        @functools.cache
        def build() -> tuple[RoomArray, Float[np.ndarray, "4 3"]]:
            plan = lay_out(values, camera, free=self.free)
            return stack_room(plan, lit=False), _unique_views(camera, plan)[0]

        def depth_at(pixels: Float[Tensor, "pixel 2"]) -> Float[Tensor, " pixel"]:
            # Through pixel centres, as the picture's depth is.
            points = pixels.floor().double().numpy() + 0.5
            depth = np.empty(len(points))
            trace_points(*build(), points, depth)
            return torch.from_numpy(depth.astype(np.float32))

        return Outline(camera, (0.0, 0.0, 0.0), depth_at)

    def cacheable(self, values: Values) -> bool:
        """Always: every ray is traced."""
        return True

    def _render_view(
        self, room: RoomArray, view: Float[np.ndarray, "4 3"], depth: Float[np.ndarray, "height width"]
    ) -> UInt8[np.ndarray, "3 height width"]:
        """One frame; writes its depth into `depth`."""
        names, linear = np.empty(depth.shape, np.int64), np.empty((*depth.shape, 3))
        trace_surfaces(room, view, depth, names)
        render_picture(room, view, self.samples, names, linear)
        display = 255 * np.clip(linear, 0, 1).astype(np.float32) ** np.float32(1 / 2.2)
        return np.ascontiguousarray((display + np.float32(0.5)).astype(np.uint8).transpose(2, 0, 1))


def _unique_views(camera: Camera, plan: RoomPlan) -> Float[np.ndarray, "view 4 3"]:
    """The camera's place and the matrix from pixels to directions, room frame; a single view for a camera at rest."""
    viewmats, Ks = camera.viewmats.double().numpy(), camera.Ks.double().numpy()
    if (viewmats == viewmats[:1]).all() and (Ks == Ks[:1]).all():
        viewmats, Ks = viewmats[:1], Ks[:1]
    back = viewmats[:, :3, :3].transpose(0, 2, 1)
    places = -(back @ viewmats[:, :3, 3:]).transpose(0, 2, 1) @ plan.R_room_world.T
    return np.concatenate([places, plan.R_room_world @ back @ np.linalg.inv(Ks)], axis=1)


def _rotate_light(light: Light, yaw: float) -> Light:
    """A light given in the room's frame, in the world's frame."""
    x, y, z = light.direction
    cos, sin = math.cos(yaw), math.sin(yaw)
    return Light((cos * x + sin * z, y, -sin * x + cos * z), light.key, light.sky, light.ground)


_PARTS = ("layout", "openings", "kinds", "fittings", "lights", "families", "furniture", "textures", "raycasting")


@functools.cache
def _source_digest() -> str:
    """Digest of the files that decide the pixels, so that an edit renews every cache."""
    digest = hashlib.blake2b(digest_size=8)
    for name in ("rooms", *(f"room/{part}" for part in _PARTS)):
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()


def _check_kinds(kinds: str | Sequence[str] | None, family: str) -> tuple[str, ...]:
    """The kinds that are asked for; none for rooms of no particular kind."""
    if kinds is None:
        return ()
    wanted = tuple(KINDS) if kinds == "all" else (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not wanted or not set(wanted) <= set(KINDS) or family != "studio":
        raise ValueError(
            f"Expected kinds to be null, all, or of {sorted(KINDS)}, with family=studio, got kinds={kinds!r} with "
            f"family={family!r}. Set synth.background.kinds."
        )
    return wanted


def _choose(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _sample_covering(options: Sequence[Covering], rng: np.random.Generator) -> Values:
    chosen = options[int(rng.integers(len(options)))]
    first, second = chosen.colors[int(rng.integers(len(chosen.colors)))]
    return {
        "pattern": chosen.pattern,
        "color": first,
        "second": second,
        "tone": float(rng.uniform(0.88, 1.1)),
        "scale": float(rng.uniform(*chosen.scale)),
        "gloss": float(chosen.gloss * rng.uniform(0.3, 1)),
        "across": int(rng.integers(2)),
    }


def _sample_window(family: Family, rng: np.random.Generator, turn: int, kind: Kind | None = None) -> Values:
    if kind is not None:
        high, wide = kind.glass
        return {
            "wall": int(rng.integers(4)),
            "along": float(rng.uniform()),
            "width": float(rng.uniform(*wide)),
            "sill": float(rng.uniform(*kind.sill)),
            "height": float(rng.uniform(*high)),
            "curtain": _choose(family.cloths, rng) if rng.uniform() < family.curtains else None,
        }
    return {
        "wall": int(rng.integers(4)) if turn == 0 else int(rng.integers(4)),
        "along": float(rng.uniform()),
        "width": float(rng.uniform(1.0, 2.0)),
        "sill": float(rng.uniform(0.7, 1.05)),
        "height": float(rng.uniform(1.0, 1.4)),
        "curtain": _choose(family.cloths, rng) if rng.uniform() < family.curtains else None,
    }


def _sample_sun(rng: np.random.Generator) -> list[Plain]:
    """Where the sun stands: degrees round the vertical, degrees above the horizon."""
    return [float(rng.uniform(0, 360)), float(rng.uniform(22, 50))]


def _sample_item(family: Family, rng: np.random.Generator) -> Values:
    return {
        "kind": _choose(family.furniture, rng),
        "wall": int(rng.integers(4)),
        "along": float(rng.uniform()),
        **_sample_style(family, rng),
    }


def _sample_style(family: Family, rng: np.random.Generator) -> Values:
    shape: list[Plain] = [float(part) for part in rng.uniform(size=3)]
    cloth = _choose(family.cloths, rng)
    return {
        "wood": _choose(family.woods, rng),
        "cloth": cloth,
        "accent": _choose([color for color in family.cloths if color != cloth], rng),
        "metal": _choose(family.metals, rng),
        "size": float(rng.uniform(0.9, 1.15)),
        "shape": shape,
        "seed": int(rng.integers(1 << 16)),
    }


def _sample_hanging(family: Family, rng: np.random.Generator) -> Values:
    return {
        "pattern": _choose(family.hangings, rng),
        "wall": int(rng.integers(4)),
        "along": float(rng.uniform()),
        "middle": float(rng.uniform(1.45, 1.75)),
        "width": float(rng.uniform(0.3, 0.9)),
        "height": float(rng.uniform(0.35, 0.8)),
        "color": _choose(("#1d1b1a", "#8a6a44", "#e9e6df", "#5b4030"), rng),
        "seed": int(rng.integers(1 << 16)),
    }


def _sample_rug(family: Family, rng: np.random.Generator) -> Values:
    at: list[Plain] = [float(part) for part in rng.uniform(-0.7, 0.7, 2)]
    half: list[Plain] = [float(part) for part in rng.uniform(0.7, 1.4, 2)]
    first = _choose(family.cloths, rng)
    second = _choose([color for color in family.cloths if color != first], rng)
    return {"at": at, "half": half, "color": first, "second": second}


def _sample_occluder(family: Family, rng: np.random.Generator) -> Values:
    """Which piece, how far from the camera to the person, how far beside the line, and its rotation."""
    return {
        "kind": _choose(family.occluders, rng),
        "share": float(rng.uniform(0.5, 0.75)),
        "beside": float(rng.uniform(-0.3, 0.3)),
        "turn_deg": float(rng.uniform(0, 360)),
        **_sample_style(family, rng),
    }
