"""Read and write static splats: .ply files of Gaussians as INRIA's 3D Gaussian Splatting writes them.

Compressed variants (SuperSplat's chunks, SPZ, SOG) are refused by name, because no dependency of synthaug reads them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from synthaug.avatars.pack.activation import SH0, activate_colors, activate_opacities, activate_scales
from synthaug.files import write_atomic

Floats: TypeAlias = NDArray[np.float32]
MAX_SPLATS = 4_000_000
MAX_HEADER_BYTES = 65_536
MAX_PROPERTIES = 512
_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
_NEEDED = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "rot_0", "rot_1", "rot_2",
           "rot_3")  # fmt: skip


class PlyError(ValueError):
    """A file cannot be read as a .ply of Gaussians."""


@dataclass(frozen=True, eq=False)
class Splats:
    """The Gaussians of a file in its own frame and scale, after activation.

    Attributes:
        means: Positions, [G, 3].
        quats: Unit quaternions wxyz, [G, 4].
        scales: Standard deviations, linear, [G, 3].
        opacities: 0..1, [G].
        colors: sRGB of the constant harmonic, clipped to 0..1, [G, 3].
        sh: Higher harmonics, coefficient by coefficient, [G, C, 3]; C is 0 if the file has none.
    """

    means: Floats
    quats: Floats
    scales: Floats
    opacities: Floats
    colors: Floats
    sh: Floats

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> "Splats":
        """The Gaussians of these rows."""
        return Splats(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True, eq=False)
class PlyContents:
    """What a file holds.

    Attributes:
        splats: Its Gaussians whose values are finite.
        kept: Which of the file's Gaussians these are, [all].
        notes: What was left out, and what was stored in other conventions than INRIA's.
    """

    splats: Splats
    kept: NDArray[np.bool_]
    notes: tuple[str, ...]


def read_ply(path: Path) -> Splats:
    """The Gaussians of a file, as `read_contents` reads them."""
    return read_contents(path).splats


def read_contents(path: Path) -> PlyContents:
    """Read a binary little-endian .ply with INRIA's properties; other properties are ignored.

    Opacities of inf and -inf are 1 and 0, and scales of -inf the smallest ones. Gaussians with other values that are
    not finite are left out and counted. Linear scales and opacities are recognized by their size, as
    `activation` says, and two scales are a disc of 2D Gaussian Splatting.

    Raises:
        FileNotFoundError: If there is no such file.
        PlyError: If it is not such a file, compressed, cut short or too large, has no valid Gaussian, or has scales or
            opacities of an unknown unit.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No such file: '{path}'. Give the path of a .ply of Gaussians.")
    try:
        return _activate(_map_vertices(path, _NEEDED))
    except (ValueError, OverflowError) as error:
        raise PlyError(
            f"Expected '{path}' to be a binary .ply of Gaussians, but {error}. Export it from your trainer or viewer "
            "in the layout of INRIA's 3D Gaussian Splatting: x, y, z, f_dc, opacity, scale and rot."
        ) from error


def read_size(path: Path) -> int:
    """Number of Gaussians that the header of a .ply states; nothing else is read, and any number is answered.

    Raises:
        FileNotFoundError: If there is no such file.
        PlyError: If it is no .ply with a number of vertices.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No such file: '{path}'. Give the path of a .ply of Gaussians.")
    with path.open("rb") as file:
        start = file.read(MAX_HEADER_BYTES)
    for line in start.split(b"end_header")[0].splitlines():
        words = line.split()
        if start.startswith(b"ply") and words[:2] == [b"element", b"vertex"] and len(words) == 3 and words[2].isdigit():
            return int(words[2])
    raise PlyError(
        f"Expected '{path}' to be a .ply with a number of vertices, got a file that begins with {start[:8]!r}. Export "
        "it from your trainer or viewer in the layout of INRIA's 3D Gaussian Splatting."
    )


def write_ply(path: Path, splats: Splats) -> None:
    """Write INRIA's layout. Opacities of 1 become 0.9999, because 1 has no finite logit."""
    count, coefficients = len(splats.means), splats.sh.shape[1]
    opacity = np.clip(splats.opacities, 1e-6, 0.9999)
    logits = np.log(opacity / (1 - opacity))[:, None]
    columns: list[Floats] = [
        splats.means, np.zeros((count, 3), np.float32), (splats.colors - 0.5) / SH0,
        splats.sh.transpose(0, 2, 1).reshape(count, -1), logits, np.log(splats.scales), splats.quats,
    ]  # fmt: skip
    rest = [f"f_rest_{i}" for i in range(3 * coefficients)]
    names = [*"xyz", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3)), *rest,
             "opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]  # fmt: skip
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [*(f"property float {name}" for name in names), "end_header", ""]
    table = np.concatenate(columns, axis=1).astype("<f4")
    write_atomic(path, "\n".join(header).encode() + table.tobytes())


def _map_vertices(path: Path, needed: tuple[str, ...]) -> np.ndarray:
    """The vertices of a file, memory-mapped."""
    count, layout, start = _read_header(path)
    missing = [name for name in needed if name not in (layout.names or ())]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    if path.stat().st_size < start + count * layout.itemsize:
        raise ValueError(f"it is shorter than {count} records of {layout.itemsize} bytes (was it cut short?)")
    return np.memmap(path, layout, "r", start, (count,))


