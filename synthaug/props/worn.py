"""Kinds that are worn or hang from the hand: hat, glasses, bag."""

from typing import ClassVar, final

import numpy as np

from synthaug.props import Carrier, Dome, Hold, Prop
from synthaug.props.parts.palettes import darken, sample_colour, sample_size
from synthaug.props.parts.reading import colour_of, length_of
from synthaug.props.parts.surfaces import (
    Floats,
    join,
    level_of,
    make_band,
    make_box,
    make_ellipsoid,
    make_lathe,
    make_rod,
)
from synthaug.structures import Level, Values

FINEST = 0.012
"""Largest spacing of small things, metres."""
SKULL = (0.0, 0.02, -0.07)
"""Middle of the skull from the middle between the eyes of the mean head, metres."""
RIM = 0.055
"""Height of a hat's rim above the middle between the eyes, metres."""
CROWN = (0.095, 0.092, 0.118)
"""Half axes of a hat's crown, metres."""


@final
class Hat(Prop):
    """A hat with a brim all around, or a cap with a peak for one family. Its origin is between the eyes."""

    near: ClassVar[str] = "crown"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "brim": sample_size(rng, family, (0.05, 0.075), (0.065, 0.08)),
            "peak": family == "street",
            "colour": list(sample_colour(rng, family, "cloth")),
            "band": list(sample_colour(rng, family, "dull")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        if carrier == "hand":
            # By the brim's side, the crown's top to the back of the hand.
            return Hold(up=(0.3, -0.9, 0.3), front=(1.0, 0.0, 0.0), grip=(0.11, 0.055, -0.07), shape="hold")
        return Hold("head", up=(0, 1, 0), front=(0, 0, 1), dome=Dome(RIM, (SKULL[0], RIM, SKULL[2]), CROWN))

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s, brim = min(spacing, FINEST), length_of(values, "brim")
        colour, band = np.asarray(colour_of(values, "colour")), np.asarray(colour_of(values, "band"))
        rim, wide = RIM, CROWN[0]

        def paint(points: Floats) -> Floats:
            return np.where(points[:, 1:2] < rim - 0.02 + 0.022, band, colour)

        crown = make_ellipsoid(CROWN, (0.0, 0.0, 0.0), paint, s, low=0.0)
        dome = crown.moved((SKULL[0], rim, SKULL[2]))
        if values["peak"]:
            shade = make_ellipsoid(
                (0.8 * wide, 0.012, brim + 0.06), (0.0, rim, 0.01), darken(colour_of(values, "colour"), 0.8), s
            )
            return level_of(join(dome, shade))
        ring = make_band((wide, wide + brim), (0.0, 0.0, 0.0), darken(colour_of(values, "colour"), 0.92), s)
        stretch = np.diag([1.0, 1.0, 1.0])
        return level_of(
            join(
                dome,
                ring.moved((SKULL[0], rim, SKULL[2]), stretch),
                ring.moved((SKULL[0], rim - 0.004, SKULL[2]), np.diag([1.0, -1.0, 1.0])),
            )
        )


@final
class Glasses(Prop):
    """Spectacles, or dark glasses for one family. Their origin is between the eyes."""

    near: ClassVar[str] = "eyes"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "size": sample_size(rng, family, (0.021, 0.025), (0.025, 0.029)),
            "dark": family == "street",
            "colour": list(sample_colour(rng, family, "dull")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        if carrier == "hand":
            return Hold(up=(1, 0, 0), front=(0, 0, 1), grip=(-0.065, 0.0, 0.0), shape="pinch", place="pinch")
        return Hold("head", up=(0, 1, 0), front=(0, 0, 1))

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s, size, colour = min(spacing, 0.5 * FINEST), length_of(values, "size"), colour_of(values, "colour")
        parts = []
        for sign in (-1.0, 1.0):
            around = [(sign * 0.034 + size * np.cos(a), size * np.sin(a), 0.028) for a in np.linspace(0, 2 * np.pi, 13)]
            parts.append(make_rod(around, 0.0025, colour, s))
            lens = make_lathe(
                [(0.9 * size, 0.0), (0.0, 0.0)], (0.05, 0.05, 0.06) if values["dark"] else (0.85, 0.9, 0.92), s
            )
            lying = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
            parts.append(lens.moved((sign * 0.034, 0.0, 0.028), lying).clear(0.9 if values["dark"] else 0.2))
            parts.append(
                make_rod(
                    [(sign * 0.06, 0.008, 0.026), (sign * 0.078, 0.008, -0.02), (sign * 0.08, 0.0, -0.09)],
                    0.0025,
                    colour,
                    s,
                )
            )
        parts.append(make_rod([(-0.012, 0.004, 0.03), (0.012, 0.004, 0.03)], 0.0025, colour, s))
        return level_of(join(*parts))


@final
class Bag(Prop):
    """A bag that hangs from the hand by its handle; its origin is the handle."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "width": sample_size(rng, family, (0.28, 0.34), (0.4, 0.46)),
            "height": sample_size(rng, family, (0.3, 0.36), (0.22, 0.27)),
            "depth": sample_size(rng, family, (0.1, 0.13), (0.18, 0.22)),
            "colour": list(sample_colour(rng, family, "cloth")),
            "trim": list(sample_colour(rng, family, "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return Hold(up=(0.0, 0.0, -1.0), front=(0.0, 1.0, 0.0), grip=(0.0, 0.0, -0.004), shape="fist", tilt_deg=8.0)

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s, colour = min(spacing, 3 * FINEST), colour_of(values, "colour")
        width, height, depth = (length_of(values, name) for name in ("width", "height", "depth"))
        drop = 0.14
        body = make_box((width, height, depth), (0.0, -drop - height / 2, 0.0), colour, s)
        stripe = make_box(
            (width + 0.004, 0.05, depth + 0.004),
            (0.0, -drop - 0.3 * height, 0.0),
            colour_of(values, "trim"),
            s,
            faces=("-x", "+x", "-z", "+z"),
        )
        strap = make_rod(
            [
                (-0.3 * width, -drop, 0),
                (-0.2 * width, -0.02, 0),
                (0, 0, 0),
                (0.2 * width, -0.02, 0),
                (0.3 * width, -drop, 0),
            ],
            0.007,
            colour_of(values, "trim"),
            s,
        )
        return level_of(join(body, stripe, strap))
