"""Filmed places without the people in them, extracted from the training clips themselves."""

import functools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.backgrounds import Background, NoSceneError, Outline
from synthaug.backgrounds.picture.lighting import light_of
from synthaug.backgrounds.plate.extraction import Effort, Film
from synthaug.backgrounds.plate.scenes import VERSION, EmptyScene, EmptyScenes, choose_network, sort_films
from synthaug.body.grounding import TOLERANCE, floor_offsets, stature
from synthaug.body.skeleton import mean_skeleton
from synthaug.cameras import find_shift
from synthaug.files import digest_of, user_cache
from synthaug.structures import Camera, Motion, Record, Reference, Scene, Values

logger = logging.getLogger(__name__)

BESIDE = 0.5
"""Metres around the spot within which the filmed person's contacts show the floor."""
CHEST_HEIGHT = 0.9
"""Height in metres of the point that a crop keeps in the middle, as far as the plate reaches."""


@dataclass(frozen=True, eq=False)
class Plate:
    """One empty scene on disk.

    Attributes:
        picture: The file that holds it.
        camera: The camera that filmed it; one frame, the picture's size.
        spot: Where the filmed person stood, on the floor.
        level: Mean colour, sRGB 0..1.
        filled: Share of the picture that no film uncovered, and which was made up.
    """

    picture: Path
    camera: Camera
    spot: tuple[float, float, float]
    level: tuple[float, float, float]
    filled: float = 0.0


