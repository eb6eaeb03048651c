"""The training clips' own film with the acting people gone: what moves elsewhere in it still moves."""

import functools
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import cv2
import numpy as np
import torch
from jaxtyping import Bool, UInt8

from synthaug.backgrounds import Background, NoSceneError, Outline
from synthaug.backgrounds.picture.lighting import light_of
from synthaug.backgrounds.plate.extraction import Effort, Film, find_silhouettes
from synthaug.backgrounds.plate.filling import spread
from synthaug.backgrounds.plate.removal import Uncovered
from synthaug.backgrounds.plate.scenes import (
    VERSION,
    EmptyScene,
    EmptyScenes,
    choose_network,
    open_segmenter,
    sort_films,
)
from synthaug.backgrounds.plate.silhouettes import Segmenter
from synthaug.backgrounds.plates import read_picture
from synthaug.files import digest_of, read_npz, user_cache, write_atomic
from synthaug.progress import track
from synthaug.structures import Camera, Record, Reference, Scene, Values
from synthaug.video import clip_times, indices_at, probe, resize_frame
from synthaug.video.recent import RecentFilms

logger = logging.getLogger(__name__)

CONFIRMED = 0.35
"""Share of a performance's frames in which the network must see people where their motion has them: else a bystander or
a pillow would be taken out. People who lie and blurred ones are often missed."""
DARKEST = 0.12
"""Least factor on the colours of people in a dark film: there, film shows little more than outlines of people."""
MAX_LEVELLED = 24.0
"""Grey levels by which the empty scene is made lighter or darker at most to meet the frame around it."""


@dataclass(frozen=True, eq=False)
class EmptiedFilm:
    """One film of which the people can be taken out.

    Attributes:
        path: The film.
        scene: Its place without people.
        masks: The file that holds where its people are.
    """

    path: Path
    scene: EmptyScene
    masks: Path

    def confirms(self, span: tuple[float, float]) -> bool:
        """Whether the people are seen where their motion has them between these seconds, in enough of the frames."""
        first, last = indices_at(probe(self.path), span)
        masks = read_masks(self.masks)
        within = (masks.indices >= first) & (masks.indices <= last)
        return bool(within.any()) and float(masks.seen[within].mean()) >= CONFIRMED


