from itertools import product
from pathlib import Path

import av
import pytest

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.indexing.named_films import UnknownNameError
from synthaug.datasets.ntu.actions import ACTIONS, INCOMPLETE_60, INCOMPLETE_120, parse_clips
from synthaug.datasets.ntu.dataset import NOVEL, Ntu, class_name, parse_ntu_name
from synthaug.datasets.ntu.protocols import (
    EXEMPLARS,
    RULES,
    TRAINING_PERFORMERS_60,
    TRAINING_PERFORMERS_120,
    NtuOneShot,
    NtuSplit,
)
from synthaug.structures import Record
from synthaug.testing.datasets import check_dataset, check_protocol, example_film
from synthaug.video import write_video


def stem_of(setup=1, camera=1, performer=1, replication=1, action=1):
    return f"S{setup:03}C{camera:03}P{performer:03}R{replication:03}A{action:03}"


def recorded(stem):
    name = parse_ntu_name(stem)
    return Record(stem, Path("/films") / stem, name.action - 1, str(name.performer), name.view, 0.0, 1.0)


def made(root, stems, *, under="nturgb+d_rgb", ending="_rgb.avi"):
    for number, stem in enumerate(stems):
        (root / under).mkdir(parents=True, exist_ok=True)
        write_avi(root / under / f"{stem}{ending}", example_film(20, seed=number))
    return root


def write_avi(path, video):
    """MPEG-4 in AVI where the name says so, as the data set's films are."""
    if path.suffix != ".avi":
        return write_video(path, video, fps=30.0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.height, stream.width = video.shape[2:]
        for frame in video.permute(0, 2, 3, 1).numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())


# What follows from names: published counts, without and with the clips of missing skeletons ---------------------------


@pytest.mark.parametrize(
    ("rule", "listed", "whole"),
    [
        ("cross_subject_60", INCOMPLETE_60, (40091, 16487)),
        ("cross_view_60", INCOMPLETE_60, (37646, 18932)),
        ("cross_subject_120", INCOMPLETE_120, (63026, 50919)),
        ("cross_setup_120", INCOMPLETE_120, (54468, 59477)),
    ],
)
def test_the_rules_divide_the_listed_clips_as_the_published_counts_differ(rule, listed, whole):
    trains = sum(RULES[rule].trains(parse_ntu_name(name)) for name in listed)
    sizes = RULES[rule].sizes
    assert (sizes[0] - trains, sizes[1] - (len(listed) - trains)) == whole
    assert sum(sizes) == (56880 if rule.endswith("60") else 114480)


def test_lists_hold_as_many_as_their_authors_say():
    assert (len(INCOMPLETE_60), len(INCOMPLETE_120)) == (302, 535) and INCOMPLETE_60 < INCOMPLETE_120
    assert all(parse_ntu_name(name).action <= 60 for name in INCOMPLETE_60)
    assert all(
        parse_ntu_name(name).setup >= 18 and parse_ntu_name(name).action > 60 for name in INCOMPLETE_120 - INCOMPLETE_60
    )
    assert (len(TRAINING_PERFORMERS_60), len(TRAINING_PERFORMERS_120)) == (20, 53)
    with pytest.raises(ValueError, match="got 'S001:3'"):
        parse_clips("S001C002P005R002:8 S001:3")


def test_one_shot_follows_from_names():
    assert len(NOVEL) == len(EXEMPLARS) == 20 and not EXEMPLARS & INCOMPLETE_120
    assert (
        {parse_ntu_name(name).action for name in EXEMPLARS} == set(NOVEL)
        and NOVEL[:3] == (1, 7, 13)
        and NOVEL[-1] == 115
    )
    # 948 clips of each action up to 60, 960 of the others; less the exemplars, and less those without skeleton.
    tested = sum(948 if action <= 60 else 960 for action in NOVEL) - 20
    assert tested == 19060
    assert tested - sum(parse_ntu_name(name).action in NOVEL for name in INCOMPLETE_120) == 18924
    auxiliary = [action for action in range(1, 121) if action not in NOVEL]
    assert sum(948 if action <= 60 else 960 for action in auxiliary) == 95400


# Names ---------------------------------------------------------------------------------------------------------------


def test_names_are_understood():
    name = parse_ntu_name("S018C002P103R001A120")
    assert (name.setup, name.camera, name.performer, name.replication, name.action) == (18, 2, 103, 1, 120)
    assert len(ACTIONS) == len(set(ACTIONS)) == 120
    assert class_name(13) == "A013 tear up paper" and class_name(120).startswith("A120 finger-guessing game")


@pytest.mark.parametrize(
    "stem", ["S001C001P001R001A121", "S033C001P001R001A001", "S001C004P001R001A001", "S001C001P001R001A000", "clip"]
)
def test_other_names_are_refused(stem):
    with pytest.raises(UnknownNameError, match="Expected a clip name of NTU RGB.D such as S001C002P003R002A013"):
        parse_ntu_name(stem)


# Protocols -----------------------------------------------------------------------------------------------------------


