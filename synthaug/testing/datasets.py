"""The contracts of data sets and protocols as checks, for the tests of your own classes and of ours."""

import pickle
from typing import cast

import torch
from jaxtyping import UInt8
from torch import Tensor

from synthaug.datasets import ActionDataset, Protocol
from synthaug.datasets.leaks import assert_disjoint, assert_named
from synthaug.video import probe, read_clip


def example_film(
    frames: int, *, height: int = 48, width: int = 64, seed: int = 0
) -> UInt8[Tensor, "time 3 height width"]:
    """Make film for tests: a smooth picture slides under a dark bar that grows, so every frame differs."""
    coarse = torch.rand(1, 3, 4, 6, generator=torch.Generator().manual_seed(seed))
    still = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)[0]
    film = torch.stack([still.roll(2 * frame, dims=2) for frame in range(frames)])
    for frame in range(frames):
        film[frame, :, : 1 + frame * height // (frames + 1)] *= 0.6
    return (film * 255).round().to(torch.uint8)


def check_dataset(dataset: ActionDataset, *, films: int = 3) -> None:
    """Raise AssertionError unless the data set keeps its contract.

    The contract: preparing twice changes nothing; pickling keeps records, classes and quarantine; class names differ;
    keys are unique, sorted and without absolute paths; labels are in range; every record has a subject; `films` lists
    every record's file; intervals run forwards and stay within their film; clips are uint8 with shape (time, 3, height,
    width), equal when read again, and count their looped frames.

    Args:
        dataset: The data set.
        films: Number of records whose film is read, spread evenly over all records.
    """
    dataset.prepare()
    records = dataset.records
    dataset.prepare()
    assert dataset.records == records, "preparing again changed the records"
    copy = cast(ActionDataset, pickle.loads(pickle.dumps(dataset)))
    assert (copy.records, copy.classes, copy.quarantine) == (records, dataset.classes, dataset.quarantine), (
        "pickling changed the records, classes or quarantine"
    )
    assert records, "the data set has no record"
    assert {record.path for record in records} <= set(dataset.films), "`films` lacks the file of a record"
    assert len(set(dataset.classes)) == len(dataset.classes), "two classes share a name"
    keys = [record.key for record in records]
    assert all(unnamed <= set(keys) for unnamed in dataset.unnamed.values()), "`unnamed` has a key that no record has"
    assert keys == sorted(set(keys)), "keys are not unique and sorted"
    for record in records:
        assert str(record.path.parent.absolute()) not in record.key, f"{record.key}: the key differs between machines"
        assert 0 <= record.label < len(dataset.classes), f"{record.key}: the label is out of range"
        assert record.subject, f"{record.key}: the subject is empty"
        assert 0 <= record.start < record.end, f"{record.key}: the interval does not run forwards"
    assert not set(keys) & set(dataset.quarantine), "a record is in quarantine"
    assert all(dataset.quarantine.values()), "an entry was left out without a reason"
    for record in records[:: max(1, len(records) // films)][:films]:
        info = probe(record.path)
        # Within half a frame, since times are rounded.
        assert record.end <= info.duration + 0.5 / info.fps, f"{record.key}: the interval ends after the film"
        number = round((record.end - record.start) * 8) + 2
        clip, again = (read_clip(record, offset=0.0, fps=8.0, num_frames=number) for _ in range(2))
        assert clip.video.dtype == torch.uint8, f"{record.key}: frames are {clip.video.dtype}"
        assert clip.video.shape == (number, 3, info.height, info.width), f"{record.key}: frames are {clip.video.shape}"
        assert torch.equal(clip.video, again.video), f"{record.key}: reading again gave other frames"
        assert 1 <= clip.looped < number, f"{record.key}: {clip.looped} of {number} frames are counted as looped"


def check_protocol(protocol: Protocol, dataset: ActionDataset) -> None:
    """Raise AssertionError unless the protocol keeps its contract on this data set.

    The contract: pickling and the order of records do not change the split; every part has only records of the data
    set, sorted by key; training has every class; the test is not empty; and no subject (or camera, or file) that the
    protocol `separates` is both in the test and in another part.

    Args:
        protocol: The protocol.
        dataset: A data set that it can divide.

    Raises:
        LeakError: If the test shares something with another part.
    """
    records, classes = dataset.records, dataset.classes
    split = protocol.split(records, classes)
    copy = cast(Protocol, pickle.loads(pickle.dumps(protocol)))
    assert copy.split(tuple(reversed(records)), classes) == split, "the division depends on the order of the records"
    for name, part in (("training", split.train), ("validation", split.val), ("test", split.test)):
        assert set(part) <= set(records), f"{name} has records that are not in the data set"
        assert list(part) == sorted(part, key=lambda record: record.key), f"{name} is not sorted by key"
    assert {record.label for record in split.train} == set(range(len(classes))), "a class has no training clip"
    assert split.test, "there is nothing to test on"
    assert_named(split, protocol.separates, dataset.unnamed)
    assert_disjoint(split, protocol.separates)
