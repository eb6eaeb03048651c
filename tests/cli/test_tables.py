"""Tables show words as they are: rich would take what stands in brackets for its own markup."""

from synthaug.cli.doctor import CheckResult, print_checks
from synthaug.cli.tables import print_table
from synthaug.reports.scores import Scores, print_scores


def test_brackets_are_shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    print_table([("film [a]", "what"), ("wave [take 2]", "pip install 'synthaug[pose]'")], title="Packs [red]")
    said = capsys.readouterr().out
    for words in ("film [a]", "wave [take 2]", "pip install 'synthaug[pose]'", "Packs [red]"):
        assert words in said


def test_the_doctor_says_which_extra_is_missing(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    print_checks(
        [CheckResult("poses from film", False, False, "no [x]", "pip install 'synthaug[pose]'")], as_json=False
    )
    said = capsys.readouterr().out
    assert "synthaug[pose]" in said and "no [x]" in said and "missing" in said and "[yellow]" not in said


def test_class_names_may_have_brackets(capsys):
    scores = Scores(0.5, 0.5, (0.4, 0.6), {"sit [down]": 0.5}, clips=4, chance=0.5)
    print_scores(scores, title="4 filmed [real]")
    said = capsys.readouterr().out
    assert "sit [down]" in said and "4 filmed [real]" in said
