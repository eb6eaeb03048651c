"""A finite stock of built places, each with a camera that stands in it: built once, used for many clips.

A background made of a background and camera paths, as those two know nothing of each other.
"""

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np
from torch import Tensor

from synthaug.backgrounds import Background
from synthaug.body.skeleton import centre_of
from synthaug.cameras import CameraPath
from synthaug.files import digest_of
from synthaug.structures import Camera, Record, Reference, Scene, Values

_MIDDLE = 1.0
"""Height in metres of the point that a view is moved about: where a standing person's middle is."""
_KEPT = 1024
"""Scenes kept in a process: 90 kB each at 112 px."""


@final
class Places(Background):
    """So many places, each seen from one fixed view, as if somebody had filmed in each for a while.

    A place that is built anew for every clip costs three times what the person in it does. Here people are put into
    places as they are into plates: on the spot, turned so that the camera sees the side that the drawn view would
    have seen. Views are those of training clips, moved by a camera path. Until `among` has been called there are none.

    Args:
        inner: Builds the places.
        camera: Moves training clips' views.
        number: Of places.
        seed: Decides which.
    """

    def __init__(self, inner: Background, camera: CameraPath, *, number: int = 300, seed: int = 0) -> None:
        if number < 1:
            raise ValueError(f"number={number} was given; at least one place was wanted. Raise number.")
        self.inner = inner
        self.camera = camera
        self.number = number
        self.seed = seed
        self.views: dict[str, Camera] = {}
        self._fingerprint = f"places/none/{inner.fingerprint}"
        self._scenes: OrderedDict[str, Scene] = OrderedDict()

    @property
    def fingerprint(self) -> str:
        """Of the builder and of the views."""
        return self._fingerprint

    def sample(self, rng: np.random.Generator) -> Values:
        """One of the places: its number, the clip whose view it has, and how that is moved; `contents` has the rest.

        Raises:
            ValueError: If there are no views yet.
        """
        if not self.views:
            raise ValueError(
                "Places have no views to be seen from: they are those of training clips. "
                "Call `among` with the training records and their references first."
            )
        number = int(rng.integers(self.number))
        own = np.random.default_rng([self.seed, number, 0])
        keys = sorted(self.views)
        key = keys[int(own.integers(len(keys)))]
        return {"place": number, "view": key, "camera": self.camera.sample(own)}

    def contents(self, number: int) -> Values:
        """What is built at a place: by its number alone, as a person's looks follow from their name."""
        return self.inner.sample(np.random.default_rng([self.seed, number, 1]))

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The place from its own view, with the frames and size of `camera`, which is otherwise ignored.

        Raises:
            KeyError: If the recipe's view is not among these.
        """
        name = json.dumps([values, camera.height, camera.width], sort_keys=True)
        scene = self._scenes.pop(name, None) or self._built(values, camera)
        self._scenes[name] = scene
        if len(self._scenes) > _KEPT:
            self._scenes.popitem(last=False)
        time, view = len(camera.viewmats), scene.camera
        assert view is not None
        lasting = replace(view, viewmats=view.viewmats.repeat(time, 1, 1), Ks=view.Ks.repeat(time, 1, 1))
        return replace(scene, frames=scene.frames.repeat(time, 1, 1, 1), camera=lasting)

    def among(self, films: Sequence[tuple[Record, Reference]]) -> Background:
        """The same places with the views of these films.

        Raises:
            ValueError: If there are no films.
        """
        if not films:
            raise ValueError("No film was given to take views from; at least one was wanted. Widen the training part.")
        found = Places(self.inner.among(films), self.camera, number=self.number, seed=self.seed)
        found.views = {record.key: _view(reference) for record, reference in films}
        seen = digest_of(*(part for key in sorted(found.views) for part in (key, *_parts(found.views[key]))))
        found._fingerprint = f"places/{self.seed}/{seen}/{found.inner.fingerprint}"
        return found

    def _built(self, values: Values, camera: Camera) -> Scene:
        key, moved, number = str(values["view"]), values["camera"], values["place"]
        if key not in self.views:
            raise KeyError(
                f"The recipe asks for the view of '{key}', which is not among these {len(self.views)} "
                f"({', '.join(sorted(self.views)[:3])}, ...). Replay recipes with the data set and protocol that they "
                "were made with."
            )
        assert isinstance(moved, dict) and isinstance(number, int)
        own = self.views[key].scaled(height=camera.height, width=camera.width)
        view = self.camera.path(moved, own, own.viewmats.new_tensor([0.0, _MIDDLE, 0.0]))
        scene = self.inner.scene(self.contents(number), view)
        return replace(scene, camera=view, spot=scene.spot or (0.0, 0.0, 0.0))


def _view(reference: Reference) -> Camera:
    """A clip's first view of the floor under the middle of its person's path, one frame."""
    camera = reference.camera
    first = replace(camera, viewmats=camera.viewmats[:1], Ks=camera.Ks[:1])
    return first.around(centre_of(reference.motion))


def _parts(camera: Camera) -> tuple[str | Tensor, ...]:
    return (camera.viewmats, camera.Ks, f"{camera.height}x{camera.width}")
