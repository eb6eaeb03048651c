"""SURREACT's protocol on NTU RGB+D 60: train on frontal views of 20 people, test 20 others from 0, 45 and 90 degrees.

The rules are over the numbers in the names of clips; the published lists follow from them.
"""

from collections.abc import Sequence
from typing import final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.indexing.arguments import require_list
from synthaug.datasets.indexing.keys import sort_by_key
from synthaug.datasets.ntu.actions import INCOMPLETE_60
from synthaug.datasets.ntu.dataset import NtuName
from synthaug.datasets.ntu.protocols import LIMITS_60, TRAINING_PERFORMERS_60, parse_record
from synthaug.datasets.protocols.choosing import ShotChoice
from synthaug.datasets.protocols.published import count_missing
from synthaug.structures import Record, Trait

VIEWS = (0, 45, 90)
"""Degrees between the direction that the performer faces and the camera."""
DROPPED = INCOMPLETE_60 | {"S013C003P019R002A027", "S012C003P015R002A060"}
"""Clips without a complete skeleton as SURREACT's authors count them: two more than NTU RGB+D's authors list."""
SIZES = (13225, 5447)
"""Number of training clips, and of test clips from each view, in the whole data set."""


def view_of(name: NtuName) -> int:
    """The view of a clip in degrees; the performer faces camera 3 in replication 1 and camera 2 in replication 2."""
    if name.camera == 1:
        return 45
    return 0 if (name.camera, name.replication) in ((2, 2), (3, 1)) else 90


@final
class SurreactSplit(Protocol):
    """SURREACT's split of NTU RGB+D 60: frontal views of 20 people train, and each view of the 20 others tests.

    Only performances with a complete skeleton in all three views count. `stratum` is the view of a test clip, so
    reports show each view apart. The authors' minimum of 32 frames is left out, since no clip is shorter.

    Args:
        test_views: The views to test: any of 0, 45 and 90 degrees.
        per_action: Train on the shortest prefix of the sorted list that has this many clips of every class, as the
            published low-data lists do (3, 10, 30, 60, 100). These are neither balanced nor random: they show few
            people, in the first setups. None takes all clips. For your own experiments use `n_shot`.
        n_shot: Training clips to keep of each class, chosen by `seed`; None keeps all. More shots include fewer ones.
        seed: Seed of the choice.

    Raises:
        ValueError: If a view is unknown, the list of views is empty, or `per_action` is below 1.

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
        self.test_views = require_list(test_views, "protocol.test_views")
        if not test_views or not set(test_views) <= set(VIEWS):
            raise ValueError(
                f"Expected protocol.test_views to be some of 0, 45 and 90, got {list(test_views)}. Write for example "
                "protocol.test_views=[90]."
            )
        if per_action is not None and per_action < 1:
            raise ValueError(
                f"Expected protocol.per_action to be at least 1, got {per_action}. Set protocol.per_action=null for "
                "all clips."
            )
        self.per_action = per_action
        self.choice = ShotChoice(0.0, n_shot, seed)

    @property
    def separates(self) -> Trait:
        """Training and test share no subject. Views differ too, but one camera may show several of them."""
        return "subject"

    def stratum(self, record: Record) -> str:
        """The view: "0", "45" or "90" degrees."""
        return str(view_of(parse_record(record, LIMITS_60, "surreact")))

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by performer and view.

        Raises:
            ValueError: If a key is not a clip name of NTU RGB+D 60, or a class has too few training clips.
        """
        names = {record.key: parse_record(record, LIMITS_60, "surreact") for record in records}
        whole = [record for record in sort_by_key(records) if record.key not in DROPPED]
        seen: dict[tuple[int, ...], set[int]] = {}
        for record in whole:
            seen.setdefault(_performance(names[record.key]), set()).add(names[record.key].camera)
        complete = [record for record in whole if len(seen[_performance(names[record.key])]) == len(VIEWS)]
        notes = {
            "clips_without_skeleton_dropped": len(records) - len(whole),
            "clips_without_all_three_views": len(whole) - len(complete),
        }
        of_training_people = [record for record in complete if names[record.key].performer in TRAINING_PERFORMERS_60]
        train = [record for record in of_training_people if view_of(names[record.key]) == 0]
        test = [record for record in complete if names[record.key].performer not in TRAINING_PERFORMERS_60]
        test = [record for record in test if view_of(names[record.key]) in self.test_views]
        if len(classes) == LIMITS_60.action:
            notes |= count_missing((train, (), test), (SIZES[0], 0, SIZES[1] * len(set(self.test_views))))
        if self.per_action is not None:
            short = _shortest_prefix(train, classes, self.per_action)
            notes["training_clips_beyond_the_list"] = len(train) - len(short)
            train = short
        kept = {what: number for what, number in notes.items() if number}
        return self.choice.apply(Split(tuple(train), (), tuple(test), kept), classes)


def _performance(name: NtuName) -> tuple[int, ...]:
    return name.setup, name.performer, name.replication, name.action


def _shortest_prefix(train: Sequence[Record], classes: Sequence[str], per_action: int) -> list[Record]:
    """The shortest prefix of the list with this many clips of every class."""
    counts = dict.fromkeys(range(len(classes)), 0)
    for number, record in enumerate(train, start=1):
        counts[record.label] += 1
        if counts[record.label] == per_action and min(counts.values()) >= per_action:
            return list(train[:number])
    label = min(counts, key=lambda label: counts[label])
    raise ValueError(
        f"Expected protocol.per_action={per_action} training clips of each class, got {counts[label]} of "
        f"{classes[label]!r}. Set protocol.per_action to {counts[label]} or less, or leave the class out of "
        "dataset.actions."
    )
