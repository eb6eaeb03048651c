"""Divide by subject and by camera at once: cross-subject and cross-view evaluation."""

from collections.abc import Sequence
from typing import final

from synthaug.datasets import Protocol, Split
from synthaug.datasets.indexing.arguments import require_list
from synthaug.datasets.protocols.generic import CrossSubject
from synthaug.files import normalize_name
from synthaug.structures import Record, Trait


@final
class CrossSubjectView(Protocol):
    """Trains on some people seen by some cameras, and tests on other people seen by other cameras.

    Clips of training people from test cameras, and the other way round, are left out and counted. A camera may be in
    both lists; its training and test clips then differ by subject alone. Reports show each test camera apart.

    Args:
        subjects: Divides the people. Its shots are chosen among the clips of the training cameras.
        train_cameras: Names of the cameras for training and validation.
        test_cameras: Names of the cameras for the test.

    Raises:
        ValueError: If a list of cameras is empty.
    """

    def __init__(
        self, subjects: CrossSubject, train_cameras: Sequence[str | int], test_cameras: Sequence[str | int]
    ) -> None:
        self.train_cameras = {
            normalize_name(str(name)) for name in require_list(train_cameras, "protocol.train_cameras")
        }
        self.test_cameras = {normalize_name(str(name)) for name in require_list(test_cameras, "protocol.test_cameras")}
        for option, cameras in (("train_cameras", self.train_cameras), ("test_cameras", self.test_cameras)):
            if not cameras:
                raise ValueError(
                    f"Expected protocol.{option} to name at least one camera, got []. Set protocol.{option}=[...]."
                )
        self.subjects = subjects

    @property
    def separates(self) -> Trait:
        """Training and test share no subject."""
        return "subject"

    def stratum(self, record: Record) -> str:
        """The camera of the clip."""
        return record.camera

    def split(self, records: Sequence[Record], classes: Sequence[str]) -> Split:
        """Divide by subject and camera.

        Raises:
            ValueError: If a camera is not in the data.
        """
        present = {record.camera for record in records}
        unknown = sorted((self.train_cameras | self.test_cameras) - present)
        if unknown:
            raise ValueError(
                f"Expected cameras of the data ({', '.join(sorted(present)[:20])}), got {unknown[0]!r}. Correct "
                "protocol.train_cameras or protocol.test_cameras."
            )
        tested = set(self.subjects.names.test)
        seen = [
            record
            for record in records
            if record.camera in (self.test_cameras if record.subject in tested else self.train_cameras)
        ]
        split = self.subjects.split(seen, classes)
        notes = {**split.notes, "clips_of_other_cameras": len(records) - len(seen)}
        return Split(split.train, split.val, split.test, notes)
