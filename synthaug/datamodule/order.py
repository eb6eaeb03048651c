"""Decides which clips make up each batch: pure functions of seed and epoch, for any number of workers and ranks."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Sampler

ORDER_STREAM = 11
"""Random stream of the order of clips; the data module's other streams have other numbers."""
LAST_BATCHES = ("full", "short")
BALANCES = ("none", "classes")
STAND_IN = 2**20
"""First lap of a filmed clip in the place of a synthetic one: beyond the laps of its own pool, so that the two are cut
and augmented differently."""


class SampleIndex(NamedTuple):
    """What a sampler asks a data set for: one clip, at one point of training.

    Attributes:
        epoch: Counts from 0.
        index: Place of the clip: filmed clips come first, synthetic ones after them.
        lap: How often the clip's pool has started over within the epoch. A clip that comes twice in an epoch is then
            cropped in time and augmented differently each time.
    """

    epoch: int
    index: int  # type: ignore[assignment]  # shadows tuple.index, which nothing here calls
    lap: int = 0

    @property
    def entropy(self) -> tuple[int, ...]:
        """Seeds the clip's random generator. Lap 0 is left out: numpy seeds `[1, 2]` and `[1, 2, 0]` differently."""
        return tuple(self) if self.lap else (self.epoch, self.index)


@dataclass(frozen=True)
class BatchMixture:
    """How filmed and synthetic clips share batches.

    Attributes:
        ratio: Share of synthetic clips in a batch, from 0 to 1. None shuffles both pools as one; 1 leaves the filmed
            clips out.
        pretrain_batches: Number of batches at the start of training that are all synthetic; all later batches are
            filmed clips only, whatever `ratio` says. 0 mixes in every batch.
        balance: "none" takes every clip equally often. A class without synthetic clips still keeps its share of mixed
            batches: its filmed clips take the places that its synthetic ones would have. "classes" takes every class
            equally often, filmed and synthetic clips alike, and the clips of a class equally often.

    Raises:
        ValueError: If `ratio` is not from 0 to 1, `pretrain_batches` is below 0, or `balance` is none of the two.
    """

    ratio: float | None = 0.5
    pretrain_batches: int = 0
    balance: str = "none"

    def __post_init__(self) -> None:
        if self.ratio is not None and not 0 <= self.ratio <= 1:
            raise ValueError(
                f"Expected mixture.ratio to be a share from 0 to 1, or null, got {self.ratio}. "
                "Set mixture.ratio=0.5 for halves, or null to shuffle filmed and synthetic clips as one pool."
            )
        if self.pretrain_batches < 0:
            raise ValueError(
                f"Expected mixture.pretrain_batches to be 0 or more, got {self.pretrain_batches}. "
                "Set mixture.pretrain_batches=0 to mix in every batch."
            )
        if self.balance not in BALANCES:
            raise ValueError(
                f"Expected mixture.balance to be one of {', '.join(BALANCES)}, got {self.balance!r}. Set "
                "mixture.balance=classes to show every class equally often."
            )


@dataclass(frozen=True)
class EpochEnd:
    """How an epoch ends, where its clips do not fill its batches.

    Attributes:
        last: "full" fills the last batch with clips of the next lap. "short" leaves it as it is, and repeats at most
            one clip per process so that all processes have equally many.
        epoch_multiple: With "full", an epoch has a multiple of this number of batches, again filled with clips of the
            next lap. Where gradients are accumulated over that many batches, every optimizer step then sees equally
            many clips, however short an epoch is.
    """

    last: str = "full"
    epoch_multiple: int = 1


