"""Pictures from a folder: cropped at random or, with depth beside them or straight lines, places with a floor."""

import hashlib
import logging
import operator
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import final

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from synthaug.backgrounds import Background, Outline
from synthaug.backgrounds.picture.captions import Caption, describe, read_captions
from synthaug.backgrounds.picture.depths import find_depth, is_depth
from synthaug.backgrounds.picture.grounds import VERSION, Ground, camera_of
from synthaug.backgrounds.picture.lighting import light_of
from synthaug.backgrounds.picture.standing import (
    Look,
    Shot,
    StandingPicture,
    choose_view,
    look_at,
    move_view,
    read_standing,
    shoot,
)
from synthaug.files import walk_files
from synthaug.progress import track
from synthaug.structures import Camera, Record, Reference, Scene, Values
from synthaug.video import decode_still, is_still

logger = logging.getLogger(__name__)

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""File endings of pictures, in either case."""
DEPTHS = ("auto", "metric", "relative", "none")
"""What depth maps may be said to hold."""
FEW = 100
"""Pictures without depth whose straight lines are looked at before training, to say how many of them have a floor."""
_PLACE = operator.itemgetter("zoom", "x", "y")
KEPT_BYTES = 16 * 2**20
"""Memory for decoded pictures in each process: about a hundred at 112 px."""


@final
class Images(Background):
    """Pictures from a folder and the folders in it, linked ones too, never stretched. Transparent parts are white.

    A picture with a depth map beside it (`x.depth.png` or `x.depth.npy` for `x.jpg`) is a place: its floor, the
    camera's height, pitch and roll are found in the depth, people stand on free floor in true size, hidden by what is
    nearer. With `lines`, pictures without depth are places too where their straight lines say how the camera is pitched
    and rolled: people stand in the lower part of the picture, upright in its perspective and with a shadow, as tall as
    a camera at 1.5 m sees them, and in front of all that it shows. What shows no floor is shown flat, like pictures
    without depth otherwise: cropped at random, behind a person who stays where the reference's camera saw them.
    `refused` says why.

    Every file is opened once at construction; what cannot be read is left out and counted in `quarantine`.
    A table `captions.csv` in the folder may say for each file what it shows, how wide it is, and what its depth map
    holds, see `picture.captions`.

    Args:
        root: The folder.
        zoom: Largest magnification beyond the crop that just fills the frame.
        depth: What depth maps hold: "metric" (16-bit PNG in millimetres, or .npy in metres), "relative" (inverse depth
            of unknown scale and shift; sizes are then known to an eighth); "auto" recognises each; "none" leaves them
            unread.
        fov_deg: Degrees that the longer side of a picture is wide, where neither table nor camera say.
        free: Metres around a spot in which nothing stands.
        lines: Whether the floor of pictures without depth is looked for in their straight lines.
        light: Whether people in pictures with a floor take on their brightness and tint: 0 not at all, 1 fully.
    """

    def __init__(
        self,
        root: str | Path,
        zoom: float | int = 1.5,
        depth: str = "auto",
        fov_deg: float | int = 60,
        free: float | int = 0.5,
        lines: bool = False,
        light: float | int = 0.5,
    ) -> None:
        if zoom < 1:
            raise ValueError(f"Expected zoom to be 1 or more, got {zoom}. zoom=1 shows as much of a picture as fits.")
        if depth not in DEPTHS:
            raise ValueError(f"Expected depth to be one of {DEPTHS}, got {depth!r}. Set synth.background.depth.")
        if not 10 <= fov_deg <= 150 or not 0.1 <= free <= 3 or not 0 <= light <= 1:
            raise ValueError(
                "Expected fov_deg from 10 to 150, free from 0.1 to 3 metres and light in 0..1, got "
                f"fov_deg={fov_deg}, free={free}, light={light}. Set them under synth.background."
            )
        self.root = Path(root).expanduser()
        self.zoom = float(zoom)
        self.look = Look(depth, float(fov_deg), float(free))
        self.lines = lines
        self.light = float(light)
        self.quarantine: dict[str, str] = {}
        self._kept: dict[tuple[str, int, int], np.ndarray] = {}
        self._standing: dict[str, StandingPicture] = {}
        self._grounds: dict[str, Ground | str] = {}
        found = self._list_files()
        self.files = [name for name in found if self._check_readable(name)]
        if not self.files:
            raise FileNotFoundError(
                f"Expected root='{self.root}' to hold a readable picture, got {len(found)} that cannot be read "
                f"({next(iter(self.quarantine.items()))}). Copy them again."
            )
        self.captions = read_captions(self.root)
        maps = {name: find_depth(self.root / name) for name in self.files} if depth != "none" else {}
        self.depths = {name: path for name, path in maps.items() if path is not None}
        self._fingerprint = self._digest()

    @property
    def fingerprint(self) -> str:
        """Changes with the names and sizes of the files, and with how depth is read."""
        return self._fingerprint

    @property
    def refused(self) -> dict[str, str]:
        """Pictures that were looked at and give no ground, and why; those with depth are known after `prepare`."""
        return {name: found for name, found in self._grounds.items() if isinstance(found, str)}

    def sample(self, rng: np.random.Generator) -> Values:
        """A file, and size and place of the crop: zoom, and x and y from 0 (left, top) to 1 (right, bottom).

        Of pictures that may have a floor also which free spot: a share of all.
        """
        name = self.files[int(rng.integers(len(self.files)))]
        x, y = rng.uniform(size=2)
        values: Values = {"file": name, "zoom": float(rng.uniform(1, self.zoom)), "x": float(x), "y": float(y)}
        if name in self.depths or self.lines:
            values["spot"] = float(rng.uniform())
        return values

    def describe(self, values: Values) -> str:
        """The picture's caption, or else the names of its folders."""
        return describe(str(values["file"]), self.captions)

    def outline(self, values: Values, camera: Camera) -> Outline:
        """Camera, spot and depth of a picture with a floor; a flat picture hides nobody."""
        ground = self._find_ground(values)
        if ground is None:
            return Outline()
        shot = self._shoot(values, ground, camera)
        return Outline.of(Scene(torch.empty(0, 3, camera.height, camera.width, dtype=torch.uint8), shot.camera,
                                shot.spot, shot.depth))  # fmt: skip

    def frame(self, values: Values, camera: Camera, points: Float[Tensor, "point 3"]) -> Values:
        """A picture with a floor has its crop moved as little as shows these points; all else is unchanged."""
        ground = self._find_ground(values)
        if ground is None:
            return values
        view = choose_view(ground, values, (camera.height, camera.width))
        moved = move_view(view, camera_of(ground, view, (camera.height, camera.width)), points)
        return values if moved is None else {**values, "window": list(moved)}

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The sampled crop, in every frame: with its camera, floor and depth where these are known.

        Raises:
            FileNotFoundError: If the file is missing or broken.
        """
        ground = self._find_ground(values)
        if ground is not None:
            shot = self._shoot(values, ground, camera)
            frame = torch.from_numpy(np.ascontiguousarray(shot.picture.transpose(2, 0, 1)))
            light = None if self.light == 0 else light_of(shot.level, self.light)
            frames = frame[None].repeat(len(camera.viewmats), 1, 1, 1)
            return Scene(frames, shot.camera, shot.spot, shot.depth, light)
        picture = self._picture(str(values["file"]), camera.height, camera.width)
        zoom, x, y = map(float, _PLACE(values))
        part = crop(picture, camera.height, camera.width, place=(zoom, x, y))
        frame = torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)))
        return Scene(frames=frame[None].expand(camera.viewmats.shape[0], -1, -1, -1))

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> Background:
        """The same pictures, whose floors are looked for before workers fork; a warning counts those without.

        Straight lines are looked for in the first pictures only, to say how many have a floor: a stock may hold
        thousands, and most of them are never shown.
        """
        others = [name for name in self.files if name not in self.depths][:FEW] if self.lines else []
        for name in track([*self.depths, *others], "Finding floors"):
            self._look_for_ground(name)
        for kind, names in (("with depth", list(self.depths)), ("without depth", others)):
            self._tell(kind, names)
        return self

    def _tell(self, kind: str, names: Sequence[str]) -> None:
        """Say how many of the pictures that were looked at have a floor, and how sure that is."""
        flat = {name: self.refused[name] for name in names if name in self.refused}
        if flat:
            name, reason = next(iter(flat.items()))
            logger.warning(
                "%d of %d pictures %s give no place to stand and are shown flat. The first, %s: %s",
                len(flat), len(names), kind, name, reason,
            )  # fmt: skip
        grounds = [found for name in names if isinstance(found := self._grounds[name], Ground)]
        doubts = [ground.doubt_deg for ground in grounds if ground.doubt_deg is not None]
        if doubts:
            pitch, roll = np.median(doubts, axis=0).tolist()
            logger.info(
                "Straight lines give the floor of %d of %d pictures, with a median doubt of %.1f degrees in pitch and "
                "%.1f in roll.", len(doubts), len(names), pitch, roll,
            )  # fmt: skip

    def _find_ground(self, values: Values) -> Ground | None:
        """The ground of a picture, found once; None where people stand before a flat picture."""
        # Recipes without a spot are of a flat picture, whatever is looked for today.
        found = self._look_for_ground(str(values["file"])) if "spot" in values else ""
        return None if isinstance(found, str) else found

    def _look_for_ground(self, name: str) -> Ground | str:
        """The ground of a picture, or why it has none."""
        depth = self.depths.get(name)
        if depth is None and not self.lines:
            return "nothing was looked for"
        if name not in self._grounds:
            self._grounds[name] = look_at(self.root / name, depth, self.captions.get(name, Caption()), self.look)
        return self._grounds[name]

    def _shoot(self, values: Values, ground: Ground, camera: Camera) -> Shot:
        name = str(values["file"])
        if name not in self._standing:
            while sum(one.nbytes for one in self._standing.values()) > KEPT_BYTES:
                self._standing.pop(next(iter(self._standing)))
            self._standing[name] = read_standing(self.root / name, self.depths.get(name), ground)
        shot = shoot(self._standing[name], ground, values, (camera.height, camera.width))
        count = len(camera.viewmats)
        still = Camera(shot.camera.viewmats.repeat(count, 1, 1), shot.camera.Ks.repeat(count, 1, 1), camera.width,
                       camera.height)  # fmt: skip
        return replace(shot, camera=still)

    def _picture(self, name: str, height: int, width: int) -> UInt8[np.ndarray, "rows columns 3"]:
        """The picture, no larger than frames of this size can show, kept for the next time.

        Decoding a photograph takes longer than rendering a clip.
        """
        kept = self._kept.get((name, height, width))
        if kept is not None:
            return kept
        try:
            picture = decode_still((self.root / name).read_bytes())
        except OSError:
            picture = None
        if picture is None:
            raise FileNotFoundError(
                f"Expected the recipe's picture '{name}' in root='{self.root}', got none that can be read. "
                "Bring back the folder that the recipes were sampled from, or sample new recipes."
            )
        rows, columns = picture.shape[:2]
        scale = self.zoom * max(height / rows, width / columns)
        if scale < 1:
            size = (max(round(columns * scale), 1), max(round(rows * scale), 1))
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
        while self._kept and sum(one.nbytes for one in self._kept.values()) + picture.nbytes > KEPT_BYTES:
            self._kept.pop(next(iter(self._kept)))
        self._kept[name, height, width] = picture
        return picture

    def _digest(self) -> str:
        # Sizes and not contents: a cache key must not cost reading gigabytes.
        listing = repr([(name, (self.root / name).stat().st_size) for name in self.files])
        if self.depths:
            maps = [(name, path.name, path.stat().st_size) for name, path in self.depths.items()]
            listing += repr((VERSION, self.look, self.light, maps, sorted(self.captions.items())))
        if self.lines:
            listing += repr(("lines", VERSION, self.look, self.light, sorted(self.captions.items())))
        return f"images/{hashlib.blake2b(listing.encode(), digest_size=16).hexdigest()}"

    def _list_files(self) -> list[str]:
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"No such folder: root='{self.root}'. Set synth.background.root to a folder with files ending in "
                f"{', '.join(SUFFIXES)}, or choose synth/background=rooms."
            )
        paths = (path for path in walk_files(self.root) if path.suffix.lower() in SUFFIXES)
        found = sorted(path.relative_to(self.root).as_posix() for path in paths if not is_depth(path))
        if not found:
            raise FileNotFoundError(
                f"Expected root='{self.root}' to hold files ending in {', '.join(SUFFIXES)}, got none. "
                "Set synth.background.root, or choose synth/background=rooms."
            )
        return found

    def _check_readable(self, name: str) -> bool:
        try:
            content = (self.root / name).read_bytes()
        except OSError as error:
            self.quarantine[name] = error.strerror or "not readable"
            return False
        if not is_still(content):
            self.quarantine[name] = "not readable as a picture" if content else "empty file"
        return name not in self.quarantine


def crop(
    picture: UInt8[np.ndarray, "rows columns 3"], height: int, width: int, *, place: tuple[float, float, float]
) -> UInt8[np.ndarray, "height width 3"]:
    """A part of a picture with the frame's aspect, resized to the frame.

    Args:
        picture: The picture, of any size.
        height: Height of the frame.
        width: Width of the frame.
        place: Magnification beyond the largest part that fits, and where the part lies between the picture's edges:
            0 at the left or top, 1 at the right or bottom.
    """
    zoom, x, y = place
    rows, columns = picture.shape[:2]
    scale = min(rows / height, columns / width) / zoom
    part_rows = max(min(round(height * scale), rows), 1)
    part_columns = max(min(round(width * scale), columns), 1)
    top, left = round(y * (rows - part_rows)), round(x * (columns - part_columns))
    part = picture[top : top + part_rows, left : left + part_columns]
    taps = cv2.INTER_AREA if part_rows > height else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (width, height), interpolation=taps))
