"""Leaves some of a protocol's training clips out, to try settings on them before anybody is tested."""

from collections.abc import Collection, Sequence
from typing import final

from synthaug.datasets import Protocol, Split
from synthaug.structures import Record, Trait


@final
class LeftOut(Protocol):
    """Another protocol's training clips without some, which the validation shows in their place. Nobody is tested.

    Args:
        protocol: Divides the clips first; its validation and test clips are in no part.
        keys: Keys of the training clips that are left out.
    """

    def __init__(self, protocol: Protocol, keys: Collection[str]) -> None:
        self.protocol = protocol
        self.keys = frozenset(keys)

    @property
    def separates(self) -> Trait:
        """As the other protocol."""
        return self.protocol.separates

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide the other protocol's training clips.

        Raises:
            ValueError: If a clip that is left out is none of them, or none is left to learn from; as the other
                protocol does.
        """
        train = self.protocol.split(records, classes).train
        held = tuple(record for record in train if record.key in self.keys)
        rest = tuple(record for record in train if record.key not in self.keys)
        if len(held) != len(self.keys) or not rest:
            raise ValueError(
                f"Expected clips to leave out that are among {len(train)} training clips, and not all of them, got "
                f"{len(self.keys)}, of which {len(held)} are. Leave out the clips of one of several people."
            )
        return Split(rest, held, ())
