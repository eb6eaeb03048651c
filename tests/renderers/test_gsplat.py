"""The GPU renderer: an error without a GPU, right in layout everywhere, right in pixels where there is one."""

import dataclasses
import logging
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthaug.body.skinning import pose_frame
from synthaug.renderers import Shot, Splatting
from synthaug.renderers import gsplat as module
from synthaug.renderers.auto import best_renderer
from synthaug.renderers.cpu import CpuRenderer
from synthaug.renderers.gsplat import GsplatRenderer, compiled_max_alpha, plan_calls, pose_clips
from synthaug.renderers.splatting.building import BuildError
from synthaug.renderers.torch import splat
from synthaug.structures import Gaussians, Light, PosedGaussians
from synthaug.testing.renderers import check_renderer, example_person, example_view, psnr, with_normals

without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


@without_cuda
def test_without_cuda_gsplat_is_an_error_and_nothing_is_compiled():
    before = set(sys.modules)
    with pytest.raises(ValueError, match="torch sees no CUDA device.*Choose synth/renderer=cpu"):
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


def crowd() -> list[list[Gaussians]]:
    """Clips with people of different sizes, joints and weights, lit and unlit."""
    light = Light((0.3, 0.5, -0.7), (0.9, 0.8, 0.7), (0.6, 0.7, 0.8), (0.4, 0.3, 0.1))
    small, tall = example_person(frames=3, count=30, k=2, seed=1), example_person(frames=3, count=50, joints=7, seed=2)
    lit = dataclasses.replace(with_normals(example_person(frames=3, count=40, seed=3)), light=light)
    return [[small], [tall, lit], [lit], [dataclasses.replace(small, light=light)]]


