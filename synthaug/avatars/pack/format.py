"""Read and write avatar packs: one person in one file of named tensors and plain JSON, checked before it is used.

docs/avatar-pack.md is the specification.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from synthaug.avatars.pack.about import About, PackError, from_plain, strict_json, to_plain
from synthaug.avatars.pack.rig import AvatarRig
from synthaug.body.skeleton import PARENTS
from synthaug.files import digest_of, write_atomic
from synthaug.levels import level_of
from synthaug.structures import Gaussians

VERSION = 1
"""Version of the format; a reader refuses newer ones."""
SUFFIX = ".avatar.safetensors"
MAX_HEADER_BYTES = 2**20
MAX_GAUSSIANS = 4_000_000
MAX_LEVELS = 16
MAX_INFLUENCES = 16
_KEY = "synthaug.avatar"
_TYPES = {"F32": (torch.float32, 4), "I16": (torch.int16, 2), "I32": (torch.int32, 4)}
_REST = ("means", "scales", "quats", "opacities", "colors", "joint_ids", "weights", "normals")


@dataclass(frozen=True, eq=False)
class Extras:
    """Optional tensors of a pack that renderers do not use; rows are Gaussians of the finest level.

    Attributes:
        betas: Shape coefficients of the body model with which the person was fitted.
        sh: Spherical harmonics of degrees 1 to 3, INRIA's constants, canonical frame.
        expression_rows: Gaussians that expressions move.
        expression_dirs: Their displacement for each coefficient, metres, canonical pose.
        corrective_dirs: Displacement for each of r pose features, metres, canonical pose.
        corrective_features: Matrix to the features from the 486 values of R - I of all joints but the pelvis.
    """

    betas: Float[Tensor, " beta"] | None = None
    sh: Float[Tensor, "gaussian coefficient 3"] | None = None
    expression_rows: Int[Tensor, " moved"] | None = None
    expression_dirs: Float[Tensor, "moved 3 expression"] | None = None
    corrective_dirs: Float[Tensor, "gaussian 3 feature"] | None = None
    corrective_features: Float[Tensor, "feature 486"] | None = None


@dataclass(frozen=True, eq=False)
class Pack:
    """One animatable person, in memory.

    Attributes:
        about: Who it is, where it came from, and the terms of use.
        rig: Joints and canonical pose.
        levels: Gaussians in the canonical pose, finest first; their `T_world_rest` and `light` have no meaning here.
        extras: Optional tensors.
    """

    about: About
    rig: AvatarRig
    levels: tuple[Gaussians, ...]
    extras: Extras = Extras()


@dataclass(frozen=True)
class PackHeader:
    """Everything in a pack but the tensors: its first kilobytes.

    Attributes:
        about: Who it is, where it came from, and the terms of use.
        shapes: Shape of every tensor, by name.
        digests: 32 hexadecimal digits over type, shape and content of every tensor.
        digest: Digest of all of the above, which identifies the pack's content.
    """

    about: About
    shapes: dict[str, tuple[int, ...]]
    digests: dict[str, str]
    digest: str

    @property
    def counts(self) -> tuple[int, ...]:
        """Gaussians of each level, finest first."""
        ordered = sorted(self.shapes.items(), key=_level_order)
        return tuple(shape[0] for name, shape in ordered if name.endswith(".means"))


def write_pack(path: Path, pack: Pack) -> None:
    """Write a pack completely or not at all.

    Raises:
        PackError: If the pack breaks the specification, as `read_pack` would find.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in _tensors(pack).items()}
    # safetensors stores tensors that share memory as one, so each gets memory of its own.
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    for index in range(len(pack.levels)):
        _check_level(str(path), _with_prefix(tensors, f"levels.{index}."), finest=index == 0)
    _check_rig(str(path), tensors)
    digests = {name: digest_of(tensor) for name, tensor in tensors.items()}
    plain = {"version": VERSION, "rig": "smplx-55", "color_space": "srgb", "about": to_plain(pack.about)}
    words = json.dumps({**plain, "digests": digests}, sort_keys=True, allow_nan=False)
    content = save(tensors, metadata={_KEY: words})
    _parse_header(str(path), content[: 8 + MAX_HEADER_BYTES], len(content))
    write_atomic(path, content)


