import hashlib
import random

import pytest
import torch

from synthaug.structures import Light, Rendering, Scene
from synthaug.synthesis.caching import CacheStats, RenderCache
from synthaug.testing.renderers import example_view


def rendering(seed=0, *, depth=False, time=4, height=7, width=9):
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (time, 4, height, width), generator=rng, dtype=torch.uint8)
    far = torch.rand(time, 1, height, width, generator=rng) if depth else None
    return Rendering(rgb=pixels[:, :3], alpha=pixels[:, 3:], depth=far)


@pytest.mark.parametrize("depth", [False, True])
def test_what_is_read_is_what_was_written(tmp_path, depth):
    cache, wrote = RenderCache(tmp_path), rendering(depth=depth)
    cache.write("ab12", wrote)
    read = cache.read("ab12")
    assert torch.equal(read.rgb, wrote.rgb) and torch.equal(read.alpha, wrote.alpha)
    assert (read.depth is None) if not depth else torch.equal(read.depth, wrote.depth)


def test_an_unknown_key_is_nothing(tmp_path):
    assert RenderCache(tmp_path).read("ab12") is None


def test_any_changed_byte_is_noticed_and_nothing_crashes(tmp_path, caplog):
    cache = RenderCache(tmp_path)
    cache.write("ab12", rendering())
    path = next(tmp_path.glob("*/*.people"))
    whole = path.read_bytes()
    rng = random.Random(0)
    for _ in range(200):
        broken = bytearray(whole)
        place = rng.randrange(len(whole))
        broken[place] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(broken) if rng.random() < 0.8 else whole[: rng.randrange(len(whole))])
        assert len(cache.verify()) == 1
        assert cache.read("ab12") is None, place
        assert not path.exists()
    assert "rendered again" in caplog.text


def test_verify_removes_nothing_and_names_the_damaged(tmp_path):
    cache = RenderCache(tmp_path)
    cache.write("aa", rendering(0))
    cache.write("bb", rendering(1))
    (tmp_path / "bb" / "bb.people").write_bytes(b"nonsense")
    assert list(cache.verify()) == ["bb"]
    assert list(cache.keys()) == ["aa", "bb"]


def test_collecting_removes_the_longest_unread_first(tmp_path):
    import os

    cache = RenderCache(tmp_path)
    for age, key in enumerate(["new", "old", "older"]):
        cache.write(key, rendering(age))
        path = next(tmp_path.glob(f"*/{key}.people"))
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    size = cache.stats().bytes
    removed = cache.collect(max_gb=(size * 0.5) / 1e9)
    assert removed.entries == 2 and list(cache.keys()) == ["new"]
    assert cache.stats() == CacheStats(entries=1, bytes=size - removed.bytes)


def test_writers_that_write_once_each_keep_the_size_together(tmp_path):
    """No process of many short-lived ones lives long enough to count what the others wrote."""
    wrote = rendering()
    RenderCache(tmp_path).write("aa", wrote)
    size = RenderCache(tmp_path).stats().bytes
    limit = 256 * size
    for number in range(700):
        RenderCache(tmp_path, max_gb=limit / 1e9).write(
            hashlib.sha256(bytes([number % 256, number // 256])).hexdigest(), wrote
        )
    assert 0.95 * limit <= RenderCache(tmp_path).stats().bytes <= 1.1 * limit


def test_a_key_cannot_leave_the_folder(tmp_path):
    with pytest.raises(ValueError, match="Expected a cache key of letters and digits"):
        RenderCache(tmp_path).read("../../etc")


def test_a_limit_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match=r"Expected synth\.cache\.max_gb to be above 0, got 0\.0"):
        RenderCache(tmp_path, max_gb=0.0)


def place(camera, *, moving=False, depth=True):
    rng = torch.Generator().manual_seed(3)
    times, size = len(camera.viewmats), (camera.height, camera.width)
    frames = torch.randint(0, 256, (times if moving else 1, 3, *size), generator=rng, dtype=torch.uint8)
    light = Light((0.1, 0.9, 0.2), (0.5, 0.4, 0.3), (1.0, 1.0, 1.1), (0.2, 0.2, 0.2))
    return Scene(
        frames=frames.expand(times, 3, *size),
        camera=camera,
        spot=(0.0, 0.0, 0.0),
        depth=torch.rand(*size, generator=rng) if depth else None,
        light=light,
    )


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("depth", [False, True])
def test_a_place_comes_back_as_it_was(tmp_path, moving, depth):
    camera = example_view(frames=4, height=9, width=11)
    cache, wrote = RenderCache(tmp_path), place(camera, moving=moving, depth=depth)
    cache.write_scene("ab12", wrote)
    read = cache.read_scene("ab12", camera)
    assert torch.equal(read.frames, wrote.frames) and read.light == wrote.light and read.spot == wrote.spot
    assert read.camera is camera
    assert (read.depth is None) if not depth else torch.equal(read.depth, wrote.depth)
    assert cache.read("ab12") is None, "people and places are told apart"
    assert list(cache.keys()) == ["ab12"] and not cache.verify() and cache.stats().entries == 1


def test_a_still_place_is_kept_once_whatever_the_length(tmp_path):
    sizes = []
    for frames in (1, 64):
        cache = RenderCache(tmp_path / str(frames))
        cache.write_scene("ab12", place(example_view(frames=frames)))
        sizes.append(cache.stats().bytes)
    assert sizes[0] == sizes[1]


def test_a_place_of_another_camera_is_not_taken(tmp_path, caplog):
    cache = RenderCache(tmp_path)
    cache.write_scene("ab12", place(example_view(frames=2, height=9, width=11)))
    assert cache.read_scene("ab12", example_view(frames=2, height=9, width=12)) is None
    assert "another camera" in caplog.text
