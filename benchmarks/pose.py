"""Measure how faithful motions are, from fitted joints to rendered frames: `python -m benchmarks.pose`, or `--quick`.

1. Fitting: the error for known joints with noise.
2. The quality gate: how well its score separates good fits from ones with planted mistakes, and its grades of
   recordings with a Kinect's habits, which are as good as such a sensor gets.
3. Re-enactments: the distance between the motion and what a pose detector sees in the rendered frames. The known
   motions (actions, bandai_smplx) do not come from the detector, so their error is independent. Film was read by the
   same detector, so its figure is called consistency.
4. Film whose truth is known (`benchmarks.film_truth`): the error of the motion by action and view, two views against
   each other, the turn of resting joints, and the lag of fast parts.

The gate never sees a figure that judges it. Needs the pose extra. bandai_smplx (Bandai Namco Research Inc., CC BY-NC
4.0) and GMDCSA24 (Alam and others, 2024, MIT) are used if they are in `shared/data`.
"""

import argparse
import csv
import json
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.film_truth import detect, measure_film, procrustes
from benchmarks.kinect import imitate_kinect, track_of
from benchmarks.people import LANDMARKS
from synthaug.avatars.anny import SEEDS, AnnyPeople
from synthaug.backgrounds.plain import Plain
from synthaug.body.skeleton import JOINT, JOINT_NAMES, joint_positions, mean_skeleton
from synthaug.cameras.original import Original
from synthaug.levels import Pyramid
from synthaug.motions import MotionSource
from synthaug.motions.actions import ACTIONS, Actions, perform
from synthaug.motions.estimated import sample_errors
from synthaug.motions.fitting.corruption import CORRUPTIONS
from synthaug.motions.fitting.energy import project
from synthaug.motions.fitting.fit import fit_many
from synthaug.motions.fitting.markers import Track, joint_markers
from synthaug.motions.fitting.quality import QualityGate, assess, count_verdicts
from synthaug.motions.fitting.recovery import recover
from synthaug.motions.procedural.style import PerformerStyle
from synthaug.motions.smplx_npz import SmplxNpz
from synthaug.motions.variation import Unvaried
from synthaug.motions.video import VideoMotion
from synthaug.progress import track
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import ClipFormat, Motion, Record, Reference
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.synthesis.references import References, gather
from synthaug.synthesis.staging import camera_at
from synthaug.video import indices_at, probe, read_frames

SHARED = Path(__file__).resolve().parents[2] / "shared/data"
IDS = [JOINT[name] for name in LANDMARKS.values()]
NOISES = (0.0, 10.0, 30.0)
FILM_SECONDS = 2.0
"""Seconds of each interval of film. The network takes 0.1 s a frame on one core, three times that without a person."""


