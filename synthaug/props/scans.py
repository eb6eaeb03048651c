"""A user's scanned thing: a .ply of Gaussians, and a small YAML that says how it is held and how large it is."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, final

import numpy as np
import torch
import yaml

from synthaug.avatars.pack.splats import Splats, read_contents, read_size
from synthaug.body.hands import SHAPES
from synthaug.body.rotations import matrix_to_quat, quat_to_matrix
from synthaug.files import digest_of
from synthaug.levels import build_levels
from synthaug.props import Carrier, Hold, Prop, Triple
from synthaug.structures import Level, Values

MAX_GAUSSIANS = 1_000_000
"""Gaussians of a scan at most: more take long to thin out, and no hand holds what needs them."""
COUNTS = (16_000, 4_000, 1_000, 250)
"""Gaussians of a scan's levels of detail."""
SIZES = (0.005, 3.0)
"""Metres that a thing may measure."""
_KEYS = ("file", "hand", "grip", "metres", "up", "front", "shape", "tilt_deg")
_SIDES: Mapping[str, Literal["left", "right"]] = {"left": "left", "right": "right"}
_HANDS = ("right", "left", "either", "hands", "head")


@final
@dataclass(frozen=True)
class Scan(Prop):
    """A thing out of a .ply of Gaussians.

    Scan format:
        A YAML file beside it:

            file: mug.ply            # relative to the YAML
            metres: 0.11             # its longest side
            grip: [0.0, 0.4, -0.5]   # the point that touches the palm, in the file's own frame and unit
            hand: right              # right, left, either, hands (both) or head; either where it is left out
            up: [0, 1, 0]            # the file's direction that points to the thumb (y where it is left out)
            front: [0, 0, 1]         # the file's direction that looks out of the palm (z)
            shape: hold              # shape of the hand
            tilt_deg: 50             # most degrees from upright; left out for any

    Attributes:
        file: The .ply.
        metres: Its longest side.
        grip: As in the file.
        hand: As in the file.
        up: As in the file.
        front: As in the file.
        shape: As in the file.
        tilt_deg: As in the file.
    """

    near: ClassVar[str] = ""

    file: Path
    metres: float
    grip: Triple
    hand: str = "either"
    up: Triple = (0.0, 1.0, 0.0)
    front: Triple = (0.0, 0.0, 1.0)
    shape: str = "hold"
    tilt_deg: float | None = None

    @staticmethod
    def read(path: Path) -> "Scan":
        """A scan by its YAML; of the .ply the header is read.

        Raises:
            FileNotFoundError: If there is no such file, or the .ply is not there.
            ValueError: If the YAML lacks something or says something else, or the .ply has no Gaussians or too many.
        """
        if not path.is_file():
            raise FileNotFoundError(f"No such file: '{path}'. Give synth.props.own the path of a thing's YAML.")
        about = yaml.safe_load(path.read_text())
        if not isinstance(about, dict) or not {"file", "metres", "grip"} <= set(about) or not set(about) <= set(_KEYS):
            raise ValueError(
                f"Expected '{path}' to have file, metres and grip, and of {', '.join(_KEYS[3:])} what differs, got "
                f"{about!r}. Write it as the documentation of synthaug.props.scans.Scan shows."
            )
        tilt = about.get("tilt_deg")
        scan = Scan(
            path.parent / str(about["file"]),
            _read_number(about["metres"], "metres", path, SIZES),
            _read_triple(about["grip"], "grip", path),
            hand=str(about.get("hand", "either")),
            up=_read_triple(about.get("up", [0, 1, 0]), "up", path),
            front=_read_triple(about.get("front", [0, 0, 1]), "front", path),
            shape=str(about.get("shape", "hold")),
            tilt_deg=None if tilt is None else _read_number(tilt, "tilt_deg", path, (0.0, 180.0)),
        )
        scan.check(path)
        return scan

    def check(self, path: Path) -> None:
        """Check words and the size of the .ply, before any memory is spent on it.

        Raises:
            FileNotFoundError: If the .ply is not there.
            ValueError: As for `read`.
        """
        if self.hand not in _HANDS or self.shape not in SHAPES:
            raise ValueError(
                f"Expected hand in '{path}' to be one of {', '.join(_HANDS)} and shape one of {', '.join(SHAPES)}, got "
                f"{self.hand!r} and {self.shape!r}. Correct them."
            )
        count = read_size(self.file)
        if not 0 < count <= MAX_GAUSSIANS:
            raise ValueError(
                f"Expected '{self.file}' to have 1 to {MAX_GAUSSIANS:,} Gaussians, got {count:,}. Crop it to the "
                "thing, and thin it out."
            )

    def __repr__(self) -> str:
        """Names the content, for the cache's keys."""
        stat = self.file.stat()
        parts = (self.file.name, stat.st_size, stat.st_mtime_ns, self.metres, self.grip, self.up, self.front)
        return f"Scan({digest_of(repr((*parts, self.hand, self.shape, self.tilt_deg)))})"

    def sample(self, rng: np.random.Generator, family: str) -> Values:
        """See `Prop.sample`; a scan looks as it does."""
        return {}

    def hold(self, values: Values, carrier: Carrier) -> Hold:
        """See `Prop.hold`."""
        carriers: dict[str, Carrier] = {"hands": "hands", "head": "head"}
        level = self._levels[0]
        width = float(level.means[:, 0].max() - level.means[:, 0].min())
        return Hold(
            carriers.get(self.hand, "hand"), side=_SIDES.get(self.hand, ""), up=(1, 0, 0), front=(0, 1, 0),
            grip=self._to_metres(self.grip), shape=self.shape, tilt_deg=self.tilt_deg, spread=(0.5 * width, width),
        )  # fmt: skip

    def build(self, values: Values, *, spacing: float) -> Level:
        """See `Prop.build`."""
        # Tiles of the thing's faces, as if it were a cube of its longest side.
        wanted = 3 * (self.metres / spacing) ** 2
        fine = [level for level in self._levels if len(level.means) >= wanted]
        return fine[-1] if fine else self._levels[0]

    @functools.cached_property
    def _levels(self) -> tuple[Level, ...]:
        splats = read_contents(self.file).splats
        level = _level_of(splats, self._scale_of(splats), self._axes)
        return (level, *build_levels(level, COUNTS))

    @functools.cached_property
    def _axes(self) -> torch.Tensor:
        """File to thing: rows are the thing's x, y and z in the file's frame."""
        y = torch.nn.functional.normalize(torch.tensor(self.up, dtype=torch.float64), dim=0)
        z = torch.tensor(self.front, dtype=torch.float64)
        z = torch.nn.functional.normalize(z - (z @ y) * y, dim=0)
        return torch.stack([torch.linalg.cross(y, z), y, z])

    @functools.cached_property
    def _factor(self) -> float:
        return self._scale_of(read_contents(self.file).splats)

    def _scale_of(self, splats: Splats) -> float:
        """Metres for each unit of the file, by the extent of all but its outermost Gaussians."""
        low, high = np.percentile(splats.means, [0.5, 99.5], axis=0)
        return self.metres / max(float((high - low).max()), 1e-9)

    def _to_metres(self, point: Triple) -> Triple:
        moved = self._factor * (self._axes @ torch.tensor(point, dtype=torch.float64))
        return float(moved[0]), float(moved[1]), float(moved[2])


