"""The GPU renderer: refused in words without a GPU, right in layout everywhere, right in pixels where there is one."""

import logging
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from synthaug.renderers import Splatting
from synthaug.renderers.auto import best_renderer
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.gsplat import GsplatRenderer, compiled_max_alpha, pose_frames
from synthaug.renderers.torch import splat
from synthaug.structures import PosedGaussians
from synthaug.testing.renderers import check_renderer, example_person, example_view

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


@without_cuda
def test_without_cuda_gsplat_is_refused_in_words_and_nothing_is_compiled():
    before = set(sys.modules)
    with pytest.raises(ValueError, match="torch sees no CUDA device.*Choose the cpu renderer"):
        GsplatRenderer()
    # Importing this module is what makes gsplat look for its kernels, and compile them where nvcc is found.
    assert "gsplat.cuda._backend" not in sys.modules
    assert not {name for name in set(sys.modules) - before if name.startswith("gsplat")}


@without_cuda
def test_without_cuda_auto_takes_the_cpu_and_says_so(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        renderer = best_renderer(Splatting(eps2d=0.05))
    assert renderer == CpuRenderer(Splatting(eps2d=0.05))
    assert "Renderer: cpu, since torch sees no CUDA device." in caplog.messages


def test_several_frames_are_posed_as_single_frames_are():
    person = example_person(frames=3)
    means, covars, colors = pose_frames(person, slice(1, 3), device="cpu")
    for i, t in enumerate((1, 2)):
        posed = person.posed(t)
        np.testing.assert_allclose(means[i], posed.means, atol=1e-6)
        np.testing.assert_allclose(covars[i], posed.covars, atol=1e-8)
        np.testing.assert_allclose(colors[i], posed.colors, atol=1e-7)


def rasterization(  # noqa: PLR0913
    *,
    means: torch.Tensor,
    quats: None,
    scales: None,
    covars: torch.Tensor,
    opacities: torch.Tensor,
    colors: torch.Tensor,
    viewmats: torch.Tensor,
    Ks: torch.Tensor,
    width: int,
    height: int,
    near_plane: float,
    far_plane: float,
    eps2d: float,
    packed: bool,
    render_mode: str,
    rasterize_mode: str,
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """gsplat.rasterization as the specification would draw it: same layout of arguments and results."""
    assert quats is None and scales is None and not packed
    frames, count = means.shape[:2]
    assert covars.shape == (frames, count, 3, 3) and opacities.shape == (frames, count)
    assert colors.shape == (frames, count, 3) and viewmats.shape == (frames, 1, 4, 4) and Ks.shape == (frames, 1, 3, 3)
    calls.append(frames)
    splatting = Splatting(
        antialiased=rasterize_mode == "antialiased", eps2d=eps2d, max_alpha=0.999, near=near_plane, far=far_plane
    )
    pictures, alphas = [], []
    for t in range(frames):
        posed = PosedGaussians(means[t], covars[t], opacities[t], colors[t])
        rgb, alpha, depth = splat(posed, viewmats[t, 0], Ks[t, 0], height=height, width=width, splatting=splatting)
        picture = torch.cat([rgb, depth]) if render_mode == "RGB+ED" else rgb
        pictures.append(picture.permute(1, 2, 0))
        alphas.append(alpha.permute(1, 2, 0))
    return torch.stack(pictures)[:, None], torch.stack(alphas)[:, None], {}


calls: list[int] = []


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine whose CUDA device is the CPU and whose gsplat is the specification; gives the frames of each call."""
    stand_in = ModuleType("gsplat")
    monkeypatch.setattr(stand_in, "rasterization", rasterization, raising=False)
    monkeypatch.setitem(sys.modules, "gsplat", stand_in)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    calls.clear()
    return calls


def test_gsplat_is_asked_in_its_own_layout(pretended: list[int]):
    check_renderer(GsplatRenderer(device="cpu"))


def test_long_clips_are_drawn_in_parts_that_fit(pretended: list[int]):
    person, camera = example_person(frames=5, count=40), example_view(frames=5)
    whole = GsplatRenderer(device="cpu").render([person], camera, depth=True)
    pretended.clear()
    parts = GsplatRenderer(device="cpu", gaussians_per_call=80).render([person], camera, depth=True)
    assert pretended == [2, 2, 1]
    assert torch.equal(whole.rgb, parts.rgb)
    assert whole.depth is not None and parts.depth is not None
    assert torch.equal(whole.depth, parts.depth)


def test_a_cap_that_gsplat_cannot_reach_is_refused(pretended: list[int]):
    with pytest.raises(ValueError, match="max_alpha=1.0 was asked of gsplat .* which caps at"):
        GsplatRenderer(Splatting(max_alpha=1.0))
    with pytest.raises(ValueError, match="gaussians_per_call=0; 1 or more was wanted"):
        GsplatRenderer(gaussians_per_call=0)


def test_auto_takes_gsplat_where_there_is_cuda(
    pretended: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a pretended device")
    with caplog.at_level(logging.INFO):
        assert best_renderer() == GsplatRenderer()
    assert "Renderer: gsplat, since torch sees a pretended device." in caplog.messages


def test_the_cap_of_each_version_is_known(monkeypatch: pytest.MonkeyPatch):
    found = SimpleNamespace(version="1.5.3")
    monkeypatch.setattr("synthaug.renderers.gsplat.version", lambda name: found.version)
    for found.version, cap in (("1.5.2", 0.999), ("1.5.3", 0.999), ("1.6.0.dev1", 0.99), ("1.6.0", 0.99)):
        assert compiled_max_alpha() == cap


@pytest.mark.gpu
def test_gsplat_agrees_with_torch():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for antialiased in (True, False):
        splatting = Splatting(antialiased=antialiased)
        check_renderer(GsplatRenderer(splatting), splatting=splatting)
