"""Reconstruct the motion and camera of a clip from mediapipe's landmarks, or say why the clip is unusable."""

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthaug.body.skeleton import Skeleton, joint_positions, lowest_heights, mean_skeleton
from synthaug.motions import UnusableClipError
from synthaug.motions.fitting.company import add_company, place_beside
from synthaug.motions.fitting.energy import project
from synthaug.motions.fitting.fit import Beliefs, fit
from synthaug.motions.fitting.landmarks import (
    LIMB_ENDS,
    LIMBS,
    USED,
    Landmarks,
    body_shapes,
    kind_trust,
    landmark_markers,
    landmark_trust,
    level_landmarks,
)
from synthaug.motions.fitting.markers import NUM_BODY, Sighting, Track
from synthaug.motions.fitting.placement import estimate_floor, intrinsics, level_camera, place_shapes, put_on_floor
from synthaug.motions.fitting.quality import Quality, assess_filmed
from synthaug.motions.fitting.stillness import Evidence, hold_still
from synthaug.motions.pose.camera_motion import measure_focal
from synthaug.motions.pose.fingers import Hands, add_knuckles, finger_poses
from synthaug.motions.pose.limbs import bridge_limbs
from synthaug.motions.pose.network import HAND_POINTS
from synthaug.motions.pose.scenes import Standpoint, WatchedPerson, estimate_standpoint, hold_camera
from synthaug.motions.pose.unseen import are_legs_unseen, stand_unseen_legs
from synthaug.structures import Camera, Motion, Reference

FILM_BELIEFS = Beliefs(least_noise=0.03, least_pixel_noise=0.01)
"""mediapipe's error is about 3 cm in shape and 1 cm in the picture even without jitter (gmdcsa24, intel_asl)."""

_STATURE = 1.7
"""Height of a person, metres, for errors as shares of that height."""


@dataclass(frozen=True)
class Gate:
    """What a clip must show for its motion to be usable.

    Attributes:
        shot: Smallest share of the interval that the shot with the person fills; 1 requires film without cuts.
        detection: Smallest share of the shot's frames in one run with a person, if that is less than `least` seconds.
        least: Seconds of a run with a person that are enough, whatever share of the shot they fill.
        visibility: Smallest mean visibility of trunk and limbs, 0..1.
        limb_variation: Largest variation of limb lengths: standard deviation over mean, averaged over limbs.
        jump: Speed in a person's heights per second beyond which the tracker has jumped to another person.
        gap: Longest stretch without a person that is bridged, seconds.
        reprojection: Largest median distance between fitted and seen joints, as a share of the person's height.
    """

    shot: float = 0.4
    detection: float = 0.6
    least: float = 0.5
    visibility: float = 0.35
    limb_variation: float = 0.3
    jump: float = 5.0
    gap: float = 0.5
    reprojection: float = 0.05


def reference_from_landmarks(
    watched: WatchedPerson,
    *,
    name: str,
    hands: Hands | None = None,
    focal: float | None = None,
    gate: Gate | None = None,
    beliefs: Beliefs = FILM_BELIEFS,
    beside: Sequence[WatchedPerson] = (),
) -> Reference:
    """Recover the motion and camera of a clip from its landmarks: of its longest usable run, and its other runs.

    Args:
        watched: One row of landmarks for each frame.
        name: Name of the clip, for errors.
        hands: Landmarks of the hands in the same frames; None if there are none.
        focal: Focal length in longer sides of the picture; None estimates it, from pans and people.
        gate: What a usable clip must show.
        beliefs: Weights of the fit.
        beside: Others in the same frames, whose feet tell where the floor is, too.

    Raises:
        UnusableClipError: If the clip does not pass the gate.
    """
    gate = gate or Gate()
    found: list[Reference] = []
    refusals: list[UnusableClipError] = []
    if focal is None and watched.background is not None:
        focal = measure_focal(watched.background)
    held, _ = hold_camera(watched, focal=focal)
    for first, last in find_runs(held.seen, fps=watched.fps, gate=gate):
        try:
            setup = _Setup(name, gate, focal, beliefs, beside=tuple(beside))
            found.append(_reconstruct_run(watched, hands, (first, last), setup))
        except UnusableClipError as error:
            refusals.append(error)
    if not found:
        raise refusals[0]
    return dataclasses.replace(found[0], others=tuple(found[1:]))