@final
class Plates(Background):
    """Empty scenes of the training clips, with the cameras that filmed them.

    The person is put where the filmed one stood. Records cut from one file share one plate, made of their intervals
    alone: what else the file shows may be held out. Films whose camera moves, or that never show what is behind the
    person, are left out and counted in `refused`. There is nothing to choose from until `prepare` is called.

    Args:
        cache: Folder that keeps plates; None is `plates` in the user's cache.
        samples: Frames of each file in which the person's place is known, and as many others of its intervals.
        max_hole: Largest share of a picture that may be made up because no film uncovered it.
        max_shift: Largest motion of the camera, pixels at a width of 320.
        silhouettes: What tells people from their surroundings: "mediapipe" (the extra `pose`), or "tubes", all within
            a hand's breadth of their bones; None is the first where it is installed.
        light: Whether people take on the brightness and tint of the plate: 0 not at all, 1 fully.
    """

    def __init__(
        self,
        cache: str | Path | None = None,
        samples: int = 40,
        max_hole: float = 0.2,
        max_shift: float = 0.6,
        light: float = 0.5,
        silhouettes: str | None = None,
    ) -> None:
        if samples < 3 or not 0 <= max_hole < 1 or max_shift < 0 or not 0 <= light <= 1:
            raise ValueError(
                "Expected samples of at least 3, max_hole from 0 to below 1, max_shift of 0 or more and light in 0..1, "
                f"got samples={samples}, max_hole={max_hole}, max_shift={max_shift}, light={light}. "
                "Set them under synth.background."
            )
        self.cache = Path(cache).expanduser() if cache else user_cache() / "plates"
        self.samples = samples
        self.max_hole = max_hole
        self.max_shift = max_shift
        self.light = light
        self.silhouettes = choose_network(silhouettes)
        self.plates: dict[str, Plate] = {}
        self.refused: dict[str, str] = {}
        self._sources: tuple[str, ...] = ()
        self._fingerprint = f"plates/{VERSION}/none"

    @property
    def fingerprint(self) -> str:
        """Changes with the plates to choose from and with how they are shown."""
        return self._fingerprint

    @property
    def sources(self) -> tuple[str, ...]:
        """Keys of the records that the plates were extracted from."""
        return self._sources

    def sample(self, rng: np.random.Generator) -> Values:
        """A plate, by the key of the record that it was extracted from.

        Raises:
            ValueError: If `prepare` was not called.
        """
        if not self.plates:
            raise ValueError(
                "Expected plates of training clips to choose from, got none. "
                "Call `prepare` with the training records and their references first."
            )
        keys = sorted(self.plates)
        return {"plate": keys[int(rng.integers(len(keys)))]}

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The empty scene and the camera that filmed it, both cropped to the size of `camera`.

        Raises:
            KeyError: If the recipe names a plate that is not here.
        """
        plate, count = self._find(values), len(camera.viewmats)
        view, picture = frame_plate(plate, camera.height, camera.width, window=_window_of(values))
        frame = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
        return Scene(
            frames=frame[None].repeat(count, 1, 1, 1),
            camera=_hold(view, count),
            spot=plate.spot,
            light=None if self.light == 0 else light_of(plate.level, self.light),
            filmed="still",
        )

    def outline(self, values: Values, camera: Camera) -> Outline:
        """Camera and spot of the sampled plate, without its picture; errors as for `scene`."""
        plate = self._find(values)
        view, _ = crop_camera(plate, camera.height, camera.width, window=_window_of(values))
        return Outline(_hold(view, len(camera.viewmats)), plate.spot)

    def frame(self, values: Values, camera: Camera, points: Float[Tensor, "point 3"]) -> Values:
        """The plate with its crop moved as little as shows these points; unchanged if all are in the picture."""
        plate = self._find(values)
        view, window = crop_camera(plate, camera.height, camera.width)
        seen = points.to(view.viewmats) @ view.viewmats[0, :3, :3].mT + view.viewmats[0, :3, 3]
        if not bool((seen[:, 2] > 0).all()):
            return values  # Behind the camera: no crop shows it.
        pixels = (seen @ view.Ks[0].mT)[:, :2] / seen[:, 2:]
        size = (camera.width, camera.height)
        moved = [
            place + find_shift(float(along.min()), float(along.max()), side)
            for place, along, side in zip(window, pixels.unbind(-1), size, strict=True)
        ]
        if moved == list(window):
            return values
        return {**values, "window": [round(place) for place in moved]}

    def _find(self, values: Values) -> Plate:
        key = str(values["plate"])
        if key not in self.plates:
            raise KeyError(
                f"Expected a recipe with one of these {len(self.plates)} plates "
                f"({', '.join(sorted(self.plates)[:3])}, ...), got '{key}'. Replay recipes with the data set and "
                "protocol that they were made with."
            )
        return self.plates[key]

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> Background:
        """The plates of these films, extracted where the cache lacks them.

        Raises:
            NoSceneError: If no film gives one; the message counts why.
        """
        found = Plates(self.cache, self.samples, self.max_hole, self.max_shift, self.light, self.silhouettes)
        files = sort_films(films)
        shown: list[str] = []
        effort = Effort(self.samples, self.max_shift, self.silhouettes)
        for path, scene in EmptyScenes(files, self.cache, effort, max_hole=self.max_hole).find().items():
            key = files[path][0][0].key
            if isinstance(scene, str):
                found.refused[key] = scene
            else:
                found.plates[key] = _set_up(scene, files[path])
                shown += [*(record.key for record, _ in files[path]), *scene.lenders]
        found._sources = tuple(dict.fromkeys(shown))
        if not found.plates:
            reasons = next(iter(found.refused.values()), "there is no film.")
            raise NoSceneError(
                "Expected training films from a tripod in which people move about, got no plate from any of "
                f"{len(files)} (the first: {reasons}) Choose synth/background=rooms, or raise max_hole or max_shift "
                "(synth.background.max_hole, in mixtures synth.background.parts.plates.max_hole)."
            )
        if found.refused:
            key, reason = next(iter(found.refused.items()))
            logger.warning(
                "%d of %d films give no plate. The first, %s: %s", len(found.refused), len(files), key, reason
            )
        stems = (f"{key}:{plate.picture.stem}" for key, plate in sorted(found.plates.items()))
        found._fingerprint = f"plates/{VERSION}/{self.light}/{digest_of(*stems)}"
        return found


def _set_up(scene: EmptyScene, film: Film) -> Plate:
    """The plate of an empty scene: with the camera that filmed it, and the spot where people stood."""
    reference = _choose_reference(film)
    camera = reference.camera.scaled(height=scene.size[0], width=scene.size[1])
    place = reference.motion.transl.median(dim=0).values
    viewmat = camera.viewmats[:1] @ _raise_floor(reference.motion, place)
    view = Camera(viewmat, camera.Ks[:1], camera.width, camera.height)
    return Plate(scene.picture, view, (float(place[0]), 0.0, float(place[2])), scene.level, scene.filled)


def _choose_reference(film: Film) -> Reference:
    """The reference with the best grade, the longest of equals: its camera and floor serve the whole file."""
    return max(
        (ref for _, ref in film), key=lambda ref: (1.0 if ref.quality is None else ref.quality, ref.motion.num_frames)
    )


def _raise_floor(motion: Motion, place: Float[Tensor, "3"]) -> Float[Tensor, "4 4"]:
    """To the world of a motion out of one whose floor is where the filmed person's contacts are around a place.

    The identity where they are on the floor already: what a source took for the floor stays it.
    """
    offsets = floor_offsets(motion, mean_skeleton())
    beside = (motion.transl - place)[:, [0, 2]].norm(dim=-1) < BESIDE
    height = float(offsets[beside].median()) if bool(beside.any()) else 0.0
    T = torch.eye(4, dtype=motion.transl.dtype)
    if abs(height) > TOLERANCE * stature(mean_skeleton()):
        T[1, 3] = height
    return T


@functools.lru_cache(maxsize=16)
def read_picture(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """An empty scene on disk, sRGB.

    Raises:
        FileNotFoundError: If it is gone.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(
            f"Expected the plate {str(path)!r}, which was there when the run began, got a missing or broken file. "
            "Leave the cache alone while a run uses it; start again, and it is extracted again."
        )
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def frame_plate(
    plate: Plate, height: int, width: int, *, window: tuple[int, int] | None = None
) -> tuple[Camera, UInt8[np.ndarray, "height width 3"]]:
    """A plate and its camera cropped to a size: the largest crop of that aspect, around the spot where people stand.

    The centre crop of `Camera.scaled` would cut off a person who stands at the side of a wide picture.

    Args:
        plate: The plate.
        height: Of the frame.
        width: Of the frame.
        window: Left and top of the crop in the scaled picture, as far as that reaches; None is around the spot.
    """
    picture = read_picture(plate.picture)
    tall, wide = _scaled_size(plate.camera, height, width)
    taps = cv2.INTER_AREA if wide < plate.camera.width else cv2.INTER_LINEAR
    whole = cv2.resize(picture, (wide, tall), interpolation=taps)
    camera, (left, top) = crop_camera(plate, height, width, window=window)
    return camera, whole[top : top + height, left : left + width]


