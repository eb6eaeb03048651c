"""The fastest renderer that this machine can run, chosen aloud. Between a configuration and the concrete renderers."""

import logging

import torch

from synthaug.renderers import Renderer, Splatting
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.gsplat import GsplatRenderer

log = logging.getLogger(__name__)
_SPLATTING = Splatting()


def best_renderer(splatting: Splatting = _SPLATTING) -> Renderer:
    """The gsplat renderer where there is CUDA, the compiled CPU renderer elsewhere; the log says which and why.

    Both draw the same picture to about one step of uint8, but not the same bits: recipes that must be replayed
    exactly name their renderer instead.

    Args:
        splatting: The image model, for whichever is chosen.
    """
    if torch.cuda.is_available():
        log.info("Renderer: gsplat, since torch sees %s.", torch.cuda.get_device_name())
        return GsplatRenderer(splatting)
    log.info("Renderer: cpu, since torch sees no CUDA device.")
    return CpuRenderer(splatting)
