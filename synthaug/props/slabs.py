"""Kinds made of flat boxes: phone, tablet, remote control, book, laptop, box."""

from typing import ClassVar, final

import numpy as np

from synthaug.props import Carrier, Hold, Prop
from synthaug.props.parts.palettes import darken, sample_colour, sample_size
from synthaug.props.parts.reading import colour_of, length_of
from synthaug.props.parts.surfaces import Floats, Surface, join, level_of, make_box, make_face
from synthaug.structures import Level, Values

FINEST = 0.012
"""Largest spacing of small things, metres."""
GAP = 0.0012
"""Metres between a face and what is shown on it."""


def _make_slab(values: Values, spacing: float, colour: list[float]) -> Surface:
    """A flat upright box with its middle at the origin."""
    width, height, thick = (length_of(values, name) for name in ("width", "height", "thick"))
    return make_box((width, height, thick), (0.0, 0.0, 0.0), colour, spacing)


def _make_sheet(
    size: tuple[float, float], at: tuple[float, float, float], colour: list[float], spacing: float
) -> Surface:
    """A rectangle that looks along +z."""
    (width, height), (x, y, z) = size, at
    return make_face((x - width / 2, y - height / 2, z), (width, 0, 0), (0, height, 0), colour, spacing)


def _lie_in_palm(values: Values, *, low: float = 0.0) -> Hold:
    """The back in the palm, the length along the fingers."""
    return Hold(up=(0.12, 0.0, 1.0), front=(0.0, 1.0, 0.0), grip=(0.0, low, -length_of(values, "thick") / 2 + 0.002))


@final
class Phone(Prop):
    """A telephone whose back lies in the palm; one family has flip phones of bright colours."""

    near: ClassVar[str] = "ear"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "width": sample_size(rng, family, (0.068, 0.078), (0.048, 0.056)),
            "height": sample_size(rng, family, (0.14, 0.165), (0.11, 0.135)),
            "thick": sample_size(rng, family, (0.008, 0.011), (0.016, 0.02)),
            "colour": list(sample_colour(rng, family, "skin" if family == "studio" else "bright")),
            "screen": list(sample_colour(rng, family, "dull")),
            "half": family == "street",
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return _lie_in_palm(values, low=-0.01)

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s = min(spacing, FINEST)
        width, height, thick = (length_of(values, name) for name in ("width", "height", "thick"))
        body = _make_slab(values, s, colour_of(values, "colour"))
        z = thick / 2 + GAP
        if values["half"]:
            screen = _make_sheet(
                (0.84 * width, 0.4 * height), (0.0, 0.24 * height, z), darken(colour_of(values, "screen"), 1.3), s
            )
            keys = [
                _make_sheet((0.2 * width, 0.06 * height), (x * width, y * height, z), [0.85, 0.85, 0.8], s)
                for x in (-0.27, 0.0, 0.27) for y in (-0.12, -0.24, -0.36)
            ]  # fmt: skip
            return level_of(join(body, screen, *keys))
        screen = _make_sheet((0.92 * width, 0.94 * height), (0.0, 0.0, z), colour_of(values, "screen"), s)
        lens = _make_sheet((0.3 * width, 0.18 * height), (0.28 * width, 0.37 * height, 0.0), [0.05, 0.05, 0.06], s)
        flipped = lens.moved((0.0, 0.0, -z), np.diag([-1.0, 1.0, -1.0]))
        return level_of(join(body, screen, flipped))


