import os
import subprocess
import sys

import pytest

from synthaug.cli.answers import describe_parameters, find_answers, load_answer

IMPORTER = "synthaug.avatars.importers.Importer"


class Both:
    """One line.

    Args:
        first: What it is,
            on two lines.
        second: Short.

    Raises:
        ValueError: Never.
    """


def test_descriptions_come_from_the_docstring():
    assert describe_parameters(Both) == {"first": "What it is, on two lines.", "second": "Short."}


def test_answers_are_the_files_beside_the_interface():
    answers = find_answers(IMPORTER)
    assert list(answers) == ["exavatar", "lhm", "ply", "random_people"]
    assert all(answer.summary.endswith(".") for answer in answers.values())
    assert load_answer(IMPORTER, "ply").__name__ == "PlyImporter"


def test_listing_answers_imports_nothing_heavy(tmp_path):
    (tmp_path / "mylab_heavy.py").write_text(
        "import torch\nfrom synthaug.motions import MotionSource\n\nclass Heavy(MotionSource):\n    'Reads.'\n"
    )
    code = """
import sys
from synthaug.cli.answers import find_answers
assert len(find_answers("synthaug.avatars.importers.Importer")) == 4
assert find_answers("synthaug.motions.MotionSource")["mylab_heavy.Heavy"].summary == "Reads."
assert not {"torch", "numpy", "mylab_heavy", "synthaug.avatars"} & set(sys.modules), sys.modules
"""
    environment = {**os.environ, "SYNTHAUG_TARGETS": "mylab_heavy", "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_missing_packages_and_unknown_names_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="one of exavatar, lhm, ply, random_people.*got 'fbx'.*SYNTHAUG_TARGETS=mylab"):
        load_answer(IMPORTER, "fbx")
    with pytest.raises(ValueError, match="got 'pathlib.Path'"):
        load_answer(IMPORTER, "pathlib.Path")
    monkeypatch.setenv("SYNTHAUG_TARGETS", "pathlib")
    with pytest.raises(ValueError, match="got 'pathlib.Path'"):
        load_answer(IMPORTER, "pathlib.Path")
    monkeypatch.setenv("SYNTHAUG_TARGETS", "no_such_package")
    with pytest.raises(ValueError, match="no 'no_such_package'"):
        find_answers(IMPORTER)
