"""What every camera path owes. For plugin authors and for our own tests."""

import json

import numpy as np
import torch

from synthaug.cameras import CameraPath
from synthaug.structures import Camera


def example_camera(*, frames: int = 4, height: int = 48, width: int = 64, distance: float = 3.0) -> Camera:
    """A level camera 1.2 m above the floor, looking along -z at the origin from this distance."""
    viewmats = torch.eye(4).repeat(frames, 1, 1)
    viewmats[:, 1, 1] = viewmats[:, 2, 2] = -1
    viewmats[:, 1, 3] = 1.2
    viewmats[:, 2, 3] = distance
    Ks = torch.tensor([[1.1 * height, 0, width / 2], [0, 1.1 * height, height / 2], [0, 0, 1.0]]).repeat(frames, 1, 1)
    return Camera(viewmats=viewmats, Ks=Ks, width=width, height=height)


def check_camera_path(path: CameraPath, *, draws: int = 5) -> None:
    """Raise AssertionError unless the path keeps its contract.

    Checked: values survive a trip through JSON; equal values and reference give equal cameras, whatever was drawn in
    between; frames and size are the reference's; rotations are rotations; the person's centre stays before the camera;
    the reference is not changed in place; the same generator state draws the same values.
    """
    reference, centre = example_camera(), torch.tensor([0.1, 0.9, -0.1])
    before = reference.viewmats.clone(), reference.Ks.clone()
    for seed in range(draws):
        values = path.sample(np.random.default_rng(seed))
        assert path.sample(np.random.default_rng(seed)) == values, "the same generator drew other values"
        first = path.path(values, reference, centre)
        path.path(path.sample(np.random.default_rng(seed + 1000)), reference, centre)
        again = path.path(json.loads(json.dumps(values, allow_nan=False)), reference, centre)
        assert torch.equal(first.viewmats, again.viewmats), "values changed on their way through JSON"
        assert torch.equal(first.Ks, again.Ks), "values changed on their way through JSON"
        assert (first.height, first.width) == (reference.height, reference.width), "the size changed"
        assert first.viewmats.shape == reference.viewmats.shape, "the number of frames changed"
        rotations = first.viewmats[:, :3, :3]
        assert torch.allclose(rotations @ rotations.mT, torch.eye(3).expand_as(rotations), atol=1e-4), (
            "viewmats are not rigid"
        )
        assert bool((torch.linalg.det(rotations) > 0).all()), "viewmats mirror the world"
        depth = (first.viewmats @ torch.cat([centre, torch.ones(1)]))[:, 2]
        assert bool((depth > 0).all()), "the person is behind the camera"
    assert torch.equal(before[0], reference.viewmats), "the reference was changed in place"
    assert torch.equal(before[1], reference.Ks), "the reference was changed in place"
