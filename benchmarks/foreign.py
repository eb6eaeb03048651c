"""Measure whether drift tells true re-enactments of film from wrong ones: `python -m benchmarks.foreign`.

Real film (GMDCSA24, in `shared/data`) is re-enacted by our own renderer from its own view and written as another
generator would: 14 frames a second, 320 pixels. The clips are then read as foreign ones, motion and all, and compared
with the right reference, with that of another class, 0.7 s late, and as mirror images. The last line is JSON:

true_pose, true_limb     median drift of true re-enactments, shares of the person's height
true_kept                share of them within the default bounds
other_left_out           share of clips left out whose reference shows another class
late_left_out            the same of clips that are 0.7 s late
mirrored_left_out        the same of mirror images; those of symmetric actions are no mistake

Needs the pose extra.
"""

import argparse
import inspect
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.pose import film_records
from synthaug.avatars.anny import SEEDS, AnnyPeople
from synthaug.backgrounds.plain import Plain
from synthaug.cameras.original import Original
from synthaug.files import user_cache
from synthaug.foreign import ForeignClips
from synthaug.foreign.drift import Drift, measure_drift
from synthaug.levels import Pyramid
from synthaug.motions.variation import Unvaried
from synthaug.motions.video import VideoMotion
from synthaug.progress import track
from synthaug.renderers.cpu import CpuRenderer
from synthaug.structures import ClipFormat, Record
from synthaug.synthesis import Synthesis, Synthesizer
from synthaug.synthesis.references import References, extract_references, filter_references
from synthaug.video import probe, write_video

FPS, SIZE, LATE = 14.0, 320, 0.7
BOUNDS = {name: float(one.default) for name, one in inspect.signature(ForeignClips).parameters.items()
          if name in ("max_drift", "max_limb")}  # fmt: skip


def re_enact(references: References, folder: Path) -> dict[str, Path]:
    """A film of each reference with somebody else in it, its whole length, and the mirror image beside it."""
    synthesis = Synthesis(
        motion=VideoMotion(), variation=Unvaried(), avatar=AnnyPeople(people=SEEDS, levels=Pyramid(refine=None)),
        camera=Original(), background=Plain(colors=((96, 110, 120),)), renderer=CpuRenderer(), sensor=None, cache=None,
        identities=1, backgrounds=1, min_shown=0.0, min_shown_half_second=0.0,
    )  # fmt: skip
    films = {}
    for record in track(references.records, "Re-enactments"):
        reference = references.by_key[record.key]
        films[record.key] = path = folder / f"{record.key.replace('/', '_').replace(' ', '-')}.mp4"
        if path.exists():
            continue
        clip = ClipFormat(num_frames=int(reference.motion.duration * FPS), fps=FPS, size=SIZE)
        ours = Synthesizer(synthesis, references.select([record.key]), clip, seed=0)
        video = ours.render(replace(ours.sample(0), start=0.0)).video
        write_video(path.with_suffix(".mirror.mp4"), video.flip(-1), fps=FPS)
        write_video(path, video, fps=FPS)
    return films


def whole(path: Path) -> Record:
    """A film as a record."""
    return Record(path.name, path, 0, "", "", 0.0, probe(path).duration)


def left_out(drifts: Sequence[Drift | None]) -> float | None:
    """Share beyond the bounds, or with nothing in common; None if there is no clip."""
    out = [one is None or one.pose > BOUNDS["max_drift"] or one.limb > BOUNDS["max_limb"] for one in drifts]
    return round(float(np.mean(out)), 3) if out else None


def show(kind: str, drifts: Sequence[Drift | None]) -> None:
    """Print the spread of one kind of clip."""
    for name in ("pose", "limb"):
        known = [getattr(one, name) for one in drifts if one is not None]
        if known:
            low, middle, high = np.quantile(known, [0.1, 0.5, 0.9])
            print(
                f"{kind}, {name}: median {middle:.3f}, tenths {low:.3f} to {high:.3f}, {len(known)} clips", flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=8, help="intervals of film (8)")
    chosen, start = parser.parse_args(), time.process_time()
    torch.set_num_threads(1)
    source, cache = VideoMotion(), user_cache() / "motions"
    records = film_records(chosen.clips)
    found = filter_references(extract_references(records, source, cache=cache), min_quality=0.4)
    # Further performances are left out: each record is compared with its first.
    found = found.select([record.key for record in records if record.key in found.by_key])
    folder = user_cache() / "benchmarks" / "foreign"
    films = re_enact(found, folder)
    made = {key: [whole(path), whole(path.with_suffix(".mirror.mp4"))] for key, path in films.items()}
    theirs = extract_references([one for pair in made.values() for one in pair], source, cache=cache)
    drifts: dict[str, list[Drift | None]] = {"true": [], "other": [], "late": [], "mirrored": []}
    for record in found.records:
        if any(one.key not in theirs.by_key for one in made[record.key]):
            print(f"{record.key}: no motion is found again")
            continue
        clip, mirror = (theirs.by_key[one.key] for one in made[record.key])
        ours = found.by_key[record.key]
        ahead = ours.notes.get("offset", 0.0)
        others = [one for one in found.records if one.label != record.label]
        drifts["true"].append(measure_drift(clip, ours, ahead=ahead))
        print(record.key, drifts["true"][-1], ours.quality, flush=True)
        drifts["late"].append(measure_drift(clip, ours, ahead=ahead + LATE))
        drifts["mirrored"].append(measure_drift(mirror, ours, ahead=ahead))
        for other in others:
            reference = found.by_key[other.key]
            drifts["other"].append(measure_drift(clip, reference, ahead=reference.notes.get("offset", 0.0)))
    for kind, measured in drifts.items():
        show(kind, measured)
    true = [one for one in drifts["true"] if one is not None]
    print(f"{time.process_time() - start:.0f} s of CPU")
    figures = {
        "clips": len(drifts["true"]),
        "true_pose": round(float(np.median([one.pose for one in true])), 4) if true else None,
        "true_limb": round(float(np.median([one.limb for one in true])), 4) if true else None,
        "true_kept": None if (out := left_out(drifts["true"])) is None else round(1 - out, 3),
        **{f"{kind}_left_out": left_out(drifts[kind]) for kind in ("other", "late", "mirrored")},
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
