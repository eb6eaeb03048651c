"""Measure how a camera turns and zooms, on the background that it films, and take that out of landmarks. Pure.

Corners off the people are followed from key frame to key frame, and a pinhole that turns and zooms about its own place
is fitted to them robustly. A camera that also travels fits less well the nearer the background is, and its certainty
falls. Angles are radians, positions pixels of the film.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from synthaug.motions.fitting.landmarks import Landmarks
from synthaug.structures import Camera

USUAL_FOCAL = 0.87
"""Longer sides of the picture: a horizontal view of 60 degrees."""
_WIDTH = 320
"""Width at which the background is followed, whatever the film's; thresholds below are pixels at this width."""
_CORNERS = 144
"""Corners in a key frame, spread over a grid of CELLS so that no single thing has most of them."""
_CELLS = (4, 6)
_APART = 6
"""Least distance between two corners."""
_RETURN = 0.7
"""Largest distance between a corner and where following it forth and back ends."""
_FEW = 0.5
"""Share of a key frame's corners that must be left, or a new key frame begins."""
_FAR = 0.2
"""Widths by which the picture may move from a key frame, or a new key frame begins."""
_LEAST = 10
"""Corners off the people that a frame needs to tell anything."""
_INLIER = 2.0
"""Distance within which a corner agrees with the camera's movement: compression, and parallax of a hand's sway."""
_STILL = 1.0
"""Distance from its place in the key frame within which a corner counts as resting."""
_RESTING = 0.5
"""Share of a frame's corners that rest if its camera does: the rest is people, curtains, screens."""
_RARELY = 0.05
"""Share of frames that do not count: a passer-by, a flash."""
_BASELESS = 0.25
"""Share of corners that must agree in half of the frames before a movement is believed."""
_WINDOW = (15, 15)
_LENSES = tuple(0.5 * 1.2**k for k in range(13))
"""Focal lengths that are tried, longer sides of the picture: 90 to 11 degrees of view."""
_LENS_FRAMES = 16
"""Frames that are asked, those farthest from their key frames."""
_LENS_SHIFT = 16.0
"""Pixels by which the picture must have moved since, at `_WIDTH`."""
_LENS_ERROR = 0.5
_LENS_CLEAR = 0.1
"""What share of corners the best lens must explain beyond the worse end of the grid."""


@dataclass(frozen=True, eq=False)
class Link:
    """Corners of a frame's background, and where they were in its key frame; pixels at `_WIDTH`.

    Attributes:
        key: Number of the key frame.
        start: Positions in the key frame.
        now: Positions in this frame; where a corner was lost, its last known one.
        followed: False where a corner was lost on the way to this frame.
    """

    key: int
    start: Float[np.ndarray, "corner 2"]
    now: Float[np.ndarray, "corner 2"]
    followed: Bool[np.ndarray, " corner"]


