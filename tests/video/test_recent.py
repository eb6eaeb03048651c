"""Films kept in memory: the pixels are those of the file, and memory has a bound."""

import pickle
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from synthaug.video import probe, read_frames, write_video
from synthaug.video import recent as module
from synthaug.video.info import VideoInfo
from synthaug.video.recent import RecentFilms


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four films of ten frames, 24 by 24 pixels, each of other noise."""
    folder, generator = tmp_path_factory.mktemp("films"), torch.Generator().manual_seed(0)
    paths = [folder / f"{number}.mp4" for number in range(4)]
    for path in paths:
        video = torch.randint(0, 256, (10, 3, 24, 24), dtype=torch.uint8, generator=generator)
        write_video(path, video, fps=10.0, metadata={})
    return paths


ONE_FILM = 10 * 3 * 16 * 16 / 1e6
"""Megabytes of one film at 16 by 16 pixels."""


def test_pixels_are_those_of_the_file_however_often_it_was_read(films: list[Path]) -> None:
    recent = RecentFilms(limit_mb=5 * ONE_FILM)
    for indices in ([3, 0, 3], [9], [0, 1, 2]):
        for path in films:
            info = probe(path)
            found = recent.read(path, indices, info=info, size=(16, 16))
            assert torch.equal(found, read_frames(path, indices, info=info, size=(16, 16)))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The films that were read from their files, in order."""
    found: list[Path] = []

    def read(path: Path, indices: Sequence[int], *, info: VideoInfo, size: tuple[int, int]) -> Tensor:
        found.append(path)
        return read_frames(path, indices, info=info, size=size)

    monkeypatch.setattr(module, "read_frames", read)
    return found


def test_a_film_is_decoded_once(films: list[Path], decoded: list[Path]) -> None:
    recent = RecentFilms(limit_mb=5 * ONE_FILM)
    for index in range(10):
        recent.read(films[0], [index], info=probe(films[0]), size=(16, 16))
    assert decoded == [films[0]]


def test_the_least_recently_used_film_is_forgotten(films: list[Path], decoded: list[Path]) -> None:
    recent = RecentFilms(limit_mb=4.5 * ONE_FILM)
    for path in (*films, films[0]):
        recent.read(path, [0], info=probe(path), size=(16, 16))
    assert decoded == films  # there is room for four
    recent.read(films[2], [0], info=probe(films[2]), size=(15, 16))  # and none for a fifth
    del decoded[:]
    for path in (films[0], films[2], films[3], films[1]):
        recent.read(path, [0], info=probe(path), size=(16, 16))
    assert decoded == [films[1]]


def test_long_and_large_films_are_read_as_needed(
    films: list[Path], decoded: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = probe(films[0])
    large = RecentFilms(limit_mb=3.9 * ONE_FILM)
    for _ in range(2):
        assert len(large.read(films[0], [4, 7], info=info, size=(16, 16))) == 2
    monkeypatch.setattr(module, "LONGEST", 9)
    RecentFilms(limit_mb=100.0).read(films[0], [4], info=info, size=(16, 16))
    assert decoded == [films[0]] * 3


def test_a_copy_for_another_process_is_empty(films: list[Path], decoded: list[Path]) -> None:
    recent = RecentFilms(limit_mb=5 * ONE_FILM)
    recent.read(films[0], [0], info=probe(films[0]), size=(16, 16))
    copy = pickle.loads(pickle.dumps(recent))
    assert len(pickle.dumps(copy)) < 200
    copy.read(films[0], [0], info=probe(films[0]), size=(16, 16))
    assert decoded == [films[0]] * 2
