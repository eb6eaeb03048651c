"""Sample how a performer moves: tempo, reach, posture, handedness.

`sample_style` samples plain values, and `style_of` turns them into a `PerformerStyle`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from synthaug.structures import Plain, Values


@dataclass(frozen=True)
class PerformerStyle:
    """How one performer moves. The defaults are an average right-handed adult.

    Attributes:
        speed: Tempo relative to the ordinary one of each action.
        amplitude: Size of the movements relative to the ordinary one.
        handedness: "left" or "right"; left-handed motions are mirrored right-handed ones.
        onset: Share of the remaining time of the clip that passes before the action begins.
        repetitions: Number of repetitions of what can be repeated (sips, bites, kicks, waves).
        slouch: Rounding of the upper back, radians; negative is very upright.
        lean: Forward tilt of the whole trunk, radians.
        stance: Distance of the feet relative to that of the hips.
        asymmetry: -1 to 1: weight on the left or the right leg, with the shoulders uneven accordingly.
        energy: 0 to 1: how much the body sways and bounces.
        elbow: Angle of the elbows away from the trunk, radians.
        variant: 0 to 1: selects between the ways in which an action can be done.
        curve: Curvature of a walked path, 1 / metre, positive to the walker's left.
        phase: Phase of sway and breath, radians.
        yaw: Direction that the performer faces, radians about the vertical; 0 is +z.
    """

    speed: float = 1.0
    amplitude: float = 1.0
    handedness: str = "right"
    onset: float = 0.4
    repetitions: int = 2
    slouch: float = 0.04
    lean: float = 0.0
    stance: float = 1.1
    asymmetry: float = 0.2
    energy: float = 0.5
    elbow: float = 0.1
    variant: float = 0.3
    curve: float = 0.0
    phase: float = 0.0
    yaw: float = 0.0

    def __post_init__(self) -> None:
        if self.handedness not in ("left", "right"):
            raise ValueError(f"Expected handedness to be 'left' or 'right', got {self.handedness!r}. Choose one.")
        numbers = [getattr(self, f.name) for f in fields(self) if f.name != "handedness"]
        if not all(math.isfinite(number) for number in numbers) or min(self.speed, self.amplitude, self.stance) <= 0:
            raise ValueError(
                f"Expected finite numbers and a positive speed, amplitude and stance, got {self}. "
                "Sample styles with sample_style, or start from PerformerStyle()."
            )
        if not 1 <= self.repetitions <= MAX_REPETITIONS:
            raise ValueError(
                f"Expected 1 to {MAX_REPETITIONS} repetitions, since more do not fit into a clip, got "
                f"repetitions={self.repetitions}. Choose fewer."
            )


MAX_REPETITIONS = 8

Interval = tuple[float, float]
FAMILIES: Mapping[str, Mapping[str, tuple[Interval, ...]]] = {
    "studio": {
        "speed": ((0.9, 1.15),),
        "amplitude": ((0.92, 1.08),),
        "onset": ((0.3, 0.7),),
        "slouch": ((-0.03, 0.06),),
        "lean": ((-0.02, 0.03),),
        "stance": ((0.95, 1.2),),
        "asymmetry": ((-0.3, 0.3),),
        "energy": ((0.4, 0.65),),
        "elbow": ((0.0, 0.15),),
        "variant": ((0.0, 1.0),),
        "curve": ((-0.25, 0.25),),
        "phase": ((0.0, 6.28),),
        "yaw": ((-0.35, 0.35),),
    },
    "street": {
        "speed": ((0.68, 0.86), (1.2, 1.45)),
        "amplitude": ((0.78, 0.9), (1.1, 1.22)),
        "onset": ((0.0, 1.0),),
        "slouch": ((0.09, 0.26),),
        "lean": ((-0.05, 0.09),),
        "stance": ((0.75, 0.9), (1.25, 1.6)),
        "asymmetry": ((-1.0, -0.35), (0.35, 1.0)),
        "energy": ((0.1, 0.35), (0.7, 1.0)),
        "elbow": ((-0.1, -0.02), (0.18, 0.4)),
        "variant": ((0.0, 1.0),),
        "curve": ((-0.6, -0.3), (0.3, 0.6)),
        "phase": ((0.0, 6.28),),
        "yaw": ((-0.6, 0.6),),
    },
}
"""Ranges of each family. The ranges of DISJOINT do not overlap, so that no performer of one family could have been
sampled from the other; those of onset, variant, lean, phase and yaw overlap."""

DISJOINT = ("speed", "amplitude", "slouch", "stance", "asymmetry", "energy", "elbow", "curve")
"""The parameters whose ranges do not overlap between the families."""

LEFT_HANDED = 0.106
"""Share of left-handed people (Papadatou-Pastou and others, "Human handedness: a meta-analysis", 2020)."""


def sample_style(rng: np.random.Generator, family: str) -> Values:
    """Sample one performer's style as plain values, which `style_of` reads.

    Raises:
        ValueError: If there is no such family.
    """
    if family not in FAMILIES:
        raise ValueError(f"Expected family to be one of {', '.join(FAMILIES)}, got {family!r}. Choose one of these.")
    values: Values = {
        "handedness": "left" if rng.random() < LEFT_HANDED else "right",
        "repetitions": int(rng.integers(1, 4)),
    }
    for name, intervals in FAMILIES[family].items():
        widths = np.array([high - low for low, high in intervals])
        low, high = intervals[int(rng.choice(len(intervals), p=widths / widths.sum()))]
        values[name] = round(float(rng.uniform(low, high)), 4)
    return values


def style_of(values: Mapping[str, Plain]) -> PerformerStyle:
    """The style that these values describe; missing values keep their defaults.

    Raises:
        ValueError: If a name is unknown or a value has the wrong type.
    """
    known = {f.name: f.type for f in fields(PerformerStyle)}
    for name, value in values.items():
        if name not in known:
            raise ValueError(
                f"Expected the names of a style's values out of {', '.join(known)}, got {name!r}. Correct the name."
            )
        types = (str,) if name == "handedness" else (int,) if name == "repetitions" else (int, float)
        if not isinstance(value, types) or isinstance(value, bool):
            raise ValueError(f"Expected {name} to be a {types[-1].__name__}, got {value!r}. Correct the value.")
    return PerformerStyle(**dict(values))  # type: ignore[arg-type]