def _read_triple(value: object, key: str, path: Path) -> Triple:
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(part, int | float) for part in value):
        raise ValueError(f"Expected {key} in '{path}' to be three numbers, got {value!r}. Write [0, 0.4, -0.5], say.")
    return float(value[0]), float(value[1]), float(value[2])


def _read_number(value: object, key: str, path: Path, limits: tuple[float, float]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not limits[0] <= value <= limits[1]:
        raise ValueError(
            f"Expected {key} in '{path}' to be from {limits[0]} to {limits[1]}, got {value!r}. Metres are those of the "
            "thing's longest side: 0.11 for a mug."
        )
    return float(value)


def _level_of(splats: Splats, scale: float, axes: torch.Tensor) -> Level:
    R = axes @ quat_to_matrix(torch.from_numpy(splats.quats).double())
    count = len(splats.means)
    return Level(
        means=(scale * torch.from_numpy(splats.means).double() @ axes.mT).float(),
        quats=torch.nn.functional.normalize(matrix_to_quat(R), dim=-1).float(),
        scales=(scale * torch.from_numpy(splats.scales)).clamp(min=1e-5).float(),
        opacities=torch.from_numpy(splats.opacities).clamp(0, 1),
        colors=torch.from_numpy(splats.colors),
        joint_ids=torch.zeros(count, 1, dtype=torch.int64),
        weights=torch.ones(count, 1),
    )
