"""What every data set and every protocol owes. For plugin authors and for our own tests."""

import pickle
from typing import cast

import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.datasets import ActionDataset, Protocol
from synthaug.datasets.leaks import Trait, assert_disjoint, assert_named
from synthaug.video import probe, read_clip


def example_film(
    frames: int, *, height: int = 48, width: int = 64, seed: int = 0
) -> UInt8[Tensor, "time 3 height width"]:
    """A smooth picture that slides under a bar of growing height: no two frames alike, and gentle to encoders."""
    coarse = torch.rand(1, 3, 4, 6, generator=torch.Generator().manual_seed(seed))
    still = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)[0]
    film = torch.stack([still.roll(2 * frame, dims=2) for frame in range(frames)])
    for frame in range(frames):
        film[frame, :, : 1 + frame * height // (frames + 1)] *= 0.6
    return (film * 255).round().to(torch.uint8)


def check_dataset(dataset: ActionDataset, *, films: int = 3) -> None:
    """Raise AssertionError unless the data set keeps its contract.

    Checked: preparing twice changes nothing; it crosses to a worker and back; class names are different; keys are
    unique, sorted and hold no absolute path; labels are in range; everybody has a name; every film is told beforehand;
    intervals run forwards and stay within their film; clips are uint8 T 3 H W, come out equal when read again, and say
    how much is repeated.

    Args:
        dataset: To be examined.
        films: Records whose film is read, evenly over all of them.
    """
    dataset.prepare()
    records = dataset.records
    dataset.prepare()
    assert dataset.records == records, "preparing again changed the records"
    copy = cast(ActionDataset, pickle.loads(pickle.dumps(dataset)))
    assert (copy.records, copy.classes, copy.quarantine) == (records, dataset.classes, dataset.quarantine), (
        "a worker would see other records"
    )
    assert records, "there is no record"
    assert {record.path for record in records} <= set(dataset.films), "a record's film is none of the data set's"
    assert len(set(dataset.classes)) == len(dataset.classes), "two classes share a name"
    keys = [record.key for record in records]
    assert all(unnamed <= set(keys) for unnamed in dataset.unnamed.values()), "an unnamed clip is no record"
    assert keys == sorted(set(keys)), "keys are not unique and sorted"
    for record in records:
        assert str(record.path.parent.absolute()) not in record.key, f"{record.key}: the key differs between machines"
        assert 0 <= record.label < len(dataset.classes), f"{record.key}: the label is out of range"
        assert record.subject, f"{record.key}: nobody is seen"
        assert 0 <= record.start < record.end, f"{record.key}: the interval does not run forwards"
    assert not set(keys) & set(dataset.quarantine), "a record is in quarantine"
    assert all(dataset.quarantine.values()), "an entry was left out without a reason"
    for record in records[:: max(1, len(records) // films)][:films]:
        info = probe(record.path)
        # Half a frame: times are rounded.
        assert record.end <= info.duration + 0.5 / info.fps, f"{record.key}: the interval ends after the film"
        number = round((record.end - record.start) * 8) + 2
        clip, again = (read_clip(record, offset=0.0, fps=8.0, num_frames=number) for _ in range(2))
        assert clip.video.dtype == torch.uint8, f"{record.key}: frames are {clip.video.dtype}"
        assert clip.video.shape == (number, 3, info.height, info.width), f"{record.key}: frames are {clip.video.shape}"
        assert torch.equal(clip.video, again.video), f"{record.key}: reading again gave other frames"
        assert 1 <= clip.looped < number, f"{record.key}: {clip.looped} of {number} frames are said to repeat"


def check_protocol(protocol: Protocol, dataset: ActionDataset) -> None:
    """Raise AssertionError unless the protocol keeps its contract on this data set.

    Checked: it crosses to another process; equal records in another order divide equally; every part consists of
    given records, sorted by key; training has every class and the test is not empty; nothing that it `separates` is
    both in the test and elsewhere.

    Raises:
        LeakError: If something is shared with the test.
    """
    records, classes = dataset.records, dataset.classes
    split = protocol.split(records, classes)
    copy = cast(Protocol, pickle.loads(pickle.dumps(protocol)))
    assert copy.split(tuple(reversed(records)), classes) == split, "the division depends on the order of the records"
    for name, part in (("training", split.train), ("validation", split.val), ("test", split.test)):
        assert set(part) <= set(records), f"{name} has records that were not given"
        assert list(part) == sorted(part, key=lambda record: record.key), f"{name} is not sorted by key"
    assert {record.label for record in split.train} == set(range(len(classes))), "a class has no training clip"
    assert split.test, "there is nothing to test on"
    assert_named(split, cast(Trait, protocol.separates), dataset.unnamed)
    assert_disjoint(split, cast(Trait, protocol.separates))
