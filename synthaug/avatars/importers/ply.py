"""Splats in .ply files as INRIA's code writes them, read strictly and written back.

Below the importers and exporters. Compressed variants (SuperSplat's chunks, SPZ, SOG) are refused by name: no library
that synthaug keeps reads them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

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
_SH0 = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi))."""
_NEEDED = ("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2",
           "rot_0", "rot_1", "rot_2", "rot_3")  # fmt: skip


class PlyError(ValueError):
    """A file is no .ply of Gaussians that can be read."""


@dataclass(frozen=True, eq=False)
class Splats:
    """Gaussians as a file holds them, in its own frame and scale, activated.

    Attributes:
        means: [G, 3].
        quats: wxyz, unit, [G, 4].
        scales: Standard deviations, linear, [G, 3].
        opacities: 0..1, [G].
        colors: sRGB as the constant harmonic gives it, clipped to 0..1, [G, 3].
        sh: Higher harmonics, coefficient by coefficient, [G, C, 3]; C is 0 where the file has none.
    """

    means: Floats
    quats: Floats
    scales: Floats
    opacities: Floats
    colors: Floats
    sh: Floats

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> "Splats":
        """Some of them."""
        return Splats(**{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


def read_ply(path: Path) -> Splats:
    """A binary little-endian .ply with INRIA's properties; others are passed over.

    Gaussians with values that are no numbers are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        PlyError: If it is no such file, compressed, cut short, too large, or has no sound Gaussian.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no '{path}'. A .ply of Gaussians was wanted. Check the path.")
    try:
        return _activated(_table(path, _NEEDED))
    except (ValueError, OverflowError) as error:
        raise PlyError(
            f"'{path}' cannot be read as a splat: {error}. A binary .ply with x, y, z, f_dc, opacity, scale and rot, "
            "as INRIA's 3D Gaussian Splatting writes it, was wanted. Export it from your trainer or viewer as such."
        ) from error


def write_ply(path: Path, splats: Splats) -> None:
    """Write INRIA's layout. Opacities of 1 have no finite logit and become 0.9999."""
    count, coefficients = len(splats.means), splats.sh.shape[1]
    opacity = np.clip(splats.opacities, 1e-6, 0.9999)
    logits = np.log(opacity / (1 - opacity))[:, None]
    columns: list[Floats] = [
        splats.means, np.zeros((count, 3), np.float32), (splats.colors - 0.5) / _SH0,
        splats.sh.transpose(0, 2, 1).reshape(count, -1), logits, np.log(splats.scales), splats.quats,
    ]  # fmt: skip
    rest = [f"f_rest_{i}" for i in range(3 * coefficients)]
    names = [*"xyz", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3)), *rest,
             "opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]  # fmt: skip
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [*(f"property float {name}" for name in names), "end_header", ""]
    table = np.concatenate(columns, axis=1).astype("<f4")
    write_atomic(path, "\n".join(header).encode() + table.tobytes())


def _table(path: Path, needed: tuple[str, ...]) -> np.ndarray:
    """The vertices of a file, mapped."""
    count, layout, start = _header(path)
    missing = [name for name in needed if name not in (layout.names or ())]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    if path.stat().st_size < start + count * layout.itemsize:
        raise ValueError(f"it promises {count} records of {layout.itemsize} bytes and is shorter: was it cut?")
    return np.memmap(path, layout, "r", start, (count,))


def _header(path: Path) -> tuple[int, np.dtype, int]:
    """Count, record and first byte of the Gaussians."""
    with path.open("rb") as file:
        start = file.read(MAX_HEADER_BYTES)
    if not start.startswith(b"ply"):
        raise ValueError(f"it begins with {start[:8]!r} and not with 'ply'{_other(start)}")
    end = start.find(b"end_header")
    stop = start.find(b"\n", end)
    if end < 0 or stop < 0:
        raise ValueError(f"its header does not end within {MAX_HEADER_BYTES} bytes")
    lines = [line.split() for line in start[:end].decode("ascii", "replace").splitlines()[1:]]
    lines = [words for words in lines if words and words[0] not in ("comment", "obj_info")]
    if not lines or lines[0][:2] != ["format", "binary_little_endian"]:
        raise ValueError(f"its format is {' '.join(lines[0])[:60] if lines else 'not stated'!r}; "
                         "binary_little_endian was wanted")  # fmt: skip
    elements = [index for index, words in enumerate(lines) if words[0] == "element"]
    if any(words[:2] == ["element", "chunk"] for words in lines):
        raise ValueError("it is SuperSplat's compressed .ply; convert it with splat-transform to a plain one")
    if not elements or lines[elements[0]][:2] != ["element", "vertex"] or len(lines[elements[0]]) != 3:
        raise ValueError("its first element is not vertex with a count")
    number = lines[elements[0]][2]
    if not number.isascii() or not number.isdecimal() or len(number) > 9 or not 0 < int(number) <= MAX_SPLATS:
        raise ValueError(f"it has {number[:20]} Gaussians; 1 to {MAX_SPLATS} were wanted")
    following = elements[1] if len(elements) > 1 else len(lines)
    return int(number), _record(lines[elements[0] + 1 : following]), stop + 1


def _record(lines: list[list[str]]) -> np.dtype:
    fields = []
    for words in lines:
        if len(words) != 3 or words[0] != "property" or words[1] not in _TYPES:
            raise ValueError(f"{' '.join(words)[:60]!r} is no property of one number")
        fields.append((words[2], "<" + _TYPES[words[1]]))
    names = [name for name, _ in fields]
    if not names or len(set(names)) != len(names) or len(names) > MAX_PROPERTIES:
        raise ValueError(f"it has {len(names)} properties, some of one name, or more than {MAX_PROPERTIES}")
    return np.dtype(fields)


def _other(start: bytes) -> str:
    if start.startswith(b"\x1f\x8b") or start.startswith(b"NGSP"):
        return ": it may be SPZ, which no library here reads; convert it with splat-transform"
    return ": it may be SOG, which no library here reads; convert it" if start.startswith(b"PK") else ""


def _activated(table: np.ndarray) -> Splats:
    def column(*names: str) -> Floats:
        return np.stack([np.asarray(table[name], np.float32) for name in names], axis=1)

    names = table.dtype.names or ()
    rest = sum(name.startswith("f_rest_") for name in names)
    if rest not in (0, 9, 24, 45):
        raise ValueError(f"it has {rest} f_rest properties; 0, 9, 24 or 45 were wanted")
    raw = [
        column(*_NEEDED[0:3]),
        column(*_NEEDED[3:6]),
        column("opacity"),
        column(*_NEEDED[7:10]),
        column(*_NEEDED[10:]),
    ]
    higher = column(*(f"f_rest_{i}" for i in range(rest))) if rest else np.zeros((len(table), 0), np.float32)
    sound = np.isfinite(higher).all(1)
    for part in raw:
        sound &= np.isfinite(part).all(1)
    means, color, opacity, scale, quat = (part[sound].astype(np.float64) for part in raw)
    length = np.linalg.norm(quat, axis=1)
    kept = (length > 1e-6) & (np.abs(means) < 1e6).all(1) & (scale < 20).all(1) & (scale > -40).all(1)
    if not kept.any():
        raise ValueError("none of its Gaussians has values that are numbers")
    splats = Splats(
        means=means.astype(np.float32),
        quats=(quat / np.maximum(length, 1e-6)[:, None]).astype(np.float32),
        scales=np.exp(np.clip(scale, -40, 20)).astype(np.float32),
        opacities=(1 / (1 + np.exp(-np.clip(opacity[:, 0], -80, 80)))).astype(np.float32),
        colors=np.clip(0.5 + _SH0 * color, 0, 1).astype(np.float32),
        # INRIA stores channel by channel.
        sh=higher[sound].reshape(len(means), 3, rest // 3).transpose(0, 2, 1),
    )
    return splats.take(kept)


def without_harmonics(splats: Splats) -> Splats:
    """Their colours as seen from wherever."""
    return replace(splats, sh=splats.sh[:, :0])


def read_places(path: Path) -> NDArray[np.floating]:
    """Positions alone, [P, 3], of any binary .ply of points.

    Raises:
        FileNotFoundError: If there is no such file.
        PlyError: If it cannot be read, or a position is no number.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no '{path}'. A .ply of points was wanted. Check the path.")
    try:
        table = _table(path, ("x", "y", "z"))
        places = np.stack([np.asarray(table[name], float) for name in "xyz"], axis=1)
        if not np.isfinite(places).all():
            raise ValueError("some of its positions are no numbers")
    except (ValueError, OverflowError) as error:
        raise PlyError(
            f"'{path}' cannot be read as points: {error}. A binary .ply was wanted. Bring it again."
        ) from error
    return places