@final
class EmptiedFilms(Background):
    """The film of a clip itself, at its own times, without the acting people, what they hold and their shadows.

    Pixels beside the people are the film's own, so that bystanders and curtains still move. Behind the people the empty
    scene of `Plates` is seen, levelled to the frame around it. The picture is flat: it fits the view of the camera that
    filmed it, which is the reference's own. Films whose camera moves, or whose people hide too much, are left out and
    counted in `refused`; so are performances in which nobody is seen where the motion has them. There is nothing to
    choose from until `prepare` is called.

    Args:
        cache: Folder that keeps empty scenes and silhouettes; None is `plates` in the user's cache.
        samples: Frames of each film in which the people's places are known, and as many others, for its empty scene.
        max_hole: Largest share of a picture that may be made up because no film uncovered it.
        max_shift: Largest motion of the camera, pixels at a width of 320.
        light: Whether new people take on the brightness and tint of the place: 0 not at all, 1 fully.
        silhouettes: What tells people from their surroundings: "mediapipe" (the extra `pose`), or "tubes", all within
            a hand's breadth of their bones; None is the first where it is installed.
    """

    def __init__(
        self,
        cache: str | Path | None = None,
        samples: int = 40,
        max_hole: float = 0.2,
        max_shift: float = 0.6,
        light: float = 0.8,
        silhouettes: str | None = None,
    ) -> None:
        if samples < 3 or not 0 <= max_hole < 1 or max_shift < 0 or not 0 <= light <= 1:
            raise ValueError(
                "Expected samples of at least 3, max_hole from 0 to below 1, max_shift of 0 or more and light in 0..1, "
                f"got samples={samples}, max_hole={max_hole}, max_shift={max_shift}, light={light}. "
                "Set them under synth.film."
            )
        self.cache = Path(cache).expanduser() if cache else user_cache() / "plates"
        self.samples = samples
        self.max_hole = max_hole
        self.max_shift = max_shift
        self.light = light
        self.silhouettes = choose_network(silhouettes)
        self.films: dict[str, EmptiedFilm] = {}
        self.refused: dict[str, str] = {}
        self._spans: dict[str, tuple[float, float]] = {}
        self._sources: tuple[str, ...] = ()
        self._fingerprint = f"emptied/{VERSION}/none"

    @property
    def fingerprint(self) -> str:
        """Changes with the films to choose from and with how they are shown."""
        return self._fingerprint

    @property
    def sources(self) -> tuple[str, ...]:
        """Keys of the records that are shown, and of those that uncover parts of their places."""
        return self._sources

    def sample(self, rng: np.random.Generator) -> Values:
        """A moment of a film, shown at 10 frames a second.

        Raises:
            ValueError: If `prepare` was not called.
        """
        if not self.films:
            raise ValueError(
                "Expected training films to choose from, got none. Call `prepare` with the training records and their "
                "references first."
            )
        keys = sorted(self.films)
        key = keys[int(rng.integers(len(keys)))]
        start, end = self._spans[key]
        at = round(float(rng.uniform(0, 0.99 * (end - start))), 4)
        return {"film": key, "start": start, "end": end, "at": at, "fps": 10.0}

    def show_film(self, key: str, span: tuple[float, float], *, at: float, fps: float) -> Values | None:
        """Values that show the film of a record without its people; None if that film was refused."""
        if key not in self.films or not self.films[key].confirms(span):
            return None
        return {"film": key, "start": round(span[0], 6), "end": round(span[1], 6), "at": at, "fps": fps}

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The emptied frames, cropped to the size of `camera` as filmed clips are.

        Raises:
            KeyError: If the recipe names a film that is not here.
        """
        film, size = self._find(values), (camera.height, camera.width)
        start, end, at, fps = (float(values[name]) for name in ("start", "end", "at", "fps"))  # type: ignore[arg-type]
        times, _ = clip_times(start, end, offset=at, fps=fps, num_frames=len(camera.viewmats))
        info = probe(film.path)
        indices = indices_at(info, times)
        frames = _FILMS.read(film.path, indices, info=info, size=size)
        masks = read_masks(film.masks)
        plate = _read_small(film.scene.picture, size)
        empty = [
            take_out(frame, masks.at(index), plate)
            for frame, index in zip(frames.permute(0, 2, 3, 1).numpy(), indices, strict=True)
        ]
        return Scene(
            frames=torch.from_numpy(np.ascontiguousarray(np.stack(empty).transpose(0, 3, 1, 2))),
            spot=(0.0, 0.0, 0.0),
            light=None if self.light == 0 else light_of(film.scene.level, self.light, darkest=DARKEST),
            filmed="moving",
        )

    def outline(self, values: Values, camera: Camera) -> Outline:
        """Nothing of a flat picture decides where people stand; errors as for `scene`."""
        self._find(values)
        return Outline(spot=(0.0, 0.0, 0.0))

    def _find(self, values: Values) -> EmptiedFilm:
        key = str(values["film"])
        if key not in self.films:
            raise KeyError(
                f"Expected a recipe with one of these {len(self.films)} films "
                f"({', '.join(sorted(self.films)[:3])}, ...), got '{key}'. Replay recipes with the data set and "
                "protocol that they were made with."
            )
        return self.films[key]

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> Background:
        """The same, with the people of these films found, where the cache lacks them.

        Raises:
            NoSceneError: If no film can be emptied; the message says why.
        """
        found = EmptiedFilms(self.cache, self.samples, self.max_hole, self.max_shift, self.light, self.silhouettes)
        files = sort_films(films)
        effort = Effort(self.samples, self.max_shift, self.silhouettes)
        scenes = EmptyScenes(files, self.cache, effort, max_hole=self.max_hole).find()
        ready = {path: scene for path, scene in scenes.items() if isinstance(scene, EmptyScene)}
        masks = _find_masks(files, ready, self.cache, self.silhouettes)
        shown: list[str] = []
        for path, scene in scenes.items():
            for record, reference in files[path]:
                if isinstance(scene, str):
                    found.refused[record.key] = scene
                    continue
                film = EmptiedFilm(path, scene, masks[path])
                spans = [_span(record, one) for one in (reference, *reference.others)]
                seen = [span for span in spans if film.confirms(span)]
                if len(seen) < len(spans):
                    found.refused[record.key] = _explain_unseen(len(spans) - len(seen), len(spans))
                if seen:
                    found.films[record.key] = film
                    found._spans[record.key] = seen[0]
                    shown += [record.key, *scene.lenders]
        if not found.films:
            reasons = next(iter(found.refused.values()), "there is no film.")
            raise NoSceneError(
                f"Expected training films from a tripod, to take their people out, got none that allows it of "
                f"{len(files)} (the first: {reasons}) Set synth.swap=0, or raise synth.film.max_hole or "
                "synth.film.max_shift."
            )
        if found.refused:
            key, reason = next(iter(found.refused.items()))
            logger.warning(
                "%d of %d clips cannot be emptied of people, wholly or in part; places of synth.background stand in. "
                "The first, %s: %s",
                len(found.refused),
                len(films),
                key,
                reason,
            )
        found._sources = tuple(dict.fromkeys(shown))
        stems = (f"{key}:{film.masks.stem}" for key, film in sorted(found.films.items()))
        found._fingerprint = f"emptied/{VERSION}/{self.light}/{digest_of(*stems)}"
        return found


def _span(record: Record, reference: Reference) -> tuple[float, float]:
    """Seconds of the file in which a performance is seen."""
    start = record.start + reference.notes.get("offset", 0.0)
    return start, start + reference.motion.duration


def _explain_unseen(count: int, total: int) -> str:
    return (
        f"Nobody is seen where the motion is, in {count} of {total} performances: expected people there in "
        f"{100 * CONFIRMED:.0f} % of the frames. Look at the motions with `synthaug preview`, or raise "
        "synth.min_quality."
    )


def take_out(
    frame: UInt8[np.ndarray, "height width 3"],
    mask: Bool[np.ndarray, "tall wide"] | None,
    plate: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "height width 3"]:
    """A frame with the empty scene in place of the masked people; all else is the frame's own.

    The border is softened outwards, over about two pixels. The scene is levelled to meet the frame there, since
    exposures vary and shadows reach farther than they can be told.

    Args:
        frame: One frame of film.
        mask: Where people are, in the whole picture, of any size; None where nobody is.
        plate: The scene without people.
    """
    size = (frame.shape[0], frame.shape[1])
    if mask is None or not mask.any():
        return frame
    white = np.where(mask, np.uint8(255), np.uint8(0))
    covered = resize_frame(cv2.merge([white, white, white]), size)[..., 0] > 5
    if not covered.any():
        return frame
    soft = cv2.dilate(covered.astype(np.float32), np.ones((3, 3), np.uint8))
    soft = np.maximum(cv2.GaussianBlur(soft, (0, 0), 0.8), covered)
    soft[soft < 0.02] = 0
    off = frame.astype(np.float32) - plate
    level = np.clip(spread(cv2.GaussianBlur(off, (0, 0), 1.5) * (soft == 0)[..., None], soft > 0), *_LEVELS)
    share = soft[..., None]
    mixed = frame * (1 - share) + np.clip(plate + level, 0, 255) * share
    return np.where(share > 0, mixed + 0.5, frame).clip(0, 255).astype(np.uint8)


_FILMS = RecentFilms(limit_mb=256.0)
_MAX_MASK_BYTES = 2**31
_LEVELS = (-MAX_LEVELLED, MAX_LEVELLED)


@dataclass(frozen=True, eq=False)
class Masks:
    """Where the people of a film are, in some of its frames.

    Attributes:
        indices: Frames of the file, ascending.
        bits: The masks, eight pixels in a byte.
        size: Height and width of the masks.
        seen: Whether people were seen where their motion has them.
    """

    indices: np.ndarray
    bits: np.ndarray
    size: tuple[int, int]
    seen: np.ndarray

    def at(self, index: int) -> Bool[np.ndarray, "height width"] | None:
        """The mask of the nearest of these frames."""
        place = int(np.abs(self.indices - index).argmin())
        flat = np.unpackbits(self.bits[place], count=self.size[0] * self.size[1])
        return flat.reshape(self.size).astype(np.bool_)


@functools.lru_cache(maxsize=512)
def _read_small(path: Path, size: tuple[int, int]) -> UInt8[np.ndarray, "height width 3"]:
    """An empty scene at the size of clips; not to be changed."""
    small = np.array(resize_frame(read_picture(path), size))
    small.setflags(write=False)
    return small


@functools.lru_cache(maxsize=128)
def read_masks(path: Path) -> Masks:
    """The masks that `prepare` wrote.

    Raises:
        FileNotFoundError: If the file is gone.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"Expected the silhouettes {str(path)!r}, which were there when the run began, got no file. Leave the "
            "cache alone while a run uses it; start again, and they are found again."
        )
    try:
        kept = read_npz(path, most=_MAX_MASK_BYTES)
        height, width = (int(side) for side in kept["size"])
        return Masks(kept["indices"], kept["bits"], (height, width), kept["seen"])
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"Expected {str(path)!r} to hold the silhouettes of a film, got a damaged file ({error}). Delete it, and "
            "they are found again."
        ) from error


def _find_masks(
    files: Mapping[Path, Film], scenes: Mapping[Path, EmptyScene], cache: Path, silhouettes: str
) -> dict[Path, Path]:
    """The file of each film's masks, written where the cache lacks it."""
    found = {}
    with open_segmenter(silhouettes) as segmenter:
        for path, scene in track(scenes.items(), "Finding silhouettes", len(scenes)):
            name = digest_of("silhouettes", str(VERSION), silhouettes, scene.name)
            found[path] = cache / name[:2] / f"{name}.npz"
            if not found[path].exists():
                write_atomic(found[path], _make_masks(path, files[path], scene, segmenter))
    return found


def _make_masks(path: Path, film: Film, scene: EmptyScene, segmenter: Segmenter | None) -> bytes:
    picture = read_picture(scene.picture)
    known = Uncovered(picture, np.zeros(picture.shape[:2], np.bool_), 0.0)
    found = find_silhouettes(path, film, probe(path), known, segmenter)
    content = io.BytesIO()
    bits = np.packbits(found.masks.reshape(len(found.masks), -1), axis=1)
    size = np.array(found.masks.shape[1:])
    np.savez_compressed(content, indices=found.indices, bits=bits, size=size, seen=found.seen)
    return content.getvalue()