@final
class Remote(Prop):
    """A remote control with rows of buttons."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "width": sample_size(rng, family, (0.042, 0.05), (0.034, 0.04)),
            "height": sample_size(rng, family, (0.17, 0.21), (0.13, 0.16)),
            "thick": sample_size(rng, family, (0.016, 0.022), (0.012, 0.015)),
            "colour": list(sample_colour(rng, family, "dull")),
            "buttons": list(sample_colour(rng, family, "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return _lie_in_palm(values, low=-0.02)

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s = min(spacing, FINEST)
        width, height, thick = (length_of(values, name) for name in ("width", "height", "thick"))
        body = _make_slab(values, s, colour_of(values, "colour"))
        size, colour = (0.22 * width, 0.05 * height), colour_of(values, "buttons")
        buttons = [
            _make_sheet(size, (x * width, y * height, thick / 2 + GAP), colour, s)
            for x in (-0.25, 0.25)
            for y in (-0.3, -0.15, 0.0, 0.15, 0.35)
        ]
        return level_of(join(body, *buttons))


@final
class Tablet(Prop):
    """A tablet between both hands, its screen towards the face."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "width": sample_size(rng, family, (0.17, 0.2), (0.23, 0.26)),
            "height": sample_size(rng, family, (0.24, 0.27), (0.16, 0.18)),
            "thick": 0.008 if family == "studio" else 0.016,
            "colour": list(sample_colour(rng, family, "skin")),
            "screen": list(sample_colour(rng, family, "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        if carrier == "hand":
            return _lie_in_palm(values, low=-0.3 * length_of(values, "height"))
        width, height = length_of(values, "width"), length_of(values, "height")
        return Hold(
            "hands", up=(0, 1, 0), front=(0, 0, -1), grip=(0.0, -0.3 * height, 0.0), spread=(0.5 * width, width)
        )

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s = min(spacing, 2 * FINEST)
        width, height, thick = (length_of(values, name) for name in ("width", "height", "thick"))
        screen = _make_sheet((0.9 * width, 0.88 * height), (0.0, 0.0, thick / 2 + GAP), colour_of(values, "screen"), s)
        title = _make_sheet(
            (0.6 * width, 0.1 * height), (0.0, 0.3 * height, thick / 2 + 2 * GAP), [0.95, 0.95, 0.95], s
        )
        return level_of(join(_make_slab(values, s, colour_of(values, "colour")), screen, title))


@final
class Book(Prop):
    """An open book between both hands, its pages towards the face."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "width": sample_size(rng, family, (0.15, 0.18), (0.11, 0.13)),
            "height": sample_size(rng, family, (0.21, 0.26), (0.26, 0.3)),
            "fold_deg": round(float(rng.uniform(12, 28)), 1),
            "cover": list(sample_colour(rng, family, "bright")),
            "page": [0.95, 0.93, 0.87] if family == "studio" else [0.84, 0.84, 0.8],
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        width, height = length_of(values, "width"), length_of(values, "height")
        if carrier == "hand":
            return Hold(up=(0.0, 0.0, 1.0), front=(0.0, 1.0, 0.0), grip=(0.0, -0.1 * height, -0.01))
        return Hold(
            "hands",
            up=(0, 1, 0),
            front=(0, 0, -1),
            grip=(0.0, -0.35 * height, -0.005),
            spread=(0.7 * width, 1.9 * width),
        )

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s = min(spacing, 2 * FINEST)
        width, height = length_of(values, "width"), length_of(values, "height")
        ink = np.asarray([0.35, 0.34, 0.33])
        page = np.asarray(colour_of(values, "page"))
        lines = height / 16

        def paint(points: Floats) -> Floats:
            row = np.abs(points[:, 1] / lines - np.round(points[:, 1] / lines)) < 0.22
            text = row & (np.abs(points[:, 1]) < 0.42 * height)
            return np.where(text[:, None], 0.65 * page + 0.35 * ink, page)

        halves = []
        for sign in (-1.0, 1.0):
            a = sign * np.radians(length_of(values, "fold_deg"))
            R = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
            middle = sign * width / 2
            cover = make_box(
                (width, height, 0.004), (middle, 0.0, 0.0), colour_of(values, "cover"), s, faces=("-z", "+x", "-x")
            )
            leaf = make_box((0.96 * width, 0.96 * height, 0.012), (middle, 0.0, 0.008), paint, s)  # type: ignore[arg-type]
            halves.append(join(cover, leaf).moved((0.0, 0.0, 0.0), R))
        return level_of(join(*halves))


@final
class Laptop(Prop):
    """An open laptop under both hands, its screen towards the face."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "width": sample_size(rng, family, (0.31, 0.35), (0.26, 0.29)),
            "height": sample_size(rng, family, (0.21, 0.24), (0.18, 0.2)),
            "open_deg": round(float(rng.uniform(100, 125)), 1),
            "colour": list(sample_colour(rng, family, "dull")),
            "screen": list(sample_colour(rng, family, "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        width, height = length_of(values, "width"), length_of(values, "height")
        return Hold(
            "hands", up=(0, 1, 0), front=(0, 0, -1), grip=(0.0, 0.016, 0.25 * height),
            shape="relaxed", tilt_deg=0.0, spread=(0.2 * width, width),
        )  # fmt: skip

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s = min(spacing, 2 * FINEST)
        width, height = length_of(values, "width"), length_of(values, "height")
        colour = colour_of(values, "colour")
        base = make_box((width, 0.016, height), (0.0, 0.008, 0.0), colour, s)
        keys = make_face(
            (-0.42 * width, 0.0175, 0.05 * height),
            (0.84 * width, 0, 0),
            (0, 0, -0.45 * height),
            darken(colour, 0.55),
            s,
        )
        lid = make_box((width, height, 0.008), (0.0, height / 2, 0.0), colour, s)
        shown = _make_sheet(
            (0.92 * width, 0.86 * height), (0.0, height / 2, 0.004 + GAP), colour_of(values, "screen"), s
        )
        a = -np.radians(length_of(values, "open_deg") - 90)
        R = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        return level_of(join(base, keys, join(lid, shown).moved((0.0, 0.016, -height / 2), R)))


@final
class Box(Prop):
    """A carton or a crate between both palms, as wide as they are apart."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "width": sample_size(rng, family, (0.26, 0.36), (0.22, 0.3)),
            "height": sample_size(rng, family, (0.18, 0.28), (0.28, 0.36)),
            "depth": sample_size(rng, family, (0.22, 0.32), (0.16, 0.22)),
            "colour": list(sample_colour(rng, family, "wood" if family == "studio" else "cloth")),
            "tape": list(sample_colour(rng, family, "dull" if family == "studio" else "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return Hold(
            "hands", up=(0, 1, 0), front=(0, 0, 1), grip=(0.0, -0.2 * length_of(values, "height"), 0.0),
            shape="relaxed", tilt_deg=25.0, spread=(0.16, 0.6), stretch=True,
        )  # fmt: skip

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s = min(spacing, 3 * FINEST)
        width, height, depth = (length_of(values, name) for name in ("width", "height", "depth"))
        colour, tape = np.asarray(colour_of(values, "colour")), np.asarray(colour_of(values, "tape"))

        def paint(points: Floats) -> Floats:
            on = np.abs(points[:, 2]) < 0.11 * depth
            return np.where(on[:, None], tape, colour)

        return level_of(make_box((width, height, depth), (0.0, 0.0, 0.0), paint, s))  # type: ignore[arg-type]