GRID = [
    recorded(stem_of(s, c, p, r, a))
    for s, c, p, r, a in product((1, 2), (1, 2, 3), (1, 3, 8), (1, 2), (1, 2))
]  # fmt: skip
TWO = (class_name(1), class_name(2))


@pytest.mark.parametrize("rule", RULES)
def test_parts_share_nothing_that_the_rule_separates(rule):
    split = NtuSplit(rule).split(GRID, TWO)
    train, test = ([parse_ntu_name(record.key) for record in part] for part in (split.train, split.test))
    field = {"subject": "performer", "view": "camera", "setup": "setup"}[rule.split("_")[1]]
    assert {getattr(name, field) for name in train}.isdisjoint(getattr(name, field) for name in test)
    assert len(train) + len(test) == len(GRID) and split.val == ()


def test_validation_is_taken_out_of_training_by_performer():
    split = NtuSplit("cross_subject_60", val_performers=[8]).split(GRID, TWO)
    assert [{record.subject for record in part} for part in (split.train, split.val, split.test)] == [
        {"1"},
        {"8"},
        {"3"},
    ]
    with pytest.raises(ValueError, match=r"training performers of cross_subject_60, got 3. Choose from: 1, 8"):
        NtuSplit("cross_subject_60", val_performers=[3]).split(GRID, TWO)


def test_rules_of_the_first_half_refuse_the_second():
    with pytest.raises(ValueError, match=r"performer 41 \(at most 40\).*dataset.actions=ntu60"):
        NtuSplit("cross_subject_60").split([*GRID, recorded(stem_of(performer=41))], TWO)
    with pytest.raises(ValueError, match="Expected clips of NTU RGB.D .* under cross_view_60, got 'Walk'"):
        NtuSplit("cross_view_60").split([Record("Walk", Path("x"), 0, "1", "", 0.0, 1.0)], TWO)
    with pytest.raises(ValueError, match="protocol.rule to be one of cross_subject_60, cross_view_60, .*got 'xsub'"):
        NtuSplit("xsub")


def test_one_shot_learns_novel_actions_from_exemplars_alone():
    novel, other = "S001C003P008R001A001", stem_of(1, 2, 5, 1, 2)
    records = [recorded(name) for name in (novel, stem_of(1, 1, 8, 1, 1), stem_of(1, 3, 8, 2, 1), other)]
    split = NtuOneShot().split(records, TWO)
    assert {record.key for record in split.train} == {novel, other}
    assert {record.key for record in split.test} == {stem_of(1, 1, 8, 1, 1), stem_of(1, 3, 8, 2, 1)}
    assert split.notes == {"classes_without_test_clips": 1}
    with pytest.raises(ValueError, match=f"one clip of each novel action .*got no '{novel}'"):
        NtuOneShot().split(records[1:], TWO)


# The data set --------------------------------------------------------------------------------------------------------


def test_data_set_and_protocols_keep_their_contracts(tmp_path):
    stems = [stem_of(s, c, p, 1, a) for s, (c, p), a in product((1, 2), ((1, 3), (2, 1)), (1, 2))]
    made(tmp_path, stems)
    made(tmp_path, [stem_of(action=61), stem_of(action=3)], under="nturgb+d_rgb120", ending=".mp4")
    ntu = Ntu(tmp_path, actions=[1, 2])
    check_dataset(ntu)
    for rule in RULES:
        check_protocol(NtuSplit(rule), ntu)
    assert ntu.classes == TWO and ntu.notes == {"clips_of_other_actions": 2}
    assert {record.camera for record in ntu.records} == {"S001C001", "S001C002", "S002C001", "S002C002"}
    assert [record.key for record in Ntu(tmp_path, actions=[61]).records] == [stem_of(action=61)]


def test_listed_clips_are_kept_or_dropped_and_counted(tmp_path):
    listed = "S001C002P005R002A008"
    made(tmp_path, [listed, stem_of()], under="anywhere")
    (tmp_path / "anywhere" / f"{stem_of()}_ir.avi").write_bytes(b"infrared")
    (tmp_path / "anywhere" / "holiday.mp4").write_bytes(b"")
    kept, dropped = Ntu(tmp_path), Ntu(tmp_path, incomplete="drop")
    assert {record.key for record in kept.records} == {listed, stem_of()}
    assert kept.notes == {"infrared_films": 1, "clips_listed_as_without_skeleton": 1}
    assert [record.key for record in dropped.records] == [stem_of()]
    assert dropped.notes == {"infrared_films": 1, "clips_without_skeleton_dropped": 1}
    assert set(kept.quarantine) == {"anywhere/holiday.mp4"}


def test_what_is_missing_is_asked_for_in_words(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"nturgb\+d_rgb/<name>_rgb.avi.*rose1.ntu.edu.sg.*dataset=demo"):
        Ntu(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="Expected dataset.incomplete to be 'keep' or 'drop', got 'no'"):
        Ntu(tmp_path, incomplete="no")
    with pytest.raises(ValueError, match="Expected dataset.actions to be 'ntu60', .*got 'ntu90'"):
        Ntu(tmp_path, actions="ntu90")
    with pytest.raises(ValueError, match=r"Expected dataset.actions to be .*got \[0\]"):
        Ntu(tmp_path, actions=[0])
