"""Record a rendered clip as a camera does, with OpenCV and a real JPEG codec.

Synthesis uses the faster `CameraSensor.apply`. The demo's film is recorded by this module instead, so that the filmed
and the synthetic side of the demo are different models; tests compare the two.
"""

from typing import no_type_check

import cv2
import numba
import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.compositing.sensor import NOISE_STEPS, check_values, number, recorded_size, tone_curve
from synthaug.sensors.camera import noise_bank
from synthaug.structures import Values

_BLOCK = 16
"""Side in pixels of the largest JPEG block, 2 x 2 subsampled chroma."""


def record_clip(video: UInt8[Tensor, "time 3 height width"], values: Values) -> UInt8[Tensor, "time 3 height width"]:
    """Add the sensor's imperfections and a JPEG round trip to a clip. Only where noise starts is sampled, by `seed`.

    Args:
        video: sRGB.
        values: What `CameraSensor.sample` returned. An effect that is missing is not applied.
    """
    check_values(values)
    height, width = video.shape[2:]
    frames = [cv2.merge([*frame]) for frame in video.cpu().contiguous().numpy()]
    share = number(values, "resolution", 1.0)
    small = recorded_size(height, width, share)[::-1]
    if small != (width, height):
        # Down to a half, bilinear taps still reach every pixel, at a quarter of the area filter's cost.
        taps = cv2.INTER_LINEAR if share > 0.5 else cv2.INTER_AREA
        frames = [cv2.resize(frame, small, interpolation=taps) for frame in frames]
    frames = _blur(frames, number(values, "blur", 0.0))
    frames = _expose_frames(frames, values)
    quality = int(number(values, "quality", 0.0))
    if quality:
        frames = _compress(frames, quality)
    if small != (width, height):
        frames = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in frames]
    out = np.empty(video.shape, np.uint8)
    for frame, planes in zip(frames, out, strict=True):
        for channel in range(3):
            cv2.extractChannel(frame, channel, dst=planes[channel])
    return torch.from_numpy(out).to(video.device)


def _blur(frames: list[np.ndarray], sigma: float) -> list[np.ndarray]:
    # Below 0.15 pixels, a Gaussian's neighbours weigh less than one step of uint8.
    if sigma <= 0.15:
        return frames
    return [cv2.GaussianBlur(frame, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for frame in frames]


def _expose_frames(frames: list[np.ndarray], values: Values) -> list[np.ndarray]:
    """Apply tone and noise in one pass, because noise arises before the value is rounded."""
    curve = tone_curve(values)
    level = number(values, "noise", 0.0)
    if level == 0 and np.allclose(curve, np.arange(256), atol=1e-3):
        return frames
    # Half of the variance at mid grey is shot noise.
    sigma = 255 * level * np.sqrt(0.5 * curve / 127.5 + 0.5) / NOISE_STEPS
    size = frames[0].size
    # The stored noise fills 591 x 591 pixels; larger frames repeat it.
    noise = noise_bank() if size < len(noise_bank()) else np.resize(noise_bank(), size + 1)
    starts = np.random.default_rng(int(number(values, "seed", 0.0))).integers(0, len(noise) - size, len(frames))
    for frame, start in zip(frames, starts, strict=True):
        _add_noise(frame.reshape(-1, 3), curve, sigma.astype(np.float32), noise[start : start + size].reshape(-1, 3))
    return frames


@no_type_check
@numba.njit(nogil=True, cache=True)
def _add_noise(pixels, curve, sigma, noise):
    for i in range(pixels.shape[0]):
        for c in range(3):
            old = pixels[i, c]
            new = curve[c, old] + sigma[c, old] * np.float32(noise[i, c]) + np.float32(0.5)
            pixels[i, c] = np.uint8(min(max(new, np.float32(0)), np.float32(255)))


def _compress(frames: list[np.ndarray], quality: int) -> list[np.ndarray]:
    """Encode all frames as one JPEG, each frame on its own blocks, and decode it."""
    height, width = frames[0].shape[:2]
    # Half a chroma block above and below: decoders interpolate chroma across the border of two blocks.
    above, below, beside = _BLOCK // 2, _BLOCK // 2 + -height % _BLOCK, -width % _BLOCK
    padded = [cv2.copyMakeBorder(frame, above, below, 0, beside, cv2.BORDER_REPLICATE) for frame in frames]
    tall_height = above + height + below
    limit = 65_000 // tall_height  # JPEG's sides end at 65,535
    out: list[np.ndarray] = []
    for first in range(0, len(padded), limit):
        tall = np.concatenate(padded[first : first + limit])
        # OpenCV expects BGR; swapped channels would be weighted wrongly in the luma.
        done, data = cv2.imencode(".jpg", cv2.cvtColor(tall, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        assert done, "OpenCV encodes any uint8 picture of these sizes"
        read = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        out += [frame[above : above + height, :width] for frame in read.reshape(-1, tall_height, width + beside, 3)]
    return out
