"""Flat pictures of places, without floor, depth or light: what a photograph gives."""

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np

from synthaug.backgrounds import Background, Outline
from synthaug.structures import Camera, Record, Reference, Scene, Values


@final
class Flat(Background):
    """Another background's first picture, without its camera, floor, depth and light.

    arXiv 2506.09411 does this with photographs: the person stays where the reference's camera saw them, in front of a
    picture that was taken from elsewhere.

    Args:
        inner: Gives the pictures.
    """

    def __init__(self, inner: Background) -> None:
        self.inner = inner

    @property
    def fingerprint(self) -> str:
        """Changes with the background that gives the pictures."""
        return f"flat/{self.inner.fingerprint}"

    def sample(self, rng: np.random.Generator) -> Values:
        """Values of a picture."""
        return self.inner.sample(rng)

    def describe(self, values: Values) -> str:
        """What the picture shows."""
        return self.inner.describe(values)

    def outline(self, values: Values, camera: Camera) -> Outline:
        """A picture without depth hides nobody."""
        return Outline()

    def scene(self, values: Values, camera: Camera) -> Scene:
        """The picture, repeated for every frame of the camera's path."""
        still = replace(camera, viewmats=camera.viewmats[:1], Ks=camera.Ks[:1])
        scene = self.inner.scene(values, still)
        frames = scene.frames[:1].repeat(len(camera.viewmats), 1, 1, 1)
        return Scene(frames, filmed="still" if scene.filmed else "")

    def prepare(self, films: Sequence[tuple[Record, Reference]]) -> Background:
        """The pictures that these films allow."""
        return Flat(self.inner.prepare(films))
