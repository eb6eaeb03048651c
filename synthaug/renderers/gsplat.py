"""Pictures by gsplat's CUDA kernels, many frames in one call. Between avatars and compositing, where there is a GPU.

The only file that knows gsplat, and it does so inside one function: gsplat compiles CUDA code at its first call, on
machines without a GPU too, so nothing here reaches it before CUDA is known to be there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import torch
from jaxtyping import Float
from packaging.version import Version
from torch import Tensor

from synthaug.levels import fitting
from synthaug.renderers import Renderer, Splatting
from synthaug.renderers.checks import check_frames, check_rest
from synthaug.structures import Camera, Gaussians, Rendering, quats_to_matrices


@dataclass(frozen=True)
class GsplatRenderer(Renderer):
    """Draws on the GPU, in the main process and never in DataLoader workers.

    gsplat's cap on alpha is compiled in. A lower one is imitated by capping opacities first, which differs by at most
    one percent of coverage on the shoulder of a Gaussian; a higher one is refused.

    Attributes:
        splatting: The image model.
        gaussians_per_call: Frames times Gaussians in one call of gsplat; bounds GPU memory at about 150 bytes each.
        device: A CUDA device.
    """

    splatting: Splatting = Splatting()
    gaussians_per_call: int = 4_000_000
    device: str = "cuda"

    def __post_init__(self) -> None:
        if not torch.cuda.is_available():
            raise ValueError(
                f"The gsplat renderer was chosen with device={self.device!r}, and torch sees no CUDA device; gsplat "
                "draws on NVIDIA GPUs only. Choose the cpu renderer, which draws the same pictures, or auto."
            )
        if self.gaussians_per_call < 1:
            raise ValueError(f"gaussians_per_call={self.gaussians_per_call}; 1 or more was wanted. Try the default.")
        if self.splatting.max_alpha > compiled_max_alpha():
            raise ValueError(
                f"max_alpha={self.splatting.max_alpha} was asked of gsplat {version('gsplat')}, which caps at "
                f"{compiled_max_alpha()}. Set max_alpha to that or less, or choose the cpu renderer."
            )

    @property
    def fingerprint(self) -> str:
        """Names the versions too: rasterisation on GPUs is not the same to the bit between them."""
        return f"gsplat 1 {version('gsplat')} torch {torch.__version__} cuda {torch.version.cuda} {self.splatting}"

    def render(
        self, people: Sequence[Gaussians], camera: Camera, *, depth: bool = False, labels: bool = False
    ) -> Rendering:
        """Draw people together; see `Renderer.render`. The result is in main memory.

        Raises:
            ValueError: Also if labels are wanted, which gsplat's kernels cannot give.
        """
        if labels:
            raise ValueError(
                "Labels were asked of the gsplat renderer, whose kernels tell no Gaussian from another; a renderer "
                "that can was wanted. Choose the cpu renderer for ground truth."
            )
        check_frames(people, camera)
        people = [fitting(person, camera, self.splatting.per_pixel) for person in people]
        for person in people:
            check_rest(person)
        frames = len(camera.viewmats)
        rgb = torch.zeros(frames, 3, camera.height, camera.width, dtype=torch.uint8)
        alpha, depths = torch.zeros_like(rgb[:, :1]), torch.zeros(rgb[:, :1].shape)
        count = sum(len(person.means) for person in people)
        step = max(1, self.gaussians_per_call // max(count, 1))
        for start in range(0, frames, step) if count else ():
            part = slice(start, start + step)
            colour, cover, distance = self._draw(people, camera, part, depth=depth)
            rgb[part], alpha[part] = _to_uint8(colour).cpu(), _to_uint8(cover).cpu()
            if distance is not None:
                depths[part] = distance.cpu()
        return Rendering(rgb=rgb, alpha=alpha, depth=depths if depth else None)

    def _draw(
        self, people: Sequence[Gaussians], camera: Camera, part: slice, *, depth: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Some frames: premultiplied colour, alpha and, if wanted, depth, each time-channel-height-width."""
        # Here and not above: importing is harmless, but the first call compiles for minutes (module docstring).
        from gsplat import rasterization

        posed = [pose_frames(person, part, device=self.device) for person in people]
        opacities = torch.cat([person.opacities for person in people]).to(self.device, torch.float32)
        if self.splatting.max_alpha < compiled_max_alpha():
            opacities = opacities.clamp(max=self.splatting.max_alpha)
        means = torch.cat([means for means, _, _ in posed], dim=1)
        picture, alphas, _ = rasterization(
            means=means,
            quats=None,
            scales=None,
            covars=torch.cat([covars for _, covars, _ in posed], dim=1),
            opacities=opacities.expand(len(means), -1).contiguous(),
            colors=torch.cat([colors for _, _, colors in posed], dim=1),
            viewmats=camera.viewmats[part, None].to(self.device, torch.float32),
            Ks=camera.Ks[part, None].to(self.device, torch.float32),
            width=camera.width,
            height=camera.height,
            near_plane=self.splatting.near,
            far_plane=self.splatting.far,
            eps2d=self.splatting.eps2d,
            packed=False,
            render_mode="RGB+ED" if depth else "RGB",
            rasterize_mode="antialiased" if self.splatting.antialiased else "classic",
        )
        picture, alphas = picture[:, 0].permute(0, 3, 1, 2), alphas[:, 0].permute(0, 3, 1, 2)
        return picture[:, :3], alphas, torch.where(alphas > 0, picture[:, 3:4], 0.0) if depth else None


def compiled_max_alpha() -> float:
    """The cap on alpha in the installed gsplat's kernels (MAX_ALPHA in its CUDA sources, lowered in 1.6)."""
    return 0.999 if Version(version("gsplat")) < Version("1.6.0.dev0") else 0.99


def pose_frames(
    person: Gaussians, part: slice, *, device: str
) -> tuple[Float[Tensor, "time gaussian 3"], Float[Tensor, "time gaussian 3 3"], Float[Tensor, "time gaussian 3"]]:
    """Means, covariances and colours of several frames at once: `Gaussians.posed` with a time axis, on a device."""
    T = person.T_world_rest[part, :, :3].to(device, torch.float32)
    joint_ids, weights = person.joint_ids.to(device).long(), person.weights.to(device, torch.float32)
    A = T.new_zeros(len(T), len(joint_ids), 3, 4)
    for k in range(joint_ids.shape[1]):  # one at a time, so that memory does not grow with the number of weights
        A += weights[:, k, None, None] * T[:, joint_ids[:, k]]
    means = (A[..., :3] @ person.means.to(device, torch.float32)[:, :, None])[..., 0] + A[..., 3]
    axes = quats_to_matrices(person.quats) * person.scales[:, None, :]
    M = A[..., :3] @ axes.to(device, torch.float32)
    colors = person.colors.to(device, torch.float32).expand(len(T), -1, -1)
    if person.light is not None and person.normals is not None:
        normals = person.normals.to(device, torch.float32)
        colors = colors * person.light.shade((A[..., :3] @ normals[:, :, None])[..., 0])
    return means, M @ M.mT, colors


def _to_uint8(values: Tensor) -> Tensor:
    return torch.clamp(torch.floor(255 * values + 0.5), 0, 255).to(torch.uint8)
