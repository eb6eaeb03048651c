"""`synthaug avatar create PEOPLE`: an avatar of each person in a folder, here or on many machines."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthaug.cli.avatar_making import Clues, Making, make_avatar, name_person
from synthaug.cli.engines import choose_engine, do_on
from synthaug.engines import Doing, Job, Outcome

PAPERS = "papers.json"
"""In a person's folder: their licence and consent."""
CLUES = ("masks", "depth")
"""Folders of pictures in it that are no film: silhouettes, and depth maps."""


def is_collection(paths: Sequence[Path]) -> bool:
    """Whether this is one folder with people's folders, and not films."""
    from synthaug.video import is_series

    return len(paths) == 1 and paths[0].is_dir() and not is_series(paths[0])


@dataclass(frozen=True)
class CreatePeople(Job):
    """Avatars of the people of a folder to be made, perhaps by many machines.

    Attributes:
        source: Folder with a folder for each person: films, and perhaps `papers.json` and what
            `avatar_making.Clues.beside` finds.
        out: Folder of packs.
        making: How.
        agreed: What everybody without papers agreed to; None if everybody has papers.
    """

    source: Path
    out: Path
    making: Making
    agreed: str | None = None

    @property
    def title(self) -> str:
        """Of the progress."""
        return "Making people"

    def find_people(self) -> dict[str, list[Path]]:
        """The films of each person, by the name of their folder.

        Raises:
            ValueError: If there is nobody, somebody has no film, or nobody says what somebody agreed to.
        """
        people: dict[str, list[Path]] = {}
        for folder in sorted(path for path in self.source.iterdir() if path.is_dir() and path.name[:1] != "."):
            people[folder.name] = self._list_films(folder)
            if self.agreed is None and not (folder / PAPERS).is_file():
                raise ValueError(
                    f"Expected '{folder / PAPERS}' to say what {folder.name} agreed to, got no such file. Write one "
                    "for each person, or give --agreed for all who have none."
                )
        if not people:
            raise ValueError(
                f"Expected a folder for each person in '{self.source}', got none. Put each person's films into a "
                "folder of their name."
            )
        return people

    def _list_films(self, folder: Path) -> list[Path]:
        from synthaug.datasets.indexing.finding import find_films
        from synthaug.video import is_series

        # What is there to tell the person from the place shows nobody.
        beside = [folder / name for name in CLUES]
        films = [
            path for path in find_films(folder)
            if not (path.parent == folder and path.stem == "place") and not set(beside) & set(path.parents)
        ]  # fmt: skip
        if self.making.fps is not None:
            films += [
                path for path in (folder, *sorted(folder.iterdir())) if path.name not in CLUES and is_series(path)
            ]
        if not films:
            raise ValueError(
                f"Expected films of {folder.name} in '{folder}', got none. Add some, such as 1.mp4; for folders of "
                "numbered pictures give --fps; or move the folder away."
            )
        return films

    def list_missing(self) -> list[str]:
        """Names of the people without a pack of these very films and poses."""
        from synthaug.cli.avatar_import import read_source_digest

        found = self.find_people()
        return [name for name in found if read_source_digest(self.locate(name)) != self.digest(name, found[name])]

    def open(self) -> Doing:
        """Look for the people once; then each name's pack is written."""
        people = self.find_people()

        def make_one(name: str) -> str:
            papers = self.source / name / PAPERS
            given = papers if papers.is_file() else None
            made_of = self.digest(name, people[name])
            about = name_person(made_of, people[name], name, papers=given, likeness=name, agreed=self.agreed)
            cautions, words = make_avatar(
                people[name], about, self.locate(name), making=self.making, clues=Clues.beside(self.source / name)
            )
            return " ".join([words, *(f"Note: {caution}" for caution in cautions)])

        return make_one

    def digest(self, name: str, films: Sequence[Path]) -> str:
        """What somebody's avatar is made of."""
        return self.making.digest(films, Clues.beside(self.source / name))

    def locate(self, name: str) -> Path:
        """Where a person's pack is, or will be."""
        from synthaug.avatars.pack.format import SUFFIX

        return self.out / f"{name}{SUFFIX}"


def run_people(chosen: argparse.Namespace, making: Making) -> int:
    """Make the avatars that are missing; returns the exit status."""
    from synthaug.engines import do_item

    for name in ("name", "likeness", "papers", "masks", "place", "depth", "keypoints"):
        if getattr(chosen, name):
            raise ValueError(
                f"Expected no --{name} for a folder of people, got {str(getattr(chosen, name))!r}. Folders are named "
                f"after their people; put {PAPERS}, masks/, place.png, depth/ or keypoints.json into them."
            )
    job = CreatePeople(chosen.films[0].absolute(), chosen.out.absolute(), making, chosen.agreed)
    missing, engine = job.list_missing(), choose_engine(chosen)
    print(f"{len(job.find_people()) - len(missing)} packs are there already, {len(missing)} are missing.")
    if not missing:
        return 0
    if engine is None:
        doing = job.open()
        outcomes: Iterator[Outcome] = (do_item(doing, name) for name in missing)
    else:
        outcomes = do_on(engine, job, chosen.outcomes)
    failed = 0
    for outcome in outcomes:
        failed += bool(outcome.fault)
        print(f"{outcome.item}: {outcome.fault or outcome.said}", file=sys.stderr if outcome.fault else sys.stdout)
    return 1 if failed else 0
