"""Exports hold what was rendered, whole or not at all, and the real libraries read them."""

import dataclasses
import io
import json
import shutil
import sys
import tarfile

import numpy as np
import pytest
import torch

from synthaug.exports import ExportError
from synthaug.exports.litdata import LitData
from synthaug.exports.parts import walk
from synthaug.exports.parts.clips import decode_film, decode_mask
from synthaug.exports.parts.walk import check_whole, export
from synthaug.exports.videofolder import VideoFolder
from synthaug.exports.webdataset import WebDataset

LAYOUTS = ("videofolder", "webdataset", "litdata")


def read_videofolder(folder):
    from datasets import Video, load_dataset

    rows = load_dataset("videofolder", data_dir=str(folder), split="train", cache_dir=str(folder.parent / "hf"))
    assert {name for name, kind in rows.features.items() if isinstance(kind, Video)} == {"video", "mask"}
    for name in ("video", "mask"):
        rows = rows.cast_column(name, Video(decode=False))
    for row in rows:
        arrays = np.load(folder / "train" / row["arrays"])
        np.testing.assert_allclose(row["joints_world"], arrays["joints_world"], atol=6e-5)
        np.testing.assert_allclose(row["joints_image"], arrays["joints_image"], atol=6e-3)
        np.testing.assert_array_equal(row["visible"], arrays["visible"])
        film, mask = (open(row[name]["path"], "rb").read() for name in ("video", "mask"))
        yield row, film, mask, dict(arrays)


def read_webdataset(folder):
    import webdataset

    tars = sorted(map(str, (folder / "train").glob("*.tar")))
    assert len(tars) > 1
    for sample in webdataset.WebDataset(tars, shardshuffle=False):
        row = json.loads(sample["json"])
        assert sample["__key__"] == row["key"]
        yield row, sample["mp4"], sample["mask.mp4"], dict(np.load(io.BytesIO(sample["joints.npz"])))


def read_litdata(folder):
    import litdata

    clips = litdata.StreamingDataset(str(folder))
    assert len(list(folder.glob("chunk-*.bin"))) > 1
    for sample in clips:
        arrays = {name: value for name, value in sample.items() if isinstance(value, np.ndarray)}
        row = json.loads(sample["columns"])
        assert (row["key"], row["label"], row["class_name"]) == (sample["key"], sample["label"], sample["class_name"])
        yield row, bytes(sample["film"]), bytes(sample["mask"]), arrays


READERS = {"videofolder": read_videofolder, "webdataset": read_webdataset, "litdata": read_litdata}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_real_library_reads_what_was_rendered(name, exported, handover, data):
    found = {row["key"]: (row, *rest) for row, *rest in READERS[name](exported[name])}
    assert set(found) == {recipe.digest for recipe in handover.recipes} and len(found) == 6
    for recipe in handover.recipes:
        row, film, mask, arrays = found[recipe.digest]
        clip, truth = data.synthesizer.render(recipe), data.synthesizer.render_ground_truth(recipe)
        video = decode_film(film, row)
        error = (video.double() - clip.video.double()).square().mean()
        assert 10 * torch.log10(255**2 / error) > 27  # half the resolution of colours, beads of single pixels
        assert torch.equal(decode_mask(mask, row), truth.mask)
        np.testing.assert_array_equal(arrays["joints_camera"], truth.joints_3d)
        np.testing.assert_array_equal(arrays["joints_image"], truth.joints_2d)
        np.testing.assert_array_equal(arrays["visible"], truth.visible)
        np.testing.assert_array_equal(arrays["parts"], truth.labels[:, 0])
        assert row["recipe"] == recipe.to_json() and row["class_name"] == data.class_names[recipe.label]
        assert row["source"] == recipe.actors[0].motion and row["source_subject"] in ("s0", "s1", "s2")
        assert row["identities"] == [actor.identity for actor in recipe.actors] and len(row["identities"]) == 2
        assert (row["licence_people"], row["licence_film"], row["consent"]) == ("bead-1.0", "own", "training")


