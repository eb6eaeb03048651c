"""Which clips make up each batch: pure functions of seed and epoch, whatever the number of workers and ranks.

Between the sizes of the pools and the loader.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

Ticket = tuple[int, int]
"""Epoch and index of one clip; filmed clips come first, synthetic ones after them."""
_ORDER = 11
"""A stream of chance of its own."""


class MixedBatches(Sampler[list[Ticket]]):
    """Tickets of each batch, a pure function of seed and epoch.

    Every batch is full: a pool that ends starts over in a new order, so that no clip waits and none is lost. The
    filmed pool's order does not depend on the synthetic one.

    Args:
        num_filmed: Size of the filmed pool.
        num_synthetic: Size of the synthetic pool.
        batch_size: Clips a batch and process.
        ratio: Share of synthetic clips in a batch; None shuffles both pools as one.
        seed: Decides the order.
    """

    def __init__(self, num_filmed: int, num_synthetic: int, *, batch_size: int, ratio: float | None, seed: int) -> None:
        self.seed = seed
        self.epoch = 0
        self.start = 0
        total = batch_size * world()[1]
        if ratio is None or num_synthetic == 0:
            self._pools = [(0, num_filmed + num_synthetic, total)]
        else:
            share = synthetic_places(total, ratio)
            self._pools = [(0, num_filmed, total - share), (num_filmed, num_synthetic, share)]
            self._pools = [pool for pool in self._pools if pool[2] > 0]

    def __len__(self) -> int:
        return max(-(-size // count) for _, size, count in self._pools)

    def __iter__(self) -> Iterator[list[Ticket]]:
        rank, ranks = world()
        for batch in range(self.start, len(self)):
            indices = [index for number, pool in enumerate(self._pools) for index in self._taken(number, pool, batch)]
            yield [(self.epoch, index) for index in indices[rank::ranks]]

    def _taken(self, number: int, pool: tuple[int, int, int], batch: int) -> list[int]:
        first, size, count = pool
        places = range(batch * count, (batch + 1) * count)
        orders = {lap: self._order(number, size, lap) for lap in {place // size for place in places}}
        return [first + int(orders[place // size][place % size]) for place in places]

    def _order(self, number: int, size: int, lap: int) -> np.ndarray:
        return np.random.default_rng([self.seed, _ORDER, number, self.epoch, lap]).permutation(size)


class InOrder(Sampler[list[Ticket]]):
    """Tickets of held-out clips, in order, the last batch as it comes.

    Args:
        size: Number of clips.
        batch_size: Clips a batch.
    """

    def __init__(self, size: int, batch_size: int) -> None:
        self.size = size
        self.batch_size = batch_size
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def __iter__(self) -> Iterator[list[Ticket]]:
        for first in range(0, self.size, self.batch_size):
            yield [(0, index) for index in range(first, min(first + self.batch_size, self.size))]


def synthetic_places(batch_size: int, ratio: float) -> int:
    """Synthetic clips in a batch: at least one and not all, so that rounding never drops a pool in silence."""
    if ratio == 0:
        return 0
    return min(max(round(batch_size * ratio), 1), batch_size - 1)


def world() -> tuple[int, int]:
    """Rank and number of processes, read late: the data module is built before they are known."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
