"""Check what every background must do: for plugin authors and for our own tests."""

import json

import numpy as np
import torch

from synthaug.backgrounds import Background
from synthaug.structures import Camera, Scene
from synthaug.testing.cameras import example_camera


def check_background(background: Background, *, camera: Camera | None = None, samples: int = 3) -> None:
    """Raise AssertionError unless the background keeps its contract.

    Checked: frames have the camera's number and size; values survive a trip through JSON; equal values give equal
    pixels, whatever was sampled in between; the fingerprint stays; a camera, if one is returned, has as many frames and
    their size; depth is positive and of one frame's size; a scene with a camera has a spot on the floor.

    Args:
        background: Prepared, so that it has something to choose from.
        camera: The view to ask for; None takes an example.
        samples: How many values are tried.
    """
    view = example_camera() if camera is None else camera
    fingerprint = background.fingerprint
    for seed in range(samples):
        values = background.sample(np.random.default_rng(seed))
        assert background.sample(np.random.default_rng(seed)) == values, "the same generator sampled other values"
        scene = background.scene(values, view)
        background.scene(background.sample(np.random.default_rng(seed + 1000)), view)
        again = background.scene(json.loads(json.dumps(values, allow_nan=False)), view)
        assert torch.equal(scene.frames, again.frames), "values changed on their way through JSON"
        _check_scene(scene, view)
    assert background.fingerprint == fingerprint, "the fingerprint changed without a cause"


def _check_scene(scene: Scene, view: Camera) -> None:
    shape = (len(view.viewmats), 3, view.height, view.width)
    assert scene.frames.dtype == torch.uint8, f"frames are {scene.frames.dtype} and not uint8"
    assert tuple(scene.frames.shape) == shape, f"frames have shape {tuple(scene.frames.shape)} and not {shape}"
    if scene.camera is not None:
        size = (len(scene.camera.viewmats), scene.camera.height, scene.camera.width)
        assert size == (shape[0], *shape[2:]), "the scene's camera has other frames than the scene"
        assert scene.spot is not None, "a scene with a camera needs a spot to stand on"
        assert scene.spot[1] == 0, "the spot is not on the floor"
    if scene.depth is not None:
        assert tuple(scene.depth.shape) == shape[2:], "depth has another size than the frames"
        assert bool((scene.depth > 0).all()), "depth is not positive"
