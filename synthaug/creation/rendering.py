"""The differentiable renderer that a person is learnt through."""

from torch import Tensor

from synthaug.renderers import Splatting
from synthaug.renderers.splatting.gradients import splat
from synthaug.structures import Camera, PosedGaussians

_IMAGE = Splatting(per_pixel=None)


def splat_frame(posed: PosedGaussians, camera: Camera) -> tuple[Tensor, Tensor]:
    """Premultiplied colour [3, height, width] and alpha [1, height, width] of one frame, by the compiled kernels."""
    rgb, alpha, _ = splat(
        posed, camera.viewmats[0], camera.Ks[0], height=camera.height, width=camera.width, splatting=_IMAGE
    )
    return rgb, alpha
