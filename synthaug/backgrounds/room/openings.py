"""Windows of a room, and the open sky of a yard."""

from dataclasses import dataclass
from typing import TypeAlias

from synthaug.structures import Values

SIDES = (0, 1, 4, 5)
"""Faces of the four walls in `raycasting`: -x, +x, -z, +z."""
FENCE = 1.75
"""Height in metres of what encloses a yard: nobody looks over it, and treetops show above."""
CEILING = 3
"""Face of the ceiling in `raycasting`."""

Corner: TypeAlias = tuple[float | int, float | int, float | int]


@dataclass(frozen=True)
class Window:
    """A window: face of its wall, left and right end along it, sill and top, metres, and whether it has no frame.

    In a ceiling it goes from left to right along x, and from sill to top along z.
    """

    face: int
    left: float
    right: float
    sill: float
    top: float
    open: bool = False


def span_of(face: int, low: Corner, high: Corner) -> tuple[float, float]:
    """Start and end of a wall along its axis."""
    axis = 2 if face < 2 else 0
    return low[axis], high[axis]


def place_windows(values: Values, low: Corner, high: Corner) -> tuple[Window, ...]:
    """The windows of a room where they were sampled, one in each wall at most."""
    if values.get("kind") == "yard":
        return open_sky(low, high)
    found: list[Window] = []
    for choice in values["windows"]:  # type: ignore[union-attr]
        face = SIDES[int(choice["wall"])]  # type: ignore[index,call-overload]
        start, end = span_of(face, low, high)
        width = min(float(choice["width"]), end - start - 0.8)  # type: ignore[index,call-overload]
        left = start + 0.4 + float(choice["along"]) * (end - start - 0.8 - width)  # type: ignore[index,call-overload]
        sill = float(choice["sill"])  # type: ignore[index,call-overload]
        top = min(sill + float(choice["height"]), high[1] - 0.2)  # type: ignore[index,call-overload]
        window = Window(face, left, left + width, sill, top)
        if all(other.face != face for other in found):
            found.append(window)
    return tuple(found)


def open_sky(low: Corner, high: Corner) -> tuple[Window, ...]:
    """All above the fence of a yard, and the sky over it."""
    walls = [Window(face, *span_of(face, low, high), FENCE, high[1], open=True) for face in SIDES]
    return (*walls, Window(CEILING, low[0], high[0], low[2], high[2], open=True))
