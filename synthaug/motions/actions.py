"""Perform parametric actions from the vocabularies of NTU RGB+D and Toyota Smarthome.

These are the motions of the embedded demo, which need no film, no motion capture and no licence. `gestures`, `postures`
and `locomotion` define what each action does, `choreography` turns it into a motion.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch

from synthaug.motions import MotionPrior, MotionSource, UnusableClipError
from synthaug.motions.files.views import frontal_camera
from synthaug.motions.procedural import gestures, locomotion, postures
from synthaug.motions.procedural.choreography import Score, motion_of
from synthaug.motions.procedural.naming import find_action
from synthaug.motions.procedural.style import FAMILIES, PerformerStyle, sample_style, style_of
from synthaug.motions.procedural.timing import Clock
from synthaug.structures import Motion, Plain, Record, Reference

VERSION = 1
"""Raised whenever the same style would perform differently; part of every cache key."""


@dataclass(frozen=True)
class Action:
    """One action: its score and its duration.

    Attributes:
        score: Makes the score of a performance.
        seconds: Duration of one repetition at ordinary speed. 0 lasts as long as the clip.
        each: Seconds that every further repetition adds.
    """

    score: Callable[[Clock, PerformerStyle], Score]
    seconds: float
    each: float = 0.0


_ACTIONS: Mapping[str, Action] = {
    "drink water": Action(gestures.drink_water, 2.6, 0.9),
    "eat meal": Action(gestures.eat_meal, 2.8, 1.0),
    "phone call": Action(gestures.phone_call, 3.2),
    "hand waving": Action(gestures.hand_waving, 2.2, 0.4),
    "salute": Action(gestures.salute, 2.2),
    "put palms together": Action(gestures.put_palms_together, 2.4),
    "clapping": Action(gestures.clapping, 2.0, 0.6),
    "kicking something": Action(locomotion.kick_something, 1.9),
    "punch": Action(gestures.punch, 1.8, 0.5),
    "bow": Action(postures.bow, 2.2),
    "sit down": Action(postures.sit_down, 2.0),
    "stand up": Action(postures.stand_up, 1.9),
    "lie down": Action(postures.lie_down, 4.0),
    "pick up": Action(postures.pick_up, 2.5),
    "walk": Action(locomotion.walk, 0.0),
    "jump up": Action(locomotion.jump_up, 1.8),
    "throw": Action(gestures.throw, 1.9),
    "point to something": Action(gestures.point_to_something, 2.1, 0.3),
    "cross hands in front": Action(gestures.cross_hands_in_front, 2.0, 0.4),
    "cheer up": Action(gestures.cheer_up, 2.2, 0.4),
    "stretch": Action(gestures.stretch, 3.4),
    "read": Action(gestures.read, 3.0, 0.8),
    "check time": Action(gestures.check_time, 2.3),
    "touch head": Action(gestures.touch_head, 2.5, 0.3),
    "squat down": Action(postures.squat_down, 2.2),
    "running on the spot": Action(locomotion.run_on_the_spot, 0.0),
}
ACTIONS: tuple[str, ...] = tuple(_ACTIONS)
"""Names in the order of their labels; shortened from NTU RGB+D's where it has the action."""

FILLED = 0.72
"""Share of the clip that an action takes at ordinary speed if the clip is too short for its natural duration."""


def clock_of(action: Action, style: PerformerStyle, *, fps: float | int, seconds: float | int) -> Clock:
    """When an action happens in a clip: for its natural duration, or faster if the clip is too short."""
    t = torch.arange(max(round(seconds * fps), 1), dtype=torch.float64) / fps
    if action.seconds == 0:
        return Clock(t=t, u=(t + 1 / fps) / (seconds + 1 / fps), duration=float(seconds))
    natural = action.seconds + action.each * (style.repetitions - 1)
    duration = min(min(natural, FILLED * seconds) / style.speed, 0.97 * seconds)
    begin = style.onset * (seconds - duration)
    return Clock(t=t, u=((t - begin) / duration).clamp(0, 1), duration=duration)


