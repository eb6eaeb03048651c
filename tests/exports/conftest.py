import pytest
from fakes import BySubject, Films, Pairs, plan

from synthaug.datamodule.module import Loading, SynthAugDataModule
from synthaug.exports import Papers, PersonPapers, SourceTerms
from synthaug.exports.litdata import LitData
from synthaug.exports.parts.walk import Handover, export
from synthaug.exports.videofolder import VideoFolder
from synthaug.exports.webdataset import WebDataset
from synthaug.structures import ClipFormat

CLIP = ClipFormat(num_frames=4, fps=5.0, size=49)  # odd: films grow by a column and a row


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="session")
def data(films):
    data = SynthAugDataModule(
        films, BySubject(), synth=plan(motion=Pairs(), identities=1, backgrounds=1), clip=CLIP, augmentation=None,
        loading=Loading(batch_size=4, num_workers=0),
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    return data


@pytest.fixture(scope="session")
def handover(data):
    recipes = tuple(data.recipes())
    people = {
        actor.identity: PersonPapers("bead-1.0", "do as you like", "training") for r in recipes for actor in r.actors
    }
    papers = Papers(people, (SourceTerms("film", "squares", "own", "yes", "yes", "here"),))
    return Handover(data.synthesizer, recipes, tuple(data.class_names), papers, "test 1", {"nobody": 2})


LAYOUTS = {"videofolder": VideoFolder(), "webdataset": WebDataset(megabytes=0.05), "litdata": LitData(megabytes=0.05)}


@pytest.fixture(scope="session")
def exported(handover, tmp_path_factory):
    """Every layout of the same clips; tests only read them."""
    folder = tmp_path_factory.mktemp("exports")
    for name, layout in LAYOUTS.items():
        assert export(handover, layout, folder / name).whole
    return {name: folder / name for name in LAYOUTS}