def _read_header(path: Path) -> tuple[int, np.dtype, int]:
    """Number of Gaussians, layout of one, and offset of the first in the file."""
    with path.open("rb") as file:
        start = file.read(MAX_HEADER_BYTES)
    if not start.startswith(b"ply"):
        raise ValueError(f"it begins with {start[:8]!r} and not with 'ply'{_guess_format(start)}")
    end = start.find(b"end_header")
    stop = start.find(b"\n", end)
    if end < 0 or stop < 0:
        raise ValueError(f"its header does not end within {MAX_HEADER_BYTES} bytes")
    lines = [line.split() for line in start[:end].decode("ascii", "replace").splitlines()[1:]]
    lines = [words for words in lines if words and words[0] not in ("comment", "obj_info")]
    if not lines or lines[0][:2] != ["format", "binary_little_endian"]:
        stated = " ".join(lines[0])[:60] if lines else "not stated"
        raise ValueError(f"its format is {stated!r} instead of binary_little_endian")
    elements = [index for index, words in enumerate(lines) if words[0] == "element"]
    if any(words[:2] == ["element", "chunk"] for words in lines):
        raise ValueError("it is SuperSplat's compressed .ply (splat-transform converts it to a plain one)")
    if not elements or lines[elements[0]][:2] != ["element", "vertex"] or len(lines[elements[0]]) != 3:
        raise ValueError("its first element is not vertex with a count")
    number = lines[elements[0]][2]
    if not number.isascii() or not number.isdecimal() or len(number) > 9 or not 0 < int(number) <= MAX_SPLATS:
        raise ValueError(f"it has {number[:20]} Gaussians instead of 1 to {MAX_SPLATS}")
    following = elements[1] if len(elements) > 1 else len(lines)
    return int(number), _record_layout(lines[elements[0] + 1 : following]), stop + 1


def _record_layout(lines: list[list[str]]) -> np.dtype:
    fields = []
    for words in lines:
        if len(words) != 3 or words[0] != "property" or words[1] not in _TYPES:
            raise ValueError(f"its header line {' '.join(words)[:60]!r} is not a property of one number")
        fields.append((words[2], "<" + _TYPES[words[1]]))
    names = [name for name, _ in fields]
    if not names or len(set(names)) != len(names) or len(names) > MAX_PROPERTIES:
        raise ValueError(f"its {len(names)} properties are not 1 to {MAX_PROPERTIES} with different names")
    return np.dtype(fields)


def _guess_format(start: bytes) -> str:
    if start.startswith((b"\x1f\x8b", b"NGSP")):
        return " (it may be SPZ; convert it with splat-transform)"
    return " (it may be SOG; convert it with splat-transform)" if start.startswith(b"PK") else ""


def _activate(table: np.ndarray) -> PlyContents:
    def column(*names: str) -> Floats:
        return np.stack([np.asarray(table[name], np.float32) for name in names], axis=1)

    names = table.dtype.names or ()
    rest = sum(name.startswith("f_rest_") for name in names)
    if rest not in (0, 9, 24, 45):
        raise ValueError(f"it has {rest} f_rest properties instead of 0, 9, 24 or 45")
    raw = (
        column("x", "y", "z"),
        column("f_dc_0", "f_dc_1", "f_dc_2"),
        column("rot_0", "rot_1", "rot_2", "rot_3"),
        column("opacity"),
        column(*(name for name in ("scale_0", "scale_1", "scale_2") if name in names)),
    )
    higher = column(*(f"f_rest_{i}" for i in range(rest))) if rest else np.zeros((len(table), 0), np.float32)
    kept = np.isfinite(higher).all(1) & ~np.isnan(raw[3][:, 0]) & (raw[4] < np.inf).all(1)
    for part in raw[:3]:
        kept &= np.isfinite(part).all(1)
    kept &= (np.linalg.norm(raw[2], axis=1) > 1e-6) & (np.abs(raw[0]) < 1e6).all(1)
    if not kept.any():
        raise ValueError("none of its Gaussians has finite values")
    means, color, quat, opacity, scale = (part[kept].astype(np.float64) for part in raw)
    opacities, about_opacities = activate_opacities(opacity[:, 0])
    scales, about_scales = activate_scales(scale, means)
    as_such = "as such" in f"{about_opacities} {about_scales}"
    colors, about_colors = activate_colors(color, as_such=as_such)
    splats = Splats(
        means=means.astype(np.float32),
        quats=(quat / np.linalg.norm(quat, axis=1, keepdims=True)).astype(np.float32),
        scales=scales.astype(np.float32),
        opacities=opacities.astype(np.float32),
        colors=colors.astype(np.float32),
        # INRIA stores channel by channel.
        sh=higher[kept].reshape(len(means), 3, rest // 3).transpose(0, 2, 1),
    )
    lost = int((~kept).sum())
    about_lost = f"{lost} Gaussians with values that are not finite were left out" if lost else ""
    notes = (about_lost, about_opacities, about_scales, about_colors)
    return PlyContents(splats, kept, tuple(note for note in notes if note))


def read_positions(path: Path) -> NDArray[np.floating]:
    """Read the positions alone, [P, 3], of any binary .ply of points.

    Raises:
        FileNotFoundError: If there is no such file.
        PlyError: If it cannot be read, or a position is not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No such file: '{path}'. Give the path of a .ply of points.")
    try:
        table = _map_vertices(path, ("x", "y", "z"))
        positions = np.stack([np.asarray(table[name], float) for name in "xyz"], axis=1)
        if not np.isfinite(positions).all():
            raise ValueError("some of its positions are not finite")
    except (ValueError, OverflowError) as error:
        raise PlyError(f"Expected '{path}' to be a binary .ply of points, but {error}. Export it again.") from error
    return positions
