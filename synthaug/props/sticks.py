"""Long kinds that a fist or the fingertips hold: pen, spoon, toothbrush, comb, broom, racket."""

from typing import ClassVar, final

import numpy as np

from synthaug.props import Carrier, Hold, Prop
from synthaug.props.parts.palettes import sample_colour, sample_size
from synthaug.props.parts.reading import colour_of, length_of
from synthaug.props.parts.surfaces import join, level_of, make_box, make_ellipsoid, make_face, make_lathe, make_rod
from synthaug.structures import Level, Values

FINEST = 0.012
"""Largest spacing of small things, metres."""


def _write_down(length: float) -> Hold:
    """Between thumb and index, the end ahead of the fingertips."""
    return Hold(up=(0.35, 0.1, -0.93), front=(0.0, 1.0, 0.0), grip=(0.0, length, 0.0), shape="pinch", place="pinch")


def _hold_through_fist(radius: float) -> Hold:
    """Through the fist, the end beyond the thumb."""
    return Hold(up=(1.0, 0.0, 0.0), front=(0.0, 1.0, 0.0), grip=(0.0, 0.0, 0.004 - radius), shape="fist")


@final
class Pen(Prop):
    """A pen, or a marker for one family; the origin is its tip."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "length": sample_size(rng, family, (0.135, 0.15), (0.12, 0.13)),
            "radius": sample_size(rng, family, (0.004, 0.005), (0.008, 0.01)),
            "colour": list(sample_colour(rng, family, "bright")),
            "cap": list(sample_colour(rng, family, "dull")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return _write_down(0.035)

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s, length, radius = min(spacing, FINEST), length_of(values, "length"), length_of(values, "radius")
        tip = make_rod([(0, 0, 0), (0, 0.2 * length, 0)], 0.7 * radius, colour_of(values, "cap"), s)
        return level_of(
            join(tip, make_rod([(0, 0.2 * length, 0), (0, length, 0)], radius, colour_of(values, "colour"), s))
        )


@final
class Spoon(Prop):
    """A spoon, or a fork for one family; the origin is its far end, at the fingertips' reach."""

    near: ClassVar[str] = "mouth"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "length": sample_size(rng, family, (0.15, 0.17), (0.17, 0.19)),
            "fork": family == "street",
            "colour": [0.78, 0.79, 0.81] if family == "studio" else list(sample_colour(rng, family, "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return Hold(up=(0.3, 0.15, -0.94), front=(0.0, 1.0, 0.0), grip=(0.0, 0.03, 0.0), shape="pinch", place="pinch")

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s, length, colour = min(spacing, 0.6 * FINEST), length_of(values, "length"), colour_of(values, "colour")
        handle = make_rod([(0, 0.04, 0), (0, length, 0)], 0.004, colour, s)
        if values["fork"]:
            tines = [make_rod([(x, 0.0, 0.0), (x, 0.045, 0.0)], 0.0025, colour, s) for x in (-0.008, 0.0, 0.008)]
            return level_of(
                join(handle, *tines, make_rod([(-0.009, 0.045, 0.0), (0.009, 0.045, 0.0)], 0.004, colour, s))
            )
        return level_of(join(handle, make_ellipsoid((0.018, 0.026, 0.007), (0.0, 0.024, 0.0), colour, s)))


@final
class Toothbrush(Prop):
    """A toothbrush, or an electric one for one family; the origin is where the fist holds it."""

    near: ClassVar[str] = "mouth"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "radius": sample_size(rng, family, (0.005, 0.006), (0.012, 0.014)),
            "colour": list(sample_colour(rng, family, "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return _hold_through_fist(length_of(values, "radius"))

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s, radius, colour = min(spacing, FINEST), length_of(values, "radius"), colour_of(values, "colour")
        grip = make_rod([(0, -0.06, 0), (0, 0.06, 0)], radius, colour, s)
        neck = make_rod([(0, 0.06, 0), (0, 0.13, 0)], 0.003, colour, s)
        bristles = make_box((0.011, 0.028, 0.014), (0.0, 0.117, 0.008), (0.95, 0.96, 0.97), s)
        return level_of(join(grip, neck, bristles))


@final
class Comb(Prop):
    """A comb, or a round brush for one family; the origin is where the fist holds it."""

    near: ClassVar[str] = "crown"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "brush": family == "street",
            "colour": list(sample_colour(rng, family, "dull" if family == "studio" else "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return _hold_through_fist(0.01)

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s, colour = min(spacing, FINEST), colour_of(values, "colour")
        handle = make_rod([(0, -0.05, 0), (0, 0.06, 0)], 0.009, colour, s)
        if values["brush"]:
            return level_of(join(handle, make_lathe([(0.02, 0.06), (0.024, 0.1), (0.02, 0.14)], (0.2, 0.18, 0.17), s)))
        spine = make_box((0.006, 0.11, 0.012), (0.0, 0.115, -0.008), colour, s)
        teeth = [make_box((0.003, 0.004, 0.022), (0.0, y, 0.008), colour, s) for y in np.linspace(0.065, 0.165, 9)]
        return level_of(join(spine, handle, *teeth))


@final
class Broom(Prop):
    """A broom, or a mop for one family; the origin is the end on the floor."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "length": sample_size(rng, family, (1.3, 1.45), (1.15, 1.28)),
            "mop": family == "street",
            "handle": list(sample_colour(rng, family, "wood" if family == "studio" else "bright")),
            "head": list(sample_colour(rng, family, "bright" if family == "studio" else "dull")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return Hold(
            "hands",
            up=(0, 1, 0),
            front=(0, 0, 1),
            grip=(0.0, 0.9, 0.0),
            shape="fist",
            floor=length_of(values, "length"),
        )

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s, length, head = min(spacing, 2 * FINEST), length_of(values, "length"), colour_of(values, "head")
        stick = make_rod([(0, 0.1, 0), (0, length, 0)], 0.012, colour_of(values, "handle"), s)
        if values["mop"]:
            return level_of(join(stick, make_lathe([(0.12, 0.0), (0.07, 0.1), (0.015, 0.14)], head, s)))
        bar = make_box((0.3, 0.035, 0.05), (0.0, 0.1, 0.0), colour_of(values, "handle"), s)
        return level_of(join(stick, bar, make_box((0.29, 0.085, 0.045), (0.0, 0.042, 0.0), head, s)))


@final
class Racket(Prop):
    """A racket with strings, or a bat for one family; the origin is where the fist holds it."""

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`."""
        return {
            "length": sample_size(rng, family, (0.5, 0.58), (0.2, 0.24)),
            "bat": family == "street",
            "colour": list(sample_colour(rng, family, "bright")),
        }

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        return _hold_through_fist(0.014)

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        s, length, colour = min(spacing, FINEST), length_of(values, "length"), colour_of(values, "colour")
        if values["bat"]:
            blade = make_box((0.15, 0.16, 0.012), (0.0, length - 0.08, 0.0), colour, s)
            return level_of(join(blade, make_rod([(0, -0.06, 0), (0, length - 0.15, 0)], 0.013, (0.75, 0.6, 0.42), s)))
        middle, wide, tall = 0.68 * length, 0.12, 0.32 * length
        around = [(wide * np.sin(a), middle + tall * np.cos(a), 0.0) for a in np.linspace(0, 2 * np.pi, 17)]
        frame = make_rod(around, 0.008, colour, s)
        shaft = make_rod([(0, -0.09, 0), (0, middle - tall, 0)], 0.013, colour, s)
        net = make_face(
            (-0.75 * wide, middle - 0.75 * tall, 0.0), (1.5 * wide, 0, 0), (0, 1.5 * tall, 0), (0.92, 0.92, 0.88), 2 * s
        )
        return level_of(join(frame, shaft, net.clear(0.25)))