@dataclass(frozen=True, eq=False)
class _Pool:
    """Clips of which each batch takes `count`; `number` seeds their order.

    Attributes:
        number: Seeds the order.
        first: Index of the first clip.
        size: Number of places that an epoch goes through: consecutive clips, then stand-ins.
        count: Places of each batch.
        stand_ins: Indices of filmed clips that take turns in the last places, for classes without synthetic clips.
        places: Number of those places.
        classes: Indices of each class's clips, where classes come equally often; empty where clips do.
    """

    number: int
    first: int
    size: int
    count: int
    stand_ins: tuple[int, ...] = ()
    places: int = 0
    classes: tuple[tuple[int, ...], ...] = ()

    @property
    def batches(self) -> int:
        return -(-self.size // self.count)

    @property
    def own(self) -> int:
        """Number of clips that belong to the pool."""
        return self.size - self.places

    def find(self, place: int, lap: int) -> tuple[int, int]:
        """Lap and index of the clip at a place."""
        if place < self.own:
            return lap, self.first + place
        # The same filmed clip may stand in several times a lap.
        turn, at = divmod(place - self.own, len(self.stand_ins))
        turns = -(-self.places // len(self.stand_ins))
        return STAND_IN + lap * turns + turn, self.stand_ins[at]


class MixedBatches(Sampler[list[SampleIndex]]):
    """Sample indices of each training batch, a pure function of seed and epoch.

    A pool that is used up starts over in a new order, so that every clip is used equally often. The order of filmed
    clips does not depend on the synthetic ones. An epoch goes once through the pool that needs most batches, and is
    longer where the number of batches has to be a multiple of some number.

    Args:
        filmed: Class of each filmed clip; their number alone, where classes do not matter.
        synthetic: The same of the synthetic clips.
        batch_size: Clips in a batch, per process.
        mixture: How filmed and synthetic clips share batches.
        end: How an epoch ends.
        seed: Decides the order.
        ranks: Number of processes that share each batch; None asks torch.distributed.

    Raises:
        ValueError: If some batches are to be all synthetic and there are no synthetic clips, if a batch of all
            processes together is too small to hold a clip of each kind, or if classes are to be balanced that were not
            given.
    """

    def __init__(
        self,
        filmed: int | Sequence[int],
        synthetic: int | Sequence[int],
        *,
        batch_size: int,
        mixture: BatchMixture,
        end: EpochEnd = EpochEnd(),
        seed: int,
        ranks: int | None = None,
    ) -> None:
        self.seed = seed
        self.epoch = 0
        self.start = 0
        num_filmed, num_synthetic = (pool if isinstance(pool, int) else len(pool) for pool in (filmed, synthetic))
        self.num_filmed = num_filmed
        self.mixture = mixture
        self.end = end
        self._ranks = rank_and_world_size()[1] if ranks is None else ranks
        self._total = batch_size * self._ranks
        if num_synthetic == 0 and (mixture.ratio == 1 or mixture.pretrain_batches > 0):
            raise ValueError(
                f"Expected synthetic clips for mixture.ratio={mixture.ratio} and mixture.pretrain_batches="
                f"{mixture.pretrain_batches}, got none. Raise synth.identities, or lower both."
            )
        mixes = 0 < (mixture.ratio or 0) < 1 and mixture.pretrain_batches == 0 and min(num_filmed, num_synthetic) > 0
        if mixes and self._total < 2:
            raise ValueError(
                f"Expected loading.batch_size to be at least 2 with mixture.ratio={mixture.ratio}, got 1. Raise "
                "loading.batch_size so that a filmed and a synthetic clip fit, or set mixture.ratio to null, which "
                "mixes both kinds by chance, or to 0 or 1, which leaves one kind out."
            )
        labels = ([] if isinstance(filmed, int) else filmed, [] if isinstance(synthetic, int) else synthetic)
        sizes = (num_filmed, num_synthetic)
        if mixture.balance == "classes" and (len(labels[0]), len(labels[1])) != sizes:
            raise ValueError(
                "Expected the class of every clip for mixture.balance=classes, got numbers of clips. Give MixedBatches "
                "the labels, or set mixture.balance=none."
            )
        self._pools = _make_pools(mixture, sizes, labels, self._total)
        self._phases = _make_phases(mixture, sizes, labels, self._total)

    def __len__(self) -> int:
        longest = max(pool.batches for pool in (self._phases if self.mixture.pretrain_batches else self._pools))
        multiple = self.end.epoch_multiple if self.end.last == "full" else 1
        return -(-longest // multiple) * multiple

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        rank, ranks = rank_and_world_size()
        for batch in range(self.start, len(self)):
            yield self.sample_indices(self.epoch, batch)[rank::ranks]

    def sample_indices(self, epoch: int, batch: int) -> list[SampleIndex]:
        """One batch, of all processes together."""
        if self.mixture.pretrain_batches > 0:
            return self._single_kind_indices(epoch * len(self) + batch)
        counts = {pool: pool.count for pool in self._pools}
        longest = max(self._pools, key=lambda pool: pool.batches)
        if self.end.last == "short" and batch == len(self) - 1:
            others = sum(counts.values()) - longest.count
            rest = longest.size - batch * longest.count
            counts[longest] = -(-(rest + others) // self._ranks) * self._ranks - others
        return [
            SampleIndex(epoch, index, lap)
            for pool, count in counts.items()
            for lap, index in self._laps_and_indices(pool, batch * pool.count, count, epoch)
        ]

    def synthetic_share(self) -> float:
        """Share of synthetic clips in mixed batches over a whole pass: what stands in for them is not counted."""
        return sum(self._share_of(pool) * pool.count for pool in self._pools) / self._total

    def _share_of(self, pool: _Pool) -> float:
        """Share of synthetic clips at the places of a pool."""
        if not pool.classes:
            return max(0, pool.first + pool.own - max(pool.first, self.num_filmed)) / pool.size if pool.size else 0.0
        shares = [sum(index >= self.num_filmed for index in clips) / len(clips) for clips in pool.classes]
        return sum(shares) / len(shares)

    def exposure(self, batches: int) -> tuple[int, int]:
        """Count the filmed and synthetic clips in the first `batches` batches of training, over all processes."""
        indices = [one.index for number in range(batches) for one in self.sample_indices(*divmod(number, len(self)))]
        filmed = sum(index < self.num_filmed for index in indices)
        return filmed, len(indices) - filmed

    def _single_kind_indices(self, batch: int) -> list[SampleIndex]:
        """A batch of one kind, counted from the start of training.

        In place of the epoch stands the lap, which counts from the first batch of that kind: here epochs are only a
        number of batches, and do not begin a new order.
        """
        since = batch - self.mixture.pretrain_batches
        pool, before = (self._phases[0], batch) if since < 0 else (self._phases[1], since)
        places = self._laps_and_indices(pool, before * pool.count, pool.count, 0)
        return [SampleIndex(lap, index) for lap, index in places]

    def _laps_and_indices(self, pool: _Pool, first: int, count: int, epoch: int) -> list[tuple[int, int]]:
        """Laps and indices at `count` consecutive places of the pool's endless order, from `first` on."""
        if pool.classes:
            # From the start of training on, so that all clips of a large class come before any comes again.
            start = epoch * len(self) * pool.count + first
            return [self._find_balanced(pool, place) for place in range(start, start + count)]
        laps = (divmod(place, pool.size) for place in range(first, first + count))
        return [pool.find(int(_shuffle(self.seed, pool, epoch, lap)[at]), lap) for lap, at in laps]

    def _find_balanced(self, pool: _Pool, place: int) -> tuple[int, int]:
        """Lap and index at a place where every class comes once in as many places as there are classes."""
        turn, at = divmod(place, len(pool.classes))
        which = int(_permute((self.seed, ORDER_STREAM, pool.number, turn), len(pool.classes))[at])
        clips = pool.classes[which]
        lap, at = divmod(turn, len(clips))
        index = clips[int(_permute((self.seed, ORDER_STREAM, pool.number, which, lap, 1), len(clips))[at])]
        stands_in = pool.number == 1 and index < self.num_filmed
        return lap + STAND_IN * stands_in, index


def _make_pools(
    mixture: BatchMixture, sizes: tuple[int, int], labels: tuple[Sequence[int], Sequence[int]], total: int
) -> list[_Pool]:
    """The pools that mixed batches of `total` clips are made of."""
    filmed, made = sizes
    balanced = mixture.balance == "classes"
    if mixture.ratio is None or made == 0:
        both = [*labels[0], *labels[1]]
        stand_ins, places = ((), 0) if balanced else _find_stand_ins(*labels)
        classes = _group(both, range(len(both))) if balanced else ()
        return [_Pool(0, 0, filmed + made + places, total, stand_ins, places, classes)]
    share = synthetic_places(total, mixture.ratio)
    # A batch of synthetic clips alone was asked for: no filmed clip stands in.
    alone = mixture.ratio == 1
    stand_ins, places = ((), 0) if alone or balanced else _find_stand_ins(*labels)
    groups = (_group(labels[0], range(filmed)), _group_made(*labels, alone)) if balanced else ((), ())
    pools = [
        _Pool(0, 0, filmed, total - share, classes=groups[0]),
        _Pool(1, filmed, made + places, share, stand_ins, places, groups[1]),
    ]
    return [pool for pool in pools if pool.count > 0]


def _make_phases(
    mixture: BatchMixture, sizes: tuple[int, int], labels: tuple[Sequence[int], Sequence[int]], total: int
) -> list[_Pool]:
    """The pools of batches of one kind: synthetic, then filmed."""
    filmed, made = sizes
    if mixture.balance == "none":
        return [_Pool(1, filmed, made, total), _Pool(0, 0, filmed, total)]
    groups = (_group_made(*labels, True), _group(labels[0], range(filmed)))
    return [_Pool(1, filmed, made, total, classes=groups[0]), _Pool(0, 0, filmed, total, classes=groups[1])]


def _group(labels: Sequence[int], indices: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Indices of each class, by label."""
    groups: dict[int, list[int]] = {}
    for label, index in zip(labels, indices, strict=True):
        groups.setdefault(label, []).append(index)
    return tuple(tuple(groups[label]) for label in sorted(groups))


def _group_made(filmed: Sequence[int], synthetic: Sequence[int], alone: bool) -> tuple[tuple[int, ...], ...]:
    """Indices of each class's synthetic clips; unless they are to be alone, of its filmed ones where it has none."""
    missing = set() if alone else set(filmed) - set(synthetic)
    stand_ins = [(label, index) for index, label in enumerate(filmed) if label in missing]
    made = [(label, len(filmed) + index) for index, label in enumerate(synthetic)]
    both = [*stand_ins, *made]
    return _group([label for label, _ in both], [index for _, index in both])


def _find_stand_ins(filmed: Sequence[int], synthetic: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """Filmed clips of classes without synthetic ones, and how many places they take among the synthetic clips.

    As many for each as the other classes have synthetic clips for each of their filmed ones, and at least one: so the
    shares of classes with and without are the same in both pools.
    """
    present = set(synthetic)
    missing = tuple(index for index, label in enumerate(filmed) if label not in present)
    others = len(filmed) - len(missing)
    if not missing or not synthetic or not others:
        return (), 0
    return missing, max(round(len(missing) * len(synthetic) / others), len(missing))


@functools.lru_cache(maxsize=8)
def _shuffle(seed: int, pool: _Pool, epoch: int, lap: int) -> np.ndarray:
    return np.random.default_rng([seed, ORDER_STREAM, pool.number, epoch, lap]).permutation(pool.size)


@functools.lru_cache(maxsize=1024)
def _permute(entropy: tuple[int, ...], size: int) -> np.ndarray:
    return np.random.default_rng(entropy).permutation(size)


class HeldOutBatches(Sampler[list[SampleIndex]]):
    """Sample indices of held-out clips in order, each clip once, whatever the number of processes.

    Process r of n takes clips r, r + n, and so on. All processes have the same number of batches, since they wait for
    each other at every batch. Sizes of batches differ by one clip at most: rather than repeat a clip, a batch may hold
    `batch_size` + 1.

    Args:
        size: Number of clips.
        batch_size: Clips in a batch, per process.
    """

    def __init__(self, size: int, batch_size: int) -> None:
        self.size = size
        self.batch_size = batch_size
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        ranks = rank_and_world_size()[1]
        if 0 < self.size < ranks:
            raise ValueError(
                f"Expected at least one held-out clip per process, got {self.size} for {ranks} processes. "
                f"Set trainer.devices={self.size}."
            )
        most, least = -(-self.size // ranks), self.size // ranks
        return min(-(-most // self.batch_size), least)

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        rank, ranks = rank_and_world_size()
        for part in np.array_split(np.arange(rank, self.size, ranks), max(1, len(self))):
            if len(part) > 0:
                yield [SampleIndex(0, int(index)) for index in part]


def synthetic_places(batch_size: int, ratio: float) -> int:
    """Number of synthetic clips in a batch of two or more clips.

    At least one and not all of them, so that rounding never leaves a kind out; only ratios 0 and 1 do.
    """
    if ratio in (0, 1):
        return round(batch_size * ratio)
    return min(max(round(batch_size * ratio), 1), batch_size - 1)


def rank_and_world_size() -> tuple[int, int]:
    """Rank and number of processes. Read late, since the data module is built before torch.distributed starts."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
