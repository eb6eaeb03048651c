import pytest

from synthaug.datasets.demo import Demo
from synthaug.pseudoreal import FilmMaker
from synthaug.structures import Record


class Maker(FilmMaker):
    """Films that nobody looks at: one a class."""

    def __init__(self, classes, fingerprint):
        self._classes, self._fingerprint = tuple(classes), fingerprint
        self.shootings = 0

    @property
    def classes(self):
        return self._classes

    @property
    def fingerprint(self):
        return self._fingerprint

    def shoot(self, root):
        self.shootings += 1
        return [
            Record(f"{name}/p", root / f"{name}.mp4", at, "p", "", 0.0, 1.0) for at, name in enumerate(self._classes)
        ]


def shown(demo):
    """What each film shows by its record and by its file."""
    return {record.path.stem: demo.classes[record.label] for record in demo.records}


@pytest.mark.parametrize("place", ["given", "cache"])
def test_other_films_in_the_same_place_are_never_taken_for_these(tmp_path, place):
    root = str(tmp_path) if place == "given" else None
    for classes, fingerprint in ((["bow", "walk"], "a" * 16), (["walk", "jump"], "b" * 16)):
        assert shown(Demo(Maker(classes, fingerprint), root=root)) == {name: name for name in classes}


def test_films_that_are_there_are_not_made_again(tmp_path):
    makers = [Maker(["bow"], "a" * 16), Maker(["bow"], "a" * 16)]
    first, second = [Demo(maker, root=str(tmp_path)).records for maker in makers]
    assert first == second and [maker.shootings for maker in makers] == [1, 0]


def test_films_in_the_default_place_stay_where_they_were(own_cache):
    """Nothing of older caches has to be shot again."""
    (record,) = Demo(Maker(["bow"], "0123456789abcdef")).records
    assert record.path == own_cache / "demo" / "0123456789ab" / "bow.mp4"
