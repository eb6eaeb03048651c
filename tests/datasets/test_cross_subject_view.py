"""Other people seen from elsewhere."""

from pathlib import Path

import pytest

from synthaug.datasets.protocols.cross_subject_view import CrossSubjectView
from synthaug.datasets.protocols.generic import CrossSubject
from synthaug.structures import Record

CLASSES = ("sit", "wave")
RECORDS = [
    Record(f"{label}/{who}-{view}", Path(f"{label}-{who}-{view}.mp4"), label, f"p{who}", view, 0.0, 1.0)
    for label in range(2) for who in range(6) for view in ("front", "side")
]  # fmt: skip


def protocol(**changes):
    people = CrossSubject(["p4", "p5"], ["p3"], **changes)
    return CrossSubjectView(people, train_cameras=["front"], test_cameras=["side", "front"])


def test_people_and_cameras_are_crossed():
    split = protocol().split(RECORDS, CLASSES)
    assert {(r.subject, r.camera) for r in split.train} == {(f"p{who}", "front") for who in range(3)}
    assert {(r.subject, r.camera) for r in split.val} == {("p3", "front")}
    assert {(r.subject, r.camera) for r in split.test} == {(w, c) for w in ("p4", "p5") for c in ("front", "side")}
    assert split.notes["clips_of_other_cameras"] == len(RECORDS) - sum(map(len, (split.train, split.val, split.test)))


def test_the_test_is_told_apart_by_camera():
    assert [protocol().stratum(record) for record in RECORDS[:2]] == ["front", "side"]


def test_shots_are_chosen_among_clips_of_training_cameras():
    split = protocol(n_shot=2).split(RECORDS, CLASSES)
    assert len(split.train) == 4 and {record.camera for record in split.train} == {"front"}


def test_unknown_cameras_are_named():
    wrong = CrossSubjectView(CrossSubject(["p4"]), ["top"], ["side"])
    with pytest.raises(ValueError, match=r"cameras of the data \(front, side\), got \'top\'"):
        wrong.split(RECORDS, CLASSES)
    with pytest.raises(ValueError, match="protocol.train_cameras to name at least one camera"):
        CrossSubjectView(CrossSubject(["p4"]), [], ["side"])
