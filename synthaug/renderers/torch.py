"""The specification of a picture in plain PyTorch: slow, short and differentiable.

Tests compare every other renderer with it. The module is named after its library; imports are absolute, so `import
torch` means the library here too.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Int16
from torch import Tensor

from synthaug.body.skinning import pose_frame
from synthaug.levels import choose_level
from synthaug.renderers import Renderer, Splatting
from synthaug.renderers.splatting.checks import check_frames, check_rest
from synthaug.structures import Camera, Gaussians, PosedGaussians, Rendering

MIN_ALPHA = 1 / 255
"""Coverage below one uint8 step is skipped: gsplat's ALPHA_THRESHOLD."""
MIN_TRANSMITTANCE = 1e-4
"""A pixel stops before the Gaussian that would leave less light: gsplat's TRANSMITTANCE_THRESHOLD."""
FRUSTUM_MARGIN = 0.3
"""How far outside the picture, in half pictures, the Jacobian is evaluated at most: gsplat's value."""
TILE = 16
"""Side in pixels of the squares that `splat` renders one by one. It bounds memory and changes no pixel."""


@dataclass(frozen=True, eq=False)
class Footprints:
    """Gaussians projected into the picture, nearest first.

    Attributes:
        means2d: Centres in pixels; the picture's corner is (0, 0), its first pixel's centre (0.5, 0.5).
        conics: Inverse of the 2x2 covariance: xx, xy, yy; per pixel squared.
        extents: Half sides in pixels of the box beyond which coverage is below MIN_ALPHA.
        opacities: After antialiasing.
        colors: Those of the Gaussians, never clamped.
        depths: Camera z in metres.
    """

    means2d: Float[Tensor, "gaussian 2"]
    conics: Float[Tensor, "gaussian 3"]
    extents: Float[Tensor, "gaussian 2"]
    opacities: Float[Tensor, " gaussian"]
    colors: Float[Tensor, "gaussian 3"]
    depths: Float[Tensor, " gaussian"]

    def take(self, rows: Bool[Tensor, " gaussian"] | Int[Tensor, " row"]) -> "Footprints":
        """These rows: all that a mask marks, or the ones at these indices."""
        return Footprints(
            means2d=self.means2d[rows],
            conics=self.conics[rows],
            extents=self.extents[rows],
            opacities=self.opacities[rows],
            colors=self.colors[rows],
            depths=self.depths[rows],
        )


def splat(
    posed: PosedGaussians,
    viewmat: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    *,
    height: int,
    width: int,
    splatting: Splatting,
) -> tuple[Float[Tensor, "3 height width"], Float[Tensor, "1 height width"], Float[Tensor, "1 height width"]]:
    """Render one frame of Gaussians as colour, alpha and depth, differentiable in everything but the order.

    Works in the precision of its input. The background is transparent and colour is premultiplied by alpha.

    Args:
        posed: Gaussians in the world frame, metres.
        viewmat: World to camera.
        K: Intrinsics in pixels; skew is ignored, as in gsplat.
        height: Height of the picture, pixels.
        width: Width of the picture, pixels.
        splatting: The image model.

    Returns:
        Premultiplied colour; alpha; the alpha-weighted mean of camera z in metres, 0 where alpha is 0.

    Source:
        Kerbl and others, "3D Gaussian Splatting for Real-Time Radiance Field Rendering", 2023; the details (order of
        tests, thresholds, exclusive stop) are those of gsplat 1.5.3's CUDA kernels.
    """
    seen = project(posed, viewmat, K, height=height, width=width, splatting=splatting)
    rows = []
    for top in range(0, height, TILE):
        row = []
        for left in range(0, width, TILE):
            box = (top, left, min(top + TILE, height), min(left + TILE, width))
            row.append(_blend(seen, box, splatting.max_alpha))
        rows.append(torch.cat(row, dim=2))
    picture = torch.cat(rows, dim=1)
    rgb, alpha, weighted = picture[:3], picture[3:4], picture[4:5]
    covered = alpha > 0
    return rgb, alpha, torch.where(covered, weighted / torch.where(covered, alpha, 1.0), 0.0)


