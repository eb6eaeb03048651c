"""A reference beside a film is cut to each clip's interval: no clip is given what another one shows."""

from dataclasses import replace

import pytest
import torch
from fakes import Waves

from synthaug.files import write_reference
from synthaug.motions import UnusableClipError
from synthaug.motions.sidecar import Sidecar
from synthaug.structures import Record


def clip(folder, start, end):
    return Record(f"film#{start}-{end}", folder / "film.mp4", 0, "ann", "", start, end)


@pytest.fixture
def whole(tmp_path):
    reference = Waves().load(clip(tmp_path, 0.0, 2.0))
    write_reference(tmp_path / "film.npz", reference)
    return reference


def test_a_whole_film_has_the_whole_motion(tmp_path, whole):
    for end in (whole.motion.duration, whole.motion.duration + 0.02, float("inf")):
        found = Sidecar().load(clip(tmp_path, 0.0, end))
        assert torch.equal(found.motion.pose, whole.motion.pose) and found.notes == whole.notes


def test_each_interval_has_its_own_part(tmp_path, whole):
    motion, middle = whole.motion, whole.motion.duration / 2
    parts = [Sidecar().load(clip(tmp_path, *span)) for span in ((0.0, middle), (middle, motion.duration))]
    assert torch.equal(torch.cat([part.motion.pose for part in parts]), motion.pose)
    assert torch.equal(torch.cat([part.motion.transl for part in parts]), motion.transl)
    for part in parts:
        assert abs(part.notes["offset"]) <= 0.5 / motion.fps
        assert len(part.camera.viewmats) in (1, part.motion.num_frames)


def test_an_interval_that_the_motion_does_not_reach_is_told(tmp_path, whole):
    late = whole.motion.duration + 1
    with pytest.raises(UnusableClipError, match=r"Cannot use '.*film.npz' for .*lie inside the recording"):
        Sidecar().load(clip(tmp_path, late, late + 1))


def test_a_motion_that_begins_late_is_cut_by_the_seconds_of_the_film(tmp_path, whole):
    write_reference(tmp_path / "film.npz", replace(whole, notes={"offset": 3.0}))
    with pytest.raises(UnusableClipError, match=r"is of 3 to"):
        Sidecar().load(clip(tmp_path, 0.0, 2.0))
    late = Sidecar().load(clip(tmp_path, 3.0, 3.0 + whole.motion.duration))
    assert torch.equal(late.motion.pose, whole.motion.pose)
