"""Tasks are a function of the seed; shots nest; support and query share nobody."""

import random
from pathlib import Path

import numpy as np
import pytest

from synthaug.fewshot.episodes import Episodes, parse_episodes, sample_tasks
from synthaug.structures import Record

RECORDS = [
    Record(f"{label}/{who}/{take}", Path(f"{label}-{who}-{take}.mp4"), label, f"p{who}", f"c{take}", 0.0, 1.0)
    for label in range(7) for who in range(8) for take in range(2)
]  # fmt: skip


def test_tasks_depend_on_the_seed_alone():
    shuffled = random.Random(0).sample(RECORDS, len(RECORDS))
    first, again = (sample_tasks(records, Episodes(n_tasks=20)) for records in (RECORDS, shuffled))
    assert first == again
    assert first != sample_tasks(RECORDS, Episodes(n_tasks=20, seed=1))
    assert sample_tasks(RECORDS, Episodes(n_tasks=5)) == first[:5]


@pytest.mark.parametrize("apart", ["subject", "camera", "key"])
def test_every_task_has_its_ways_and_shots_and_shares_nothing(apart):
    for task in sample_tasks(RECORDS, Episodes(n_way=4, n_shot=3, n_query=2, n_tasks=30, apart=apart)):
        assert len(set(task.classes)) == 4
        for label in task.classes:
            assert sum(record.label == label for record in task.support) == 3
            assert 1 <= sum(record.label == label for record in task.query) <= 2
        assert {record.label for record in (*task.support, *task.query)} == set(task.classes)
        assert not {getattr(r, apart) for r in task.support} & {getattr(r, apart) for r in task.query}


def test_fewer_shots_are_the_same_tasks_with_less_support():
    one, five = (sample_tasks(RECORDS, Episodes(n_shot=shots, n_tasks=30)) for shots in (1, 5))
    for few, many in zip(one, five, strict=True):
        assert few.classes == many.classes and few.query == many.query and set(few.support) < set(many.support)


def test_all_classes_and_all_people_take_part():
    sampled = sample_tasks(RECORDS, Episodes(n_tasks=100))
    shown = np.bincount([label for task in sampled for label in task.classes], minlength=7)
    assert shown.min() > 0.5 * shown.mean()
    assert {record.subject for task in sampled for record in task.support} == {f"p{who}" for who in range(8)}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"n_way": 8}, "Expected at least n_way=8 classes in the test part, got 7. Set n_way=7"),
        ({"n_shot": 9}, "Expected 9 support clips .* got 8 and 8. Lower n_shot"),
        ({"n_way": 1}, "Expected n_way to be at least 2, got 1"),
        ({"n_tasks": 0}, "Expected n_tasks to be at least 1, got 0"),
    ],
)
def test_what_cannot_be_sampled_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        sample_tasks(RECORDS, Episodes(**wrong))


@pytest.mark.parametrize(
    ("slip", "words"),
    [
        ({"n_way": "five"}, "Expected whole numbers for n_way, .* got n_way=five"),
        ({"n_shot": 1.5, "n_way": 3}, "got n_shot=1.5. Correct"),
        ({"seed": True}, "got seed=True"),
        ({"ways": 5}, "got ways=5"),
        ({"apart": "foo"}, "Expected apart to be one of subject, camera, path, key, got 'foo'"),
    ],
)
def test_options_of_another_kind_are_refused_in_words(slip, words):
    with pytest.raises(ValueError, match=words):
        parse_episodes(slip)


def test_options_of_the_right_kind_are_taken():
    assert (
        parse_episodes({"n_way": 3, "apart": "key"}) == Episodes(n_way=3, apart="key")
        and parse_episodes({}) == Episodes()
    )
