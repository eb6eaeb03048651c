from itertools import product
from pathlib import Path

import pytest

from synthaug.datasets.ntu.actions import INCOMPLETE_60
from synthaug.datasets.ntu.dataset import class_name, parse_ntu_name
from synthaug.datasets.ntu.protocols import TRAINING_PERFORMERS_60
from synthaug.datasets.ntu.surreact import DROPPED, SIZES, VIEWS, SurreactSplit, view_of
from synthaug.structures import Record

TWO = (class_name(1), class_name(2))


def recorded(setup, camera, performer, replication, action):
    stem = f"S{setup:03}C{camera:03}P{performer:03}R{replication:03}A{action:03}"
    name = parse_ntu_name(stem)
    return Record(stem, Path("/films") / stem, action - 1, str(performer), name.view, 0.0, 1.0)


GRID = [recorded(*numbers) for numbers in product((1, 2), (1, 2, 3), (1, 3, 8, 7), (1, 2), (1, 2))]


# What follows from names: 948 clips of each action are 316 performances before three cameras --------------------------


def test_the_listed_clips_leave_the_published_number_of_each_view():
    dropped = [view_of(parse_ntu_name(name)) for name in DROPPED]
    assert len(DROPPED) == 304 and len(INCOMPLETE_60) == 302
    assert {view: 18960 - dropped.count(view) for view in VIEWS} == {0: 18889, 45: 18932, 90: 18755}


def test_the_listed_clips_leave_the_published_triples():
    """18,672 of 18,960 performances are whole in all views; 13,440 and 5,520 of them by either half of the people."""
    broken = {(n.setup, n.performer, n.replication, n.action) for n in map(parse_ntu_name, DROPPED)}
    trains = sum(performer in TRAINING_PERFORMERS_60 for _, performer, _, _ in broken)
    assert 18960 - len(broken) == 18672 == sum(SIZES)
    assert (40320 // 3 - trains, 16560 // 3 - (len(broken) - trains)) == SIZES


# The rule ------------------------------------------------------------------------------------------------------------


def test_each_performance_is_seen_once_from_each_view():
    for replication in (1, 2):
        views = {view_of(parse_ntu_name(f"S001C{camera:03}P001R{replication:03}A001")) for camera in (1, 2, 3)}
        assert views == set(VIEWS)
    named = {(c, r): view_of(parse_ntu_name(f"S001C{c:03}P001R{r:03}A001")) for c in (1, 2, 3) for r in (1, 2)}
    assert named == {(1, 1): 45, (1, 2): 45, (2, 1): 90, (2, 2): 0, (3, 1): 0, (3, 2): 90}


def test_training_is_frontal_and_of_other_people_than_the_test():
    protocol = SurreactSplit()
    split = protocol.split(GRID, TWO)
    assert {protocol.stratum(record) for record in split.train} == {"0"}
    assert {record.subject for record in split.train} == {"1", "8"}
    assert {record.subject for record in split.test} == {"3", "7"}
    counts = [sum(protocol.stratum(record) == str(view) for record in split.test) for view in VIEWS]
    assert counts == [len(split.test) // 3] * 3 == [16] * 3 and len(split.train) == 16 and split.notes == {}
    assert split == SurreactSplit().split(GRID[::-1], TWO)


@pytest.mark.parametrize("views", [[90], [0, 45]])
def test_test_views_are_chosen(views):
    whole, part = SurreactSplit().split(GRID, TWO), SurreactSplit(test_views=views).split(GRID, TWO)
    assert part.train == whole.train
    assert part.test == tuple(record for record in whole.test if view_of(parse_ntu_name(record.key)) in views)


def test_performances_that_lack_a_view_are_left_out_and_counted():
    # A listed clip (setup 2, camera 3, performer 14, action 7) takes the two other views of its performance with it.
    listed = [recorded(2, camera, 14, 2, 7) for camera in (1, 2, 3)]
    assert [record.key in DROPPED for record in listed] == [False, False, True]
    classes = (*TWO, *(class_name(action) for action in range(3, 8)))
    records = [*GRID, *listed, recorded(1, 1, 5, 1, 1)]
    more = [recorded(1, camera, 14, 1, action) for camera in (1, 2, 3) for action in range(3, 8)]
    split = SurreactSplit().split([*records, *more], classes)
    assert not {record.key for record in (*split.train, *split.test)} & {
        record.key for record in (*listed, records[-1])
    }
    assert split.notes["clips_without_skeleton_dropped"] == 1 and split.notes["clips_without_all_three_views"] == 3


def test_low_data_lists_are_the_shortest_beginnings():
    whole = SurreactSplit().split(GRID, TWO).train
    for number in range(1, 9):
        train = SurreactSplit(per_action=number).split(GRID, TWO).train
        counts = [sum(record.label == label for record in train) for label in (0, 1)]
        assert train == whole[: len(train)] and min(counts) == number
        assert sum(record.label == train[-1].label for record in train[:-1]) == number - 1
    with pytest.raises(
        ValueError, match=r"protocol.per_action=9 training clips of each class, got 8 of 'A001 drink water'"
    ):
        SurreactSplit(per_action=9).split(GRID, TWO)


def test_what_the_protocol_does_not_know_is_refused():
    for views in ([30], []):
        with pytest.raises(ValueError, match=r"Expected protocol.test_views to be some of 0, 45 and 90, got \["):
            SurreactSplit(test_views=views)
    with pytest.raises(ValueError, match="Expected protocol.per_action to be at least 1, got 0"):
        SurreactSplit(per_action=0)
    with pytest.raises(ValueError, match=r"performer 41 \(at most 40\)"):
        SurreactSplit().split([*GRID, recorded(1, 1, 41, 1, 1)], TWO)