def test_datasets_reads_the_tars_too(exported, handover):
    from datasets import Video, load_dataset

    folder = exported["webdataset"]
    rows = load_dataset("webdataset", data_dir=str(folder), split="train", cache_dir=str(folder.parent / "hf"))
    for name in ("mp4", "mask.mp4"):
        rows = rows.cast_column(name, Video(decode=False))
    found = {row["__key__"]: row for row in rows}
    films = {row["key"]: (row, film) for row, film, _, _ in read_webdataset(folder)}
    assert set(found) == set(films) == {recipe.digest for recipe in handover.recipes}
    assert all(found[key]["mp4"]["bytes"] == film and found[key]["json"] == row for key, (row, film) in films.items())


@pytest.mark.parametrize("name", LAYOUTS)
def test_joints_in_the_world_are_those_in_the_picture(name, exported):
    """Law: the arrays explain themselves; a pinhole with `viewmats` and `Ks` takes one to the other."""
    for _, _, _, arrays in READERS[name](exported[name]):
        points = np.concatenate([arrays["joints_world"], np.ones_like(arrays["joints_world"][..., :1])], -1)
        local = np.einsum("tij,ptkj->ptki", arrays["viewmats"], points)[..., :3]
        pixels = np.einsum("tij,ptkj->ptki", arrays["Ks"], local / local[..., 2:])[..., :2]
        np.testing.assert_allclose(local, arrays["joints_camera"], atol=1e-4)
        np.testing.assert_allclose(pixels, arrays["joints_image"], atol=1e-2)
        assert 0 < arrays["joints_world"][..., 1].max() < 2.5  # y is up, the floor at 0