class BackgroundFollower:
    """Follows the corners of a film's frames, which are added one by one."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.size = (0, 0)
        self._grey: UInt8[np.ndarray, "height width"] | None = None
        self._start = self._now = np.zeros((0, 2), np.float32)
        self._key = 0

    def add(self, frame: UInt8[np.ndarray, "height width 3"]) -> None:
        """Follow the corners into the next frame, sRGB, of the same size as all others."""
        height, width = frame.shape[:2]
        self.size = height, width
        # Green is nearly the grey, and a plane of its own where frames come as planes.
        green = np.ascontiguousarray(frame[..., 1])
        grey = cv2.resize(green, (_WIDTH, max(1, round(height * _WIDTH / width))), interpolation=cv2.INTER_AREA)
        if self._grey is None:
            nothing = np.zeros((0, 2), np.float32)
            self.links.append(Link(0, nothing, nothing, np.zeros(0, bool)))
            self._begin_key(grey, 0)
        else:
            self._follow(self._grey, grey)
        self._grey = grey

    def _follow(self, before: UInt8[np.ndarray, "height width"], grey: UInt8[np.ndarray, "height width"]) -> None:
        now, followed = _follow_corners(before, grey, self._now)
        self.links.append(Link(self._key, self._start, np.where(followed[:, None], now, self._now), followed))
        self._start, self._now = self._start[followed], now[followed]
        moved = np.median(np.abs(self._now - self._start), axis=0).max() if len(self._now) else np.inf
        if len(self._now) < _FEW * self._count or moved > _FAR * _WIDTH:
            self._begin_key(grey, len(self.links) - 1)

    def _begin_key(self, grey: UInt8[np.ndarray, "height width"], number: int) -> None:
        self._key = number
        self._start = self._now = find_corners(grey)
        self._count = max(len(self._now), 1)


def find_corners(grey: UInt8[np.ndarray, "height width"]) -> Float[np.ndarray, "corner 2"]:
    """The clearest corners of each cell of a grid (Shi and Tomasi 1994), as float32."""
    rows, columns = _CELLS
    height, width = grey.shape
    found = cv2.goodFeaturesToTrack(grey, 4 * _CORNERS, 0.01, _APART)
    if found is None:
        return np.zeros((0, 2), np.float32)
    corners = found[:, 0]
    cell = (corners[:, 1] * rows // height).astype(int) * columns + (corners[:, 0] * columns // width).astype(int)
    # The clearest come first; each cell keeps its share.
    kept = [np.flatnonzero(cell == k)[: _CORNERS // (rows * columns)] for k in range(rows * columns)]
    return np.asarray(corners[np.sort(np.concatenate(kept))], np.float32)


def _follow_corners(
    before: UInt8[np.ndarray, "height width"], after: UInt8[np.ndarray, "height width"], corners: NDArray[np.float32]
) -> tuple[Float[np.ndarray, "corner 2"], Bool[np.ndarray, " corner"]]:
    """Where corners are in the next frame, and whether following them back returns (Kalal and others 2010)."""
    if not len(corners):
        return corners, np.zeros(0, bool)
    now, there = _flow(before, after, corners)
    back, here = _flow(after, before, now)
    height, width = after.shape
    inside = (now >= 0).all(1) & (now < [width, height]).all(1)
    returned = np.linalg.norm(back - corners, axis=1) < _RETURN
    return now, there & here & inside & returned


def _flow(
    before: UInt8[np.ndarray, "height width"], after: UInt8[np.ndarray, "height width"], corners: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points are in another picture, and whether they were found (Lucas and Kanade 1981, in a pyramid)."""
    found, status, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, corners.copy(), winSize=_WINDOW, maxLevel=4)
    return np.asarray(found, np.float32), np.asarray(status)[:, 0] > 0


@dataclass(frozen=True, eq=False)
class Background:
    """Corners of the background of one shot, and where people were.

    Attributes:
        links: One for each frame; a key frame before the shot's first frame has a negative number.
        people: Boxes of the people in each frame [person, 4]: left, top, right, bottom, pixels of `size`.
        size: Height and width of the frames that people were found in.
    """

    links: Sequence[Link]
    people: Sequence[NDArray[np.float64]]
    size: tuple[int, int]

    def between(self, first: int, last: int) -> "Background":
        """Frames `first` to `last` - 1."""
        links = [replace(link, key=link.key - first) for link in self.links[first:last]]
        return Background(links, self.people[first:last], self.size)

    def corners(self, frame: int) -> Link:
        """The corners of a frame that lie off the people."""
        link = self.links[frame]
        scale = _WIDTH / self.size[1]
        free = ~_inside_boxes(link.now, self.people[frame] * scale)
        if link.key >= 0:
            free &= ~_inside_boxes(link.start, self.people[link.key] * scale)
        return Link(link.key, link.start[free], link.now[free], link.followed[free])


def _inside_boxes(
    points: Float[np.ndarray, "point 2"], boxes: Float[np.ndarray, "person 4"]
) -> Bool[np.ndarray, " point"]:
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    return np.asarray(((points >= low) & (points <= high)).all(-1).any(0))


