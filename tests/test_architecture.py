"""Who may import whom: every top-level name has a row, and the rows follow the data flow of the package."""

from pathlib import Path

import pytest

from benchmarks.architecture import MAY, PACKAGE, STATIONS, find_circles, find_imports, find_modules, find_offences

ROOT = PACKAGE.parent
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_downwards(path):
    assert list(find_offences(path, (PACKAGE / path).read_text())) == []


def test_every_top_level_name_has_a_row():
    assert {path.parts[0].removesuffix(".py") for path in FILES} == {*MAY, "__init__"}


def test_no_modules_import_each_other():
    assert find_circles(PACKAGE) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("motions/x.py", "from synthaug.avatars import Avatar"),
        ("motions/x.py", "from synthaug import avatars"),
        ("motions/x.py", "if TYPE_CHECKING:\n    from synthaug.avatars import Avatar"),
        ("renderers/x.py", "import gsplat.cuda\nfrom synthaug.synthesis import Recipe"),
        ("synthesis/x.py", "from synthaug.avatars.anny import AnnyPeople"),
        ("synthesis/x.py", "from synthaug.avatars import anny"),
        ("recognizers/x.py", "def f():\n    import synthaug.datasets"),
        ("recognizers/x.py", "import lightning"),
        ("fewshot/x.py", "from synthaug.datamodule.module import SynthAugDataModule"),
        ("fewshot/x.py", "from lightning import Trainer"),
        ("datamodule/x.py", "from synthaug.fewshot.prototypes import class_means"),
        ("reports/x.py", "from hydra import compose"),
        ("compositing/layers.py", "import numpy as np\nnoise = np.random.normal()"),
        ("compositing/sensor.py", "from numpy.random import default_rng as dice"),
        ("synthesis/staging.py", "def stage(recipe, rng):\n    return recipe"),
        ("synthesis/x.py", "from synthaug.sensors.camera import CameraSensor"),
        ("strange/x.py", "import synthaug.files"),
        ("datasets/x.py", "from synthaug.pseudoreal.film import PseudoReal"),
        ("pseudoreal/x.py", "from synthaug.datasets.demo import Demo"),
        ("structures.py", "from synthaug.defaults import demo"),
        ("__init__.py", "from synthaug.structures import Clip"),
        ("__init__.py", "def version():\n    import numpy"),
    ],
)
def test_a_bad_import_is_noticed(path, source):
    assert list(find_offences(Path(path), source))


@pytest.mark.parametrize("name", ["train.py", "evaluate.py"])
def test_entry_files_name_no_concrete_class(name):
    concrete = [f for f in FILES if f.parts[0] in (*STATIONS, "datasets") and f.name != "__init__.py"]
    modules = {"synthaug." + ".".join(path.with_suffix("").parts) for path in concrete}
    assert not modules & imported((ROOT / name).read_text())


def test_interfaces_hold_no_answers():
    for station in (*STATIONS, "datasets", "recognizers"):
        names = imported((PACKAGE / station / "__init__.py").read_text())
        assert not [name for name in names if name.startswith(f"synthaug.{station}")], station


def imported(source):
    return {one.resolve(find_modules(PACKAGE)) for one in find_imports(source)}