def read_header(path: Path) -> PackHeader:
    """Read everything in a pack but its tensors, in a few hundred microseconds.

    Raises:
        FileNotFoundError: If there is no such file.
        PackError: If it is not a pack, has another version, or has an inconsistent header.
    """
    if not path.is_file():
        raise FileNotFoundError(f"No such file: '{path}'. Give an avatar pack (*{SUFFIX}).")
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        return _parse_header(str(path), start + file.read(min(length, MAX_HEADER_BYTES)), path.stat().st_size)


class PackFile:
    """A pack on disk: the header is read at once, tensors are memory-mapped and verified on access.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        PackError: If it is not a pack, or the header is inconsistent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header = read_header(path)

    @cached_property
    def rig(self) -> AvatarRig:
        """Joints and canonical pose.

        Raises:
            PackError: If they are damaged.
        """
        tensors = self._read([name for name in ("joints", "canonical_pose", "joints_canonical", "parents")])
        _check_rig(str(self.path), tensors)
        return AvatarRig(tensors["joints"], tensors["canonical_pose"], hands=self.header.about.hands)

    def level(self, index: int) -> Gaussians:
        """The Gaussians of one level in the canonical pose, memory-mapped: pages are read when they are used.

        Raises:
            PackError: If they are damaged.
        """
        prefix = f"levels.{index}."
        tensors = _with_prefix(self._read([name for name in self.header.shapes if name.startswith(prefix)]), prefix)
        _check_level(str(self.path), tensors, finest=index == 0)
        return _gaussians(tensors)

    def person(self, finest: int = 0) -> Gaussians:
        """The Gaussians of one level, with all coarser levels as its levels of detail.

        Raises:
            PackError: If they are damaged.
        """
        coarser = (self.level(index) for index in range(finest + 1, len(self.header.counts)))
        return replace(self.level(finest), levels=tuple(level_of(level) for level in coarser))

    def closest(self, gaussians: int | None) -> int:
        """Index of the finest level with at most this many Gaussians, else of the coarsest; None gives the finest."""
        counts = self.header.counts
        fitting = [index for index, count in enumerate(counts) if gaussians is None or count <= gaussians]
        return fitting[0] if fitting else len(counts) - 1

    def extras(self) -> Extras:
        """The optional tensors.

        Raises:
            PackError: If they are damaged.
        """
        names = [name for name in self.header.shapes if name in Extras.__dataclass_fields__]
        tensors = self._read(names)
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise _invalid(str(self.path), f"{name} has values that are not finite")
        rows = tensors.get("expression_rows")
        if rows is not None and len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < self.header.counts[0]:
            raise _invalid(str(self.path), "expression_rows refer to Gaussians that do not exist")
        return Extras(**tensors)

    def _read(self, names: list[str]) -> dict[str, Tensor]:
        """Tensors by name, memory-mapped, each checked against its digest."""
        try:
            with safe_open(str(self.path), framework="pt", device="cpu") as file:
                tensors = {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError, RuntimeError) as error:
            raise _invalid(str(self.path), f"safetensors refuses it ({error})") from error
        for name, tensor in tensors.items():
            if digest_of(tensor) != self.header.digests[name]:
                raise _invalid(str(self.path), f"the content of {name} is not what was written")
        return tensors


def read_pack(path: Path) -> Pack:
    """Read a whole pack and verify every tensor.

    Raises:
        FileNotFoundError: If there is no such file.
        PackError: If it is not a pack, or is damaged.
    """
    file = PackFile(path)
    levels = tuple(file.level(index) for index in range(len(file.header.counts)))
    return Pack(file.header.about, file.rig, levels, file.extras())


def with_about(pack: Pack, about: About) -> Pack:
    """The same person with another plain part."""
    return replace(pack, about=about, rig=replace(pack.rig, hands=about.hands))


def _tensors(pack: Pack) -> dict[str, Tensor]:
    rig = pack.rig
    tensors: dict[str, Tensor] = {
        "joints": rig.joints, "canonical_pose": rig.canonical_pose, "joints_canonical": rig.joints_canonical,
        "parents": torch.tensor(PARENTS, dtype=torch.int16),
    }  # fmt: skip
    for index, level in enumerate(pack.levels):
        for name in _REST:
            value = getattr(level, name)
            if value is not None:
                tensors[f"levels.{index}.{name}"] = value.to(torch.int16) if name == "joint_ids" else value.float()
        if bool((level.scales == level.scales[:, :1]).all()):
            tensors[f"levels.{index}.scales"] = tensors[f"levels.{index}.scales"][:, :1]
            del tensors[f"levels.{index}.quats"]
    for name in Extras.__dataclass_fields__:
        value = getattr(pack.extras, name)
        if value is not None:
            tensors[name] = value.to(torch.int32) if name == "expression_rows" else value.float()
    return tensors


def _gaussians(tensors: Mapping[str, Tensor]) -> Gaussians:
    """A level as renderers take it; expanding an isotropic level takes no memory."""
    count = len(tensors["means"])
    quats = tensors.get("quats")
    return Gaussians(
        means=tensors["means"],
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(count, 4) if quats is None else quats,
        scales=tensors["scales"].expand(count, 3),
        opacities=tensors["opacities"],
        colors=tensors["colors"],
        joint_ids=tensors["joint_ids"],
        weights=tensors["weights"],
        T_world_rest=torch.eye(4).expand(1, len(PARENTS), 4, 4),
        normals=tensors.get("normals"),
    )


def _parse_header(path: str, start: bytes, size: int) -> PackHeader:
    """Parse and check the first bytes of a file of this size."""
    if len(start) < 8:
        raise _invalid(path, f"it has {size} bytes")
    length = struct.unpack("<Q", start[:8])[0]
    if length > MAX_HEADER_BYTES or 8 + length > size:
        raise _invalid(path, f"its header claims {length} bytes (the file has {size}, the limit is {MAX_HEADER_BYTES})")
    try:
        entries = strict_json(start[8 : 8 + length])
        if not isinstance(entries, dict):
            raise ValueError("its header is no object")
        metadata = entries.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not isinstance(metadata.get(_KEY), str):
            raise ValueError(f"its metadata have no {_KEY!r}: it is some other safetensors file")
        shapes = _shapes(entries, size - 8 - length)
        return _parse_description(shapes, str(metadata[_KEY]))
    except (ValueError, OverflowError) as error:
        raise _invalid(path, str(error)) from error


def _shapes(entries: Mapping[str, object], data_bytes: int) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors, after their types, sizes and extents were compared with the specification."""
    shapes: dict[str, tuple[int, ...]] = {}
    spans = []
    for name, entry in entries.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"the entry of {name[:60]!r} does not consist of dtype, shape and data_offsets")
        shape, offsets = entry["shape"], entry["data_offsets"]
        if not _counts(shape) or not _counts(offsets) or len(offsets) != 2 or len(shape) > 4:
            raise ValueError(f"{name[:60]!r} has no proper shape or extent")
        kind = "I16" if name.endswith(("joint_ids", "parents")) else "I32" if name == "expression_rows" else "F32"
        if entry["dtype"] != kind:
            raise ValueError(f"{name[:60]!r} is {str(entry['dtype'])[:20]} instead of {kind}")
        if offsets[1] - offsets[0] != math.prod(shape) * _TYPES[kind][1]:
            raise ValueError(f"{name[:60]!r} of shape {shape} does not fill its extent {offsets}")
        shapes[name] = tuple(shape)
        spans.append(tuple(offsets))
    end = 0
    for begin, stop in sorted(spans):
        if begin != end:
            raise ValueError("its tensors overlap or leave holes")
        end = stop
    if end != data_bytes:
        raise ValueError(f"its tensors take {end} bytes and the file has {data_bytes} for them (was it cut short?)")
    return shapes


