"""Give rendered people, or a whole rendered picture, the look of a film. Pure functions of sampled values.

Unlike `sensor`, it leaves alone what is film already: there, people alone are blurred or sharpened and toned.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int8, UInt8
from torch import Tensor

from synthaug.compositing.sensor import apply_sensor, check_values, number, tone_curve
from synthaug.structures import Filmed, Values

FINE = 0.8
"""Standard deviation in pixels of the detail that sharpening strengthens."""
MAX_SHARPEN = 4.0
"""Strongest sharpening that a recipe may ask for."""
_EDGE = 0.7
"""Standard deviation in pixels over which people's look ends at their outline."""


def apply_look(
    video: UInt8[Tensor, "time 3 height width"],
    people: UInt8[Tensor, "time 1 height width"] | None,
    filmed: Filmed,
    values: Values,
    *,
    noise: Int8[np.ndarray, " place"],
) -> UInt8[Tensor, "time 3 height width"]:
    """The clip with the look of a film; samples nothing.

    In the order of a camera: tone, blur or sharpening (for people and place each), noise, compression, repeated frames.

    Args:
        video: sRGB, people over their place.
        people: Coverage of the rendered people. None: the whole picture is treated as a rendered place.
        filmed: What the place is. Of film nothing but a still picture's missing noise is added.
        values: `people` in a rendered place, `guest` (people over film) and `place`, each with `blur`, `sharpen`,
            `exposure`, `gamma` and `balance`; `noise`, `quality` and `seed` as for `apply_sensor`; `rate`, frames of
            the film for one of the clip. What is missing has no effect.
        noise: Stored Gaussian noise, as for `apply_sensor`.

    Raises:
        ValueError: If a value is out of its bounds.
    """
    sides = {name: _part(values, name) for name in ("people", "guest", "place")}
    rate = number(values, "rate", 1.0)
    if not 0 < rate <= 1:
        raise ValueError(
            f"Expected a recipe's sensor.rate to be above 0 and at most 1, got {rate:g}. Correct the recipe."
        )
    kept = None if people is None else _soften(people)
    shown = video if filmed else _filter(video, sides["place"])
    if kept is not None:
        shown = _mix(shown, _filter(video, sides["guest" if filmed else "people"]), kept)
    recording: Values = {name: values[name] for name in ("noise", "seed", "quality") if name in values}
    recorded = apply_sensor(shown, recording, noise=noise)
    if filmed:
        # A still picture that was made of film has lost its noise; its compression it has kept.
        base = apply_sensor(shown, {**recording, "quality": 0}, noise=noise) if filmed == "still" else shown
        recorded = base if kept is None else _mix(base, recorded, kept)
    return recorded if filmed == "moving" else repeat_frames(recorded, rate)


def repeat_frames(video: UInt8[Tensor, "time 3 height width"], rate: float) -> UInt8[Tensor, "time 3 height width"]:
    """The clip as a film of fewer frames shows it: each frame is the last that the film had by then.

    Args:
        video: The clip.
        rate: Frames of the film for one of the clip; 1 changes nothing.
    """
    if rate >= 1:
        return video
    places = np.arange(len(video))
    # A hundredth of a frame: rates such as 2 / 3 are rounded.
    first = np.ceil(np.floor(places * rate + 0.01) / rate - 0.01).astype(np.int64)
    return video[torch.from_numpy(first).to(video.device)]


def _part(values: Values, name: str) -> Values:
    part = values.get(name, {})
    if not isinstance(part, dict):
        raise ValueError(f"Expected a recipe's sensor.{name} to be a mapping, got {part!r}. Correct the recipe.")
    check_values(part)
    sharpen = part.get("sharpen", 0.0)
    if not isinstance(sharpen, int | float) or not 0 <= sharpen <= MAX_SHARPEN:
        raise ValueError(
            f"Expected a recipe's sensor.{name}.sharpen to be a number from 0 to {MAX_SHARPEN:g}, got {sharpen!r}. "
            "Correct the recipe, or sample it again."
        )
    return part


def _soften(people: UInt8[Tensor, "time 1 height width"]) -> Float[np.ndarray, "time 1 height width"]:
    """How far people's look reaches, 0..1: blurred people spread beyond their outline."""
    planes = people.cpu().numpy()[:, 0].astype(np.float32) / 255
    wide = np.stack([cv2.dilate(plane, np.ones((3, 3), np.uint8)) for plane in planes])
    return np.stack([cv2.GaussianBlur(plane, (0, 0), _EDGE, borderType=cv2.BORDER_REPLICATE) for plane in wide])[
        :, None
    ]


def _filter(video: UInt8[Tensor, "time 3 height width"], part: Values) -> UInt8[Tensor, "time 3 height width"]:
    """The tone, then the blur or the sharpening."""
    curve, blur, sharpen = tone_curve(part), number(part, "blur", 0.0), number(part, "sharpen", 0.0)
    plain = bool(np.allclose(curve, np.arange(256), atol=1e-3))
    if plain and blur == 0 and sharpen == 0:
        return video
    frames = video.cpu().numpy()
    out = np.empty(frames.shape, np.uint8)
    for c in range(3):
        for t in range(len(frames)):
            plane = curve[c][frames[t, c]]
            if blur > 0:
                plane = _blur(plane, blur)
            if sharpen > 0:
                plane = plane + sharpen * (plane - _blur(plane, FINE))
            out[t, c] = np.clip(plane + 0.5, 0, 255).astype(np.uint8)
    return torch.from_numpy(out).to(video.device)


def _blur(plane: Float[np.ndarray, "height width"], sigma: float) -> Float[np.ndarray, "height width"]:
    return cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def _mix(
    one: UInt8[Tensor, "time 3 height width"],
    other: UInt8[Tensor, "time 3 height width"],
    share: Float[np.ndarray, "time 1 height width"],
) -> UInt8[Tensor, "time 3 height width"]:
    """From one picture to the other by a share; where it is 0 the first comes back exactly."""
    if one is other:
        return one
    weight = torch.from_numpy(share).to(one.device)
    mixed = torch.lerp(one.float(), other.float(), weight)
    return (mixed + 0.5).clamp(max=255).to(torch.uint8)
