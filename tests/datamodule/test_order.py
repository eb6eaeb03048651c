import pickle
from collections import Counter

import numpy as np
import pytest

from synthaug.datamodule import order as sampling
from synthaug.datamodule.order import (
    BatchMixture,
    EpochEnd,
    HeldOutBatches,
    MixedBatches,
    SampleIndex,
    synthetic_places,
)


def order(filmed, synthetic, *, batch_size=6, seed=0, last="full", epoch_multiple=1, **mixture):
    mixture, end = BatchMixture(**mixture), EpochEnd(last=last, epoch_multiple=epoch_multiple)
    return MixedBatches(filmed, synthetic, batch_size=batch_size, mixture=mixture, end=end, seed=seed)


def indices(batches):
    return [one.index for batch in batches for one in batch]


def ranks(monkeypatch, count, make):
    """The batches of every process."""
    found = []
    for rank in range(count):
        monkeypatch.setattr(sampling, "rank_and_world_size", lambda rank=rank: (rank, count))
        found.append(list(make()))
    return found


def test_every_clip_is_seen_once_a_pass_and_none_is_lost():
    batches = order(10, 23)
    seen = indices(batches)
    assert len(batches) == 8 and set(seen) == set(range(33))
    synthetic = [index for index in seen if index >= 10]
    assert len(synthetic) == 24 and len(set(synthetic[:23])) == 23


def test_the_order_of_films_does_not_depend_on_synthesis():
    without, beside = order(10, 0, batch_size=3), order(10, 99, batch_size=6)
    films_of = [index for index in indices(beside) if index < 10]
    assert indices(without)[:10] == films_of[:10]


def test_a_clip_that_comes_again_within_an_epoch_has_another_sample_index():
    samples = [one for batch in order(4, 40) for one in batch]
    assert len(set(samples)) == len(samples)
    assert Counter(one.index for one in samples if one.index < 4).most_common(1)[0][1] > 2


def test_a_sample_index_seeds_as_its_parts_do_and_travels_to_workers():
    """The first lap is left out of the seed: the numbers are those of epoch and index alone."""
    for one, parts in ((SampleIndex(3, 8), [3, 8]), (SampleIndex(3, 8, 2), [3, 8, 2])):
        ours, theirs = (np.random.default_rng([7, 12, *entropy]).random(4) for entropy in (one.entropy, parts))
        assert np.array_equal(ours, theirs)
        assert pickle.loads(pickle.dumps(one)) == one and type(pickle.loads(pickle.dumps(one))) is SampleIndex
    assert SampleIndex(3, 8) == SampleIndex(3, 8, 0)


@pytest.mark.parametrize(
    ("size", "ratio", "places"),
    [(16, 0.5, 8), (2, 0.9, 1), (16, 0.01, 1), (16, 0.0, 0), (8, 0.99, 7), (8, 1.0, 8), (1, 1.0, 1)],
)
def test_no_pool_is_rounded_away(size, ratio, places):
    assert synthetic_places(size, ratio) == places


def test_batches_without_a_place_for_each_kind_are_refused():
    with pytest.raises(
        ValueError, match=r"batch_size to be at least 2 with mixture.ratio=0.5, got 1\. Raise loading.batch_size"
    ):
        order(10, 23, batch_size=1)
    for filmed, synthetic, mixture in ((10, 0, {}), (10, 23, {"ratio": 0.0}), (10, 23, {"ratio": 1.0}),
                                       (10, 23, {"ratio": None}), (10, 23, {"pretrain_batches": 3})):  # fmt: skip
        assert all(len(batch) == 1 for batch in order(filmed, synthetic, batch_size=1, **mixture))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ratio": 1.5}, "Expected mixture.ratio to be a share from 0 to 1, or null, got 1.5"),
        ({"ratio": -0.1}, "Expected mixture.ratio to be a share from 0 to 1, or null, got -0.1"),
        ({"pretrain_batches": -1}, "Expected mixture.pretrain_batches to be 0 or more, got -1"),
    ],
)
def test_impossible_mixtures_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        BatchMixture(**wrong)


def test_a_ratio_of_one_leaves_filmed_clips_out():
    seen = indices(order(10, 24, ratio=1.0))
    assert sorted(seen) == list(range(10, 34))


@pytest.mark.parametrize("mixture", [{"ratio": 1.0}, {"pretrain_batches": 3}])
def test_synthetic_batches_without_synthetic_clips_are_refused(mixture):
    with pytest.raises(ValueError, match="Expected synthetic clips .* got none. Raise synth.identities"):
        order(10, 0, **mixture)


@pytest.mark.parametrize("mixture", [{}, {"ratio": None}, {"ratio": 1.0}, {"pretrain_batches": 7}])
@pytest.mark.parametrize("multiple", [2, 5, 8])
def test_epochs_that_are_multiples_go_on_with_the_next_lap(mixture, multiple):
    plain, longer = order(10, 23, **mixture), order(10, 23, epoch_multiple=multiple, **mixture)
    assert len(longer) % multiple == 0 and 0 <= len(longer) - len(plain) < multiple
    assert list(longer)[: len(plain)] == list(plain)
    batches = list(longer)
    longer.epoch = 1
    batches += list(longer)
    assert all(len(batch) == 6 for batch in batches)
    samples = [one for batch in batches for one in batch]
    assert len(set(samples)) == len(samples), "a clip that comes again is cut and augmented anew"
    seen = indices(batches)
    assert longer.exposure(len(batches)) == (sum(i < 10 for i in seen), sum(i >= 10 for i in seen))


