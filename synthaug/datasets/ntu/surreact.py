"""SURREACT's protocol on NTU RGB+D 60: train on the frontal view of some people, test others from 0, 45 and 90 degrees.

As rules over the numbers in names; its published lists follow from them.
"""

from collections.abc import Sequence
from typing import Literal, final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.indexing.arguments import items
from synthaug.datasets.indexing.named import absent
from synthaug.datasets.ntu.actions import INCOMPLETE_60
from synthaug.datasets.ntu.dataset import NtuName
from synthaug.datasets.ntu.protocols import LIMITS_60, TRAINING_PERFORMERS_60, named
from synthaug.datasets.protocols.draws import Draws, by_key
from synthaug.structures import Record

VIEWS = (0, 45, 90)
"""Degrees between where the performer faces and the camera."""
DROPPED = INCOMPLETE_60 | {"S013C003P019R002A027", "S012C003P015R002A060"}
"""Clips without a whole skeleton as its authors count them: two more than the data set's own list."""
SIZES = (13225, 5447)
"""Training clips, and test clips of each view, of the whole data set."""


def view_of(name: NtuName) -> int:
    """Degrees from which a clip sees its performer, who faces camera 3 first and camera 2 the second time."""
    if name.camera == 1:
        return 45
    return 0 if (name.camera, name.replication) in ((2, 2), (3, 1)) else 90


@final
class SurreactSplit(Protocol):
    """Cross-view and cross-subject at once: 20 people from the front train, the 20 others test from each view.

    Only performances with a whole skeleton in all three views count. `stratum` names the view of a test clip, so that
    reports tell views apart. Of the authors' 32 frames at least nothing is asked: no clip is shorter.

    Args:
        test_views: Of 0, 45 and 90: which views are tested.
        per_action: Train on the shortest beginning of the sorted list in which every class has so many clips, as the
            published low-data lists are (3, 10, 30, 60, 100). They are neither balanced nor random: few people, and
            the first setups. None takes all. For claims of your own use `n_shot`.
        n_shot: Training clips kept of each class, drawn by `seed`; None keeps all. More contain fewer.
        seed: Of the draw.

    Raises:
        ValueError: If a view is unknown or none is given, or fewer than one clip a class is asked for.

    Source:
        Varol, Laptev, Schmid and Zisserman, "Synthetic Humans for Action Recognition from Unseen Viewpoints", IJCV
        2021; the rules are those of `gulvarol/surreact`.
    """

    def __init__(
        self,
        *,
        test_views: Sequence[int] = VIEWS,
        per_action: int | None = None,
        n_shot: int | None = None,
        seed: int = 0,
    ) -> None:
        self.test_views = items(test_views, "protocol.test_views")
        if not test_views or not set(test_views) <= set(VIEWS) or (per_action is not None and per_action < 1):
            raise ValueError(
                f"protocol.test_views={list(test_views)} and protocol.per_action={per_action} were given; some of 0, "
                "45 and 90, and at least one clip a class or null for all, were wanted. Correct them."
            )
        self.per_action = per_action
        self.draws = Draws(0.0, n_shot, seed)

    @property
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """People; views besides, but a setup's cameras see several."""
        return "subject"

    def stratum(self, record: Record) -> str:
        """The view: "0", "45" or "90" degrees."""
        return str(view_of(named(record, LIMITS_60, "surreact")))

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by performer and view.

        Raises:
            ValueError: If a key is no name of NTU RGB+D 60, a class has no training clip, or not `per_action`.
        """
        names = {record.key: named(record, LIMITS_60, "surreact") for record in records}
        whole = [record for record in by_key(records) if record.key not in DROPPED]
        seen: dict[tuple[int, ...], set[int]] = {}
        for record in whole:
            seen.setdefault(_performance(names[record.key]), set()).add(names[record.key].camera)
        complete = [record for record in whole if len(seen[_performance(names[record.key])]) == len(VIEWS)]
        notes = {
            "clips_without_skeleton_dropped": len(records) - len(whole),
            "clips_without_all_three_views": len(whole) - len(complete),
        }
        known = [record for record in complete if names[record.key].performer in TRAINING_PERFORMERS_60]
        train = [record for record in known if view_of(names[record.key]) == 0]
        test = [record for record in complete if names[record.key].performer not in TRAINING_PERFORMERS_60]
        test = [record for record in test if view_of(names[record.key]) in self.test_views]
        if len(classes) == LIMITS_60.action:
            notes |= absent((train, (), test), (SIZES[0], 0, SIZES[1] * len(set(self.test_views))))
        if self.per_action is not None:
            short = _beginning(train, classes, self.per_action)
            notes["training_clips_beyond_the_list"] = len(train) - len(short)
            train = short
        kept = {what: number for what, number in notes.items() if number}
        return self.draws.finish(Split(tuple(train), (), tuple(test), kept), classes)


def _performance(name: NtuName) -> tuple[int, ...]:
    return name.setup, name.performer, name.replication, name.action


def _beginning(train: Sequence[Record], classes: Sequence[str], wanted: int) -> list[Record]:
    """The shortest beginning in which every class has the wanted number."""
    counts = dict.fromkeys(range(len(classes)), 0)
    for number, record in enumerate(train, start=1):
        counts[record.label] += 1
        if counts[record.label] == wanted and min(counts.values()) >= wanted:
            return list(train[:number])
    label = min(counts, key=lambda label: counts[label])
    raise ValueError(
        f"protocol.per_action={wanted} was given; {classes[label]!r} has {counts[label]} training clips. Set it to "
        f"{counts[label]} or less, or leave the class out of dataset.actions."
    )