def reconstruct_beside(
    watched: Sequence[WatchedPerson],
    lead: Reference,
    company: str,
    *,
    gate: Gate | None = None,
    beliefs: Beliefs = FILM_BELIEFS,
) -> Reference:
    """A run of the acting person with the motions of others in the same frames, in the acting person's world.

    Others are seen by the acting person's camera and put farther away the smaller they are. Who is found in too few of
    the frames, or cannot be recovered, is left out. Hands and faces of others are at rest.

    Args:
        watched: Everybody else, one row of landmarks for each frame of the shot, those who move most first.
        lead: A run of the acting person, as `reference_from_landmarks` returned it.
        company: One of `fitting.company.COMPANY`.
        gate: What a usable clip must show.
        beliefs: Weights of the fit.
    """
    gate = gate or Gate()
    stand = Standpoint.from_notes(lead.notes)
    setup = _Setup("a companion", dataclasses.replace(gate, detection=0.0), stand.focal, beliefs, stand)
    others: list[tuple[Motion, float]] = []
    for person in watched if company != "never" else ():
        first = round(lead.notes["offset"] * person.fps)
        run = first, first + lead.motion.num_frames
        if float(person.seen.between(*run).found.float().mean()) < gate.detection:
            continue
        with contextlib.suppress(UnusableClipError):
            found = _reconstruct_run(person, None, run, setup)
            middle = lead.motion.num_frames // 2
            own, other = found.camera.viewmats[middle], lead.camera.viewmats[middle]
            assert found.quality is not None, "film is graded"
            others.append((place_beside(found.motion, own, other), found.quality))
    return add_company(lead, others, company)


@dataclass(frozen=True)
class _Setup:
    """What all runs of a clip are reconstructed with."""

    name: str
    gate: Gate
    focal: float | None
    beliefs: Beliefs
    stand: Standpoint | None = None
    beside: tuple[WatchedPerson, ...] = ()


def _reconstruct_run(watched: WatchedPerson, hands: Hands | None, run: tuple[int, int], setup: _Setup) -> Reference:
    """Recover motion and camera of one run of frames, first to one past the last."""
    (first, last), name, gate = run, setup.name, setup.gate
    notes = _seen_notes(watched.seen, first, last, watched.size)
    _check_gate(notes, gate, name, run=(last - first) / watched.fps)
    skeleton = mean_skeleton()
    shown, moved = hold_camera(watched, run, focal=setup.focal)
    crowd = [hold_camera(other, run, focal=setup.focal)[0] for other in setup.beside]
    stand = setup.stand or estimate_standpoint([shown, *crowd], skeleton, focal=setup.focal)
    shown, moved = hold_camera(watched, run, focal=stand.focal)
    grasp = Hands(
        torch.full((last - first, 2, HAND_POINTS, 3), torch.nan) if hands is None else hands.points[first:last]
    )
    own = stand_unseen_legs(bridge_limbs(watched.seen.between(first, last), fps=watched.fps), watched.size)
    stands = are_legs_unseen(shown.seen, watched.size)
    shown = dataclasses.replace(shown, seen=stand_unseen_legs(shown.seen, watched.size))
    told = dataclasses.replace(shown, seen=moved.hold(add_knuckles(own, grasp, skeleton), watched.size))
    fitted = _fit_body(told, stand, skeleton=skeleton, beliefs=setup.beliefs, stands=stands)
    motion, camera = put_on_floor(
        fitted.motion, fitted.camera, fitted.floor, pitch_deg=stand.pitch_deg, roll_deg=stand.roll_deg
    )
    left, right = finger_poses(grasp, skeleton, fps=watched.fps)
    motion = dataclasses.replace(motion, left_hand_pose=left, right_hand_pose=right)
    # The fitted body locates the soles better than the landmarks do.
    notes |= stand.notes() | {"camera_height": float(fitted.floor[3]), "offset": first / watched.fps}
    notes["distance"] = float(-fitted.motion.transl[:, 2].median())
    notes["filled"] = float((~shown.seen.found).float().mean())
    notes["hands"] = float(grasp.seen.mean())
    notes["reprojection"] = reprojection_error(motion, camera, shown.seen, skeleton)
    if notes["reprojection"] > gate.reprojection:
        raise UnusableClipError(
            f"Expected the body fitted to {name!r} within {gate.reprojection:.0%} of a person's height of its "
            f"landmarks, got {notes['reprojection']:.0%}. This happens with several people or cuts: leave the clip "
            "out, or raise gate.reprojection."
        )
    notes["grounding"] = float((lowest_heights(joint_positions(motion, skeleton)).abs() < 0.2).float().mean())
    quality = Quality({**_grade(fitted, shown, notes, skeleton).parts, "camera": moved.grade()})
    notes |= moved.notes() | quality.notes()
    return Reference(motion=motion, camera=moved.follow(camera), quality=quality.score, notes=notes)