def project(
    posed: PosedGaussians,
    viewmat: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    *,
    height: int,
    width: int,
    splatting: Splatting,
) -> Footprints:
    """Project each Gaussian to first order about its centre; cull those out of sight and sort the rest, nearest first.

    Equal depths keep the order of the Gaussians.

    Source:
        Zwicker and others, "EWA Volume Splatting", 2001; antialiasing: Yu and others, "Mip-Splatting", 2024.
    """
    p = posed.means @ viewmat[:3, :3].mT + viewmat[:3, 3]
    inside = (p[:, 2] >= splatting.near) & (p[:, 2] <= splatting.far)
    x, y, z = torch.where(inside[:, None], p, 1.0).unbind(-1)
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]

    # The Jacobian is evaluated at most a margin outside, since it explodes farther out; the centre stays exact.
    margin_x, margin_y = FRUSTUM_MARGIN * 0.5 * width / fx, FRUSTUM_MARGIN * 0.5 * height / fy
    qx = torch.clamp(x / z, -(cx / fx + margin_x), (width - cx) / fx + margin_x)
    qy = torch.clamp(y / z, -(cy / fy + margin_y), (height - cy) / fy + margin_y)
    zero = torch.zeros_like(z)
    J = torch.stack([fx / z, zero, -fx * qx / z, zero, fy / z, -fy * qy / z], dim=-1).unflatten(-1, (2, 3))
    J = J @ viewmat[:3, :3]
    S = J @ posed.covars @ J.mT
    xx, xy, yy = S[:, 0, 0], S[:, 0, 1], S[:, 1, 1]
    det_before = xx * yy - xy * xy
    xx, yy = xx + splatting.eps2d, yy + splatting.eps2d
    det = xx * yy - xy * xy

    regular = inside & (det > 0)
    det = torch.where(regular, det, 1.0)
    opacities = posed.opacities
    if splatting.antialiased:
        opacities = opacities * torch.sqrt(torch.clamp(det_before / det, min=0))
    seen = Footprints(
        means2d=torch.stack([fx * x / z + cx, fy * y / z + cy], dim=-1),
        conics=torch.stack([yy, -xy, xx], dim=-1) / det[:, None],
        extents=_extents(opacities, torch.stack([xx, yy], dim=-1)),
        opacities=opacities,
        colors=posed.colors,
        depths=z,
    )
    seen = seen.take(regular & (opacities >= MIN_ALPHA))
    return seen.take(torch.argsort(seen.depths.detach().float(), stable=True))


def _extents(
    opacities: Float[Tensor, " gaussian"], variances: Float[Tensor, "gaussian 2"]
) -> Float[Tensor, "gaussian 2"]:
    """Half sides of the box beyond which coverage is below MIN_ALPHA, with a little slack for rounding."""
    with torch.no_grad():
        reach = torch.sqrt(2 * torch.log(torch.clamp(opacities / MIN_ALPHA, min=1.0)))
        return 1.001 * reach[:, None] * torch.sqrt(variances) + 0.001


def _blend(
    seen: Footprints, box: tuple[int, int, int, int], max_alpha: float
) -> Float[Tensor, "5 tile_height tile_width"]:
    """Colour, alpha and alpha-weighted depth of the pixels in a box (top, left, bottom, right)."""
    top, left, bottom, right = box
    low = seen.means2d.new_tensor([left, top])
    high = seen.means2d.new_tensor([right, bottom])
    seen = seen.take(((seen.means2d + seen.extents > low) & (seen.means2d - seen.extents < high)).all(dim=1))
    values = torch.cat([seen.colors, torch.ones_like(seen.depths)[:, None], seen.depths[:, None]], dim=1)
    return (_shares(seen, box, max_alpha) @ values).mT.reshape(5, bottom - top, right - left)


def _shares(seen: Footprints, box: tuple[int, int, int, int], max_alpha: float) -> Float[Tensor, "pixel gaussian"]:
    """The share of each Gaussian in each pixel of a box (top, left, bottom, right).

    This is the pixel loop of the paper as running products. Transmittance only falls, so stopping at the first Gaussian
    that would leave too little light is the same as keeping those after which enough is left.
    """
    top, left, bottom, right = box
    low = seen.means2d.new_tensor([left, top])
    ys = torch.arange(top, bottom, dtype=low.dtype, device=low.device) + 0.5
    xs = torch.arange(left, right, dtype=low.dtype, device=low.device) + 0.5
    pixels = torch.cartesian_prod(ys, xs).flip(-1)

    dx, dy = (seen.means2d - pixels[:, None]).unbind(-1)
    a, b, c = seen.conics.unbind(-1)
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    alphas = torch.clamp(seen.opacities * torch.exp(-sigma), max=max_alpha)
    alphas = torch.where((sigma >= 0) & (alphas >= MIN_ALPHA), alphas, 0.0)

    left_after = torch.cumprod(1 - alphas, dim=1)
    left_before = torch.cat([torch.ones_like(left_after[:, :1]), left_after[:, :-1]], dim=1)
    return torch.where(left_after > MIN_TRANSMITTANCE, alphas * left_before, 0.0)


