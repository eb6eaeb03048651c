"""Measure motions taken out of film whose truth is known: accuracy in 3D by action and view, stillness, and lag.

The film is the demo's (`synthaug.pseudoreal`): its people, rooms, cameras, sensor and codec, at a size and a rate of
ordinary film. Every performance is filmed from the front, obliquely and from the side. It is read by the detector as
any film is.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import median_filter, uniform_filter1d

from benchmarks.people import LANDMARKS
from synthaug.body.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from synthaug.body.skeleton import JOINT, joint_positions, mean_skeleton
from synthaug.cameras.orbit import Orbit
from synthaug.datasets.demo import Demo
from synthaug.files import read_reference
from synthaug.motions import MotionSource, UnusableClipError
from synthaug.motions.actions import Actions
from synthaug.motions.video import VideoMotion
from synthaug.progress import track
from synthaug.pseudoreal.film import Footage, PseudoReal
from synthaug.pseudoreal.street import build_street
from synthaug.structures import Motion, Record, Reference
from synthaug.video import probe, read_frames

FOOTAGE = Footage(size=384, fps=24.0, seconds=3.0, supersampling=1)
FILMED = ("drink water", "kicking something", "punch", "bow", "sit down", "lie down", "walk", "jump up")
FAST = ("kicking something", "punch", "jump up")
VIEWS = {"front": 0.0, "oblique": 45.0, "side": 90.0}
HELD = {"drink water": 0.5, "phone call": 0.5, "bow": 0.5, "sit down": 0.95, "read": 0.5, "walk": 0.3}
"""Actions of which one moment is held, and the share of the clip at which it is."""
_BODY = 22
_REST = 0.05
"""Heights a second below which a landmark of real film rests."""
_JOINTS = {"pelvis": (11, 12, 23, 24)} | {
    f"{side}_{part}": tuple(k + (side == "right") for k in points)
    for side in ("left", "right")
    for part, points in {"shoulder": (11, 13), "elbow": (11, 13, 15), "hip": (11, 23, 25), "knee": (23, 25, 27)}.items()
}
"""Joints that are judged on real film, and the landmarks that must rest for each."""


@final
class HeldPose(MotionSource):
    """Somebody who keeps still in one moment of an action."""

    looks: ClassVar[str] = ""

    @classmethod
    def recognizes(cls, path: Path) -> bool:
        """Never: records are made for it."""
        return False

    @property
    def fingerprint(self) -> str:
        """Version and the moments."""
        return f"held-1-{sorted(HELD.items())}"

    def reads(self, record: Record) -> tuple[Path, ...]:
        """No files."""
        return ()

    def load(self, record: Record) -> Reference:
        """The held moment, as long as the record."""
        whole = Actions().load(record)
        at = round(HELD[record.key.split("/")[0]] * (whole.motion.num_frames - 1))
        frames = [at] * whole.motion.num_frames
        motion = Motion.from_pose(whole.motion.pose[frames], whole.motion.transl[frames], fps=whole.motion.fps)
        return replace(whole, motion=motion)


@dataclass(frozen=True, eq=False)
class Reading:
    """One film's motion beside the truth, metres, in the same frames.

    Attributes:
        first: The film's first frame.
        found: Joints.
        truth: Joints.
    """

    first: int
    found: NDArray[np.float32]
    truth: NDArray[np.float32]


def shoot(classes: Sequence[str], views: Mapping[str, float], *, motion: MotionSource | None = None) -> list[Record]:
    """Film of these actions from each view, made once and kept in the user's cache."""
    cameras = {
        name: Orbit(azimuth_deg=(at - 5, at + 5), elevation_deg=(-2, 22), distance=(0.8, 1.05), focal=(1.25, 1.55))
        for name, at in views.items()
    }
    stage = replace(build_street(), views=cameras)
    stage = stage if motion is None else replace(stage, motion=motion)
    films = PseudoReal(stage, classes=classes, performers=1, footage=FOOTAGE, num_workers=0, seed=3)
    return list(Demo(films).records)


def read_films(records: Sequence[Record]) -> dict[tuple[str, str], Reading]:
    """What each film yields, by action and view; films without a motion are printed and left out."""
    source, found = VideoMotion(), {}
    for record in track(records, "Film whose truth is known"):
        action, view = record.key.split("/")[0].replace("_", " "), record.camera
        try:
            reference = source.load(record)
        except UnusableClipError as error:
            print(f"{record.key}: {error}")
            continue
        first = round(reference.notes["offset"] * FOOTAGE.fps)
        truth = read_reference(record.path.with_suffix(".npz")).motion
        known = joint_positions(truth, mean_skeleton())[first : first + reference.motion.num_frames, :_BODY].numpy()
        ours = joint_positions(reference.motion, mean_skeleton())[: len(known), :_BODY].numpy()
        found[action, view] = Reading(first, ours, known)
    return found


