"""A finite stock of built places, each seen from a fixed view: built once, used for many clips."""

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np
from torch import Tensor

from synthaug.backgrounds import Background, Outline
from synthaug.body.skeleton import centre_of
from synthaug.cameras import CameraPath
from synthaug.files import digest_of
from synthaug.structures import Camera, Record, Reference, Scene, Values

_TARGET_HEIGHT = 1.0
"""Height in metres of the point that a camera path moves about: the middle of a standing person."""
_MAX_SCENES = 1024
"""Scenes kept in a process: 90 kB each at 112 px."""


@final
class Places(Background):
    """A number of places, each seen from one fixed view, as if somebody had filmed in each for a while.

    Building a new place for every clip costs three times as much as rendering the person in it. Here people are put
    into places as they are put into plates: on the spot, turned so that the camera sees the side that the sampled view
    would have seen. Views are those of training clips, moved by a camera path. There are none until `prepare` is
    called.

    Args:
        inner: Builds the places.
        camera: Moves training clips' views.
        number: How many places.
        seed: Decides which places.
    """

    def __init__(self, inner: Background, camera: CameraPath, *, number: int = 300, seed: int = 0) -> None:
        if number < 1:
            raise ValueError(f"Expected number to be at least one place, got {number}. Raise number.")
        self.inner = inner
        self.camera = camera
        self.number = number
        self.seed = seed
        self.views: dict[str, Camera] = {}
        self._fingerprint = f"places/none/{inner.fingerprint}"
        self._scenes: OrderedDict[str, Scene] = OrderedDict()
        self._outlines: OrderedDict[str, tuple[Camera, Outline]] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        """Changes with the builder and with the views."""
        return self._fingerprint

    def sample(self, rng: np.random.Generator) -> Values:
        """A place: its number, the clip whose view it has, and how that view is moved; `contents` has the rest.

        Raises:
            ValueError: If `prepare` was not called.
        """
        if not self.views:
            raise ValueError(
                "Expected views of training clips to see places from, got none. "
                "Call `prepare` with the training records and their references first."
            )
        number = int(rng.integers(self.number))
        own = np.random.default_rng([self.seed, number, 0])
        keys = sorted(self.views)
        key = keys[int(own.integers(len(keys)))]
        return {"place": number, "view": key, "camera": self.camera.sample(own)}

    def contents(self, number: int) -> Values:
        """Values of what is built at a place; the place's number alone decides them."""
        return self.inner.sample(np.random.default_rng([self.seed, number, 1]))

    def describe(self, values: Values) -> str:
        """What is built at the place."""
        return self.inner.describe(self.contents(_number_of(values)))

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The place from its own view, with the frames and size of `camera`, which is otherwise ignored.

        Raises:
            KeyError: If the recipe names a view that is not here.
        """
        name = json.dumps([values, camera.height, camera.width], sort_keys=True)
        scene = self._scenes.pop(name, None) or self._build(values, camera)
        self._scenes[name] = scene
        if len(self._scenes) > _MAX_SCENES:
            self._scenes.popitem(last=False)
        time, view = len(camera.viewmats), scene.camera
        assert view is not None
        return replace(scene, frames=scene.frames.repeat(time, 1, 1, 1), camera=_hold(view, time))

    def outline(self, values: Values, camera: Camera) -> Outline:
        """The outline of the place from its own view, without building it; errors as for `scene`."""
        name = json.dumps([values, camera.height, camera.width], sort_keys=True)
        if name not in self._outlines:
            view = self._view(values, camera)
            self._outlines[name] = view, self.inner.outline(self.contents(_number_of(values)), view)
            if len(self._outlines) > _MAX_SCENES:
                self._outlines.popitem(last=False)
        view, found = self._outlines[name]
        return Outline(_hold(view, len(camera.viewmats)), found.spot or (0.0, 0.0, 0.0), found.depth_at)

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> Background:
        """The same places with the views of these films.

        Raises:
            ValueError: If there are no films.
        """
        if not films:
            raise ValueError("Expected at least one film to take views from, got none. Widen the training part.")
        found = Places(self.inner.prepare(films), self.camera, number=self.number, seed=self.seed)
        found.views = {record.key: _first_view(reference) for record, reference in films}
        seen = digest_of(*(part for key in sorted(found.views) for part in (key, *_digest_parts(found.views[key]))))
        found._fingerprint = f"places/{self.seed}/{seen}/{found.inner.fingerprint}"
        return found

    def _build(self, values: Values, camera: Camera) -> Scene:
        view = self._view(values, camera)
        scene = self.inner.scene(self.contents(_number_of(values)), view)
        return replace(scene, camera=view, spot=scene.spot or (0.0, 0.0, 0.0))

    def _view(self, values: Values, camera: Camera) -> Camera:
        """The view of a sampled place, one frame of the camera's size."""
        key, moved = str(values["view"]), values["camera"]
        if key not in self.views:
            raise KeyError(
                f"Expected a recipe with one of these {len(self.views)} views ({', '.join(sorted(self.views)[:3])}, "
                f"...), got '{key}'. Replay recipes with the data set and protocol that they were made with."
            )
        assert isinstance(moved, dict)
        own = self.views[key].scaled(height=camera.height, width=camera.width)
        return self.camera.path(moved, own, own.viewmats.new_tensor([0.0, _TARGET_HEIGHT, 0.0]))


def _number_of(values: Values) -> int:
    number = values["place"]
    assert isinstance(number, int)
    return number


def _hold(view: Camera, count: int) -> Camera:
    """A view of one frame as a camera that stands still for `count` frames."""
    return replace(view, viewmats=view.viewmats.repeat(count, 1, 1), Ks=view.Ks.repeat(count, 1, 1))


def _first_view(reference: Reference) -> Camera:
    """A clip's first view of the floor under the middle of its person's path, one frame."""
    camera = reference.camera
    first = replace(camera, viewmats=camera.viewmats[:1], Ks=camera.Ks[:1])
    return first.around(centre_of(reference.motion))


def _digest_parts(camera: Camera) -> tuple[str | Tensor, ...]:
    return (camera.viewmats, camera.Ks, f"{camera.height}x{camera.width}")
