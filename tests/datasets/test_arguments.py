import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from synthaug.datasets.indexing.arguments import require_list

PLAIN = {
    "CrossSubject(4)": "protocol.test_subjects=[4]",
    "CrossSubject('anna')": "protocol.test_subjects=[anna]",
    "CrossSubject([4], 3)": "protocol.val_subjects=[3]",
    "CrossSubject([4], train_subjects=3)": "protocol.train_subjects=[3]",
    "CrossView(4)": "protocol.test_cameras=[4]",
    "CrossSubjectView(CrossSubject([4]), 'front', ['side'])": "protocol.train_cameras=[front]",
    "CrossSubjectView(CrossSubject([4]), ['front'], 2)": "protocol.test_cameras=[2]",
    "Predefined('train/*', ['test/*'])": "protocol.train=[train/*]",
    "NtuSplit('cross_subject_60', val_performers=8)": "protocol.val_performers=[8]",
    "SurreactSplit(test_views=90)": "protocol.test_views=[90]",
    "ListSplit('.', {'train': 'a.txt', 'test': ['b.txt']})": "protocol.parts.train=[a.txt]",
    "Ntu('.', actions=13)": "dataset.actions=[13]",
    "Toyota('.', classes=7)": "dataset.classes=[7]",
    "Kinetics('.', tables='a.csv')": "dataset.tables=[a.csv]",
    "Folder('.', classes='walk')": "dataset.classes=[walk]",
    "Folder('.', classes=7)": "dataset.classes=[7]",
    "Ucf101('.', classes='walk')": "dataset.classes=[walk]",
    "Hmdb51('.', classes=7)": "dataset.classes=[7]",
}
"""Calls with a plain value where a list is meant, and what is to be written instead."""

SCRIPT = """
import json, sys
from synthaug.datasets.protocols.cross_subject_view import CrossSubjectView
from synthaug.datasets.folder import Folder
from synthaug.datasets.hmdb51 import Hmdb51
from synthaug.datasets.kinetics import Kinetics
from synthaug.datasets.protocols.lists import ListSplit
from synthaug.datasets.ntu.dataset import Ntu
from synthaug.datasets.ntu.protocols import NtuSplit
from synthaug.datasets.protocols.generic import CrossSubject, CrossView, Predefined
from synthaug.datasets.ntu.surreact import SurreactSplit
from synthaug.datasets.toyota.dataset import Toyota
from synthaug.datasets.ucf101 import Ucf101
from synthaug.cli.errors import plain_words

def said(call):
    try:
        eval(call)
    except Exception as error:
        return plain_words(error) or repr(error)
    return "nothing"

print(json.dumps({call: said(call) for call in json.load(sys.stdin)}))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What users hear: without the checks of types, which are on under pytest alone and would come first."""
    root = tmp_path_factory.mktemp("films")
    (root / "walk").mkdir()
    (root / "walk" / "v_walk_g01_c01.mp4").touch()
    where = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(list(PLAIN)),
        env=where,
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("call", PLAIN)
def test_a_plain_value_where_a_list_is_meant_is_answered_by_the_list(answers, call):
    name = PLAIN[call].split("=")[0]
    assert answers[call].startswith(f"Expected {name} to be a list, got ")
    assert answers[call].endswith(f"Write {PLAIN[call]}.")


def test_a_list_s_items_are_as_given():
    assert require_list([4, "anna"], "x") == (4, "anna") and require_list((), "x") == ()
