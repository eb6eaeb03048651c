"""Bridge short stretches in which a network loses a limb and invents it. Pure functions.

Blur and bodies hide limbs for a few frames; the network then guesses, and its guess leaps away and back faster than
muscles move a limb. What was seen before and after says more. Fast limbs that are seen stay as they are.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from synthaug.motions.fitting.landmarks import Landmarks

_BONES = (
    (11, 13, (13,)), (13, 15, (15, 17, 19, 21)), (12, 14, (14,)), (14, 16, (16, 18, 20, 22)),
    (23, 25, (25,)), (25, 27, (27, 29, 31)), (24, 26, (26,)), (26, 28, (28, 30, 32)),
)  # fmt: skip
"""Landmark at the upper end of each limb bone, at its lower end, and what the lower end carries; trunk first."""
_LOST = 0.5
"""Visibility below which the network guesses: what it sees is mostly above 0.8."""
_LONGEST = 0.5
"""Seconds that are bridged at most; somebody can have done anything in longer ones."""
_LEAP = 2.5
"""Metres per second, beside that of the bridge, from which a step into, within or out of a guess is an invention."""
_BRIDGED = 0.6
"""Visibility of bridged points: less than what is seen, more than a guess."""


def bridge_limbs(seen: Landmarks, *, fps: float) -> Landmarks:
    """The landmarks with lost limbs bridged: each bone turns evenly from where it was last seen to where it is next.

    Only stretches of up to half a second in which the guess leaps. Pixels follow a straight line beside the bone's
    upper end. Landmarks without such stretches come back as they are.

    Args:
        seen: One row a frame; frames without a person are never part of a bridge.
        fps: Frames per second.
    """
    world, pixels, visibility = seen.world.clone(), seen.pixels.clone(), seen.visibility.clone()
    bridged = False
    for upper, lower, carried in _BONES:
        lost = ((seen.visibility[:, lower] < _LOST) & seen.found).numpy()
        for first, last in _find_stretches(lost, seen.found.numpy(), longest=round(_LONGEST * fps)):
            before, after = first - 1, last
            bones = seen.world[before : after + 1, lower] - seen.world[before : after + 1, upper]
            if not _leaps(bones, fps):
                continue
            bridged = True
            share = torch.arange(1, after - before)[:, None] / (after - before)
            turned = _turn_evenly(bones[0], bones[-1], share)
            flat = seen.pixels[[before, after], lower] - seen.pixels[[before, after], upper]
            shift = world[first:last, upper] + turned - seen.world[first:last, lower]
            aside = pixels[first:last, upper] + torch.lerp(flat[0], flat[1], share) - seen.pixels[first:last, lower]
            for point in carried:
                world[first:last, point] = seen.world[first:last, point] + shift
                pixels[first:last, point] = seen.pixels[first:last, point] + aside
                visibility[first:last, point] = _BRIDGED
    return replace(seen, world=world, pixels=pixels, visibility=visibility) if bridged else seen


def _find_stretches(
    lost: Bool[np.ndarray, " time"], found: Bool[np.ndarray, " time"], *, longest: int
) -> list[tuple[int, int]]:
    """First and one past the last of each run of lost frames, seen on both sides and no longer than this."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(np.int8)))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [
        (first, last)
        for first, last in runs
        if last - first <= longest and first > 0 and last < len(lost) and found[first - 1] and found[last]
    ]


def _leaps(bones: Float[torch.Tensor, "time 3"], fps: float) -> bool:
    """Whether a bone's lower end leaps about its upper one, beyond what an even turn between both ends needs."""
    steps = bones.diff(dim=0).norm(dim=-1) * fps
    even = float((bones[-1] - bones[0]).norm()) * fps / (len(bones) - 1)
    return float(steps.max()) > even + _LEAP


def _turn_evenly(
    start: Float[torch.Tensor, "3"], end: Float[torch.Tensor, "3"], share: Float[torch.Tensor, "step 1"]
) -> Float[torch.Tensor, "step 3"]:
    """Vectors that turn evenly from one to another, and whose lengths change evenly."""
    a, b = torch.nn.functional.normalize(start, dim=0), torch.nn.functional.normalize(end, dim=0)
    angle = torch.arccos((a @ b).clamp(-1, 1))
    if float(angle) < 1e-3 or float(angle) > 3.1:
        way = torch.lerp(a, b, share)
    else:
        way = (torch.sin((1 - share) * angle) * a + torch.sin(share * angle) * b) / torch.sin(angle)
    return way * torch.lerp(start.norm(), end.norm(), share)
