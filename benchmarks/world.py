"""What the world does to data and to runs, in one place: `python -m benchmarks.world [--part NAME ...]`.

Kinds of files that public bug reports tell of, each with the tests that hold it; killed writers, full disks and damaged
files in thousands; hours of loading; a cluster whose workers die; exports read back by the libraries that they are for;
and the GPU path over gsplat's own reference. Parts run one after the other and may be chosen. What each found is kept
in a folder: a part that was measured as asked is not measured again, and what never ran is null.

The last line is one JSON object: `kinds` of the table whose tests pass, and `kinds_all`; `kills`, `lost`, `torn`;
`soak_growth`; `mutated` inputs of each reader and `crashes`; `ray_clips`, of 200 those that a cluster rendered exactly
once; `exports_read_back`; `gallery_clips`, the clips that a gallery was tried with; `gsplat_reference_db`.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.files import write_atomic

ROOT = Path(__file__).resolve().parents[1]
KINDS: Mapping[str, Sequence[str]] = {
    "time lost in numbered files": (
        "motions/test_paramfiles.py::test_frame_numbers_are_a_clock",
        "motions/test_paramfiles.py::test_numbers_say_when_a_motion_begins",
    ),
    "one bad timestamp": (
        "video/test_times.py::test_one_wrong_timestamp_is_mended_alone",
        "video/test_times.py::test_a_stamp_out_of_place_is_seen_in_film_whose_ends_are_sound",
    ),
    "one damaged packet": (
        "video/test_times.py::test_a_damaged_packet_costs_its_own_picture_alone",
        "video/test_times.py::test_a_spoiled_packet_that_the_decoder_passes_over_is_counted",
        "video/test_times.py::test_training_clips_of_a_damaged_film_are_read",
    ),
    "a display matrix with a mirror": (
        "video/test_pictures.py::test_every_display_matrix_is_obeyed_as_ffmpeg_does",
        "video/test_pictures.py::test_left_stays_left",
    ),
    "pixels that are not square": ("video/test_pictures.py::test_a_disc_is_a_disc",),
    "a picture that starts late": ("video/test_times.py::test_seconds_of_a_table_are_those_of_the_player",),
    "HDR film": ("video/test_pictures.py::test_hdr_film_has_the_light_that_its_standard_says",),
    "suffixes that vanish": (
        "datasets/test_finding.py::test_a_class_of_any_usual_suffix_is_read",
        "datasets/test_finding.py::test_folders_of_numbered_pictures_are_counted_with_what_to_do",
        "video/test_series.py",
    ),
    "linked folders": (
        "datasets/test_finding.py::test_linked_classes_people_and_films_are_followed",
        "datasets/test_finding.py::test_loops_of_links_end",
        "test_files.py::test_files_behind_links_are_found_once_and_loops_end",
    ),
    "one recording of two films, and copies": (
        "synthesis/test_references.py::test_one_recording_of_two_films_is_refused_and_folders_tell_them_apart",
        "datasets/test_folder.py::test_a_test_film_that_is_a_training_film_under_another_name_is_a_leak",
    ),
    "forms of Unicode": (
        "datasets/test_folder.py::test_a_table_and_the_disk_may_write_a_name_in_two_forms",
        "datasets/test_protocols.py::test_people_are_told_apart_whatever_form_of_unicode_a_data_set_uses",
    ),
    "splats at the limits": (
        "avatars/pack/test_splats.py::test_values_at_the_limits_are_what_they_tend_to",
        "avatars/pack/test_splats.py::test_two_scales_are_a_disc",
    ),
    "splats in other units": (
        "avatars/pack/test_splats.py::test_linear_scales_and_opacities_are_recognized",
        "avatars/pack/test_splats.py::test_units_that_cannot_be_told_are_refused",
    ),
    "keypoints from 0 to 1, and OpenPose's names": (
        "motions/test_keypoint_files.py::test_keypoints_in_other_units_land_on_the_film",
        "motions/test_keypoint_files.py::test_openpose_s_own_files_are_found_among_those_of_other_films",
    ),
    "hands under other names": ("motions/test_smplx_npz.py::test_hands_under_other_names_are_hands",),
    "gender and rates": (
        "motions/test_smplx_npz.py::test_every_spelling_of_a_gender_is_that_gender",
        "motions/test_smplx_npz.py::test_rates_that_contradict_each_other_are_asked_about",
        "motions/test_smplx_npz.py::test_betas_in_rows_and_columns_are_the_same",
    ),
    "small performers": (
        "motions/test_bvh.py::test_children_are_told_in_every_unit",
        "motions/test_smplx_npz.py::test_soles_of_performers_of_every_stature_are_on_the_floor",
    ),
    "dialects of BVH": (
        "motions/test_bvh.py::test_a_few_rows_more_than_announced_are_left_out_with_a_note",
        "motions/test_bvh.py::test_rigs_with_prefixes_are_matched_whole",
        "motions/test_bvh.py::test_joints_may_be_called_like_keywords",
        "motions/test_bvh.py::test_lines_may_end_as_on_any_system",
    ),
    "what Hydra reads otherwise": (
        "cli/test_overrides.py::test_a_name_is_never_read_as_a_number_that_is_written_otherwise",
        "cli/test_overrides.py::test_a_path_that_hydra_cannot_read_is_answered_with_the_word_to_write",
    ),
    "remedies and tracebacks": (
        "datasets/test_lists.py::test_a_replacement_beside_the_training_films_takes_the_place_of_a_damaged_one",
        "training/test_loops.py",
    ),
    "a sweep that is stopped": (
        "cli/test_stopping.py::test_the_workers_of_a_sweep_end_with_it_and_so_does_what_they_started",
        "cli/test_stopping.py::test_a_stopped_sweep_goes_on_where_it_was",
    ),
}
"""The table of kinds, and the tests that make their inputs and fail where a kind is not mended."""
LAYOUTS = ("videofolder", "webdataset", "litdata")
_EXPORTS = "exports/test_exports.py::test_the_real_library_reads_what_was_rendered"
Figures = dict[str, float | None]


def passes(tests: Sequence[str]) -> bool:
    """Whether these tests exist, run and pass; one that is skipped has not run."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=_one_thread(), check=False)
    return done.returncode == 0 and " passed" in done.stdout and " skipped" not in done.stdout.splitlines()[-1]