def perform(
    action: str, style: PerformerStyle | Mapping[str, Plain], *, fps: float | int, seconds: float | int
) -> Motion:
    """One performance of an action on the mean skeleton.

    World frame: floor at y = 0, facing +z (turned by the style's yaw), the middle of the way over the origin. The
    lowest point of the body is on the floor in every frame, except in the flight of a jump. Deterministic.

    Args:
        action: One of ACTIONS.
        style: A style, or its values as `sample_style` returns them.
        fps: Frames per second.
        seconds: Length of the clip.

    Raises:
        ValueError: If the action or a value of the style is unknown, or the clip has no frame.
    """
    if action not in _ACTIONS:
        raise ValueError(f"Expected action to be one of {', '.join(ACTIONS)}, got {action!r}. Choose one of these.")
    if not (0 < fps < math.inf and 1 / fps <= seconds < 3600):
        raise ValueError(
            "Expected a positive fps, and seconds for at least one frame and below an hour, got "
            f"fps={fps} and seconds={seconds}. Correct the numbers."
        )
    if not isinstance(style, PerformerStyle):
        style = style_of(style)
    chosen = _ACTIONS[action]
    clock = clock_of(chosen, style, fps=fps, seconds=seconds)
    return motion_of(chosen.score(clock, style), clock, style, fps=float(fps))


@final
class Actions(MotionSource):
    """Performs each record's action instead of reading a file: the record's key names the action and the performer.

    Key format:
        "<action>/<family>/<seed>", such as "drink water/street/17": an action of ACTIONS, a family of
        `style.FAMILIES`, and the seed from which the performer's style is sampled. The record's path is ignored, and
        its label should be the action's index in ACTIONS. Further parts before these three are ignored too.

    Args:
        fps: Frames per second of the motions.
    """

    def __init__(self, fps: float | int = 25.0) -> None:
        if not 0 < fps < math.inf:
            raise ValueError(f"Expected fps to be a positive number, got {fps}. Correct synth.motion.fps.")
        self.fps = fps

    @property
    def fingerprint(self) -> str:
        """Name, version, frame rate and ranges of style."""
        ranges = hashlib.blake2b(repr(sorted(FAMILIES["studio"].items()) + sorted(FAMILIES["street"].items())).encode())
        return f"actions-{VERSION}-{self.fps:g}-{ranges.hexdigest()[:16]}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """No files: the motion is computed."""
        return ()

    def load(self, record: Record) -> Reference:
        """The performance that the record's key names, as long as the record, with a frontal camera; quality is None.

        Raises:
            UnusableClipError: If the key does not have the documented form.
        """
        action, family, seed = parse_key(record.key)
        style = sample_style(np.random.default_rng(seed), family)
        motion = perform(action, style, fps=self.fps, seconds=record.end - record.start)
        return Reference(motion=motion, camera=frontal_camera(motion.num_frames))


def parse_key(key: str) -> tuple[str, str, int]:
    """Parse action, family and seed from a record's key.

    Raises:
        UnusableClipError: If it does not have the form "<action>/<family>/<seed>".
    """
    parts = key.split("/")[-3:]
    if len(parts) == 3 and parts[0] in _ACTIONS and parts[1] in FAMILIES and parts[2].isdecimal():
        return parts[0], parts[1], int(parts[2])
    raise UnusableClipError(
        f"Expected the record's key to be '<action>/<family>/<seed>', got {key!r}. The action is one of "
        f"{', '.join(ACTIONS)}, the family one of {', '.join(FAMILIES)}, the seed a whole number. "
        "Use synth/motion=actions only with records made for it, or choose another synth/motion."
    )


@final
class ActionPrior(MotionPrior):
    """Performs the procedural actions, in styles of one family.

    Args:
        family: Styles to choose from; the demo is tested on those of "street".
    """

    def __init__(self, family: str = "studio") -> None:
        if family not in FAMILIES:
            raise ValueError(f"Expected one of {', '.join(FAMILIES)}, got {family!r}. Correct synth.prior.family.")
        self.family = family

    def knows(self, name: str) -> bool:
        """Whether it is the name of an action, or another one for it (`naming.SYNONYMS`)."""
        return find_action(name, ACTIONS) is not None

    def perform(self, name: str, *, fps: float, seconds: float, rng: np.random.Generator) -> Motion:
        """One performance, in single precision.

        Raises:
            ValueError: If no action has this name.
        """
        action = find_action(name, ACTIONS)
        if action is None:
            raise ValueError(f"Expected the name of one of {', '.join(ACTIONS)}, got {name!r}. Choose one of these.")
        made = perform(action, sample_style(rng, self.family), fps=fps, seconds=seconds)
        return Motion.from_pose(made.pose.to(torch.float32), made.transl.to(torch.float32), fps=made.fps)
