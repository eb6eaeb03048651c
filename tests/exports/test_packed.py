"""Clips of an export train as rendered ones do: the same clips in the same batches, and no leak."""

import dataclasses
import json
import shutil

import fsspec
import lightning
import pytest
import torch
from fakes import BySubject, Films, Pairs

from synthaug.datamodule import BatchMixture, Loading, SynthAugDataModule
from synthaug.datamodule.augmentation import Augmentation
from synthaug.datasets import LeakError
from synthaug.exports import ExportError
from synthaug.exports.litdata import LitData, LitDataPack
from synthaug.exports.parts.clips import decode_film, read_row
from synthaug.exports.parts.walk import export
from synthaug.exports.videofolder import VideoFolder
from synthaug.exports.webdataset import INDEX, WebDatasetPack
from synthaug.runs.folder import leak_report
from synthaug.structures import ClipFormat
from synthaug.synthesis.synthesizer import Synthesizer

CLIP = ClipFormat(num_frames=4, fps=5.0, size=49)


@pytest.fixture(scope="module")
def root(exported):
    return str(exported["litdata"])


def module(films, pack, *, workers=0, clip=CLIP, protocol=None, memory_mb=512.0, ratio=0.5):
    data = SynthAugDataModule(
        films, protocol or BySubject(), clip=clip, synth=pack, augmentation=Augmentation(),
        mixture=BatchMixture(ratio=ratio), loading=Loading(batch_size=4, num_workers=workers, memory_mb=memory_mb),
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    return data


@pytest.fixture
def unrendered(monkeypatch):
    """Nothing may be extracted or rendered."""
    monkeypatch.setattr(Synthesizer, "render", lambda *_: pytest.fail("rendered"))
    monkeypatch.setattr(Pairs, "load", lambda *_: pytest.fail("extracted"))


def test_a_pack_takes_the_place_of_rendered_clips(films, root, handover, unrendered):
    data = module(films, LitDataPack(root))
    assert data.synthesizer is None and data.classes_without_synthetic == () and data.synthetic_share() == 0.5
    assert {r.to_json() for r in data.recipes()} == {r.to_json() for r in handover.recipes}
    batches = list(data.train_dataloader())
    assert all(batch["synthetic"].sum() == 2 and len(batch["label"]) == 4 for batch in batches)
    labels = {recipe.key: recipe.label for recipe in handover.recipes}
    seen = [
        (key, int(label)) for b in batches for key, label in zip(b["key"], b["label"], strict=True) if key in labels
    ]
    assert len({key for key, _ in seen}) == 6 and all(labels[key] == label for key, label in seen)


def test_its_frames_are_the_rendered_ones_but_for_compression(films, root, data):
    pack = LitDataPack(root)
    for place in range(6):
        rendered = data.synthesizer.render(pack.recipe(place)).video
        error = (pack.read(place).double() - rendered.double()).square().mean()
        assert 10 * torch.log10(255**2 / error) > 27
    with pytest.raises(IndexError):
        pack.rows[6]


@pytest.mark.parametrize(("workers", "memory_mb"), [(2, 0.0), (2, 512.0), (0, 0.0)])
def test_neither_processes_nor_memory_nor_an_address_change_a_pixel(films, root, tmp_path, workers, memory_mb):
    """`local:` has litdata copy chunks as it does from an object store."""
    near = list(module(films, LitDataPack(root)).train_dataloader())
    far = LitDataPack(f"local:{root}", cache=str(tmp_path / "cache"))
    other = list(module(films, far, workers=workers, memory_mb=memory_mb).train_dataloader())
    assert len(near) == len(other) > 0
    for one, two in zip(near, other, strict=True):
        assert one["key"] == two["key"] and torch.equal(one["video"], two["video"])
    assert list((tmp_path / "cache").rglob("chunk-*.bin"))


@pytest.fixture(scope="module")
def tars(exported):
    assert len(list(exported["webdataset"].glob("train/*.tar"))) > 1
    return exported["webdataset"]


def test_tars_take_the_place_of_rendered_clips_as_chunks_do(films, root, tars, unrendered):
    """From a disk, in other processes, and from a store of which only parts of files are read."""
    store = fsspec.filesystem("memory")
    store.put(str(tars), "/packed", recursive=True)
    expected = list(module(films, LitDataPack(root)).train_dataloader())
    for place, workers in ((str(tars), 0), (str(tars), 2), ("memory://packed", 0)):
        found = list(module(films, WebDatasetPack(place), workers=workers, memory_mb=0.0).train_dataloader())
        assert len(found) == len(expected) > 0
        for one, two in zip(expected, found, strict=True):
            assert one["key"] == two["key"] and torch.equal(one["video"], two["video"])


def test_tars_of_another_export_are_refused(tars, tmp_path):
    shutil.copytree(tars, tmp_path / "mixed")
    index = json.loads((tmp_path / "mixed" / INDEX).read_text())
    index["films"] = index["films"][::-1]
    (tmp_path / "mixed" / INDEX).write_text(json.dumps(index))
    with pytest.raises(ExportError, match=f"and {INDEX} are of different exports"):
        WebDatasetPack(str(tmp_path / "mixed")).read(0)
    (tmp_path / "mixed" / INDEX).unlink()
    with pytest.raises(ExportError, match="Older exports lack it: export again"):
        WebDatasetPack(str(tmp_path / "mixed")).read(0)
    about = json.loads((tmp_path / "mixed" / "export.json").read_text())
    (tmp_path / "mixed" / INDEX).write_text(json.dumps(index))
    (tmp_path / "mixed" / "export.json").write_text(json.dumps({**about, "layout": "VideoFolder"}))
    with pytest.raises(ExportError, match="got VideoFolder. Give another folder, or export with --to webdataset"):
        WebDatasetPack(str(tmp_path / "mixed")).about  # noqa: B018 - read when it is first needed


class Mean(lightning.LightningModule):
    """Two numbers of a clip's mean colour."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def training_step(self, batch, _):
        return torch.nn.functional.cross_entropy(self.layer(batch["video"].mean((2, 3, 4))), batch["label"])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("ratio", [0.5, 1.0])
def test_a_foreign_module_trains_on_it_alone_or_mixed(films, root, tmp_path, unrendered, ratio):
    trainer = lightning.Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    network = Mean()
    before = network.layer.weight.clone()
    trainer.fit(network, module(films, LitDataPack(root), ratio=ratio))
    assert trainer.global_step == 2 and not torch.equal(before, network.layer.weight)


@pytest.mark.parametrize("tested", ["s0", "s1", "s2"])
def test_a_pack_of_held_out_clips_is_an_error_before_training(films, root, tested):
    with pytest.raises(LeakError, match="Expected each motion to come from a training clip"):
        module(films, LitDataPack(root), protocol=BySubject(test=(tested,)))


def test_a_pack_of_a_tested_person_is_an_error(films, handover, tmp_path):
    people = {name: dataclasses.replace(one, subject="s3") for name, one in handover.papers.people.items()}
    likeness = dataclasses.replace(handover, papers=dataclasses.replace(handover.papers, people=people))
    assert export(likeness, LitData(), tmp_path / "chunks").whole
    with pytest.raises(LeakError, match="which shows the subject 's3'"):
        module(films, LitDataPack(str(tmp_path / "chunks")))


def test_the_leak_report_counts_what_a_pack_shows(films, root):
    checked = leak_report(module(films, LitDataPack(root)))["checked"]
    assert (checked["references"], checked["recipes"]) == (6, 6) and checked["identities"] == 1


def test_a_pack_of_other_clips_is_refused(films, root, handover, tmp_path, monkeypatch):
    with pytest.raises(ExportError, match="Set clip.num_frames=4 clip.fps=5.0 clip.size=49, or"):
        module(films, LitDataPack(root), clip=ClipFormat(num_frames=4, fps=5.0, size=48))
    other = Films(films.records[0].path.parent)
    monkeypatch.setattr(type(other), "classes", ("sit", "stand"))
    with pytest.raises(ExportError, match="got one of 'wave (left|right)'. Choose the data set"):
        module(other, LitDataPack(root))
    export(handover, VideoFolder(), tmp_path / "films")
    with pytest.raises(ExportError, match="to be an export for litdata, got VideoFolder"):
        LitDataPack(str(tmp_path / "films")).about  # noqa: B018 - read when it is first needed
    with pytest.raises(ExportError, match="Expected export.json of an export at 'local:/nowhere'"):
        LitDataPack("local:/nowhere").about  # noqa: B018


def test_a_pack_without_its_library_says_what_to_install(root, monkeypatch):
    monkeypatch.setattr("synthaug.exports.litdata.find_spec", lambda _: None)
    with pytest.raises(ExportError, match=r"Expected litdata, which reads .*pip install 'synthaug\[export\]'"):
        LitDataPack(root)


def test_a_pack_at_an_address_that_was_cut_off_is_told(films, root, tars, tmp_path, monkeypatch):
    for name, source in (("litdata", root), ("webdataset", tars)):
        shutil.copytree(source, tmp_path / name)
    rows = (tmp_path / "litdata" / "rows.jsonl").read_bytes()
    (tmp_path / "litdata" / "rows.jsonl").write_bytes(rows[:-30])
    with pytest.raises(ExportError, match=r"Expected 6 clips, as the export says of itself, got the columns of 5"):
        module(films, LitDataPack(f"local:{tmp_path / 'litdata'}"))
    far = LitDataPack(f"local:{root}", cache=str(tmp_path / "cache"))
    monkeypatch.setattr(far, "_open", dict)  # as litdata fails whose chunk is gone: with an error of its own
    with pytest.raises(ExportError, match=r"hold clip .* at place 2, but reading it failed: KeyError: 2. A chunk"):
        far.read(2)
    tar = sorted((tmp_path / "webdataset").rglob("*.tar"))[-1]
    tar.write_bytes(tar.read_bytes()[:700])
    pack = WebDatasetPack(f"file://{tmp_path / 'webdataset'}")
    with pytest.raises(ExportError, match=r"bytes early"):
        [pack.read(place) for place in range(6)]
    tar.unlink()
    with pytest.raises(ExportError, match=r"reading it failed"):
        [pack.read(place) for place in range(6)]
    (tmp_path / "webdataset" / "export.json").write_text("{")
    with pytest.raises(ExportError, match=r"Expected export.json of an export at file://.* to be JSON"):
        assert WebDatasetPack(f"file://{tmp_path / 'webdataset'}").about


@pytest.mark.parametrize(("name", "value"), [("subjects", None), ("frames", "4")])
def test_columns_that_are_missing_or_of_another_kind_are_told(name, value):
    row = {"key": "a", "label": 0, "class_name": "bow", "recipe": "{}", "sources": [], "identities": [], "subjects": [],
           "frames": 4, "height": 8, "width": 8}  # fmt: skip
    row = {column: one for column, one in row.items() if column != name} | ({} if value is None else {name: value})
    with pytest.raises(ExportError, match=r"with subjects, got|Expected frames, height and width of clip a .*'4'"):
        decode_film(b"", read_row(json.dumps(row)))