def content(folder):
    """Every file of a folder, and what is in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TornError(Exception):
    pass


def test_a_killed_export_is_no_export_and_goes_on(handover, exported, tmp_path, monkeypatch):
    """Whatever was being written when it ended: afterwards the folder is not there, and the next start finishes it."""
    whole, written = walk.write_clip, []
    to, work = tmp_path / "tars", tmp_path / "tars.unfinished"

    def write_some(files, *rest, **more):
        if len(written) == 3:
            raise TornError
        written.append(files.key)
        whole(files, *rest, **more)

    monkeypatch.setattr(walk, "write_clip", write_some)
    with pytest.raises(TornError):
        export(handover, WebDataset(megabytes=0.05), to)
    assert not to.exists() and len(list(work.rglob("*.json"))) == 3
    with pytest.raises(ExportError, match="An unfinished one lies beside it"):
        check_whole(to)
    # A clip whose last file is not there is rendered again; whatever else lies around counts for nothing.
    torn = next(path for path in work.rglob(f"{written[0]}.json"))
    torn.unlink()
    (torn.parent / f"{written[0]}.mp4").write_bytes(b"half a film")
    monkeypatch.setattr(walk, "write_clip", lambda *args, **more: (written.append(args[0].key), whole(*args, **more)))
    monkeypatch.setattr(walk.os, "rename", lambda *_: (_ for _ in ()).throw(TornError()))
    with pytest.raises(TornError):
        export(handover, WebDataset(megabytes=0.05), to)
    assert not to.exists() and len(written) == 3 + 4 and written.count(written[0]) == 2
    monkeypatch.undo()
    done = export(handover, WebDataset(megabytes=0.05), to)
    assert (done.rendered, done.missing, done.whole) == (0, 0, True) and not work.exists()
    assert export(handover, WebDataset(megabytes=0.05), to) == dataclasses.replace(done, rendered=0)
    assert content(to).keys() == content(exported["webdataset"]).keys()


def test_shards_make_one_whole(handover, exported, tmp_path):
    to = tmp_path / "films"
    parts = [[r for r in handover.recipes if int(r.digest, 16) % 2 == rest] for rest in (0, 1)]
    first = export(handover, VideoFolder(), to, recipes=parts[0])
    assert (first.rendered, first.missing, first.whole) == (len(parts[0]), len(parts[1]), False) and not to.exists()
    second = export(handover, VideoFolder(), to, recipes=parts[1], num_workers=2)
    assert (second.rendered, second.missing, second.whole) == (len(parts[1]), 0, True)
    assert content(to).keys() == content(exported["videofolder"]).keys()
    same = [name for name in content(to) if name.endswith((".jsonl", ".md"))]
    assert len(same) == 3 and all(content(to)[name] == content(exported["videofolder"])[name] for name in same)


def test_two_shards_that_end_at_once_make_one_folder(handover, tmp_path, monkeypatch):
    """The other one gives the folder its name while this one lays out."""
    to, rename = tmp_path / "films", walk.os.rename

    def be_late(folder, name):
        monkeypatch.setattr(walk.os, "rename", rename)
        assert export(handover, VideoFolder(), to).whole
        rename(folder, name)

    monkeypatch.setattr(walk.os, "rename", be_late)
    assert export(handover, VideoFolder(), to).whole
    assert check_whole(to)["clips"] == 6 and [path.name for path in tmp_path.iterdir()] == ["films"]


def test_a_folder_of_something_else_is_left_alone(handover, exported, tmp_path):
    (tmp_path / "thesis.tex").write_text("not ours")
    with pytest.raises(ExportError, match="Expected .* to be a folder that `synthaug export` made"):
        export(handover, VideoFolder(), tmp_path)
    fewer = dataclasses.replace(handover, recipes=handover.recipes[:2])
    with pytest.raises(ExportError, match="to be free or to hold these very clips"):
        export(fewer, VideoFolder(), exported["videofolder"])
    work = tmp_path / "new.unfinished"
    work.mkdir()
    (work / "plan").write_text("another")
    with pytest.raises(ExportError, match="got clips of another run"):
        export(handover, VideoFolder(), tmp_path / "new")
    (work / "plan").rename(work / "thesis.tex")
    with pytest.raises(ExportError, match="to be free, got other files"):
        export(handover, VideoFolder(), tmp_path / "new")


def test_an_export_that_lost_a_file_says_so(handover, exported, tmp_path):
    to = shutil.copytree(exported["videofolder"], tmp_path / "films")
    next(to.rglob("*.npz")).unlink()
    with pytest.raises(ExportError, match="Expected 20 files of .* got 19 of"):
        export(handover, VideoFolder(), to)


def test_the_card_counts_and_names_the_terms(exported):
    card = (exported["litdata"] / "README.md").read_text()
    assert "6 clips of 4 frames at 5 frames per second, 49 x 49 pixels; 2 classes" in card
    assert "2 clips of the run were left out: nobody." in card and "StreamingDataset(" in card
    assert "| film | squares | own | yes | yes | here |" in card and "| bead-1.0 | do as you like | training |" in card


def test_tars_keep_to_their_size_and_depend_on_the_clips_alone(exported):
    tars = sorted((exported["webdataset"] / "train").glob("*.tar"))
    clips = [name.split(".")[0] for path in tars for name in tarfile.open(path).getnames()]
    assert len(clips) == 24 and clips == sorted(clips)  # four files of each clip, side by side
    assert all(member.mtime == 0 and member.uid == 0 for path in tars for member in tarfile.open(path))
    sizes = [sum(512 + -(-m.size // 512) * 512 for m in tarfile.open(path)) for path in tars]
    assert all(
        size <= 50_000 or len(tarfile.open(path).getnames()) == 4 for size, path in zip(sizes, tars, strict=True)
    )


@pytest.mark.parametrize("layout", [WebDataset, LitData])
def test_a_size_that_cannot_be_is_refused(layout):
    with pytest.raises(ExportError, match="of more than 0 megabytes, got 0"):
        layout(megabytes=0.0)


def test_layouts_but_litdata_are_written_without_their_libraries(handover, tmp_path, monkeypatch):
    for name in ("datasets", "webdataset", "litdata", "litdata.streaming", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    for layout in (VideoFolder(), WebDataset()):
        assert export(handover, layout, tmp_path / type(layout).__name__).whole
    with pytest.raises(ExportError, match=r"Expected litdata, .* pip install 'synthaug\[export\]'"):
        LitData()
