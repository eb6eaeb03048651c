"""Things for every class: what people hold and wear by the class's name, and seats under those who sit or lie."""

import functools
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from synthaug.body.hands import SHAPES, hand_pose
from synthaug.body.limbs import SIDES
from synthaug.body.skeleton import mean_skeleton
from synthaug.body.support import Rest, find_rests, raise_from_floor
from synthaug.files import digest_of
from synthaug.props import Carrier, Dome, Hold, Performer, Placed, Prop, PropPool, Stage, slabs, sticks, vessels, worn
from synthaug.props.parts.choosing import read_holdings, read_own
from synthaug.props.parts.frames import BodyFrames, find_frames
from synthaug.props.parts.holding import Held, hold_thing
from synthaug.props.parts.moments import choose_hand, find_times
from synthaug.props.parts.palettes import PALETTES
from synthaug.props.parts.table import TABLE, Holding, find_holdings
from synthaug.props.seats import MAT, build_seat, name_seat, sample_seat
from synthaug.structures import Camera, Gaussians, Level, Motion, Plain, Values

logger = logging.getLogger(__name__)

VERSION = 2
"""Raised whenever the same values would give other Gaussians."""
KINDS: Mapping[str, Prop] = {
    "cup": vessels.Cup(), "bottle": vessels.Bottle(), "glass": vessels.Glass(), "bowl": vessels.Bowl(),
    "snack": vessels.Snack(), "ball": vessels.Ball(), "phone": slabs.Phone(), "tablet": slabs.Tablet(),
    "book": slabs.Book(), "laptop": slabs.Laptop(), "remote": slabs.Remote(), "box": slabs.Box(), "pen": sticks.Pen(),
    "spoon": sticks.Spoon(), "toothbrush": sticks.Toothbrush(), "comb": sticks.Comb(), "broom": sticks.Broom(),
    "racket": sticks.Racket(), "bag": worn.Bag(), "hat": worn.Hat(), "glasses": worn.Glasses(),
}  # fmt: skip
"""Every kind by its name."""
PER_PIXEL, PER_PIXEL_SEAT = 1.3, 2.4
"""Pixels between the Gaussians of things and of seats, which are large and plain."""
FLAT_HAND = math.radians(12)
"""Mean bend of the fingers below which a hand is flat: its source knows nothing of fingers, or shows an open hand."""
AWAY = 6.0
"""Metres behind the camera where things are that are not there yet: beyond every picture, whatever its lens."""
EDGE = 0.06
"""Metres between a seat and the border of the free floor."""


