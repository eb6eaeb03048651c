"""Kinds that are turned about their axis: cup, glass, bottle, bowl, ball, and what is eaten out of the hand."""

from collections.abc import Callable
from typing import ClassVar, final

import numpy as np

from synthaug.props import Carrier, Hold, Prop
from synthaug.props.parts.palettes import darken, sample_colour, sample_size
from synthaug.props.parts.reading import colour_of, length_of
from synthaug.props.parts.surfaces import Floats, Surface, join, level_of, make_ellipsoid, make_lathe, make_rod
from synthaug.structures import Level, Values

FLESH = 0.006
"""Metres by which a hand's flesh gives way to what it holds."""
FINEST = 0.012
"""Largest spacing of small things, metres: fewer Gaussians would lose their shape in any picture."""


def _grasp_side(radius: float, height: float, *, tilt_deg: float = 50.0) -> Hold:
    """An upright thing in a fist: its axis points to the thumb, the palm is on its side."""
    return Hold(grip=(0.0, height, FLESH - radius), tilt_deg=tilt_deg)


def _stripe(base: list[float], band: list[float], low: float, high: float) -> Callable[[Floats], Floats]:
    """One colour, and another one between two heights."""

    def paint(points: Floats) -> Floats:
        inside = (points[:, 1:2] > low) & (points[:, 1:2] < high)
        return np.where(inside, np.asarray(band), np.asarray(base))

    return paint


@final
class Cup(Prop):
    """A mug with a handle, or a paper cup with a lid for one family; half of them have a band."""

    near: ClassVar[str] = "mouth"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "radius": sample_size(rng, family, (0.034, 0.040), (0.030, 0.036)),
            "height": sample_size(rng, family, (0.085, 0.10), (0.105, 0.13)),
            "lid": family == "street",
            "colour": list(sample_colour(rng, family, "bright")),
            "band": list(sample_colour(rng, family, "bright")) if rng.random() < 0.5 else [],
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return _grasp_side(length_of(values, "radius"), 0.6 * length_of(values, "height"))

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        r, h, s = length_of(values, "radius"), length_of(values, "height"), min(spacing, FINEST)
        colour = colour_of(values, "colour")
        band = values["band"]
        paint = _stripe(colour, colour_of(values, "band"), 0.35 * h, 0.7 * h) if band else colour
        if values["lid"]:
            cup = make_lathe([(0.0, 0.0), (0.72 * r, 0.0), (r, h)], paint, s)
            lid = make_lathe(
                [(1.05 * r, h), (1.05 * r, h + 0.008), (0.9 * r, h + 0.014), (0.0, h + 0.014)], (0.93, 0.92, 0.9), s
            )
            return level_of(join(cup, lid))
        outside = make_lathe([(0.0, 0.0), (0.92 * r, 0.0), (r, 0.12 * h), (r, h)], paint, s)
        inside = make_lathe([(0.92 * r, h), (0.9 * r, 0.8 * h)], darken(colour, 0.9), s)
        drink = make_lathe([(0.9 * r, 0.8 * h), (0.0, 0.8 * h)], (0.25, 0.14, 0.08), s)
        turn = np.linspace(-0.42 * np.pi, 0.42 * np.pi, 6)
        curve = [(0.0, 0.5 * h + 0.3 * h * np.sin(a), r - 0.004 + 0.55 * r * np.cos(a)) for a in turn]
        return level_of(join(outside, inside, drink, make_rod(curve, 0.0045, colour, s)))


