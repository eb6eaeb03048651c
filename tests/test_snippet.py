"""The lines of Python that the package's docstring shows run as written, on a folder of film."""

import re
import shutil
import textwrap

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

import synthaug as sa
from synthaug.backgrounds.rooms import Rooms
from synthaug.motions.sidecar import Sidecar

SNIPPET = textwrap.dedent(re.search(r"\n( +import synthaug as sa\n.*?\.fit\(.*?\n)", sa.__doc__, re.DOTALL).group(1))
PEOPLE = {"p00": "anna", "p01": "ben", "p02": "cleo"}
pytestmark = pytest.mark.usefixtures("quiet")


class MyModule(LightningModule):
    """What a user of Lightning has: it is given pairs of video and label."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool3d(2), torch.nn.Flatten(), torch.nn.Linear(24, 2))
        self.seen = []

    def training_step(self, batch):
        video, label = batch
        self.seen.append(video.shape)
        return torch.nn.functional.cross_entropy(self.net(video), label)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-2)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two actions by three people, as videos/<class>/<subject>/1.mp4."""
    root = tmp_path_factory.mktemp("film")
    footage = sa.Footage(size=192, fps=12.0, seconds=1.5, supersampling=1, crf=18)
    maker = sa.PseudoReal(classes=["bow", "hand waving"], performers=3, footage=footage, num_workers=0)
    for record in maker.shoot(root / "made"):
        place = root / "videos" / maker.classes[record.label] / PEOPLE[record.subject]
        place.mkdir(parents=True)
        for suffix in (".mp4", ".npz"):  # the film, and its true motion
            shutil.copy(record.path.with_suffix(suffix), place / f"1{suffix}")
    return root


def test_a_folder_of_film_names_classes_and_people(films):
    dataset = sa.Folder(films / "videos")
    dataset.prepare()
    assert dataset.classes == ("bow", "hand waving")
    assert {record.subject for record in dataset.records} == set(PEOPLE.values())
    split = sa.CrossSubject(test_subjects=["anna", "ben"]).split(dataset.records, dataset.classes)
    assert {record.subject for record in split.train} == {"cleo"} and len(split.test) == 4


def shorten(monkeypatch, **parts):
    """Make what the snippet asks for small: two steps, one identity with few Gaussians, no loader processes."""
    full = sa.default_synthesis
    avatar = sa.default_avatars(gaussians=2000, people=2)
    monkeypatch.setattr(
        sa, "default_synthesis", lambda *, identities: full(identities=1, backgrounds=1, avatar=avatar, **parts)
    )
    made = []

    class Short(Trainer):
        def __init__(self, *, max_steps):
            assert max_steps == 1000
            super().__init__(max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False)

        def fit(self, module, data):
            made.append((module, data))
            super().fit(module, data)

    monkeypatch.setattr("lightning.pytorch.Trainer", Short)
    return made


def check_snippet(made):
    exec(compile(SNIPPET, "the docstring's lines", "exec"), {"MyModule": MyModule})
    ((module, data),) = made
    assert module.seen == [(16, 3, 12, 112, 112)] * 2
    assert data.synthesizer is not None and len(data.synthesizer) == 2
    assert data.synthetic_share() == 0.5, "half of each batch is synthetic"


def test_the_lines_run_as_written_with_the_motion_beside_the_film(films, monkeypatch):
    made = shorten(monkeypatch, motion=Sidecar(), background=Rooms())
    monkeypatch.chdir(films)
    check_snippet(made)


@pytest.mark.pose
def test_the_lines_run_as_written_with_the_motion_out_of_the_film(films, monkeypatch):
    pytest.importorskip("mediapipe", exc_type=ImportError)
    made = shorten(monkeypatch)  # in 18 frames nobody moves enough to leave a plate: rooms take its share
    monkeypatch.chdir(films)
    check_snippet(made)