def compare_views(found: Mapping[tuple[str, str], Reading]) -> dict[str, list[float]]:
    """Millimetres between the readings of each performance from two views, by action."""
    result = defaultdict(list)
    for action in FILMED:
        there = [found[action, view] for view in VIEWS if (action, view) in found]
        for k, one in enumerate(there):
            for other in there[k + 1 :]:
                first = max(one.first, other.first)
                last = min(one.first + len(one.found), other.first + len(other.found))
                a, b = (reading.found[first - reading.first : last - reading.first] for reading in (one, other))
                result[action].append(1000 * float(np.mean(procrustes(a, b))))
    return result


def procrustes(points: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float64]:
    """Distances after the best similarity transform of each frame (Gower 1975), [time, joint]."""
    a = points - points.mean(1, keepdims=True)
    b = truth - truth.mean(1, keepdims=True)
    u, s, vt = np.linalg.svd(np.einsum("tmi,tmj->tij", b, a))
    s[:, 2] *= np.sign(np.linalg.det(u @ vt))
    u[..., 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    scale = s.sum(1) / np.maximum((a**2).sum((1, 2)), 1e-12)
    return np.asarray(np.linalg.norm(scale[:, None, None] * np.einsum("tij,tmj->tmi", u @ vt, a) - b, axis=-1))


def measure_lag(reading: Reading) -> float:
    """Frames by which the fastest joint's speed comes later than the truth's, by their cross-correlation.

    The peak is found between frames by a parabola through its neighbours.
    """
    ours, known = (_speeds(points) for points in (reading.found, reading.truth))
    joint = int(known.max(0).argmax())
    a, b = (values[:, joint] - values[:, joint].mean() for values in (ours, known))
    shifts = range(-6, 7)
    alike = []
    for shift in shifts:
        here, there = a[max(shift, 0) : len(a) + min(shift, 0)], b[max(-shift, 0) : len(b) + min(-shift, 0)]
        alike.append(float((here * there).sum() / np.sqrt((here**2).sum() * (there**2).sum() + 1e-12)))
    best = int(np.argmax(alike))
    if not 0 < best < len(alike) - 1:
        return float(shifts[best])
    before, at, after = alike[best - 1 : best + 2]
    return shifts[best] + 0.5 * (before - after) / (before - 2 * at + after)


def _speeds(points: NDArray[np.float32]) -> NDArray[np.float64]:
    about = points - points[:, :1]
    return np.asarray(np.linalg.norm(np.gradient(about, axis=0), axis=-1), np.float64)


def turns_deg(motion: Motion) -> NDArray[np.float64]:
    """Angle by which every body joint turns from each frame to the next, [step, joint], degrees."""
    R = axis_angle_to_matrix(motion.pose[:, :_BODY].double())
    return np.asarray(matrix_to_axis_angle(R[:-1].mT @ R[1:]).norm(dim=-1).rad2deg().numpy())


def measure_stillness(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turns of resting joints a frame, degrees: of pseudo-real people who keep still, and where joints rest in film."""
    source = VideoMotion()
    posed = []
    for record in track(shoot(tuple(HELD), {"oblique": 30.0}, motion=HeldPose()), "People who keep still"):
        posed.append(turns_deg(source.load(record).motion).ravel())
    filmed = []
    for record in track(still_records(folder), "Resting joints of film"):
        try:
            reference = source.load(record)
        except UnusableClipError as error:
            print(f"{record.key}: {error}")
            continue
        filmed += list(_resting_turns(record, reference))
    return np.concatenate(posed), np.concatenate(filmed) if filmed else np.zeros(0)


def still_records(folder: Path) -> list[Record]:
    """Films of GMDCSA24 in which somebody rests for a while; none if the set is absent."""
    chosen = ("Subject 2/Fall/12.mp4", "Subject 3/ADL/15.mp4", "Subject 3/Fall/20.mp4", "Subject 4/Fall/01.mp4")
    table = folder / "clips.csv"
    files = {row["file"] for row in csv.DictReader(table.open())} if table.exists() else set()
    return [
        Record(name, folder / name, 0, "", "", 0.0, probe(folder / name).duration) for name in chosen if name in files
    ]


def _resting_turns(record: Record, reference: Reference) -> Iterator[NDArray[np.float64]]:
    """Turns of joints in the frames in which their landmarks rest in the picture for a second.

    The landmarks are found in single pictures, without the tracking, smoothing and fitting that are judged.
    """
    from mediapipe.python.solutions.pose import Pose

    info = probe(record.path)
    frames = read_frames(record.path, list(range(info.num_frames)), info=info).permute(0, 2, 3, 1).numpy()
    with Pose(static_image_mode=True, model_complexity=1) as pose:
        pixels = detect(frames, pose)
    rests = _find_rest(pixels, info.fps)
    for one in (reference, *reference.others):
        first, turns = round(one.notes["offset"] * info.fps), turns_deg(one.motion)
        for name, needed in _JOINTS.items():
            quiet = rests[first : first + len(turns) + 1, [list(LANDMARKS).index(k) for k in needed]].all(1)
            edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(int), [0]])))
            for start, end in zip(edges[::2], edges[1::2], strict=True):
                if end - start >= info.fps:
                    yield turns[start : end - 1, JOINT[name]]


def _find_rest(pixels: NDArray[np.float64], fps: float) -> NDArray[np.bool_]:
    """Which landmarks rest in which frames, by their speed over half a second; never where nobody is found."""
    there = np.isfinite(pixels).all((1, 2))
    if not there.any():
        return np.zeros(pixels.shape[:2], bool)
    at, every = np.flatnonzero(there), np.arange(len(pixels))
    filled = np.stack([np.interp(every, at, column[at]) for column in pixels.reshape(len(pixels), -1).T], axis=1)
    filled = filled.reshape(pixels.shape)
    tall = float(np.quantile(np.linalg.norm(np.ptp(filled, axis=1), axis=-1), 0.9))
    width = max(3, round(0.5 * fps)) | 1
    calm = uniform_filter1d(median_filter(filled, (width, 1, 1), mode="nearest"), width, axis=0)
    speed = np.linalg.norm(np.gradient(calm, axis=0), axis=-1) * fps / tall
    return (speed < _REST) & there[:, None]


def detect(frames: NDArray[np.uint8], pose: object) -> NDArray[np.float64]:
    """Pixels of LANDMARKS in each frame, [time, landmark, 2]; NaN where nobody is found."""
    result = np.full((len(frames), len(LANDMARKS), 2), np.nan)
    for k, frame in enumerate(frames):
        seen = pose.process(np.ascontiguousarray(frame)).pose_landmarks  # type: ignore[attr-defined]
        if seen is not None:
            size = np.array([frame.shape[1], frame.shape[0]])
            result[k] = np.array([[seen.landmark[i].x, seen.landmark[i].y] for i in LANDMARKS]) * size
    return result


def measure_film(folder: Path, *, quick: bool = False) -> dict[str, float | None]:
    """Print tables and return `film_mm`, `two_views_mm`, `still_deg` (the worse of both kinds) and `lag_frames`.

    Args:
        folder: GMDCSA24.
        quick: Three of the actions.
    """
    actions = FAST if quick else FILMED
    found = read_films([r for r in shoot(FILMED, VIEWS) if r.key.split("/")[0].replace("_", " ") in actions])
    errors = {key: 1000 * float(np.mean(procrustes(one.found, one.truth))) for key, one in found.items()}
    apart = compare_views(found)
    lags = {key: measure_lag(one) for key, one in found.items() if key[0] in FAST}
    _print_film(errors, apart, lags)
    posed, filmed = measure_stillness(folder)
    print(f"turn of resting joints a frame, rms: posed {_rms(posed):.2f}, GMDCSA24 {_rms(filmed):.2f} degrees")
    return {
        "film_mm": round(float(np.median(list(errors.values()))), 1),
        "two_views_mm": round(float(np.median([mm for pairs in apart.values() for mm in pairs])), 1),
        "still_deg": round(max(_rms(part) for part in (posed, filmed) if len(part)), 2),
        "lag_frames": round(float(np.median(np.abs(list(lags.values())))), 2),
    }


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


def _print_film(
    errors: Mapping[tuple[str, str], float], apart: Mapping[str, list[float]], lags: Mapping[tuple[str, str], float]
) -> None:
    table = Table(title="film whose truth is known: aligned mm by view, views against each other, lag in frames")
    for column in ("action", *VIEWS, "two views", "lag"):
        table.add_column(column, justify="left" if column == "action" else "right")
    for action in dict.fromkeys(action for action, _ in errors):
        cells = [f"{errors[action, view]:.0f}" if (action, view) in errors else "-" for view in VIEWS]
        pairs = ", ".join(f"{mm:.0f}" for mm in apart.get(action, ())) or "-"
        late = ", ".join(f"{lags[action, view]:+.1f}" for view in VIEWS if (action, view) in lags) or "-"
        table.add_row(action, *cells, pairs, late)
    Console(width=110).print(table)
