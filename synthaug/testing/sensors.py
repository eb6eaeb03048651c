"""Check what every sensor must do: for plugin authors and for our own tests."""

import json

import numpy as np
import torch

from synthaug.sensors import Sensor


def check_sensor(sensor: Sensor, *, samples: int = 3) -> None:
    """Raise AssertionError unless the sensor keeps its contract.

    Checked: equal generators sample equal values; values survive a trip through JSON; equal values give equal pixels,
    whatever was sampled in between; shape and dtype stay; the clip that was given does not change.

    Args:
        sensor: The sensor to check.
        samples: How many values are tried.
    """
    video = torch.randint(0, 256, (3, 3, 40, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = video.clone()
    for seed in range(samples):
        values = sensor.sample(np.random.default_rng(seed))
        assert sensor.sample(np.random.default_rng(seed)) == values, "the same generator sampled other values"
        out = sensor.apply(video, values)
        assert out.shape == video.shape and out.dtype == torch.uint8, f"a clip became {out.dtype} {tuple(out.shape)}"
        sensor.apply(video, sensor.sample(np.random.default_rng(seed + 1000)))
        again = sensor.apply(video, json.loads(json.dumps(values, allow_nan=False)))
        assert torch.equal(out, again), "values changed on their way through JSON"
        assert torch.equal(video, before), "the clip was changed in place"