def crop_camera(
    plate: Plate, height: int, width: int, *, window: tuple[int, int] | None = None
) -> tuple[Camera, tuple[int, int]]:
    """The camera of a plate's crop, and the crop's left and top; arguments as for `frame_plate`."""
    camera = plate.camera
    tall, wide = _scaled_size(camera, height, width)
    if window is None:
        chest = torch.tensor([plate.spot[0], CHEST_HEIGHT, plate.spot[2]]).to(camera.viewmats)
        seen = camera.viewmats[0, :3, :3] @ chest + camera.viewmats[0, :3, 3]
        u, v = ((camera.Ks[0] @ seen)[:2] / seen[2].clamp(min=1e-3)).tolist()
        wanted = (u * wide / camera.width - width / 2, v * tall / camera.height - height / 2)
    else:
        wanted = (float(window[0]), float(window[1]))
    left = round(min(max(wanted[0], 0), wide - width))
    top = round(min(max(wanted[1], 0), tall - height))
    Ks = camera.Ks.clone()
    Ks[:, 0] *= wide / camera.width
    Ks[:, 1] *= tall / camera.height
    Ks[:, 0, 2] -= left
    Ks[:, 1, 2] -= top
    return Camera(camera.viewmats, Ks, width, height), (left, top)


def _scaled_size(camera: Camera, height: int, width: int) -> tuple[int, int]:
    """Height and width of a plate's picture that is just large enough for a crop of this size."""
    scale = max(height / camera.height, width / camera.width)
    return max(round(camera.height * scale), height), max(round(camera.width * scale), width)


def _hold(view: Camera, count: int) -> Camera:
    """A view of one frame as a camera that stands still for `count` frames."""
    return Camera(view.viewmats.repeat(count, 1, 1), view.Ks.repeat(count, 1, 1), view.width, view.height)


def _window_of(values: Values) -> tuple[int, int] | None:
    window = values.get("window")
    if window is None:
        return None
    assert isinstance(window, list)
    left, top = window
    return int(left), int(top)
