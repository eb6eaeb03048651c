from pathlib import Path

import numpy as np
import pytest

from synthaug.datasets import ActionDataset, LeakError, Split
from synthaug.datasets.leaks import (
    assert_disjoint,
    assert_from_training,
    assert_strangers,
    check_split,
    find_held_out,
)
from synthaug.datasets.protocols.generic import CrossSubject, CrossView, Holdout, Predefined
from synthaug.datasets.protocols.people_folds import PeopleFolds
from synthaug.structures import Record
from synthaug.testing.datasets import check_protocol

CLASSES = ("fall", "sit", "wave")


class Listed(ActionDataset):
    """Records without film."""

    def __init__(self, records):
        self._records = records

    @property
    def classes(self):
        return CLASSES

    @property
    def records(self):
        return self._records

    @property
    def quarantine(self):
        return {}

    @property
    def notes(self):
        return {}

    def prepare(self):
        pass


def record(label, subject, camera, take, part="train"):
    key = f"{part}/{CLASSES[label]}/{subject}-{camera}-{take}.mp4"
    return Record(key, Path("/films") / key, label, subject, camera, 0.0, 1.0)


RECORDS = tuple(
    sorted(
        (record(label, s, c, t) for label in range(3) for s in "1234" for c in "ab" for t in range(2)),
        key=lambda r: r.key,
    )
)

PROTOCOLS = {
    "people": CrossSubject([4]),
    "people who validate": CrossSubject(["4"], [3]),
    "people listed": CrossSubject([4], [3], train_subjects=[1]),
    "people, a share and n_shot": CrossSubject([4], val_fraction=0.2, n_shot=3, seed=5),
    "views": CrossView(["b"]),
    "lot of people": Holdout(0.3, seed=1),
    "lot of files": Holdout(0.3, by="path", val_fraction=0.2),
    "folds of people": PeopleFolds(2, 1),
    "names": Predefined(["train/*/[12]*"], ["*/4-*"], val=["*/3-*"]),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_keeps_the_contract(name):
    check_protocol(PROTOCOLS[name], Listed(RECORDS))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_nothing_is_lost_without_being_counted(name):
    split = PROTOCOLS[name].split(RECORDS, CLASSES)
    assert len(split.train) + len(split.val) + len(split.test) + sum(split.notes.values()) == len(RECORDS)


def test_subjects_go_where_the_lists_say():
    split = CrossSubject([4], [3]).split(RECORDS, CLASSES)
    people = [{r.subject for r in part} for part in (split.train, split.val, split.test)]
    assert people == [{"1", "2"}, {"3"}, {"4"}]
    split = CrossSubject([4], train_subjects=[1]).split(RECORDS, CLASSES)
    assert ({r.subject for r in split.train}, split.val) == ({"1"}, ())
    assert split.notes == {"clips_of_unlisted_subjects": 24}
    split = CrossView(["a"]).split(RECORDS, CLASSES)
    assert {r.camera for r in split.train} == {"b"} and {r.camera for r in split.test} == {"a"}


def test_a_validation_share_comes_out_of_training_class_by_class():
    plain = CrossSubject([4]).split(RECORDS, CLASSES)
    shared = CrossSubject([4], val_fraction=0.25).split(RECORDS, CLASSES)
    assert shared.test == plain.test
    assert set(shared.train) | set(shared.val) == set(plain.train)
    assert [sum(r.label == label for r in shared.val) for label in range(3)] == [3, 3, 3]


def test_fewer_shots_are_contained_in_more():
    kept = [set(CrossSubject([4], n_shot=k, seed=3).split(RECORDS, CLASSES).train) for k in (1, 2, 5)]
    assert [len(part) for part in kept] == [3, 6, 15]
    assert kept[0] < kept[1] < kept[2]


def test_shots_of_a_class_do_not_depend_on_other_classes():
    alone = CrossSubject([4], n_shot=2).split([r for r in RECORDS if r.label == 0], CLASSES[:1])
    together = CrossSubject([4], n_shot=2).split(RECORDS, CLASSES)
    assert set(alone.train) < set(together.train)


def test_seeds_choose_other_shots():
    assert len({CrossSubject([4], n_shot=2, seed=seed).split(RECORDS, CLASSES).train for seed in range(5)}) > 1


@pytest.mark.parametrize("seed", range(5))
def test_few_shots_show_as_many_people_as_there_are(seed):
    present = {record.subject for record in RECORDS} - {"4"}
    for shots in range(1, 2 * len(present) + 1):
        train = CrossSubject([4], n_shot=shots, seed=seed).split(RECORDS, CLASSES).train
        for label in range(len(CLASSES)):
            times = [sum(r.label == label and r.subject == who for r in train) for who in sorted(present)]
            assert sum(times) == shots and max(times) - min(times) <= 1


def test_a_lot_holds_out_its_share_of_whole_groups():
    for seed in range(20):
        split = Holdout(0.3, by="path", seed=seed).split(RECORDS, CLASSES)
        # 16 clips a class, one file each: 4.8 are a share of 0.3, and whole files make 5.
        assert [sum(r.label == label for r in split.test) for label in range(3)] == [5, 5, 5]
        assert_disjoint(Holdout(0.3, seed=seed).split(RECORDS, CLASSES))


def test_a_lot_does_not_depend_on_where_the_films_lie():
    moved = tuple(Record(r.key, Path("/elsewhere") / r.key, r.label, r.subject, "", 0.0, 1.0) for r in RECORDS)
    here = Holdout(by="path", seed=2).split(RECORDS, CLASSES)
    there = Holdout(by="path", seed=2).split(moved, CLASSES)
    assert [r.key for r in here.test] == [r.key for r in there.test]


def test_a_class_that_only_one_person_does_stays_in_training():
    records = (*[r for r in RECORDS if r.label < 2], record(2, "1", "a", 0))
    for seed in range(10):
        split = Holdout(0.3, seed=seed).split(records, CLASSES)
        assert any(r.label == 2 for r in split.train)
        assert split.notes == {"classes_without_test_clips": 1}


def test_names_divide_and_the_rest_is_counted():
    split = Predefined(["train/fall/*", "train/sit/*", "train/wave/1*"], ["train/wave/4*"]).split(RECORDS, CLASSES)
    assert (len(split.train), len(split.test)) == (36, 4)
    assert split.notes == {"clips_in_no_part": 8, "classes_without_test_clips": 2}
    with pytest.raises(ValueError, match=r"patterns of one part only, got .* in train and test. Narrow"):
        Predefined(["train/*"], ["*/4-*"]).split(RECORDS, CLASSES)


@pytest.mark.parametrize("names", [["5"], [5]])
def test_unknown_people_are_answered_by_those_who_exist(names):
    with pytest.raises(
        ValueError, match=r"protocol.test_subjects to name subjects .*got '5'.*Choose from: '1', '2', '3', '4'"
    ):
        CrossSubject(names).split(RECORDS, CLASSES)
    with pytest.raises(ValueError, match=r"protocol.val_cameras to name cameras .*got 'aa'. Did you mean 'a'\?"):
        CrossView(["b"], ["aa"]).split(RECORDS, CLASSES)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: CrossSubject([4], ["4"]),
            r"test_subjects and protocol.val_subjects to share no name, got '4' in both. Remove",
        ),
        (
            lambda: CrossSubject([4], train_subjects=[3, 4]),
            "test_subjects and protocol.train_subjects to share no name, got '4'",
        ),
        (lambda: CrossSubject([]), r"protocol.test_subjects to name at least one subject, got \[\]"),
        (lambda: CrossSubject("12"), r"to be a list, got 12. Write protocol.test_subjects=\[12\]"),
        (lambda: CrossSubject([4], val_fraction=1.0), "protocol.val_fraction to be a share .*got 1.0. Set"),
        (lambda: CrossSubject([4], n_shot=0), "protocol.n_shot to be at least 1, got 0. Set"),
        (lambda: Holdout(1.0), "protocol.test_fraction to be a share .*got 1.0. Set"),
    ],
)
def test_contradictions_are_refused_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_two_ways_to_validate_are_refused():
    with pytest.raises(
        ValueError, match=r"either a list or a share of validation clips, got both .*Set protocol.val_fraction=0"
    ):
        CrossSubject([4], [3], val_fraction=0.2).split(RECORDS, CLASSES)