@pytest.mark.parametrize("part", [slice(0, 3), slice(1, 2)])
def test_clips_together_are_posed_as_single_frames_are(part: slice):
    posed = pose_clips(crowd(), part, device=torch.device("cpu"))
    assert posed.means.shape[:3] == (4, part.stop - part.start, 90)
    for clip, people in enumerate(crowd()):
        for i, t in enumerate(range(part.start, part.stop)):
            alone = [pose_frame(person, t) for person in people]
            count = sum(len(one.means) for one in alone)
            for name, tolerance in (("means", 1e-6), ("covars", 1e-8), ("colors", 1e-6)):
                expected = torch.cat([getattr(one, name) for one in alone])
                np.testing.assert_allclose(getattr(posed, name)[clip, i, :count], expected, atol=tolerance)
            assert torch.equal(posed.opacities[clip, :count], torch.cat([one.opacities for one in alone]))
            assert not posed.opacities[clip, count:].any(), "padding covers nothing"


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=12), st.integers(1, 20), st.integers(0, 5000),
    st.integers(1, 60_000),
)  # fmt: skip
def test_calls_hold_every_frame_once_and_fit(sizes: list[int], frames: int, pixels: int, most: int):
    counts = dict(enumerate(sizes))
    seen = []
    for clips, part in plan_calls(counts, frames, pixels=pixels, most=most):
        seen += [(clip, t) for clip in clips for t in range(part.start, part.stop)]
        largest = max(counts[clip] for clip in clips)
        length = part.stop - part.start
        assert len(clips) * length * (largest + pixels // 10) <= most or (len(clips), length) == (1, 1)
        assert all(2 * counts[clip] >= largest for clip in clips), "padding doubles nothing"
        assert len(clips) == 1 or length == frames
    assert sorted(seen) == [(clip, t) for clip in counts for t in range(frames)]


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
    """gsplat.rasterization by the specification: same layout of arguments and results."""
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


def test_long_clips_are_rendered_in_parts_that_fit(pretended: list[int]):
    person, camera = example_person(frames=5, count=40), example_view(frames=5)
    whole = GsplatRenderer(device="cpu").render([person], camera, depth=True)
    pretended.clear()
    cost = 40 + 50 * 61 // 10
    parts = GsplatRenderer(device="cpu", gaussians_per_call=2 * cost).render([person], camera, depth=True)
    assert pretended == [2, 2, 1]
    assert torch.equal(whole.rgb, parts.rgb)
    assert whole.depth is not None and parts.depth is not None
    assert torch.equal(whole.depth, parts.depth)


def test_a_batch_is_rendered_in_few_calls_and_each_clip_as_if_alone(pretended: list[int]):
    view, small = example_view(frames=3), example_view(frames=3, height=20, width=30)
    people = [tuple(clip) for clip in crowd()]
    shots = [
        Shot(people[0], view), Shot(people[1], view), Shot((), view, depth=True), Shot(people[2], small),
        Shot(people[3], view), Shot(people[2], view, depth=True),
    ]  # fmt: skip
    renderer = GsplatRenderer(device="cpu")
    together = renderer.render_clips(shots)
    # One call for each size and for depth; 90 and 30 Gaussians do not share one.
    assert sorted(pretended) == [3, 3, 3, 6]
    for shot, rendering in zip(shots, together, strict=True):
        alone = renderer.render(shot.people, shot.camera, depth=shot.depth)
        assert torch.equal(rendering.rgb, alone.rgb) and torch.equal(rendering.alpha, alone.alpha)
        assert (rendering.depth is None) == (not shot.depth)
        assert rendering.depth is None or alone.depth is None or torch.equal(rendering.depth, alone.depth)
    assert renderer.render_clips([]) == []


def test_people_are_sent_once_and_again_when_they_change(pretended: list[int], monkeypatch: pytest.MonkeyPatch):
    sent = []
    send = module._send
    monkeypatch.setattr(module, "_send", lambda person, device: sent.append(1) or send(person, device))
    monkeypatch.setattr(module, "_people_on_device", {})
    monkeypatch.setattr(module, "_MAX_PEOPLE", 3)
    renderer, person, camera = GsplatRenderer(device="cpu"), example_person(count=20), example_view()
    before = renderer.render([person], camera)
    moved = dataclasses.replace(person, T_world_rest=person.T_world_rest.clone())
    renderer.render([moved], camera)
    assert len(sent) == 1, "another motion is the same person"
    person.colors.zero_()
    after = renderer.render([person], camera)
    assert len(sent) == 2 and not torch.equal(before.rgb, after.rgb)
    strangers = [example_person(count=2, seed=seed) for seed in range(5)]
    for stranger in strangers:
        renderer.render([stranger], camera)
    assert len(module._people_on_device) == 3, "strangers do not pile up"


def test_a_failed_compilation_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def fail(*_: object, **__: object) -> None:
        raise BuildError("nvcc fatal: no room")

    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a pretended device")
    monkeypatch.setattr(module, "build_once", fail)
    with pytest.raises(
        BuildError, match=r"a pretended device, which needs nvcc.*Set CUDA_HOME.*renderer=cpu.*nvcc fatal: no room"
    ):
        GsplatRenderer().prepare()


def test_a_limit_that_gsplat_cannot_reach_is_an_error(pretended: list[int]):
    with pytest.raises(ValueError, match="Expected max_alpha to be at most .*, the limit of gsplat .*, got 1.0"):
        GsplatRenderer(Splatting(max_alpha=1.0))
    with pytest.raises(ValueError, match="Expected gaussians_per_call to be 1 or more, got 0"):
        GsplatRenderer(gaussians_per_call=0)


def test_auto_takes_gsplat_where_there_is_cuda(
    pretended: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a pretended device")
    with caplog.at_level(logging.INFO):
        assert best_renderer() == GsplatRenderer()
    assert "Renderer: gsplat, since torch sees a pretended device." in caplog.messages


def test_the_limit_of_alpha_of_each_version_is_known(monkeypatch: pytest.MonkeyPatch):
    found = SimpleNamespace(version="1.5.3")
    monkeypatch.setattr("synthaug.renderers.gsplat.version", lambda name: found.version)
    for found.version, limit in (("1.5.2", 0.999), ("1.5.3", 0.999), ("1.6.0.dev1", 0.99), ("1.6.0", 0.99)):
        assert compiled_max_alpha() == limit


@pytest.mark.gpu
def test_gsplat_agrees_with_torch():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for antialiased in (True, False):
        splatting = Splatting(antialiased=antialiased)
        check_renderer(GsplatRenderer(splatting), splatting=splatting)


@pytest.mark.gpu
def test_a_batch_on_a_gpu_is_its_clips_alone():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    renderer, view = GsplatRenderer(), example_view(frames=3)
    shots = [Shot(tuple(people), view) for people in crowd()]
    for shot, rendering in zip(shots, renderer.render_clips(shots), strict=True):
        assert torch.equal(rendering.rgb, renderer.render(shot.people, view).rgb)
        assert rendering.rgb.is_pinned()


@pytest.mark.gpu
def test_gsplat_agrees_with_the_cpu_renderer():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    view = example_view(frames=3)
    for people in crowd():
        # Thresholds at which fast arithmetic decides otherwise, and the imitated limit of alpha: see check_renderer.
        assert psnr(GsplatRenderer().render(people, view).rgb, CpuRenderer().render(people, view).rgb) > 45
