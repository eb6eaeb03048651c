import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STATIONS = ("motions", "avatars", "cameras", "backgrounds", "renderers")
PURE = {"structures", "body", "rotations", "symmetry", "files", "video", "levels"}

MAY = {
    "structures": set(),
    "files": {"structures"},
    "rotations": set(),
    "body": {"structures", "rotations"},
    "video": {"structures", "files"},
    "holding": {"structures", "video"},
    "compositing": {"structures", "body", "rotations"},
    "footing": {"structures", "body", "rotations"},
    "interaction": {"structures", "body", "rotations", "footing"},
    "performances": {"structures", "body", "rotations"},
    "symmetry": {"structures", "body", "rotations"},
    "levels": {"structures"},
    "imaging": set(),
    "sensor": {"structures", "imaging"},
    "recording": {"structures", "sensor"},
    "augmentation": {"randaugment", "structures"},
    "randaugment": {"structures"},
    "targets": {"structures"},
    "failures": set(),
    "workers": set(),
    "sampling": set(),
    "truth": {"structures", "body", "rotations"},
    "caching": {"structures", "files"},
    **{station: PURE for station in STATIONS},
    "gravity": {"structures", "body", "rotations"},
    "references": {"structures", "files", "gravity", "motions"},
    "synthesis": {
        "structures", "body", "rotations", "files", "caching", "compositing", "truth", "sensor", "references",
        "interaction", "performances", "symmetry", *STATIONS,
    },
    "drawing": {"structures", "renderers", "synthesis"},
    "datasets": {"structures", "files", "video"},
    "shrinking": {"video"},
    "processes": {"workers"},
    "scanning": {"video", "datasets", "shrinking", "processes"},
    "recognizers": {"structures"},
    "fewshot": {"recognizers", "structures"},
    "licences": {"structures"},
    "reports": {"structures", "files", "licences"},
    "sheets": {"structures", "body", "rotations"},
    "recognition": {"structures", "motions", "video"},
    "inspection": {
        "structures", "body", "rotations", "sheets", "compositing", "video", "motions", "avatars", "renderers",
    },
}  # fmt: skip
BASES_ONLY = ("synthesis", "references", "drawing", "clips", "datamodule")
HEAVY = {
    "gsplat": {"renderers/gsplat.py"},
    "lightning": {"batches.py", "datamodule.py", "recognizers", "fewshot.py"},
    "hydra": {"cli.py"},
    "omegaconf": {"cli.py"},
    "smplx": set(),
    "anny": set(),
    "mediapipe": {"motions", "doctor.py"},
}


def imports(source):
    """Every module that a source names in an import, lazy ones too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def offences(path, source):
    """What a file of the package may not import, and does."""
    station = path.parts[0].removesuffix(".py")
    for name in imports(source):
        root, *rest = name.split(".")
        for heavy, places in HEAVY.items():
            if root == heavy and not any(str(path).startswith(place) for place in places):
                yield f"{path} imports {name}"
        if root != "synthaug" or not rest:
            continue
        if station in MAY and rest[0] != station and rest[0] not in MAY[station]:
            yield f"{path} imports {name}"
        if station in BASES_ONLY and rest[0] in STATIONS + ("datasets",) and len(rest) > 1 and rest[1] != "leaks":
            yield f"{path} imports the concrete {name}"


FILES = sorted(path.relative_to(ROOT / "synthaug") for path in (ROOT / "synthaug").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_downwards(path):
    assert list(offences(path, (ROOT / "synthaug" / path).read_text())) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("motions/x.py", "from synthaug.avatars import Avatar"),
        ("renderers/x.py", "import gsplat.cuda\nfrom synthaug.synthesis import Recipe"),
        ("synthesis.py", "from synthaug.avatars.anny import AnnyPeople"),
        ("recognizers/x.py", "def f():\n    import synthaug.datasets"),
        ("reports/x.py", "from hydra import compose"),
    ],
)
def test_a_bad_import_is_noticed(path, source):
    assert list(offences(Path(path), source))


@pytest.mark.parametrize("name", ["train.py", "evaluate.py"])
def test_entry_files_name_no_concrete_class_and_stay_short(name):
    source = (ROOT / name).read_text()
    concrete = [f for f in FILES if f.parts[0] in STATIONS + ("datasets",) and f.name != "__init__.py"]
    modules = {"synthaug." + ".".join(path.with_suffix("").parts) for path in concrete}
    assert not modules & set(imports(source))
    assert source.count("\n") <= 70


def test_interfaces_hold_no_answers():
    for station in (*STATIONS, "datasets", "recognizers"):
        tree = ast.parse((ROOT / "synthaug" / station / "__init__.py").read_text())
        assert not [name for name in imports(ast.unparse(tree)) if name.startswith(f"synthaug.{station}")], station