def _counts(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**40 for item in value)


def _parse_description(shapes: dict[str, tuple[int, ...]], words: str) -> PackHeader:
    plain = strict_json(words)
    if not isinstance(plain, dict) or set(plain) != {"version", "rig", "color_space", "about", "digests"}:
        raise ValueError("its description does not consist of version, rig, color_space, about and digests")
    for name, expected in (("version", VERSION), ("rig", "smplx-55"), ("color_space", "srgb")):
        if plain[name] != expected or isinstance(plain[name], bool):
            raise ValueError(f"its {name} is {str(plain[name])[:40]!r}; this program reads {expected!r}")
    digests = plain["digests"]
    if not isinstance(digests, dict) or set(digests) != set(shapes):
        raise ValueError("its digests are not those of its tensors")
    _check_shapes(shapes)
    about = from_plain(About, plain["about"], where="about")
    digest = digest_of(json.dumps(plain, sort_keys=True), repr(sorted(shapes.items())))
    return PackHeader(about, shapes, {name: str(value) for name, value in digests.items()}, digest)


def _check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Compare names and shapes with the specification."""
    allowed: dict[str, tuple[tuple[int, ...], ...]] = {
        "joints": ((55, 3),), "canonical_pose": ((55, 3),), "joints_canonical": ((55, 3),), "parents": ((55,),),
    }  # fmt: skip
    missing = [name for name in (*allowed, "levels.0.means") if name not in shapes]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    levels = sum(name.endswith(".means") for name in shapes)
    if levels > MAX_LEVELS:
        raise ValueError(f"it has {levels} levels, more than {MAX_LEVELS}")
    counts = []
    for index in range(levels):
        prefix = f"levels.{index}."
        if f"{prefix}means" not in shapes or f"{prefix}joint_ids" not in shapes:
            raise ValueError(f"level {index} lacks its means or joint_ids")
        count, k = shapes[f"{prefix}means"][0], shapes[f"{prefix}joint_ids"][-1]
        if not 0 < count <= MAX_GAUSSIANS or not 0 < k <= MAX_INFLUENCES:
            limits = f"{MAX_GAUSSIANS} and {MAX_INFLUENCES}"
            raise ValueError(f"level {index} has {count} Gaussians of {k} joints each; the limits are {limits}")
        counts.append(count)
        allowed |= _level_shapes(prefix, count, k, f"{prefix}quats" in shapes)
        absent = [name for name in _REST if f"{prefix}{name}" not in shapes and name not in ("quats", "normals")]
        if absent:
            raise ValueError(f"level {index} lacks {', '.join(absent)}")
    if counts != sorted(counts, reverse=True):
        raise ValueError(f"its levels have {counts} Gaussians, which is not finest first")
    allowed |= _extra_shapes(shapes, counts[0])
    for name, shape in shapes.items():
        if shape not in allowed.get(name, ()):
            known = " or ".join(str(list(option)) for option in allowed.get(name, ())) or "no tensor of this name"
            raise ValueError(f"{name[:60]!r} has shape {list(shape)} instead of {known}")


def _level_shapes(prefix: str, count: int, k: int, oriented: bool) -> dict[str, tuple[tuple[int, ...], ...]]:
    shapes = {
        "means": (count, 3), "scales": (count, 3 if oriented else 1), "quats": (count, 4), "opacities": (count,),
        "colors": (count, 3), "joint_ids": (count, k), "weights": (count, k), "normals": (count, 3),
    }  # fmt: skip
    return {f"{prefix}{name}": (shape,) for name, shape in shapes.items()}


def _extra_shapes(shapes: Mapping[str, tuple[int, ...]], count: int) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Shapes that the optional tensors may have; tensors that belong together are only allowed together."""
    allowed: dict[str, tuple[tuple[int, ...], ...]] = {"sh": tuple((count, number, 3) for number in (3, 8, 15))}
    if "betas" in shapes and len(shapes["betas"]) == 1 and shapes["betas"][0] <= 400:
        allowed["betas"] = (shapes["betas"],)
    dirs = shapes.get("expression_dirs", ())
    if "expression_rows" in shapes and len(dirs) == 3 and dirs[0] <= count and dirs[2] <= 400:
        allowed |= {"expression_rows": ((dirs[0],),), "expression_dirs": ((dirs[0], 3, dirs[2]),)}
    features = shapes.get("corrective_features", ())
    if "corrective_dirs" in shapes and len(features) == 2 and features[0] <= 486:
        allowed |= {"corrective_features": ((features[0], 486),), "corrective_dirs": ((count, 3, features[0]),)}
    return allowed


