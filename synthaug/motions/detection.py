"""What kind of recording a file is, told from the file: which motion source would read it.

For the command line. Kinds are names of the options in conf/synth/motion.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path

from synthaug.motions.files.recordings import FlawError, read_json, reading
from synthaug.structures import Plain
from synthaug.video import SUFFIXES

KINDS: dict[str, str] = {
    "smplx_npz": "an npz with poses and transl, as AMASS and smplx write them",
    "sidecar": "an npz that synthaug wrote",
    "exavatar": "a directory with smplx_optimized/smplx_params_smoothed",
    "lhm": "a directory with smplx_params, whose files have betas and focal",
    "ntu_skeleton": "a text that ends in .skeleton",
    "toyota_skeleton": "a JSON with njts and frames",
    "bvh": "a text that begins with HIERARCHY",
    "coco_wholebody": "a JSON with 133 keypoints for each person and frame, or a folder of such",
    "video": f"a film ({', '.join(SUFFIXES[:4])}, ...)",
}
"""How each kind is recognised."""
_BESIDE = {".npz": "sidecar", ".skeleton": "ntu_skeleton", "_pose3d.json": "toyota_skeleton", ".bvh": "bvh"}
"""What lies beside a film and may be meant by it."""


def recognised(path: Path) -> str:
    """The kind of a file or folder.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is of no kind, or of several; the kinds are listed.
    """
    with reading(path):
        kinds = _kinds(path)
    if len(kinds) == 1:
        return kinds[0]
    listed = "; ".join(f"{kind} ({looks})" for kind, looks in KINDS.items() if not kinds or kind in kinds)
    was = "like none of the kinds that are known" if not kinds else f"like {' and '.join(kinds)}"
    raise ValueError(f"'{path}' looks {was}. One of these was wanted: {listed}. Say which with --kind.")


def _kinds(path: Path) -> list[str]:
    if path.is_dir():
        return _of_folder(path)
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        stem = path.stem.removesuffix("_rgb")
        return ["video", *(kind for ending, kind in _BESIDE.items() if (path.parent / f"{stem}{ending}").exists())]
    by_suffix: dict[str, Callable[[Path], list[str]]] = {
        ".npz": _of_npz, ".json": lambda p: _of_json(read_json(p)), ".skeleton": lambda _: ["ntu_skeleton"],
        ".bvh": lambda _: ["bvh"],
    }  # fmt: skip
    return by_suffix[suffix](path) if suffix in by_suffix else _of_text(path)


def _of_folder(path: Path) -> list[str]:
    kinds = []
    smoothed = path / "smplx_optimized" / "smplx_params_smoothed"
    if smoothed.is_dir():
        kinds.append("exavatar")
    if (path / "smplx_params").is_dir():
        kinds.append("lhm")
    if (path / "keypoints_whole_body").is_dir() and not kinds:
        kinds.append("coco_wholebody")
    numbered = sorted(file for file in path.glob("*.json") if file.stem.isdigit())
    if kinds or not numbered:
        return kinds
    first = read_json(numbered[0])
    if isinstance(first, dict) and "root_pose" in first:
        return ["lhm" if "betas" in first and "focal" in first else "exavatar"]
    return ["coco_wholebody"]


def _of_npz(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise FlawError("it is no npz; a zip of arrays was wanted") from error
    if {"about", "viewmats", "Ks"} <= names:
        return ["sidecar"]
    return ["smplx_npz"] if names & {"poses", "body_pose", "pose_body"} else []


def _of_json(document: Plain) -> list[str]:
    if isinstance(document, dict):
        if "njts" in document:
            return ["toyota_skeleton"]
        return ["coco_wholebody"] if document.keys() & {"instance_info", "people", "instances"} else []
    return ["coco_wholebody"] if isinstance(document, list) else []


def _of_text(path: Path) -> list[str]:
    with path.open("rb") as file:
        head = file.read(64).lstrip()
    if head.startswith(b"HIERARCHY"):
        return ["bvh"]
    return ["ntu_skeleton"] if head.split(b"\n")[0].strip().isdigit() else []