@dataclass(frozen=True, eq=False)
class _FittedBody:
    """A body fitted before a level camera, its track, the first estimate of its hips, and the floor."""

    motion: Motion
    camera: Camera
    track: Track
    root: Float[Tensor, "time 3"]
    floor: Float[Tensor, "4"]


def _fit_body(
    watched: WatchedPerson, stand: Standpoint, *, skeleton: Skeleton, beliefs: Beliefs, stands: bool = False
) -> _FittedBody:
    """Fit twice: first freely, to find the floor, then with the body kept above it.

    The floor is below what is seen, or below legs that are taken to stand.
    """
    run, fps, (height, width) = watched.seen, watched.fps, watched.size
    K, markers = intrinsics(width, height, stand.focal), landmark_markers()
    seen = landmark_trust(run, width=width, height=height)
    confidence = seen * kind_trust()
    shape, pixels = body_shapes(run, K, skeleton), run.pixels[:, list(USED)]
    # A quarter second: people do not approach faster, while estimated distances jitter.
    root = place_shapes(shape, pixels, confidence, K, smoothing=0.25 * fps)
    camera = level_camera(K, width, height, len(shape))
    track = Track(shape + root[:, None], confidence, fps, Sighting(pixels, confidence, camera))
    rough = dataclasses.replace(beliefs, iterations=(beliefs.iterations + 1) // 2)
    motion = fit(track, markers, skeleton, beliefs=rough)
    low = torch.ones_like(seen) if stands else seen
    floor = estimate_floor(motion, low, markers, skeleton, pitch_deg=stand.pitch_deg, roll_deg=stand.roll_deg)
    track = dataclasses.replace(track, floor=floor)
    motion = fit(track, markers, skeleton, beliefs=beliefs)
    metres = (-motion.transl[:, 2:] / K[0, 0]).clamp(min=0)
    visible = torch.where(run.found[:, None], run.visibility[:, list(USED)], 0)
    evidence = Evidence(pixels * metres[:, None], shape, visible)
    return _FittedBody(hold_still(motion, evidence, markers, skeleton), camera, track, root, floor)


def _grade(fitted: _FittedBody, run: WatchedPerson, notes: dict[str, float], skeleton: Skeleton) -> Quality:
    """Grade the motion as other sources do, and by how well the body stays on the floor."""
    track, used = fitted.track, list(USED)
    sight = track.sighting
    assert sight is not None, "film is fitted to pictures"
    visible = torch.where(run.seen.found[:, None], run.seen.visibility[:, used], 0)
    # mediapipe invents what it doubts: do not judge length and side of limbs that are not seen.
    sure = torch.where(visible >= 0.5, visible, 0)
    raw = level_landmarks(run.seen, sight.camera.Ks[0])[:, used] + fitted.root[:, None]
    measured = Track(raw, sure, run.fps, dataclasses.replace(sight, confidence=visible))
    found = assess_filmed(
        measured, track, fitted.motion, landmark_markers(), skeleton, reprojection=notes["reprojection"]
    )
    parts = dict(found.parts)
    if run.seen.within is not None:
        parts["inside"] = float(run.seen.within[:, used][visible > 0.1].float().mean())
    # Never 0, since whole clips show people on chairs with hidden feet.
    return Quality({**parts, "grounding": max(0.25, notes["grounding"])})


def find_runs(seen: Landmarks, *, fps: float, gate: Gate) -> list[tuple[int, int]]:
    """First and one past the last frame of every run that shows one person without long gaps or jumps.

    The longest first; then those of at least `gate.least` seconds, as far as no jump to somebody else lies between. One
    empty run where nobody is found.
    """
    at = seen.found.nonzero().squeeze(1).tolist()
    if not at:
        return [(0, 0)]
    trunk = seen.pixels[:, [11, 12, 23, 24]].mean(1)
    heights = pixel_height(seen)
    runs, who, person = [[at[0], at[0]]], [0], 0
    for previous, current in zip(at, at[1:], strict=False):
        seconds = (current - previous) / fps
        speed = float((trunk[current] - trunk[previous]).norm() / heights.clamp(min=1) / seconds)
        # Between neighbouring frames any small error is fast; below a third of a height it is the same person.
        jumped = speed > gate.jump and speed * seconds > 0.35
        person += jumped
        if seconds > gate.gap + 1 / fps or jumped:
            runs.append([current, current])
            who.append(person)
        runs[-1][1] = current
    found = [(first, last + 1, whose) for (first, last), whose in zip(runs, who, strict=True)]
    longest, *others = sorted(found, key=lambda run: run[0] - run[1])
    kept = [run for run in others if run[2] == longest[2] and run[1] - run[0] >= gate.least * fps]
    return [(first, last) for first, last, _ in (longest, *kept)]


def pixel_height(seen: Landmarks) -> Float[Tensor, ""]:
    """A person's height in pixels, from the longest visible bone: shoulder to hip, hip to knee, or knee to ankle."""
    p = seen.pixels[seen.found]
    trunk = (p[:, 11:13].mean(1) - p[:, 23:25].mean(1)).norm(dim=-1)
    legs = [(p[:, a] - p[:, b]).norm(dim=-1) for a, b in LIMB_ENDS[4:]]
    # Trunk, thigh and shin are 0.29, 0.245 and 0.246 of a person's height (Drillis and Contini 1966).
    guesses = torch.stack([trunk / 0.29, *(leg / 0.245 for leg in legs)], dim=-1)
    return guesses.amax(dim=-1).median()


def _seen_notes(seen: Landmarks, first: int, last: int, size: tuple[int, int]) -> dict[str, float]:
    """The notes that need no fit; shares refer to the whole interval."""
    run = seen.between(first, last)
    found = run.found
    notes = {"detection": float(found.sum()) / max(1, len(seen.found)), "visibility": 0.0, "limb_variation": 1.0}
    notes["inside"] = 0.0
    if not found.any():
        return notes
    world, pixels = run.world[found], run.pixels[found]
    lengths = torch.stack([(world[:, a] - world[:, b]).norm(dim=-1) for a, b in LIMB_ENDS])
    spread = lengths.std(dim=1, correction=0) / lengths.mean(dim=1).clamp(min=1e-6)
    limbs = pixels[:, list(LIMBS)]
    within = (limbs >= 0).all(-1) & (limbs < torch.tensor([size[1], size[0]])).all(-1)
    notes["visibility"] = float(run.visibility[found][:, list(LIMBS)].mean())
    notes["limb_variation"] = float(spread.mean())
    notes["inside"] = float(within.float().mean())
    return notes


def _check_gate(notes: dict[str, float], gate: Gate, name: str, *, run: float) -> None:
    if notes["detection"] < gate.detection and run < gate.least:
        raise UnusableClipError(
            f"Expected one run with a person in at least {gate.detection:.0%} of the frames of {name!r}, or for "
            f"{gate.least:g} s, got {notes['detection']:.0%}, for {run:.1f} s. Choose an interval with one person in "
            "full view, or lower gate.least or gate.detection."
        )
    if notes["visibility"] < gate.visibility:
        raise UnusableClipError(
            f"Expected trunk and limbs of {name!r} to be at least {gate.visibility:.0%} visible on average, got "
            f"{notes['visibility']:.0%}. Choose film that shows more of the body, or lower gate.visibility."
        )
    if notes["limb_variation"] > gate.limb_variation:
        raise UnusableClipError(
            f"Expected limbs in {name!r} to keep their length within {gate.limb_variation:.0%}, got "
            f"{notes['limb_variation']:.0%}. Does it show one person without cuts? If not, leave the clip out, or "
            "raise gate.limb_variation."
        )


def reprojection_error(motion: Motion, camera: Camera, seen: Landmarks, skeleton: Skeleton) -> float:
    """Median distance in the picture between fitted joints and visible landmarks, as a share of a person's height."""
    markers = landmark_markers()
    limbs = [marker for marker, landmark in enumerate(USED) if landmark in LIMBS]
    joints = joint_positions(motion, skeleton)[:, :NUM_BODY]
    pixels, depth = project(joints[:, markers.frames[limbs]], camera)
    landmarks = [USED[marker] for marker in limbs]
    visible = (seen.visibility[:, landmarks] > 0.5) & seen.found[:, None] & (depth > 0)
    if not visible.any():
        return 1.0
    height = _STATURE * camera.Ks[:, 1, 1, None] / depth.mean(1, keepdim=True).clamp(min=0.1)
    error = (pixels - seen.pixels[:, landmarks]).norm(dim=-1) / height
    return float(error[visible].median())