@dataclass(frozen=True)
class TorchRenderer(Renderer):
    """The specification as a renderer: frame by frame in float32, seconds for a clip.

    Attributes:
        splatting: The image model.
    """

    splatting: Splatting = Splatting()

    @property
    def fingerprint(self) -> str:
        """Name of the renderer and its image model."""
        return f"torch 1 {self.splatting}"

    def render(
        self, people: Sequence[Gaussians], camera: Camera, *, depth: bool = False, labels: bool = False
    ) -> Rendering:
        """Render people together; see `Renderer.render`."""
        check_frames(people, camera)
        people = [choose_level(person, camera, self.splatting.per_pixel) for person in people]
        for person in people:
            check_rest(person)
        rgb = torch.zeros(len(camera.viewmats), 3, camera.height, camera.width, dtype=torch.uint8)
        alpha, depths = torch.zeros_like(rgb[:, :1]), torch.zeros(rgb[:, :1].shape)
        parts = torch.zeros(rgb[:, :1].shape, dtype=torch.int16)
        for t in range(len(rgb)) if people else ():
            posed = concatenate([pose_frame(person, t) for person in people])
            colour, cover, distance = splat(
                posed,
                camera.viewmats[t],
                camera.Ks[t],
                height=camera.height,
                width=camera.width,
                splatting=self.splatting,
            )
            rgb[t], alpha[t], depths[t] = to_uint8(colour), to_uint8(cover), distance
            if labels:
                parts[t, 0] = strongest_parts(posed, part_labels(people), camera, t, self.splatting)
        return Rendering(rgb=rgb, alpha=alpha, depth=depths if depth else None, labels=parts if labels else None)


def part_labels(people: Sequence[Gaussians]) -> Int16[Tensor, " gaussian"]:
    """The label of each Gaussian of all people in one list: see `Rendering.labels`."""
    parts, before = [], 1
    for person in people:
        strongest = person.joint_ids.long().gather(1, person.weights.argmax(dim=1, keepdim=True))[:, 0]
        parts.append(strongest + before)
        before += person.T_world_rest.shape[1]
    return torch.cat(parts).to(torch.int16)


def strongest_parts(
    posed: PosedGaussians, parts: Int16[Tensor, " gaussian"], camera: Camera, frame: int, splatting: Splatting
) -> Int16[Tensor, "height width"]:
    """The label of the Gaussian with the largest share of each pixel, of equal ones the nearer; 0 without any."""
    height, width = camera.height, camera.width
    numbers = torch.arange(len(parts)).to(posed.means)[:, None].expand(-1, 3)
    numbered = dataclasses.replace(posed, colors=numbers)
    view = (camera.viewmats[frame], camera.Ks[frame])
    seen = project(numbered, *view, height=height, width=width, splatting=splatting)
    shares = _shares(seen, (0, 0, height, width), splatting.max_alpha)
    # A first column of almost nothing, so that pixels without any Gaussian point to label 0.
    shares = torch.cat([shares.new_full((len(shares), 1), 1e-12), shares], dim=1)
    labels = torch.cat([parts.new_zeros(1), parts[seen.colors[:, 0].long()]])
    return labels[shares.argmax(dim=1)].reshape(height, width)


def concatenate(people: Sequence[PosedGaussians]) -> PosedGaussians:
    """Join several people into one set of Gaussians, so that one depth order decides who hides whom."""
    return PosedGaussians(
        means=torch.cat([person.means for person in people]),
        covars=torch.cat([person.covars for person in people]),
        opacities=torch.cat([person.opacities for person in people]),
        colors=torch.cat([person.colors for person in people]),
    )


def to_uint8(values: Float[Tensor, "*shape"]) -> Tensor:
    """Convert values of 0..1 to 0..255: halves are rounded up, values out of range are clamped."""
    return torch.clamp(torch.floor(255 * values + 0.5), 0, 255).to(torch.uint8)
