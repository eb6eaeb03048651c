"""Licences and consent of a run's clips, as far as they are known."""

import datetime

import pytest
from fakes import BeadPeople

from synthaug.avatars.anny import AnnyPeople
from synthaug.exports import ExportError, Papers, PersonPapers
from synthaug.runs.papers import choose_recipes, gather_papers
from synthaug.structures import Actor, Recipe

TODAY = datetime.date(2026, 1, 31)
CONFIG = {
    "dataset": {"_target_": "synthaug.datasets.ntu.Ntu", "root": "ntu"},
    "synth": {"motion": {"_target_": "synthaug.motions.video.VideoMotion"}, "background": None},
}


def test_terms_are_those_of_what_the_configuration_names():
    papers = gather_papers(AnnyPeople(levels=None), ["studio-3", "studio-3"], CONFIG, today=TODAY)
    assert papers.licence("film") == "academic research, on request" and papers.licence("motion") == "Apache-2.0"
    assert papers.licence("places") == "not stated"
    assert {(one.part, one.share) for one in papers.sources} == {("film", "no"), ("motion", "yes, with the notice")}
    assert list(papers.people) == ["studio-3"] and papers.people["studio-3"].licence.startswith("CC0-1.0")


def test_of_people_from_elsewhere_nothing_is_stated():
    assert gather_papers(BeadPeople(), ["bead-1"], {}, today=TODAY).people == {"bead-1": PersonPapers()}


def recipe(*identities):
    return Recipe(0, tuple(Actor("clip", one) for one in identities), {}, {}, {}, 0.0, 8.0, 4, (8, 8))


def test_a_clip_is_left_out_for_any_of_its_people():
    papers = Papers({"ann": PersonPapers(), "bo": PersonPapers(kept_back="no"), "cy": PersonPapers(objection="gone")})
    clips = [recipe("ann"), recipe("ann", "bo"), recipe("cy", "bo")]
    assert choose_recipes(clips, papers, "leave-out") == (clips[:1], {"bo: no": 1, "cy: gone": 1})
    assert choose_recipes(clips, papers, "own-use") == (clips[:2], {"cy: gone": 1})
    with pytest.raises(ExportError, match=r"got bo: no \(1 clips\); cy: gone \(1 clips\). Add --forbidden leave-out"):
        choose_recipes(clips, papers, "refuse")
    assert choose_recipes(clips[:1], papers, "refuse") == (clips[:1], {})
