"""Empty scenes of films, kept on disk: what a film uncovers, completed from others of its camera, then filled."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from synthaug.backgrounds.plate.extraction import MAX_SIDE, Effort, Film, performances, uncover
from synthaug.backgrounds.plate.pooling import MAX_DONORS, Thumbnail, choose_donors, pool
from synthaug.backgrounds.plate.removal import PlateError, Uncovered, close_hole
from synthaug.backgrounds.plate.silhouettes import MediapipeSegmenter, Segmenter, has_network
from synthaug.files import digest_of, first_state, motion_digest, write_atomic
from synthaug.progress import track
from synthaug.structures import Record, Reference
from synthaug.video import VideoError, picture_notes, probe

VERSION = 9
"""Raise when the same film would give another plate."""
NETWORKS = ("mediapipe", "tubes")
"""What finds silhouettes: the network, or nothing beside tubes around the bones."""
MAX_LOOKED = 64
"""Films of one camera that each film is compared with."""


@dataclass(frozen=True, eq=False)
class EmptyScene:
    """The place of one film without its people, on disk.

    Attributes:
        name: Digest of all that it depends on.
        picture: The file that holds it.
        size: Its height and width.
        level: Mean colour, sRGB 0..1.
        filled: Share of the picture that no film uncovered, and which was made up.
        lenders: Keys of the records of other films that it shows parts of.
    """

    name: str
    picture: Path
    size: tuple[int, int]
    level: tuple[float, float, float]
    filled: float
    lenders: tuple[str, ...]


def choose_network(silhouettes: str | None) -> str:
    """What finds silhouettes, where None is the network if it is installed.

    Raises:
        ValueError: If it is neither of `NETWORKS`.
    """
    if silhouettes is None:
        return "mediapipe" if has_network() else "tubes"
    if silhouettes not in NETWORKS:
        raise ValueError(f"Expected silhouettes to be null or one of {NETWORKS}, got {silhouettes!r}. Choose one.")
    return silhouettes


def open_segmenter(silhouettes: str) -> AbstractContextManager[Segmenter | None]:
    """The network of this name, which is loaded when it is first used; None for tubes."""
    return nullcontext() if silhouettes == "tubes" else MediapipeSegmenter()


def sort_films(films: Sequence[tuple[Record, Reference]]) -> dict[Path, list[tuple[Record, Reference]]]:
    """The records of each file, in order of their keys."""
    files: dict[Path, list[tuple[Record, Reference]]] = {}
    for record, reference in sorted(films, key=lambda film: film[0].key):
        files.setdefault(record.path, []).append((record, reference))
    return files


class EmptyScenes:
    """The empty scenes of a set of films.

    Args:
        files: Records and motions of each file: training film, and no other.
        cache: Folder that keeps scenes.
        effort: How films are looked at.
        max_hole: Largest share of a picture that may be made up.
    """

    def __init__(self, files: Mapping[Path, Film], cache: Path, effort: Effort, *, max_hole: float) -> None:
        self.files = files
        self.cache = cache
        self.effort = effort
        self.max_hole = max_hole
        self._names = {path: _name(path, film, effort, cache) for path, film in files.items()}

    def find(self) -> dict[Path, EmptyScene | str]:
        """The empty scene of each file, or why there is none; made where the cache lacks it."""
        with open_segmenter(self.effort.silhouettes) as segmenter:
            for path in track(self.files, "Looking behind people"):
                if _read_note(self._note(self._names[path])) is None:
                    self._look(path, segmenter)
        notes = {path: self._read(path) for path in self.files}
        thumbnails = {path: Thumbnail.of(self._load(path)) for path, note in notes.items() if "refused" not in note}
        return {
            path: self._complete(path, thumbnails) if path in thumbnails else str(notes[path]["refused"])
            for path in track(self.files, "Completing plates")
        }

    def _look(self, path: Path, segmenter: Segmenter | None) -> None:
        """Write what a film uncovers, or why it does not; the note is written last."""
        note = self._note(self._names[path])
        try:
            scene = uncover(path, self.files[path], probe(path), self.effort, segmenter)
        except (PlateError, VideoError) as error:
            write_atomic(note, json.dumps({"refused": str(error)}).encode())
            return
        known = np.where(scene.hole, 0, 255).astype(np.uint8)
        _write_picture(note, np.dstack([scene.picture, known]), {"shift": scene.shift})

    def _complete(self, path: Path, thumbnails: Mapping[Path, Thumbnail]) -> EmptyScene | str:
        """The scene of a film, completed from films of the same camera and then out of itself."""
        others = self._choose_others(path, thumbnails)
        name = digest_of("whole", repr(self.max_hole), self._names[path], *(self._names[other] for other in others))
        note = self._note(name)
        about = _read_note(note)
        if about is None:
            donors = [others[k] for k in choose_donors(thumbnails[path], [thumbnails[other] for other in others])]
            scene, used = pool(self._load(path), (self._load(other) for other in donors[: 2 * MAX_DONORS]))
            lenders = [record.key for k in used for record, _ in self.files[donors[k]]]
            try:
                picture = close_hole(scene, max_hole=self.max_hole)
            except PlateError as error:
                write_atomic(note, json.dumps({"refused": str(error)}).encode())
                return str(error)
            level = (picture.reshape(-1, 3).mean(0) / 255).tolist()
            _write_picture(note, picture, {"level": level, "filled": float(scene.hole.mean()), "lenders": lenders})
            about = _read_note(note)
            assert about is not None, "a note that was just written can be read"
        if "refused" in about:
            return str(about["refused"])
        lent = tuple(str(key) for key in about["lenders"])
        filled, size = float(about["filled"]), thumbnails[path].size
        return EmptyScene(name, note.with_suffix(".png"), size, tuple(about["level"]), filled, lent)

    def _choose_others(self, path: Path, thumbnails: Mapping[Path, Thumbnail]) -> list[Path]:
        """Films that may be of the same camera: those that name it or, of an unnamed camera, all that name none."""
        own = thumbnails[path]
        if float(own.share.min()) >= 1:
            return []
        camera = self.files[path][0][0].camera
        found = [
            other
            for other, thumbnail in thumbnails.items()
            if other != path and self.files[other][0][0].camera == camera and thumbnail.size == own.size
        ]
        places = np.unique(np.linspace(0, len(found) - 1, min(MAX_LOOKED, len(found))).round().astype(int))
        return [found[k] for k in places]

    def _load(self, path: Path) -> Uncovered:
        picture = cv2.imread(str(self._note(self._names[path]).with_suffix(".png")), cv2.IMREAD_UNCHANGED)
        assert picture is not None and picture.shape[2] == 4, "its digest was right a moment ago"
        shift = float(self._read(path)["shift"])
        return Uncovered(np.ascontiguousarray(picture[..., 2::-1]), picture[..., 3] == 0, shift)

    def _read(self, path: Path) -> dict[str, Any]:
        about = _read_note(self._note(self._names[path]))
        assert about is not None, "a note that was just written can be read"
        return about

    def _note(self, name: str) -> Path:
        return self.cache / name[:2] / f"{name}.json"


def _name(path: Path, film: Film, effort: Effort, cache: Path) -> str:
    """Names what a file uncovers: by its state, the intervals and motions in it, and how it is looked at."""
    settings = repr((VERSION, effort, MAX_SIDE))
    seen = [
        digest_of(*map(motion_digest, one.people), one.camera.viewmats, one.camera.Ks) for _, one in performances(film)
    ]
    times = repr([(record.start, record.end) for record, _ in film])
    mark = f"{first_state(path, cache / 'states')}{picture_notes(path)}" if path.exists() else ""
    return digest_of(path.name, mark, settings, times, *seen)


def _read_note(note: Path) -> dict[str, Any] | None:
    """What a note says; None where there is none, or where its picture is not what was written."""
    try:
        about = json.loads(note.read_text())
        if "refused" not in about and digest_of(note.with_suffix(".png").read_bytes()) != about["digest"]:
            return None
        return dict(about)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_picture(note: Path, picture: UInt8[np.ndarray, "height width channel"], about: dict[str, Any]) -> None:
    """Write a picture, and then its note."""
    channels = [2, 1, 0, 3][: picture.shape[2]]
    done, png = cv2.imencode(".png", picture[..., channels])
    assert done, "OpenCV encodes any uint8 picture"
    content = png.tobytes()
    write_atomic(note.with_suffix(".png"), content)
    write_atomic(note, json.dumps({**about, "digest": digest_of(content)}, sort_keys=True).encode())