@final
class Glass(Prop):
    """A tumbler, or a stemmed glass for one family, with something in it."""

    near: ClassVar[str] = "mouth"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "radius": sample_size(rng, family, (0.031, 0.037), (0.034, 0.040)),
            "height": sample_size(rng, family, (0.10, 0.14), (0.16, 0.19)),
            "stem": family == "street",
            "full": round(float(rng.uniform(0.3, 0.8)), 2),
            "drink": list(sample_colour(rng, family, "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        r, h = length_of(values, "radius"), length_of(values, "height")
        return _grasp_side(0.8 * r if values["stem"] else r, (0.68 if values["stem"] else 0.55) * h)

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        r, h, s = length_of(values, "radius"), length_of(values, "height"), min(spacing, FINEST)
        pale = (0.86, 0.93, 0.95)
        low = 0.45 * h if values["stem"] else 0.0
        top = low + length_of(values, "full") * (h - low)
        if values["stem"]:
            foot = make_lathe([(0.85 * r, 0.0), (0.1 * r, 0.004), (0.1 * r, low)], pale, s).clear(0.6)
            wall = make_lathe([(0.1 * r, low), (0.95 * r, low + 0.25 * (h - low)), (0.8 * r, h)], pale, s).clear(0.35)
        else:
            foot = make_lathe([(0.0, 0.0), (0.85 * r, 0.0)], pale, s).clear(0.6)
            wall = make_lathe([(0.85 * r, 0.0), (r, h)], pale, s).clear(0.35)
        rim = make_lathe(
            [(r if not values["stem"] else 0.8 * r, h - 0.003), (r if not values["stem"] else 0.8 * r, h)], pale, s
        ).clear(0.8)
        drink = make_lathe([(0.8 * r, low), (0.88 * r, top), (0.0, top)], colour_of(values, "drink"), s).clear(0.75)
        return level_of(join(foot, wall, rim, drink))


@final
class Bottle(Prop):
    """A bottle with a neck, a label and a cap, or a can for one family."""

    near: ClassVar[str] = "mouth"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "radius": sample_size(rng, family, (0.031, 0.036), (0.030, 0.034)),
            "height": sample_size(rng, family, (0.20, 0.25), (0.115, 0.15)),
            "can": family == "street",
            "colour": list(sample_colour(rng, family, "bright")),
            "label": list(sample_colour(rng, family, "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return _grasp_side(length_of(values, "radius"), 0.55 * length_of(values, "height"), tilt_deg=60.0)

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        r, h, s = length_of(values, "radius"), length_of(values, "height"), min(spacing, FINEST)
        colour = colour_of(values, "colour")
        paint = _stripe(colour, colour_of(values, "label"), 0.25 * h, 0.55 * h)
        if values["can"]:
            body = make_lathe([(0.0, 0.0), (0.9 * r, 0.0), (r, 0.08 * h), (r, 0.92 * h), (0.85 * r, h)], paint, s)
            return level_of(join(body, make_lathe([(0.85 * r, h), (0.0, h - 0.003)], (0.75, 0.76, 0.78), s)))
        profile = [
            (0.0, 0.0),
            (0.95 * r, 0.0),
            (r, 0.05 * h),
            (r, 0.62 * h),
            (0.38 * r, 0.82 * h),
            (0.36 * r, 0.93 * h),
        ]
        body = make_lathe(profile, paint, s).clear(0.85)
        cap = make_lathe([(0.42 * r, 0.92 * h), (0.42 * r, h), (0.0, h)], colour_of(values, "label"), s)
        return level_of(join(body, cap))


@final
class Bowl(Prop):
    """A bowl with food, or a plate for one family, on the open palm."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "radius": sample_size(rng, family, (0.06, 0.075), (0.085, 0.105)),
            "height": sample_size(rng, family, (0.05, 0.065), (0.015, 0.022)),
            "colour": list(sample_colour(rng, family, "bright")),
            "food": list(sample_colour(rng, family, "wood")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return Hold(up=(0.0, 1.0, 0.0), front=(0.0, 0.0, 1.0), grip=(0.0, 0.0, -0.015), shape="relaxed", tilt_deg=15.0)

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        r, h, s = length_of(values, "radius"), length_of(values, "height"), min(spacing, FINEST)
        colour = colour_of(values, "colour")
        outside = make_lathe([(0.0, 0.0), (0.45 * r, 0.0), (0.85 * r, 0.5 * h), (r, h)], colour, s)
        inside = make_lathe([(0.96 * r, h), (0.82 * r, 0.7 * h)], darken(colour, 0.92), s)
        food = make_ellipsoid((0.8 * r, 0.35 * h, 0.8 * r), (0.0, 0.7 * h, 0.0), colour_of(values, "food"), s, low=0.0)
        return level_of(join(outside, inside, food))


@final
class Ball(Prop):
    """A ball with seams, on the palm."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "radius": sample_size(rng, family, (0.10, 0.122), (0.03, 0.05)),
            "colour": list(sample_colour(rng, family, "bright")),
            "seams": list(sample_colour(rng, family, "dull")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        radius = length_of(values, "radius")
        return Hold(up=(0.0, 1.0, 0.0), front=(0.0, 0.0, 1.0), grip=(0.0, FLESH - radius, 0.0), shape="relaxed")

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        r, s = length_of(values, "radius"), min(spacing, 2 * FINEST)
        base, seams = np.asarray(colour_of(values, "colour")), np.asarray(colour_of(values, "seams"))

        def paint(points: Floats) -> Floats:
            unit = points / r
            on = (np.abs(unit) < 0.06).any(axis=1) | (np.abs(np.abs(unit[:, 0]) - 0.65) < 0.05)
            return np.where(on[:, None], seams, base)

        return level_of(make_ellipsoid((r, r, r), (0.0, 0.0, 0.0), paint, s))


@final
class Snack(Prop):
    """A bite between the fingertips: a biscuit, or a fruit for one family."""

    near: ClassVar[str] = "mouth"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        use = "wood" if family == "studio" else "bright"
        return {
            "radius": sample_size(rng, family, (0.022, 0.03), (0.03, 0.034)),
            "flat": 0.35 if family == "studio" else 0.95,
            "colour": list(sample_colour(rng, family, use)),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return Hold(up=(0.0, 1.0, 0.0), front=(0.0, 0.0, 1.0), grip=(0.0, 0.0, -0.012), shape="pinch", place="pinch")

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        r, s = length_of(values, "radius"), min(spacing, FINEST)
        return level_of(_make_morsel(r, length_of(values, "flat"), colour_of(values, "colour"), s))


def _make_morsel(radius: float, flat: float, colour: list[float], spacing: float) -> Surface:
    return make_ellipsoid((radius, flat * radius, radius), (0.0, 0.0, 0.0), colour, spacing)