def count_kinds() -> Figures:
    """How many kinds hold."""
    held = {kind: passes(tests) for kind, tests in KINDS.items()}
    for kind in (kind for kind, holds in held.items() if not holds):
        print(f"Not held: {kind}")
    return {"kinds": sum(held.values()), "kinds_all": len(held)}


def read_last_line(module: str, *words: str) -> dict[str, float]:
    """What another benchmark says."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *words]
    found = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=_one_thread(), check=True)
    print(found.stdout, end="", flush=True)
    return dict(json.loads(found.stdout.splitlines()[-1]))


def _one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Part:
    """What is measured by itself.

    Attributes:
        figures: Names of what it finds.
        measure: Measures it, given what was asked and a folder for what it keeps on the way.
        asked: Name of the option that says how much; empty if there is none.
    """

    figures: tuple[str, ...]
    measure: Callable[[str, Path], Figures]
    asked: str = ""


def _other(module: str, option: str, *names: str) -> Part:
    """A part that another benchmark measures; its option says how much."""

    def measure(asked: str, folder: Path) -> Figures:
        found = read_last_line(module, *([f"--{option}", asked] if option else []))
        return {name: found[name] for name in names}

    return Part(names, measure, option and f"{module}_{option}")


def _resumed(module: str, *names: str) -> Part:
    """A part that another benchmark measures with a log, and goes on with where it was stopped."""

    def measure(asked: str, folder: Path) -> Figures:
        found = read_last_line(module, "--count", asked, "--log", str(folder / f"{module}.jsonl"))
        return {name: found[name] for name in names}

    return Part(names, measure, f"{module}_count")


def _read_exports(asked: str, folder: Path) -> Figures:
    return {"exports_read_back": sum(passes([f"{_EXPORTS}[{name}]"]) for name in LAYOUTS)}


PARTS: Mapping[str, Part] = {
    "kinds": Part(("kinds", "kinds_all"), lambda asked, folder: count_kinds()),
    "kills": _resumed("kills", "kills", "lost", "torn"),
    "soak": _other("soak", "minutes", "soak_growth"),
    "mutations": _resumed("mutations", "mutated", "crashes"),
    "exports": Part(("exports_read_back",), _read_exports),
    "gallery": _other("gallery", "clips", "gallery_clips"),
    "ray": _other("machines", "clips", "ray_clips"),
    "gsplat": _other("gsplat_reference", "", "gsplat_reference_db"),
}


def measure_part(name: str, asked: str, folder: Path, *, again: bool = False) -> Figures:
    """What a part found as it is kept in the folder, or finds now."""
    kept = folder / f"{name}.json"
    if not again and kept.exists():
        found = json.loads(kept.read_text())
        if found["asked"] == asked:
            print(f"{name}: kept in {kept}")
            return dict(found["figures"])
    figures = PARTS[name].measure(asked, folder)
    write_atomic(kept, json.dumps({"asked": asked, "figures": figures}).encode())
    return figures


def merge_parts(folder: Path) -> Figures:
    """The figures of all parts that are kept in a folder; null for what is not."""
    figures: Figures = {figure: None for part in PARTS.values() for figure in part.figures}
    for name in PARTS:
        if (kept := folder / f"{name}.json").exists():
            figures |= json.loads(kept.read_text())["figures"]
    return figures


def main() -> None:
    """Run the parts and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, usual, what in (
        ("kills-count", "1000", "processes killed"),
        ("mutations-count", "10000", "damaged files of each reader"),
        ("soak-minutes", "120", "minutes of loading"),
        ("gallery-clips", "5000", "clips of a gallery"),
        ("machines-clips", "200", "clips that a cluster renders"),
    ):
        parser.add_argument(f"--{option}", default=usual, metavar="NUMBER", help=f"{what} ({usual})")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="only this part")
    parser.add_argument("--folder", type=Path, default=Path("runs/world"), help="keeps what was found (runs/world)")
    parser.add_argument("--again", action="store_true", help="measure again what the folder has")
    chosen = parser.parse_args()
    for name in chosen.part or PARTS:
        asked = getattr(chosen, PARTS[name].asked) if PARTS[name].asked else ""
        measure_part(name, asked, chosen.folder, again=chosen.again)
    print(json.dumps(merge_parts(chosen.folder)))


if __name__ == "__main__":
    main()