@pytest.mark.parametrize("before", [1, 4, 9])
def test_pretraining_is_synthetic_and_what_follows_is_filmed(before):
    batches = order(10, 23, pretrain_batches=before)
    whole = []
    for epoch in range(5):
        batches.epoch = epoch
        whole += list(batches)
    assert all(index >= 10 for index in indices(whole[:before]))
    assert all(index < 10 for index in indices(whole[before:]))
    made, filmed = indices(whole[:before]), indices(whole[before:])
    assert len(set(made[:23])) == min(23, len(made)), "no clip twice before every other came"
    assert all(sorted(filmed[first : first + 10]) == list(range(10)) for first in range(0, len(filmed) - 10, 10))
    samples = [one for batch in whole for one in batch]
    assert len(set(samples)) == len(samples)


@pytest.mark.parametrize("mixture", [{}, {"ratio": None}, {"ratio": 1.0}, {"pretrain_batches": 7}])
def test_exposure_is_what_was_seen(mixture):
    batches = order(10, 23, **mixture)
    whole = []
    for epoch in range(4):
        batches.epoch = epoch
        whole += list(batches)
    for count in (0, 5, 12, len(whole)):
        seen = indices(whole[:count])
        assert batches.exposure(count) == (sum(i < 10 for i in seen), sum(i >= 10 for i in seen))


@pytest.mark.parametrize("mixture", [{}, {"ratio": None}, {"ratio": 1.0}, {"pretrain_batches": 2}])
@pytest.mark.parametrize("last", ["full", "short"])
def test_processes_divide_the_batches_of_one(monkeypatch, mixture, last):
    make = lambda: order(11, 17, batch_size=4, last=last, **mixture)  # noqa: E731
    both = ranks(monkeypatch, 2, make)
    monkeypatch.setattr(sampling, "rank_and_world_size", lambda: (0, 1))
    alone = list(order(11, 17, batch_size=8, last=last, **mixture))
    assert len(both[0]) == len(both[1]) == len(alone)
    for first, second, whole in zip(*both, alone, strict=True):
        assert len(first) == len(second)
        assert set(first) | set(second) >= set(whole)
    if mixture.get("ratio", 0.5) is None:
        assert set(indices(both[0])) | set(indices(both[1])) == set(range(28))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 8, 13, 24])
@pytest.mark.parametrize(("filmed", "mixture"), [(0.5, {"ratio": None}), (1.0, {}), (0.0, {"ratio": 1.0})])
def test_a_short_last_batch_repeats_at_most_one_clip_a_process(monkeypatch, count, size, filmed, mixture):
    films = round(size * filmed)
    pool = size if filmed < 1 or not mixture else films
    found = ranks(monkeypatch, count, lambda: order(films, size - films, batch_size=4, last="short", **mixture))
    seen = Counter(index for batches in found for index in indices(batches))
    assert set(seen) == set(range(pool)), "every clip"
    assert sum(seen.values()) - pool < count, "at most one repetition a process"
    assert len({tuple(map(len, batches)) for batches in found}) == 1, "processes stay in step"


def test_a_short_last_batch_keeps_all_of_the_shorter_pool(monkeypatch):
    found = ranks(monkeypatch, 2, lambda: order(10, 23, batch_size=3, last="short"))
    seen = [index for batches in found for index in indices(batches)]
    synthetic = [index for index in seen if index >= 10]
    assert set(seen) == set(range(33)) and len(synthetic) - 23 <= 1


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("size", [0, 3, 4, 7, 10, 11])
def test_held_out_clips_come_once_and_processes_stay_in_step(monkeypatch, count, batch_size, size):
    found = ranks(monkeypatch, count, lambda: HeldOutBatches(size, batch_size))
    monkeypatch.setattr(sampling, "rank_and_world_size", lambda: (0, count))
    assert {len(batches) for batches in found} == {len(HeldOutBatches(size, batch_size))}
    assert sorted(index for batches in found for index in indices(batches)) == list(range(size))
    sizes = [len(batch) for batches in found for batch in batches]
    assert all(0 < number <= batch_size + (count > 1) for number in sizes)
    for batches in found:
        assert indices(batches) == sorted(indices(batches))


def test_fewer_held_out_clips_than_processes_are_refused(monkeypatch):
    monkeypatch.setattr(sampling, "rank_and_world_size", lambda: (0, 4))
    with pytest.raises(ValueError, match="got 3 for 4 processes. Set trainer.devices=3"):
        len(HeldOutBatches(3, 2))


