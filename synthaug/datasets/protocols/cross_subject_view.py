"""Other people, seen from elsewhere: cross-subject and cross-view at once."""

from collections.abc import Sequence
from typing import Literal, final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.indexing.arguments import items
from synthaug.datasets.protocols.generic import CrossSubject
from synthaug.structures import Record


@final
class CrossSubjectView(Protocol):
    """Training people are seen by some cameras, test people by others; what lies between is left out and counted.

    The reports tell the test's cameras apart. Cameras may be named in both lists: then people alone differ there.

    Args:
        subjects: Divides the people; its shots are drawn among what training cameras saw.
        train_cameras: Names of the views learnt from, and validated on.
        test_cameras: Names of the views looked at last.
    """

    def __init__(
        self, subjects: CrossSubject, train_cameras: Sequence[str | int], test_cameras: Sequence[str | int]
    ) -> None:
        self.train_cameras = {str(name) for name in items(train_cameras, "protocol.train_cameras")}
        self.test_cameras = {str(name) for name in items(test_cameras, "protocol.test_cameras")}
        if not self.train_cameras or not self.test_cameras:
            raise ValueError(
                f"train_cameras={list(train_cameras)} and test_cameras={list(test_cameras)} were given; at least one "
                "of each was wanted. Set protocol.train_cameras and protocol.test_cameras."
            )
        self.subjects = subjects

    @property
    def separates(self) -> Literal["subject", "camera", "path", "key"]:
        """People."""
        return "subject"

    def stratum(self, record: Record) -> str:
        """The camera."""
        return record.camera

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by who is seen and by which camera filmed.

        Raises:
            ValueError: If a camera is not in the data.
        """
        present = {record.camera for record in records}
        unknown = sorted((self.train_cameras | self.test_cameras) - present)
        if unknown:
            raise ValueError(
                f"The camera {unknown[0]!r} is not in the data, which has {', '.join(sorted(present)[:20])}. Names out "
                "of these were wanted. Set protocol.train_cameras and protocol.test_cameras."
            )
        tested = set(self.subjects.groups.test)
        seen = [
            record
            for record in records
            if record.camera in (self.test_cameras if record.subject in tested else self.train_cameras)
        ]
        split = self.subjects.split(seen, classes)
        notes = {**split.notes, "clips_of_other_cameras": len(records) - len(seen)}
        return Split(split.train, split.val, split.test, notes)
