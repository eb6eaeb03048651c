"""Writes small ONNX files by hand, field by field of onnx.proto, so that no test needs the package onnx."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

FLOAT = 1
INT64 = 7


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(name: str, values: np.ndarray) -> bytes:
    kind = INT64 if values.dtype == np.int64 else FLOAT
    content = values if kind == INT64 else values.astype(np.float32)
    dims = b"".join(field(1, side) for side in values.shape)
    return dims + field(2, kind) + field(8, name) + field(9, np.ascontiguousarray(content).tobytes())


def value(name: str, shape: Sequence[int | str], kind: int = FLOAT) -> bytes:
    sides = b"".join(field(1, field(1, side) if isinstance(side, int) else field(2, side)) for side in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, sides)))


def node(kind: str, inputs: Sequence[str], output: str, **numbers: int) -> bytes:
    told = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind)
    # An attribute of kind INT (2).
    return told + b"".join(
        field(5, field(1, name) + field(3, number) + field(20, 2)) for name, number in numbers.items()
    )


def write_model(
    path: Path,
    nodes: Sequence[bytes],
    constants: dict[str, np.ndarray],
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str]],
) -> Path:
    graph = b"".join(field(1, one) for one in nodes) + field(2, "made")
    graph += b"".join(field(5, tensor(name, values)) for name, values in constants.items())
    graph += b"".join(field(11, value(name, shape)) for name, shape in inputs.items())
    kinds = {name: INT64 if f"known_{name}" in constants and constants[f"known_{name}"].dtype == np.int64 else FLOAT
             for name in outputs}  # fmt: skip
    graph += b"".join(field(12, value(name, shape, kinds[name])) for name, shape in outputs.items())
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


def write_pose_model(
    path: Path,
    offsets: np.ndarray,
    weights: np.ndarray,
    *,
    size: tuple[int, int] = (64, 48),
    batch: int | str = "batch",
    split: int = 2,
) -> Path:
    """A model whose keypoints stand about the brightest place of the crop.

    Args:
        path: Where it is written.
        offsets: Columns and rows from the brightest place to each keypoint, integers, [point, 2].
        weights: Score of each keypoint over the brightness there (in deviations).
        size: Height and width of the input.
        batch: A number, or a name where any number may be given.
        split: Bins of each distribution over pixels.
    """
    nodes, constants = [], {}
    for axis, name, other in ((1, "simcc_x", 2), (0, "simcc_y", 3)):
        side = size[axis]
        moved = np.zeros((len(offsets), side, split * side), np.float32)
        for point, offset in enumerate(offsets[:, 1 - axis].tolist()):
            for bin_ in range(max(0, -offset), min(side, side - offset)):
                moved[point, bin_, split * (bin_ + offset)] = weights[point]
        constants[f"moved_{name}"] = moved
        constants[f"flat_{name}"] = np.array([0, 1, 1, side], np.int64)
        constants[f"shape_{name}"] = np.array([0, len(offsets), split * side], np.int64)
        axes = np.array([1, other], np.int64)
        # ReduceMax takes its axes as an attribute in this version of the operators.
        ints = field(1, "axes") + b"".join(field(8, int(one)) for one in axes) + field(20, 7)
        keep = field(1, "keepdims") + field(3, 0) + field(20, 2)
        nodes.append(
            field(1, "input") + field(2, f"most_{name}") + field(4, "ReduceMax") + field(5, ints) + field(5, keep)
        )
        nodes.append(node("Reshape", [f"most_{name}", f"flat_{name}"], f"row_{name}"))
        nodes.append(node("MatMul", [f"row_{name}", f"moved_{name}"], f"all_{name}"))
        nodes.append(node("Reshape", [f"all_{name}", f"shape_{name}"], name))
    count = len(offsets)
    return write_model(
        path, nodes, constants, {"input": [batch, 3, *size]},
        {"simcc_x": [batch, count, split * size[1]], "simcc_y": [batch, count, split * size[0]]},
    )  # fmt: skip


def write_detector(path: Path, outputs: dict[str, np.ndarray], *, size: tuple[int, int] = (64, 64)) -> Path:
    """A detector that says the same of every picture."""
    nodes = [node("Identity", [f"known_{name}"], name) for name in outputs]
    constants = {f"known_{name}": values for name, values in outputs.items()}
    shapes = {name: list(values.shape) for name, values in outputs.items()}
    return write_model(path, nodes, constants, {"input": [1, 3, *size]}, shapes)