def test_too_few_clips_for_the_shots_name_the_class_and_the_number():
    with pytest.raises(ValueError, match=r"n_shot=13 .*got 12 of 'fall'. Set protocol.n_shot to 12 or less"):
        CrossSubject([4], n_shot=13).split(RECORDS, CLASSES)


def test_a_class_nobody_can_learn_is_an_error_and_an_untested_one_is_counted():
    with pytest.raises(ValueError, match=r"at least one training clip of the class 'wave', got none"):
        CrossSubject([4]).split([r for r in RECORDS if r.label < 2 or r.subject == "4"], CLASSES)
    split = CrossSubject([4]).split([r for r in RECORDS if r.label < 2 or r.subject != "4"], CLASSES)
    assert split.notes == {"classes_without_test_clips": 1}
    with pytest.raises(ValueError, match=r"at least one test clip, got none. Widen"):
        Predefined(["*"], []).split(RECORDS, CLASSES)


def test_leaks_name_the_offender():
    one, other = record(0, "1", "a", 0), record(1, "1", "b", 0)
    with pytest.raises(
        LeakError, match=r"training and test to share no subject, got .*'1' in both .*fall/1-a-0.*sit/1-b-0.*Change"
    ):
        assert_disjoint(Split((one,), (), (other,)))
    with pytest.raises(LeakError, match="validation and test to share no subject, got the subject '1' in both"):
        assert_disjoint(Split((), (one,), (other,)))
    with pytest.raises(LeakError, match="training and validation to share no clip, got the clip in both"):
        assert_disjoint(Split((one,), (one,), (record(1, "2", "a", 0),)))
    assert_disjoint(Split((one,), (other,), (record(1, "2", "a", 0),)))
    assert_disjoint(Split((one,), (), (other,)), "camera")