# Twelve films of four classes in unequal numbers; synthesis made clips of the first three.
FILMED = [0] * 2 + [1] * 6 + [2] * 1 + [3] * 3
MADE = [0] * 8 + [1] * 24 + [2] * 4


def classes(batches, filmed=FILMED, made=MADE):
    both = [*filmed, *made]
    return Counter(both[index] for index in indices(batches))


def epochs(batches, count):
    whole = []
    for epoch in range(count):
        batches.epoch = epoch
        whole += list(batches)
    return whole


@pytest.mark.parametrize("mixture", [{}, {"ratio": None}, {"ratio": 0.8}, {"ratio": 1.0}, {"pretrain_batches": 4}])
def test_where_every_class_has_synthetic_clips_labels_change_nothing(mixture):
    made = [*MADE, 3, 3]
    assert epochs(order(FILMED, made, **mixture), 3) == epochs(order(len(FILMED), len(made), **mixture), 3)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75, None])
@pytest.mark.parametrize("epoch_multiple", [1, 4])
def test_a_class_without_synthetic_clips_keeps_its_share_of_mixed_batches(ratio, epoch_multiple):
    batches = order(FILMED, MADE, batch_size=8, ratio=ratio, epoch_multiple=epoch_multiple)
    seen = classes(epochs(batches, 40))
    filmed, total = Counter(FILMED), sum(seen.values())
    for label, count in filmed.items():
        assert abs(seen[label] / total - count / len(FILMED)) < 0.01
    starved = classes(epochs(order(len(FILMED), len(MADE), batch_size=8, ratio=ratio), 40))
    assert starved[3] / sum(starved.values()) < 0.9 * 3 / 12, "without labels the class is starved"


def test_whoever_stands_in_is_of_a_class_without_and_is_cut_anew():
    batches = order(FILMED, MADE, batch_size=8)
    whole = [batch for batch in epochs(batches, 5)]
    for batch in whole:
        filmed = [one for one in batch if one.index < 12]
        assert all(FILMED[one.index] == 3 for one in filmed[4:]), "filmed places come first"
    samples = [one for batch in whole for one in batch]
    assert len(set(samples)) == len(samples)
    share = sum(one.index >= 12 for one in samples) / len(samples)
    assert abs(share - batches.synthetic_share()) < 0.02
    assert batches.exposure(len(whole)) == (sum(i < 12 for i in indices(whole)), sum(i >= 12 for i in indices(whole)))


def test_batches_of_one_kind_stay_of_one_kind():
    assert all(index >= 12 for index in indices(epochs(order(FILMED, MADE, ratio=1.0), 3)))
    before = epochs(order(FILMED, MADE, pretrain_batches=5), 3)
    assert all(index >= 12 for index in indices(before[:5])) and all(index < 12 for index in indices(before[5:]))


@pytest.mark.parametrize("mixture", [{}, {"ratio": None}, {"ratio": 1.0}, {"pretrain_batches": 8}])
@pytest.mark.parametrize("made", [MADE, [*MADE, 3], []])
def test_balanced_batches_show_every_class_equally_often(mixture, made):
    if not made and (mixture.get("ratio") == 1.0 or mixture.get("pretrain_batches")):
        return
    batches = order(FILMED, made, batch_size=8, balance="classes", **mixture)
    whole = epochs(batches, 24)
    kinds = [whole[:8], whole[8:]] if "pretrain_batches" in mixture else [whole]
    for kind in kinds:
        seen = classes(kind, made=made)
        assert max(seen.values()) - min(seen.values()) <= 2, seen
    samples = [one for batch in whole for one in batch]
    assert len(set(samples)) == len(samples)
    again = order(FILMED, made, batch_size=8, balance="classes", **mixture)
    assert epochs(again, 24) == whole, "a pure function of seed and epoch"


def test_within_a_class_balanced_batches_use_every_clip_equally_often():
    seen = Counter(indices(epochs(order(FILMED, MADE, batch_size=8, balance="classes"), 60)))
    for label in range(3):
        for pool, first in ((FILMED, 0), (MADE, 12)):
            counts = [seen[first + at] for at, one in enumerate(pool) if one == label]
            assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("balance", ["none", "classes"])
@pytest.mark.parametrize("last", ["full", "short"])
def test_processes_divide_balanced_batches_too(monkeypatch, balance, last):
    both = ranks(monkeypatch, 2, lambda: order(FILMED, MADE, batch_size=4, balance=balance, last=last))
    monkeypatch.setattr(sampling, "rank_and_world_size", lambda: (0, 1))
    alone = list(order(FILMED, MADE, batch_size=8, balance=balance, last=last))
    assert len(both[0]) == len(both[1]) == len(alone)
    for first, second, whole in zip(*both, alone, strict=True):
        assert len(first) == len(second) and set(first) | set(second) >= set(whole)


def test_unknown_balances_and_balance_without_classes_are_refused():
    with pytest.raises(ValueError, match="Expected mixture.balance to be one of none, classes, got 'class'"):
        BatchMixture(balance="class")
    with pytest.raises(ValueError, match="Expected the class of every clip for mixture.balance=classes"):
        order(10, 23, balance="classes")
