"""Decides which clips make up each batch: pure functions of seed and epoch, for any number of workers and ranks."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Sampler

ORDER_STREAM = 11
"""Random stream of the order of clips; the data module's other streams have other numbers."""
LAST_BATCHES = ("full", "short")


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

    Raises:
        ValueError: If `ratio` is not from 0 to 1, or `pretrain_batches` is below 0.
    """

    ratio: float | None = 0.5
    pretrain_batches: int = 0

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


@dataclass(frozen=True)
class _Pool:
    """Consecutive indices (`first`, `size`). Each batch takes `count` of them; `number` seeds their order."""

    number: int
    first: int
    size: int
    count: int

    @property
    def batches(self) -> int:
        return -(-self.size // self.count)


class MixedBatches(Sampler[list[SampleIndex]]):
    """Sample indices of each training batch, a pure function of seed and epoch.

    A pool that is used up starts over in a new order, so that every clip is used equally often. The order of filmed
    clips does not depend on the synthetic ones. An epoch goes once through the pool that needs most batches, and is
    longer where the number of batches has to be a multiple of some number.

    Args:
        num_filmed: Size of the filmed pool.
        num_synthetic: Size of the synthetic pool.
        batch_size: Clips in a batch, per process.
        mixture: How filmed and synthetic clips share batches.
        end: How an epoch ends.
        seed: Decides the order.
        ranks: Number of processes that share each batch; None asks torch.distributed.

    Raises:
        ValueError: If some batches are to be all synthetic and there are no synthetic clips, or if a batch of all
            processes together is too small to hold a clip of each kind.
    """

    def __init__(
        self,
        num_filmed: int,
        num_synthetic: int,
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
        filmed, made = (0, 0, num_filmed), (1, num_filmed, num_synthetic)
        if mixture.ratio is None or num_synthetic == 0:
            pools = [_Pool(0, 0, num_filmed + num_synthetic, self._total)]
        else:
            share = synthetic_places(self._total, mixture.ratio)
            pools = [_Pool(*filmed, self._total - share), _Pool(*made, share)]
        self._pools = [pool for pool in pools if pool.count > 0]
        self._phases = [_Pool(*made, self._total), _Pool(*filmed, self._total)]

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
        laps = (divmod(place, pool.size) for place in range(first, first + count))
        return [(lap, pool.first + int(_shuffle(self.seed, pool, epoch, lap)[at])) for lap, at in laps]


@functools.lru_cache(maxsize=8)
def _shuffle(seed: int, pool: _Pool, epoch: int, lap: int) -> np.ndarray:
    return np.random.default_rng([seed, ORDER_STREAM, pool.number, epoch, lap]).permutation(pool.size)


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
                f"Set trainer.devices={self.size} or less."
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
