"""Choice of the fastest renderer that this machine can run; the log says which one."""

import logging

import torch

from synthaug.renderers import Renderer, Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.gsplat import GsplatRenderer

log = logging.getLogger(__name__)
_SPLATTING = Splatting()


def best_renderer(splatting: Splatting = _SPLATTING) -> Renderer:
    """Choose the gsplat renderer where there is CUDA, the compiled CPU renderer elsewhere; the log says which and why.

    Their pictures agree to about one step of uint8, but not to the bit: to replay recipes exactly, name the renderer.

    Args:
        splatting: The image model of the chosen renderer.
    """
    if torch.cuda.is_available():
        log.info("Renderer: gsplat, since torch sees %s.", torch.cuda.get_device_name())
        return GsplatRenderer(splatting)
    log.info("Renderer: cpu, since torch sees no CUDA device.")
    return CpuRenderer(splatting)