def _check_rig(path: str, tensors: Mapping[str, Tensor]) -> None:
    for name in ("joints", "canonical_pose", "joints_canonical"):
        if not bool(torch.isfinite(tensors[name]).all()) or float(tensors[name].abs().max()) > 10:
            raise _invalid(path, f"{name} has values that are not finite, or beyond 10")
    if tuple(tensors["parents"].tolist()) != PARENTS:
        raise _invalid(path, "its parents are not those of the SMPL-X skeleton")
    if float(tensors["joints"][0].abs().max()) > 1e-5:
        raise _invalid(path, "its pelvis is not at the origin")
    rig = AvatarRig(tensors["joints"], tensors["canonical_pose"])
    away = float((rig.joints_canonical - tensors["joints_canonical"]).abs().max())
    if away > 1e-4:
        raise _invalid(path, f"joints_canonical is {away:.2g} m away from the joints in canonical_pose")


def _check_level(path: str, tensors: Mapping[str, Tensor], *, finest: bool) -> None:
    """Compare values with the specification, by sums and extremes only, so that no mapped tensor is copied."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not math.isfinite(float(tensor.sum())):
            raise _invalid(path, f"{name} has values that are not finite")
    # Coarser levels have refitted colours, which may overshoot a little.
    bounds = {"means": (-10, 10), "scales": (1e-9, 10), "opacities": (0, 1), "colors": (0, 1 if finest else 1.25),
              "weights": (0, 1 + 1e-4), "joint_ids": (0, len(PARENTS) - 1)}  # fmt: skip
    for name, (low, high) in bounds.items():
        least, most = (float(value) for value in torch.aminmax(tensors[name]))
        if least < low or most > high:
            raise _invalid(path, f"{name} are between {least:.4g} and {most:.4g} instead of {low:g} and {high:g}")
    lengths = {"weights": tensors["weights"].sum(1)}
    lengths |= {name: tensors[name].norm(dim=1) for name in ("quats", "normals") if name in tensors}
    for name, length in lengths.items():
        if float((length - 1).abs().max()) > 1e-3:
            raise _invalid(path, f"{name} do not all add up to 1, or do not all have unit length")


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _level_order(item: tuple[str, tuple[int, ...]]) -> tuple[int, str]:
    number = item[0].split(".")[1] if item[0].startswith("levels.") else ""
    return (int(number) if number.isdecimal() and len(number) < 4 else -1, item[0])


def _invalid(path: str, reason: str) -> PackError:
    return PackError(
        f"'{path}' is not a valid avatar pack: {reason}. Copy it again from where it was made, or import its source "
        "again; docs/avatar-pack.md specifies the format."
    )