def test_only_training_clips_whose_trait_is_not_tested_may_give_anything():
    trained, shared, tested = record(0, "1", "a", 0), record(1, "2", "a", 0), record(1, "2", "b", 0)
    split = Split((trained, shared), (), (tested,))
    keys = [one.key for one in (tested, trained, shared)]
    assert find_held_out([*keys, "unknown"], split, "subject") == [tested.key, shared.key, "unknown"]
    assert find_held_out(keys, split, "camera") == [tested.key]
    assert_from_training([trained.key], split, "subject", noun="motion")
    assert_from_training([trained.key, shared.key], split, "camera", noun="motion")
    for key in (tested.key, shared.key, "unknown"):
        with pytest.raises(LeakError, match=f"whose subject is not tested, got the plate of '{key}', which is held"):
            assert_from_training([trained.key, key], split, "subject", noun="plate")


def test_a_split_is_checked_for_what_it_shares_and_for_what_it_does_not_name():
    one, other = record(0, "1", "a", 0), record(1, "2", "b", 0)
    split = Split((one,), (), (other,))
    check_split(split, "subject", {})
    check_split(split, "subject", {"subject": {one.key, other.key}, "camera": {one.key}})
    with pytest.raises(LeakError, match=f"Expected a subject for each clip.*'{other.key}'"):
        check_split(split, "subject", {"subject": {other.key}})
    with pytest.raises(LeakError, match="training and test to share no subject"):
        check_split(Split((one,), (), (record(1, "1", "b", 0),)), "subject", {})


def test_protocols_do_not_touch_the_global_generator():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    Holdout(seed=3).split(RECORDS, CLASSES)
    assert np.array_equal(before, np.random.get_state()[1])


def test_folds_let_each_person_teach_once_and_test_on_everybody_else():
    people = [f"p{number}" for number in range(1, 12)]
    records = tuple(record(label, person, "a", 0) for label in range(3) for person in people)
    folds = [PeopleFolds(2, fold).split(records, CLASSES) for fold in range(5)]
    taught = [sorted({r.subject for r in split.train}) for split in folds]
    # Numbers count by size: p10 is not between p1 and p2, and the eleventh person never teaches.
    assert taught == [["p1", "p2"], ["p3", "p4"], ["p5", "p6"], ["p7", "p8"], ["p10", "p9"]]
    for split in folds:
        assert {r.subject for r in split.test} == set(people) - {r.subject for r in split.train} and not split.val


@pytest.mark.parametrize(("teach", "fold"), [(2, 2), (4, 0), (5, 0)])
def test_too_few_people_for_a_fold_are_answered_in_words(teach, fold):
    with pytest.raises(ValueError, match=f"got fold {fold} of 4 people in groups of {teach}"):
        PeopleFolds(teach, fold).split(RECORDS, CLASSES)


@pytest.mark.parametrize(("teach", "fold"), [(0, 0), (1, -1)])
def test_folds_are_counted_from_0(teach, fold):
    with pytest.raises(ValueError, match="Expected protocol.teach of at least 1 and protocol.fold of 0 or more"):
        PeopleFolds(teach, fold)


def people(*names):
    films = [(label, name) for label in range(3) for name in (*names, "other")]
    return tuple(record(label, name, "a", 0) for label, name in films)


@pytest.mark.parametrize(("number", "names"), [(12, ("1_2", "12")), (12, ("1_2",)), (8, ("010", "8"))])
def test_a_number_that_may_be_another_name_is_refused_with_the_quotes_to_write(number, names):
    """A file of options in YAML says test_subjects: [1_2], and YAML reads 12."""
    with pytest.raises(
        ValueError, match=f"got the number {number}, which may stand for .*Write the name in quotes"
    ) as raised:
        CrossSubject([number]).split(people(*names), CLASSES)
    assert f"protocol.test_subjects=['{names[0]}']" in str(raised.value)
    split = CrossSubject([names[0]]).split(people(*names), CLASSES)
    assert {one.subject for one in split.test} == {names[0]}


def test_a_number_that_is_nobody_elses_name_is_a_name():
    for number, names in ((12, ("12", "10")), (7, ("7", "17"))):
        split = CrossSubject([number]).split(people(*names), CLASSES)
        assert {one.subject for one in split.test} == {str(number)}


@pytest.mark.parametrize(("given", "word"), [(True, "true"), (False, "false")])
def test_words_that_yaml_reads_as_something_else_are_no_names(given, word):
    with pytest.raises(ValueError, match=rf"Expected protocol.val_subjects to be names, got {word}.*=\['{word}'\]"):
        CrossSubject(["4"], [given])


def test_people_are_told_apart_whatever_form_of_unicode_a_data_set_uses():
    """A data set of somebody else's: its records are not ours to write."""
    typed, stored = "Jos\u00e9", "Jose\u0301"
    split = Split((record(0, typed, "a", 0),), (), (record(0, stored, "a", 1),))
    with pytest.raises(LeakError, match="share no subject"):
        assert_disjoint(split, "subject")
    split = Split((record(0, "1", "a", 0),), (), (record(0, stored, "a", 1),))
    with pytest.raises(LeakError, match="which shows the subject"):
        assert_strangers({"pack": typed}, split)