def action_records(count: int) -> list[Record]:
    """This many performances, spread over the actions."""
    step = max(1, len(ACTIONS) // max(count, 1))
    names = [ACTIONS[k * step % len(ACTIONS)] for k in range(count)]
    return [Record(f"{a}/studio/{k}", Path(a), ACTIONS.index(a), "", "", 0.0, 3.0) for k, a in enumerate(names)]


def bandai_records(count: int) -> list[Record]:
    """This many motions of bandai_smplx, spread over its labels; none if it is absent."""
    files = sorted((SHARED / "bandai_smplx").glob("*.npz"))
    chosen = files[:: max(1, len(files) // max(count, 1))][:count] if files else []
    return [Record(f.stem, f, 0, "", "", 0.0, 3.0) for f in chosen]


def motions_of(source: MotionSource, records: Sequence[Record], *, frames: int) -> dict[str, Motion]:
    """The first frames of each record's motion in float32."""
    result = {}
    for record in records:
        whole = source.load(record).motion
        first = Motion.from_pose(whole.pose[:frames].float(), whole.transl[:frames].float(), fps=whole.fps)
        result[record.key] = first
    return result


def measure_fits(motions: Sequence[Motion], *, mm: float) -> tuple[list[float], list[float], float]:
    """MPJPE and Procrustes-aligned MPJPE of each motion in millimetres, and frames fitted in a second on one core."""
    skeleton = mean_skeleton()
    markers = joint_markers(JOINT_NAMES[:22], skeleton)
    truths = [joint_positions(motion, skeleton)[:, :22] for motion in motions]
    rng = np.random.default_rng(int(mm))
    tracks = [
        Track(p + torch.from_numpy(rng.normal(0, mm / 1000, p.shape)).float(), torch.ones(p.shape[:2]), m.fps)
        for p, m in zip(truths, motions, strict=True)
    ]
    fit_many([Track(tracks[0].points[:8], tracks[0].confidence[:8], tracks[0].fps)], markers, skeleton)
    start = time.process_time()
    fits = fit_many(tracks, markers, skeleton)
    spent = time.process_time() - start
    found = [joint_positions(fit, skeleton)[:, :22] for fit in fits]
    plain = [1000 * float((a - b).norm(dim=-1).mean()) for a, b in zip(found, truths, strict=True)]
    aligned = [1000 * float(np.mean(procrustes(a.numpy(), b.numpy()))) for a, b in zip(found, truths, strict=True)]
    return plain, aligned, sum(len(p) for p in truths) / spent


def score_gate(motions: Sequence[Motion], *, seed: int) -> tuple[list[float], dict[str, list[float]], str]:
    """Scores of honest estimates and of estimates with planted mistakes, and what the gate did to the latter."""
    skeleton = mean_skeleton()
    names = (*JOINT_NAMES[:22], "left_middle1", "right_middle1")
    markers = joint_markers(names, skeleton)
    rng = np.random.default_rng(seed)
    honest = []
    for motion in motions:
        slips = sample_errors(
            rng, num_frames=motion.num_frames, fps=motion.fps, noise_mm=rng.uniform(5, 25), dropout=0.05
        )
        kept = [k % slips.errors.shape[1] for k in range(len(names))]
        points = joint_positions(motion, skeleton)[:, [JOINT[name] for name in names]] + slips.errors[:, kept]
        seen = ~slips.unseen[:, kept]
        honest.append(Track(torch.where(seen[..., None], points, torch.nan), seen.float(), motion.fps))
    gate, judged = QualityGate(), {}
    sets = {"honest": honest} | {
        kind: [plant(one, markers, np.random.default_rng([seed, k])) for k, one in enumerate(honest)]
        for kind, plant in CORRUPTIONS.items()
    }
    for kind, tracks in track(sets.items(), "Planted mistakes"):
        fits = fit_many(tracks, markers, skeleton)
        judged[kind] = [assess(one, fit, markers, skeleton) for one, fit in zip(tracks, fits, strict=True)]
    scores = {kind: [quality.score for quality in found] for kind, found in judged.items()}
    counts = {kind: count_verdicts(gate.judge(quality) for quality in found) for kind, found in judged.items()}
    said = "; ".join(f"{k}: {c.kept} kept, {sum(c.lowered.values())} lowered" for k, c in counts.items())
    return scores.pop("honest"), scores, said


def grade_kinect(count: int) -> list[float]:
    """Grades of recordings that imitate a Kinect: one arm inferred for half to nine tenths of the frames, held feet."""
    grades, step = [], max(1, len(ACTIONS) // max(count, 1))
    for k in range(count):
        rng = np.random.default_rng([k, 25])
        whole = perform(ACTIONS[k * step % len(ACTIONS)], PerformerStyle(), fps=30.0, seconds=3.0)
        shown = Motion.from_pose(whole.pose.float(), whole.transl.float(), fps=30.0)
        recording = imitate_kinect(shown, rng, inferred=rng.uniform(0.5, 0.9), side=("left", "right")[k % 2])
        (found,) = recover([track_of(recording)])
        grades.append(found.quality)
    return grades


def auc(good: Sequence[float], bad: Sequence[float]) -> float:
    """Probability that a good estimate scores higher than a bad one; ties count half."""
    a, b = np.asarray(good)[:, None], np.asarray(bad)[None]
    return float(((a > b) + 0.5 * (a == b)).mean())


def drift(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Median distance after the best scale and shift of each frame, as a share of the person's height; NaN if unseen.

    Scale and shift are removed because bodies differ in size and place, and only the pose is measured. The height is
    1.75 times the larger extent of shoulders to ankles in the picture, as in standing adults with their arms down.
    """
    errors = []
    for a, b in zip(ours, theirs, strict=True):
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            continue
        tall = 1.75 * np.ptp(b, axis=0).max()
        a, b = a - a.mean(0), b - b.mean(0)
        errors.append(np.linalg.norm(a * (a * b).sum() / (a**2).sum() - b, axis=-1) / tall)
    return float(np.median(errors)) if errors else float("nan")


def re_enact(references: References, source: MotionSource, *, film: bool) -> list[dict[str, float | str]]:
    """Re-enact each record on one other body from its own view: 3D error of the joints, 2D drift of the frames."""
    from mediapipe.python.solutions.pose import Pose

    synthesis = Synthesis(
        motion=source, variation=Unvaried(), avatar=AnnyPeople(people=SEEDS, levels=Pyramid(refine=None)),
        camera=Original(), background=Plain(colors=((96, 110, 120),)), renderer=CpuRenderer(), sensor=None, cache=None,
        identities=1, backgrounds=1,
    )  # fmt: skip
    ours = Synthesizer(synthesis, references, ClipFormat(num_frames=6, fps=3.0, size=320), seed=0)
    rows: list[dict[str, float | str]] = []
    with Pose(static_image_mode=True, model_complexity=1) as pose:
        for index in track(range(len(ours)), "Re-enactments"):
            recipe = replace(ours.sample(index), start=0.0)
            reference = references.by_key[recipe.actors[0].motion]
            record = next(r for r in references.records if r.key == recipe.actors[0].motion)
            job = ours.stage(recipe)
            video = ours.finish(recipe, job, ours.render_people(job)).video.permute(0, 2, 3, 1).numpy()
            times = torch.arange(recipe.num_frames, dtype=torch.float64) / recipe.fps
            motion = synthesis.variation.vary(reference.motion, {}, times)
            truth = joint_positions(motion, mean_skeleton())
            ratio = mean_skeleton().leg / synthesis.avatar.load(recipe.actors[0].identity).skeleton.leg
            body = job.joints[0] * ratio
            apart = (body - body[:, :1] - truth + truth[:, :1])[:, :22].norm(dim=-1)
            if film:
                seen = detect(_read_film(record, reference, times.tolist()), pose)
            else:
                seen = project(truth[:, IDS], camera_at(reference, times, recipe.size))[0].double().numpy()
            aligned = procrustes(body[:, :22].numpy(), truth[:, :22].numpy())
            rows.append(
                {
                    "action": record.key.split("/")[0].removeprefix("dataset-1_").split("_")[0],
                    "mm": 1000 * float(apart.mean()),
                    "aligned_mm": 1000 * float(aligned.mean()),
                    "drift": drift(detect(video, pose), seen),
                }
            )
    return rows


def _read_film(record: Record, reference: Reference, times: Sequence[float]) -> NDArray[np.uint8]:
    info = probe(record.path)
    first = record.start + reference.notes["offset"]
    indices = indices_at(info, [first + at % reference.motion.duration for at in times])
    video = read_frames(record.path, indices, info=info, size=(480, round(480 * info.width / info.height)))
    return np.asarray(video.permute(0, 2, 3, 1).numpy())


def film_records(count: int) -> list[Record]:
    """The first two seconds of this many intervals of GMDCSA24 of at least one second, spread over its table."""
    table = SHARED / "gmdcsa24/clips.csv"
    if not table.exists():
        return []
    rows = [row for row in csv.DictReader(table.open()) if float(row["t1"]) - float(row["t0"]) >= 1.0]
    classes = sorted({row["class"] for row in rows})
    step = max(1, len(rows) // max(count, 1))
    return [
        Record(
            f"{row['class']}/{k}", table.parent / row["file"], classes.index(row["class"]), row["subject"], "",
            float(row["t0"]), min(float(row["t1"]), float(row["t0"]) + FILM_SECONDS),
        )
        for k, row in enumerate(rows[::step][:count])
    ]  # fmt: skip


def print_table(title: str, rows: Sequence[dict[str, float | str]]) -> None:
    """Print a table by action."""
    table = Table(title=title, title_justify="left")
    for column in ("action", "clips", "3D mm", "aligned mm", "2D median", "beyond 10 %"):
        table.add_column(column, justify="left" if column == "action" else "right")
    groups: dict[str, list[dict[str, float | str]]] = defaultdict(list)
    for row in rows:
        groups[str(row["action"])].append(row)
    for name, members in [*groups.items(), ("all", list(rows))]:
        drifts = np.array([float(row["drift"]) for row in members])
        errors = [f"{np.mean([float(row[key]) for row in members]):.0f}" for key in ("mm", "aligned_mm")]
        found = drifts[np.isfinite(drifts)]
        middle, beyond = (f"{np.median(found):.1%}", f"{(found > 0.1).mean():.0%}") if len(found) else ("-", "-")
        table.add_row(name, str(len(members)), *errors, middle, beyond)
    Console().print(table)


def re_enact_film(count: int) -> list[dict[str, float | str]]:
    """Re-enact the film that the quality gate keeps, and print what it drops."""
    records = film_records(count)
    if not records:
        return []
    source = VideoMotion(warm_up=0.5)
    references = gather(records, source)
    for key, reference in references.by_key.items():
        told = ", ".join(
            f"{name} {reference.notes[name]:.2f} +- {reference.notes[f'{name.removesuffix(unit)}_sd{unit}']:.2f}"
            for name, unit in (("focal", ""), ("pitch_deg", "_deg"), ("roll_deg", "_deg"), ("camera_height", ""))
        )
        evidence, grounding = reference.notes["pitch_evidence"], reference.notes["grounding"]
        print(f"film, {key}: {told}; standing {evidence:.0%}, on the floor {grounding:.0%}")
    for key, why in references.dropped.items():
        print(f"film, dropped {key}: {why}")
    if not references.records:
        return []
    rows = re_enact(references, source, film=True)
    print_table(f"film (GMDCSA24), {len(rows)} of {len(records)} kept: consistency", rows)
    return rows


def measure_extract_fps(count: int) -> float:
    """Frames of the project's own film at 640x480 that are extracted per CPU second and core."""
    from benchmarks.extraction import measure_extraction, shoot_films  # which takes `procrustes` from here

    speed = measure_extraction(shoot_films(count))
    print(f"extraction of own film, 640x480: {speed.frames} frames in {speed.cpu:.1f} s of CPU")
    return round(speed.frames / speed.cpu, 1)


def measure_noise(actions: Sequence[Motion], captured: Sequence[Motion]) -> dict[float, tuple[float, float]]:
    """Mean error (mm) and speed (frames a second) of the fit, by noise in millimetres."""
    result = {}
    for mm in NOISES:
        plain, aligned, speed = measure_fits([*actions, *captured], mm=mm)
        cut = len(actions)
        parts = " / ".join(f"{np.mean(part):.1f}" for part in (plain[:cut], plain[cut:]) if part)
        print(f"fit at {mm:.0f} mm: {np.mean(plain):.2f} mm (actions / bandai {parts})", end=", ")
        print(f"aligned {np.mean(aligned):.2f}, {speed:.0f} frames/s")
        result[mm] = float(np.mean(plain)), speed
    return result


def parse_arguments() -> argparse.Namespace:
    """The command line; the defaults take a few minutes on one core."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer clips: about two minutes")
    parser.add_argument("--clips", type=int, default=0, help="clips of each known source; 0 takes 12 or 26")
    parser.add_argument("--film", type=int, default=-1, help="intervals of film; -1 takes 3 or 12, 0 leaves film out")
    chosen = parser.parse_args()
    chosen.clips = chosen.clips or (12 if chosen.quick else 26)
    if chosen.film < 0:
        chosen.film = 3 if chosen.quick else 12
    return chosen


def summarize(drifts: Sequence[float], suffix: str) -> dict[str, float | None]:
    """Median drift and the share of clips beyond a tenth of the person's height; None where nothing was measured."""
    found = np.array([drift for drift in drifts if np.isfinite(drift)])
    middle = round(float(np.median(found)), 4) if len(found) else None
    beyond = round(float((found > 0.1).mean()), 4) if len(found) else None
    return {f"median_2d{suffix}": middle, f"beyond_10pct{suffix}": beyond}


def main() -> None:
    chosen = parse_arguments()
    torch.set_num_threads(1)
    start = time.perf_counter()

    def print_stage(part: str) -> None:
        print(f"[{time.perf_counter() - start:.0f} s, load {os.getloadavg()[0]:.1f}] {part}", flush=True)

    kinds: dict[str, tuple[MotionSource, list[Record]]] = {
        "actions": (Actions(), action_records(chosen.clips)),
        "bandai_smplx": (SmplxNpz(transl_is_pelvis=True), bandai_records(chosen.clips)),
    }
    motions = {kind: motions_of(source, records, frames=64) for kind, (source, records) in kinds.items()}
    known = [list(found.values()) for found in motions.values()]
    print_stage("fits of known joints")
    fits = measure_noise(*known)
    print_stage("planted mistakes")
    honest, planted, said = score_gate(sum(known, [])[:: 2 if chosen.quick else 1], seed=0)
    for kind, scores in planted.items():
        print(f"gate, {kind}: ROC-AUC {auc(honest, scores):.3f}")
    print(f"gate: {said}")
    grades = grade_kinect(chosen.clips)
    print(f"grades of Kinect-like recordings: {min(grades):.2f} to {max(grades):.2f}, median {np.median(grades):.2f}")
    drifts: list[float] = []
    for kind, (source, records) in kinds.items():
        if records:
            print_stage(f"re-enactments of {kind}")
            # Rendering and detecting take a second a frame on a busy core: --quick does a third of the clips.
            rows = re_enact(gather(records[:: 3 if chosen.quick else 1], source), source, film=False)
            drifts += [float(row["drift"]) for row in rows]
            print_table(f"{kind}: known motions, independent detector", rows)
    print_stage("film")
    consistency = [float(row["drift"]) for row in re_enact_film(chosen.film)]
    print_stage("film whose truth is known")
    filmed = measure_film(SHARED / "gmdcsa24", quick=chosen.quick) if chosen.film else {}
    print_stage("done")
    figures = {
        "mpjpe_mm_clean": round(fits[0.0][0], 2),
        "mpjpe_mm_noise10": round(fits[10.0][0], 2),
        "mpjpe_mm_noise30": round(fits[30.0][0], 2),
        **summarize(drifts, ""),
        "gate_auc": round(auc(honest, [score for scores in planted.values() for score in scores]), 4),
        "kinect_grade": round(float(np.quantile(grades, 0.1)), 3),
        "frames_per_s": round(min(speed for _, speed in fits.values())),
        "extract_fps": measure_extract_fps(2 if chosen.quick else 8),
        **summarize(consistency, "_film"),
        **filmed,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