@final
@dataclass(frozen=True, eq=False)
class Things(PropPool):
    """Procedural things, and scans of one's own, in the hands and on the heads of those whose class calls for them.

    Attributes:
        family: Shapes and colours: "studio", or "street", which shares none with it and is the demo's film's.
        share: Share of clips that show the things of their class; the other people are empty-handed. 0 for none.
        seats: Whether who sits or lies has a seat, a bed or a mat, unless a film shows the filmed person's.
        table: Things by words of class names, over those of `parts.table`: a YAML file, or its content. Each entry is a
            kind, a list of kinds of which chance takes one, or null for nothing; or a list of entries with the keys
            kinds, carrier, hand, times and person, as in `parts.table.Holding`.
        own: YAML files of scanned things, by the name of the kind: see `synthaug.props.scans.Scan`.
        labels: What each class holds, by label, as `assign` found it.
    """

    family: str = "studio"
    share: float = 1.0
    seats: bool = True
    table: str | Mapping[str, Plain] | None = None
    own: Mapping[str, str] | None = None
    labels: tuple[tuple[Holding, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.family not in PALETTES:
            raise ValueError(
                f"Expected synth.props.family to be one of {', '.join(PALETTES)}, got {self.family!r}. Choose one."
            )
        if not 0 <= self.share <= 1:
            raise ValueError(f"Expected synth.props.share to be a share from 0 to 1, got {self.share!r}. Correct it.")
        _ = self._table  # read now: a table that cannot be read is told before anything else is done

    @functools.cached_property
    def kinds(self) -> Mapping[str, Prop]:
        """All kinds by name, one's own too."""
        return {**KINDS, **read_own(self.own)}

    @functools.cached_property
    def _own_table(self) -> Mapping[str, tuple[Holding, ...]]:
        return read_holdings(self.table, tuple(self.kinds))

    @functools.cached_property
    def _table(self) -> Mapping[str, tuple[Holding, ...]]:
        return {**TABLE, **self._own_table}

    @property
    def fingerprint(self) -> str:
        """Version, and the content of one's own things."""
        own = [] if self.own is None else [(name, repr(self.kinds[name])) for name in sorted(self.own)]
        return f"things {VERSION} {digest_of(repr(own))[:12]}"

    def assign(self, classes: Sequence[str]) -> PropPool:
        """See `PropPool.assign`; what classes hold is logged."""
        found = tuple(find_holdings(name, self._table) for name in classes)
        for key in self._own_table:
            if not any(find_holdings(name, {key: (Holding(("?",)),)}) for name in classes):
                raise ValueError(
                    f"Expected the classes of synth.props.table to be among those of the data set, got {key!r}. Write "
                    f"words that a name contains: {', '.join(classes[:12])}{', ...' if len(classes) > 12 else ''}."
                )
        words = [f"{name}: {_say(held)}" for name, held in zip(classes, found, strict=True) if held]
        logger.info("Things in hands: %s", "; ".join(words) or "no class calls for any")
        return replace(self, labels=found)

    def sample(self, label: int, people: Sequence[Motion], rng: np.random.Generator) -> Values:
        """See `PropPool.sample`."""
        seat, shown = sample_seat(rng, self.family), bool(rng.random() < self.share)
        held = self.labels[label] if self.labels is not None and label < len(self.labels) else ()
        things: list[Plain] = []
        bodies: dict[int, BodyFrames] = {}
        before: dict[str, Plain] | None = None
        for entry in held if shown else ():
            if entry.person >= len(people):
                continue
            if entry.person not in bodies:
                bodies[entry.person] = find_frames(people[entry.person], mean_skeleton())
            before = self._sample_thing(entry, bodies[entry.person], rng, before)
            if before is not None:
                things.append(before)
        values: Values = {"things": things} if things else {}
        return {**values, "seat": seat} if self.seats else values

    def _sample_thing(
        self, entry: Holding, body: BodyFrames, rng: np.random.Generator, before: dict[str, Plain] | None
    ) -> dict[str, Plain] | None:
        """One thing; None where the performance never shows what its entry asks for."""
        name = entry.kinds[int(rng.integers(len(entry.kinds)))]
        hand, looks = entry.hand, self.kinds[name].sample(rng, self.family)
        if entry.same and before is not None:
            name, looks = str(before["kind"]), before["looks"]  # type: ignore[assignment]
        kind = self.kinds[name]
        hold = kind.hold(looks, "hands")
        chosen = hold.side or choose_hand(body, kind.near, rng)
        if hand == "other" and before is not None:
            hand = "left" if before["hand"] == "right" else "right"
        elif hand not in SIDES:
            hand = chosen
        if entry.same and before is not None and before["person"] == entry.person:
            hand = str(before["hand"])
        times = find_times(entry.times, body, kind.near, hand)
        if times is None:
            return None
        carrier = entry.carrier or hold.carrier
        return {
            "kind": name, "person": entry.person, "carrier": carrier, "hand": hand,
            "times": [round(part, 4) for part in times], "looks": looks,
        }  # fmt: skip

    def fit(self, values: Values, performers: Sequence[Performer], *, seats: bool = True) -> list[Motion]:
        """See `PropPool.fit`."""
        lying = seats and "seat" in values
        motions = [raise_from_floor(one.motion, one.skeleton, MAT) if lying else one.motion for one in performers]
        for thing in _list_things(values):
            person = int(thing["person"])
            if person >= len(performers):
                continue
            performer, hold = performers[person], self._find_hold(thing)
            if hold.carrier == "head":
                continue
            shown = _find_shown(thing, performer.moments)
            main = _find_side(thing, performer)
            for side in SIDES if hold.carrier == "hands" else (main,):
                motions[person] = close_fingers(motions[person], side, hold.shape, shown)
        return motions

    def place(self, values: Values, performers: Sequence[Performer], stage: Stage) -> list[Placed]:
        """See `PropPool.place`."""
        spacing = find_spacing(performers, stage.camera)
        placed = []
        bodies: dict[int, BodyFrames] = {}
        for thing in _list_things(values):
            person = int(thing["person"])
            if person >= len(performers):
                continue
            if person not in bodies:
                bodies[person] = find_frames(performers[person].motion, performers[person].skeleton)
            found = self._place_thing(thing, (performers[person], bodies[person]), stage, PER_PIXEL * spacing)
            placed += [] if found is None else [found]
        seat = values.get("seat")
        if isinstance(seat, dict) and stage.seats:
            for person, performer in enumerate(performers):
                for rest in find_rests(performer.motion, performer.skeleton):
                    placed.append(_place_seat(seat, rest, person, stage, PER_PIXEL_SEAT * spacing))
        return placed

    def _find_hold(self, thing: Mapping[str, Plain]) -> Hold:
        carrier: Carrier = str(thing["carrier"])  # type: ignore[assignment]
        return self._find_kind(thing).hold(thing["looks"], carrier)  # type: ignore[arg-type]

    def _find_kind(self, thing: Mapping[str, Plain]) -> Prop:
        name = str(thing["kind"])
        if name not in self.kinds:
            raise ValueError(
                f"Expected a recipe's thing to be one of {', '.join(self.kinds)}, got {name!r}. Replay recipes with "
                "the synth.props.own that they were made with."
            )
        return self.kinds[name]

    def _place_thing(
        self, thing: Mapping[str, Plain], who: tuple[Performer, BodyFrames], stage: Stage, spacing: float
    ) -> Placed | None:
        performer, body = who
        shown = _find_shown(thing, performer.moments)
        if not bool(shown.any()):
            return None
        kind, looks, side = self._find_kind(thing), thing["looks"], _find_side(thing, performer)
        assert isinstance(looks, dict)
        level = _build_once(kind, json.dumps(looks), spacing)
        some = level.means[:: max(1, len(level.means) // 150)].double()
        hold = self._find_hold(thing)
        held = hold_thing(hold, side, body, some)
        if held.width is not None:
            looks = {**looks, "width": held.width}
            level = _build_once(kind, json.dumps(looks), spacing)
        level = (
            level
            if held.scale == 1
            else replace(level, means=level.means * held.scale, scales=level.scales * held.scale)
        )
        T = _make_transforms(held, shown, stage.camera)
        gaussians = Gaussians(**vars(level), T_world_rest=T, light=stage.light)
        person = int(thing["person"])  # type: ignore[arg-type]
        hands = tuple(held.grips)
        grips = torch.stack([held.grips[hand] for hand in hands]) if hands else torch.zeros(0, len(shown), 3).double()
        dome = _scale_dome(hold.dome, held.scale)
        return Placed(str(thing["kind"]), gaussians, person, hands, shown.tolist(), grips, dome=dome)


@functools.lru_cache(maxsize=24)  # fewer than people that a renderer keeps prepared, which they must not displace
def _build_once(kind: Prop, looks: str, spacing: float) -> Level:
    """A thing of these values (JSON), built once for as long as it is used: renderers keep what they prepared of it."""
    return kind.build(json.loads(looks), spacing=spacing)


def _scale_dome(dome: Dome | None, scale: float) -> Dome | None:
    """What a hat of this size is in place of."""
    if dome is None:
        return None
    (x, y, z), (a, b, c) = dome.middle, dome.axes
    return Dome(scale * dome.rim, (scale * x, scale * y, scale * z), (scale * a, scale * b, scale * c))


def _say(held: Sequence[Holding]) -> str:
    return " and ".join(" or ".join(entry.kinds) for entry in held if not entry.same)


def _list_things(values: Values) -> list[dict]:
    things = values.get("things", [])
    return [thing for thing in things if isinstance(thing, dict)] if isinstance(things, list) else []


def _find_shown(thing: Mapping[str, Plain], moments: Float[Tensor, " time"]) -> Tensor:
    times = thing["times"]
    assert isinstance(times, list)
    first, last = (float(part) for part in times)
    return (moments >= first - 1e-6) & (moments <= last + 1e-6)


def _find_side(thing: Mapping[str, Plain], performer: Performer) -> str:
    """The hand: the other one in the mirror image."""
    hand = str(thing["hand"])
    return ("left" if hand == "right" else "right") if performer.mirrored else hand


def close_fingers(motion: Motion, side: str, shape: str, shown: Tensor) -> Motion:
    """The motion with a hand in this shape where it holds something and was flat.

    Args:
        motion: Of the person.
        side: The hand.
        shape: One of `synthaug.body.hands.SHAPES`.
        shown: Frames in which it holds something.

    Raises:
        ValueError: If there is no such shape.
    """
    if shape not in SHAPES:
        raise ValueError(f"Expected the shape of a hand to be one of {', '.join(SHAPES)}, got {shape!r}. Choose one.")
    pose = motion.left_hand_pose if side == "left" else motion.right_hand_pose
    flat = pose[:, :12].norm(dim=-1).mean(dim=-1) < FLAT_HAND
    closed = torch.where((flat & shown.to(flat.device))[:, None, None], hand_pose(shape, side).to(pose), pose)
    return replace(motion, left_hand_pose=closed) if side == "left" else replace(motion, right_hand_pose=closed)


def find_spacing(performers: Sequence[Performer], camera: Camera) -> float:
    """Metres that a pixel covers at the nearest person, on a ladder of steps of 1.41, so that things are built once."""
    if not performers:
        return 0.02
    ways, shifts = (camera.viewmats[:, 2, columns].double().numpy(force=True) for columns in (slice(3), 3))
    places = [one.motion.transl.double().numpy(force=True) for one in performers]
    depth = max(min(float(((ways * place).sum(axis=1) + shifts).min()) for place in places), 0.3)
    size = depth / float(camera.Ks[:, 0, 0].max())
    return float(2.0 ** (round(2 * math.log2(size)) / 2))


def _make_transforms(held: Held, shown: Tensor, camera: Camera) -> Float[Tensor, "time 1 4 4"]:
    """Thing to world; behind the camera where it is not there."""
    views = camera.viewmats.double()
    eye = -(views[:, :3, :3].mT @ views[:, :3, 3:])[..., 0]
    away = eye - AWAY * normalize(views[:, 2, :3], dim=-1)
    T = torch.eye(4).repeat(len(shown), 1, 1, 1)
    T[:, 0, :3, :3] = held.R.to(T)
    T[:, 0, :3, 3] = torch.where(shown[:, None], held.at, away).to(T)
    return T


def _place_seat(values: Values, rest: Rest, person: int, stage: Stage, spacing: float) -> Placed:
    """A seat under the hips, as far as the free floor reaches."""
    room = 2.0
    if stage.centre is not None:
        x, z, radius = stage.centre
        room = radius - EDGE - math.hypot(float(rest.hips[0]) - x, float(rest.hips[2]) - z)
    level, top = build_seat(values, rest, room=room, spacing=spacing)
    cos, sin = math.cos(rest.facing), math.sin(rest.facing)
    T = torch.eye(4).repeat(len(rest.frames), 1, 1, 1)
    T[:, 0, :3, :3] = torch.tensor([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    T[:, 0, 0, 3], T[:, 0, 2, 3] = float(rest.hips[0]), float(rest.hips[2])
    gaussians = Gaussians(**vars(level), T_world_rest=T, light=stage.light)
    every = [True] * len(rest.frames)
    none = torch.zeros(0, len(every), 3).double()
    return Placed(name_seat(values, rest), gaussians, person, (), every, none, top, rest.frames.tolist())