@dataclass(frozen=True, eq=False)
class CameraMotion:
    """How a camera turned and zoomed during one shot.

    Attributes:
        rotations: From the camera's axes (x right, y down, z forward) in the reference frame to those in each frame.
        zooms: Focal length of each frame over that of the reference frame.
        focal: Focal length of the reference frame, longer sides of the picture.
        certainty: Share of the background's corners that agree with this in each frame; nan where there are too few.
        moves: False if the camera stood still; rotations are then the identity and zooms 1.
    """

    rotations: Float[np.ndarray, "time 3 3"]
    zooms: Float[np.ndarray, " time"]
    focal: float
    certainty: Float[np.ndarray, " time"]
    moves: bool

    @classmethod
    def at_rest(cls, count: int, focal: float, certainty: Float[np.ndarray, " time"] | None = None) -> "CameraMotion":
        """A camera that stands still for this number of frames."""
        sure = np.full(count, np.nan) if certainty is None else certainty
        return cls(np.eye(3)[None].repeat(count, 0), np.ones(count), focal, sure, moves=False)

    def notes(self) -> dict[str, float]:
        """For `Reference.notes`: the largest turn from the reference frame, degrees, and the range of focal lengths."""
        cosines = (self.rotations.trace(axis1=1, axis2=2) - 1) / 2
        turn = float(np.degrees(np.arccos(np.clip(cosines, -1, 1)).max()))
        return {"camera_turn_deg": turn, "camera_zoom": float(self.zooms.max() / self.zooms.min())}

    def between(self, first: int, last: int) -> "CameraMotion":
        """Frames `first` to `last` - 1; the one in their middle is the reference frame."""
        middle = (first + last) // 2
        return CameraMotion(
            self.rotations[first:last] @ self.rotations[middle].T,
            self.zooms[first:last] / self.zooms[middle],
            self.focal * float(self.zooms[middle]),
            self.certainty[first:last],
            self.moves,
        )

    def grade(self) -> float:
        """1 where the background agrees with a camera that stands or moves like this, towards 0.1 where nothing does.

        A background without corners, such as a bare wall, tells nothing and costs nothing.
        """
        known = self.certainty[np.isfinite(self.certainty)]
        if not len(known):
            return 1.0
        # The mean of the worse half, so that a lost second shows.
        worse = np.sort(known)[: (len(known) + 1) // 2]
        return float(np.clip((worse.mean() - 0.2) / 0.3, 0.1, 1.0))

    def homographies(self, size: tuple[int, int]) -> Float[np.ndarray, "time 3 3"]:
        """Maps from pixels of the reference frame to those of each frame, for pictures of this height and width."""
        height, width = size
        inner = np.eye(3)
        inner[:2, 2] = width / 2, height / 2
        lens = np.diag([self.focal * max(size)] * 2 + [1.0])
        zoomed = np.stack([np.diag([zoom, zoom, 1.0]) for zoom in self.zooms])
        return np.asarray(inner @ lens @ zoomed @ self.rotations @ np.linalg.inv(inner @ lens))

    def hold(self, seen: Landmarks, size: tuple[int, int]) -> Landmarks:
        """The landmarks as a camera that stays as it was in the reference frame sees them.

        Args:
            seen: Landmarks in the film's own pictures, one row for each frame of this.
            size: Height and width of the pictures.
        """
        if not self.moves:
            return seen
        hips = seen.pixels[:, 23:25].mean(1)
        beside = torch.stack([hips, hips + hips.new_tensor([1.0, 0.0])], dim=1)
        base, tip = self.hold_points(beside, size).unbind(1)
        # The shape is seen along the line to the person: only the turn about that line changes it.
        cos, sin = torch.nn.functional.normalize(tip - base, dim=-1).unbind(-1)
        x, y, z = seen.world.unbind(-1)
        world = torch.stack([cos[:, None] * x - sin[:, None] * y, sin[:, None] * x + cos[:, None] * y, z], dim=-1)
        return replace(seen, world=world, pixels=self.hold_points(seen.pixels, size), within=seen.inside(size))

    def hold_points(
        self, points: Float[torch.Tensor, "time point 2"], size: tuple[int, int]
    ) -> Float[torch.Tensor, "time point 2"]:
        """Pixels of each frame where the camera of the reference frame sees the same; nan behind it."""
        back = torch.from_numpy(np.linalg.inv(self.homographies(size))).to(points)
        mapped = torch.cat([points, torch.ones_like(points[..., :1])], dim=-1) @ back.mT
        return torch.where(mapped[..., 2:] > 1e-3, mapped[..., :2] / mapped[..., 2:].clamp(min=1e-3), torch.nan)

    def follow(self, camera: Camera) -> Camera:
        """The camera that moved like this, from where it was in the reference frame: one view a frame."""
        if not self.moves:
            return camera
        turns = torch.eye(4, dtype=camera.viewmats.dtype).repeat(len(self.rotations), 1, 1)
        turns[:, :3, :3] = torch.from_numpy(self.rotations).to(camera.viewmats)
        Ks = camera.Ks.clone()
        Ks[:, [0, 1], [0, 1]] *= torch.from_numpy(self.zooms).to(Ks)[:, None]
        return replace(camera, viewmats=turns @ camera.viewmats, Ks=Ks)


def measure_camera(background: Background, *, focal: float = USUAL_FOCAL) -> CameraMotion:
    """Fit a camera that turns and zooms to the corners of a shot; its first frame is the reference frame.

    Args:
        background: Corners off the people.
        focal: Focal length of the first frame, longer sides of the picture. A wrong one gives wrong angles, but hardly
            other pixels.
    """
    corners = [background.corners(k) for k in range(len(background.links))]
    count = len(corners)
    resting = _resting_shares(corners)
    known = resting[np.isfinite(resting)]
    if not len(known) or float((known < _RESTING).mean()) <= _RARELY:
        return CameraMotion.at_rest(count, focal, np.where(resting >= _RESTING, 1.0, resting))
    found = _chain(corners, background.size, focal)
    # Where next to nothing agrees, a wrong movement is worse than none.
    told = np.isfinite(found.certainty)
    if float(np.median(found.certainty[told])) < _BASELESS or _reach(found, background.size) < 2 * _STILL:
        return CameraMotion.at_rest(count, focal, found.certainty)
    return found


def measure_focal(background: Background) -> float | None:
    """Focal length in longer sides of the picture, from how pans bend the background; None where they do not tell.

    A wide lens stretches what nears the border, a long one shifts all alike (Hartley, "Self-calibration from multiple
    views with a rotating camera", ECCV 1994; here over a grid of lenses, by how many corners agree).
    """
    links = [background.corners(k) for k in range(1, len(background.links))]
    links = [link for link in links if link.followed.sum() >= 2 * _LEAST]
    moved = [float(np.linalg.norm(np.median((link.now - link.start)[link.followed], axis=0))) for link in links]
    order = np.argsort(moved)[::-1][:_LENS_FRAMES]
    far = [links[k] for k in order if moved[k] > _LENS_SHIFT]
    if len(far) < _LENS_FRAMES // 2:
        return None
    height, width = background.size
    middle = np.array([_WIDTH, _WIDTH * height / width]) / 2
    scores = np.zeros(len(_LENSES))
    for k, focal in enumerate(_LENSES):
        lens = focal * max(height, width) / width * _WIDTH
        for link in far:
            start, now = (at[link.followed].astype(np.float64) - middle for at in (link.start, link.now))
            values, _ = _fit_turn(start, now, lens, np.zeros(4))
            apart = ((_project(start, lens, values)[0] - now) ** 2).sum(1)
            scores[k] += float((1 / (1 + apart / _LENS_ERROR**2)).mean()) / len(far)
    best = int(scores.argmax())
    clear = scores[best] - min(scores[0], scores[-1]) > _LENS_CLEAR
    return float(_LENSES[best]) if clear and 0 < best < len(_LENSES) - 1 else None


def _reach(motion: CameraMotion, size: tuple[int, int]) -> float:
    """How far the corners of the picture move, pixels at `_WIDTH`, without the rarest frames."""
    height, width = size
    ends = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
    seen = ends @ motion.homographies(size).swapaxes(1, 2)
    moved = np.linalg.norm(seen[..., :2] / seen[..., 2:] - ends[:, :2], axis=-1).max(1)
    return float(np.quantile(moved, 1 - _RARELY)) * _WIDTH / width


def _resting_shares(corners: Sequence[Link]) -> Float[np.ndarray, " time"]:
    """Share of each frame's corners that rest since the key frame; nan where there are too few."""
    shares = np.full(len(corners), np.nan)
    for k, link in enumerate(corners[1:], start=1):
        if len(link.start) >= _LEAST:
            shares[k] = (link.followed & (np.linalg.norm(link.now - link.start, axis=1) < _STILL)).mean()
    return shares


def _chain(corners: Sequence[Link], size: tuple[int, int], focal: float) -> CameraMotion:
    """Turn and zoom of every frame, each from its key frame."""
    lens = focal * max(size) / size[1] * _WIDTH
    middle = np.array([_WIDTH, _WIDTH * size[0] / size[1]]) / 2
    rotations, zooms = np.eye(3)[None].repeat(len(corners), 0), np.ones(len(corners))
    certainty, last = np.full(len(corners), np.nan), np.zeros(4)
    for k, link in enumerate(corners):
        # Frames whose key frame lies before the shot all have the same one.
        key_turn, key_zoom = (rotations[link.key], zooms[link.key]) if link.key >= 0 else (np.eye(3), 1.0)
        last = last if k and link.key == corners[k - 1].key else np.zeros(4)
        if len(link.start) >= _LEAST:
            start, now = (at[link.followed].astype(np.float64) - middle for at in (link.start, link.now))
            last, agree = _fit_turn(start, now, lens * key_zoom, last)
            certainty[k] = agree.sum() / len(link.start) if k else np.nan
        rotations[k], zooms[k] = _turn(last[:3]) @ key_turn, key_zoom * np.exp(last[3])
    return CameraMotion(rotations @ rotations[0].T, zooms / zooms[0], focal, certainty, moves=True)


def _fit_turn(
    start: Float[np.ndarray, "corner 2"], now: Float[np.ndarray, "corner 2"], lens: float, guess: Float[np.ndarray, "4"]
) -> tuple[Float[np.ndarray, "4"], Bool[np.ndarray, " corner"]]:
    """Turn (rotation vector) and logarithm of the zoom that most corners agree with, and which do.

    Two starts, the frame before and a similarity found by RANSAC, each refined by Gauss and Newton's steps with Geman
    and McClure's weights.

    Args:
        start: Positions about the middle of the picture.
        now: Positions about the middle of the picture.
        lens: Focal length of the start, pixels.
        guess: A likely result.
    """
    best, most = guess, np.zeros(len(start), bool)
    if len(start) < 4:
        return best, most
    guesses = [guess]
    similar, _ = cv2.estimateAffinePartial2D(start, now, method=cv2.RANSAC, ransacReprojThreshold=3.0)
    if similar is not None:
        zoom, roll = np.hypot(similar[0, 0], similar[1, 0]), np.arctan2(similar[1, 0], similar[0, 0])
        x, y = similar[:, 2] / (lens * zoom)
        guesses.append(np.array([-np.arctan(y), np.arctan(x), roll, np.log(max(zoom, 1e-3))]))
    for values in guesses:
        for scale in (8.0, 4.0, _INLIER, _INLIER, 1.0, 1.0):
            values = _step(start, now, lens, values, scale)
        agree = np.linalg.norm(_project(start, lens, values)[0] - now, axis=1) < _INLIER
        if agree.sum() > most.sum():
            best, most = values, agree
    return best, most


def _project(
    start: NDArray[np.float64], lens: float, values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where corners are seen after a turn and zoom, and their directions."""
    rays = np.concatenate([start / lens, np.ones((len(start), 1))], axis=1) @ _turn(values[:3]).T
    return lens * np.exp(values[3]) * rays[:, :2] / np.maximum(rays[:, 2:], 1e-3), rays


def _step(
    start: NDArray[np.float64], now: NDArray[np.float64], lens: float, values: NDArray[np.float64], scale: float
) -> NDArray[np.float64]:
    """One weighted step of Gauss and Newton."""
    seen, rays = _project(start, lens, values)
    error = now - seen
    weight = 1 / (1 + (error**2).sum(1) / scale**2) ** 2
    focal, z = lens * np.exp(values[3]), np.maximum(rays[:, 2], 1e-3)
    x, y = rays[:, 0] / z, rays[:, 1] / z
    slopes = np.empty((len(start), 2, 4))
    slopes[:, 0] = np.stack([-focal * x * y, focal * (1 + x * x), -focal * y, focal * x], axis=1)
    slopes[:, 1] = np.stack([-focal * (1 + y * y), focal * x * y, focal * x, focal * y], axis=1)
    A, b = slopes.reshape(-1, 4), error.reshape(-1)
    w = weight.repeat(2)
    delta = np.linalg.solve((A * w[:, None]).T @ A + 1e-6 * np.eye(4), (A * w[:, None]).T @ b)
    turned, _ = cv2.Rodrigues(_turn(delta[:3]) @ _turn(values[:3]))
    return np.append(turned[:, 0], values[3] + delta[3])


def _turn(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.Rodrigues(np.asarray(vector, np.float64))[0])
