"""The contract of a camera path, with an example camera, for plugin authors and our own tests."""

import json

import numpy as np
import torch

from synthaug.cameras import CameraPath
from synthaug.structures import Camera


def example_camera(*, frames: int = 4, height: int = 48, width: int = 64, distance: float = 3.0) -> Camera:
    """A level camera 1.2 m above the floor that looks along -z, at this distance in metres from the origin."""
    viewmats = torch.eye(4).repeat(frames, 1, 1)
    viewmats[:, 1, 1] = viewmats[:, 2, 2] = -1
    viewmats[:, 1, 3] = 1.2
    viewmats[:, 2, 3] = distance
    Ks = torch.tensor([[1.1 * height, 0, width / 2], [0, 1.1 * height, height / 2], [0, 0, 1.0]]).repeat(frames, 1, 1)
    return Camera(viewmats=viewmats, Ks=Ks, width=width, height=height)


def check_camera_path(path: CameraPath, *, samples: int = 5) -> None:
    """Raise AssertionError unless the path keeps its contract.

    Checked: the same generator state samples the same values; values survive a trip through JSON; equal values and
    reference give equal cameras, whatever was sampled in between; frames and size are the reference's; views are rigid;
    the person's centre stays in front of the camera; the reference is not changed in place.

    Args:
        path: The camera path to check.
        samples: How many values are tried.

    Raises:
        AssertionError: If the contract is broken; the message says how.
    """
    reference, centre = example_camera(), torch.tensor([0.1, 0.9, -0.1])
    before = reference.viewmats.clone(), reference.Ks.clone()
    for seed in range(samples):
        values = path.sample(np.random.default_rng(seed))
        assert path.sample(np.random.default_rng(seed)) == values, (
            "Expected the same values from the same generator state."
        )
        first = path.path(values, reference, centre)
        path.path(path.sample(np.random.default_rng(seed + 1000)), reference, centre)
        again = path.path(json.loads(json.dumps(values, allow_nan=False)), reference, centre)
        assert torch.equal(first.viewmats, again.viewmats), (
            "Expected the same camera after a trip of the values through JSON."
        )
        assert torch.equal(first.Ks, again.Ks), "Expected the same camera after a trip of the values through JSON."
        assert (first.height, first.width) == (reference.height, reference.width), "Expected the size of the reference."
        assert first.viewmats.shape == reference.viewmats.shape, "Expected the number of frames of the reference."
        rotations = first.viewmats[:, :3, :3]
        assert torch.allclose(rotations @ rotations.mT, torch.eye(3).expand_as(rotations), atol=1e-4), (
            "Expected rigid viewmats."
        )
        assert bool((torch.linalg.det(rotations) > 0).all()), "Expected viewmats that do not mirror the world."
        depth = (first.viewmats @ torch.cat([centre, torch.ones(1)]))[:, 2]
        assert bool((depth > 0).all()), "Expected the person in front of the camera."
    assert torch.equal(before[0], reference.viewmats), "Expected the reference not to be changed in place."
    assert torch.equal(before[1], reference.Ks), "Expected the reference not to be changed in place."
