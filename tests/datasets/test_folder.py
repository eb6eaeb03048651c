import logging
import os
import pickle
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from synthaug.datasets import DatasetNotFoundError, LeakError
from synthaug.datasets.folder import Folder
from synthaug.datasets.indexing.index import VideoIndex
from synthaug.datasets.indexing.intervals import MAX_OVERLAP, Interval, join_intervals, trim_overlaps
from synthaug.datasets.indexing.tables import read_table
from synthaug.datasets.leaks import assert_disjoint, check_split, find_overlaps
from synthaug.datasets.protocols.generic import CrossSubject, CrossView, Holdout, Predefined
from synthaug.testing.datasets import check_dataset, check_protocol, example_film
from synthaug.video import VideoError, probing, write_video
from synthaug.video.copies import find_copies

PREDEFINED = Path(__file__).parents[2] / "conf" / "protocol" / "predefined.yaml"


def shoot(path, *, frames=10, fps=10.0):
    write_video(path, example_film(frames), fps=fps)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for file in ("wave/ann/1.mp4", "wave/bob/1.mkv", "Kick it/ann/1.mp4", "Kick it/2.mov"):
        shoot(root / file)
    (root / ".hidden").mkdir()
    shoot(root / ".hidden" / "1.mp4")
    shoot(root / "wave" / "._1.mp4")
    (root / "wave" / "readme.txt").write_text("no film")
    (root / "empty").mkdir()
    return root


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """One film of 4 s, as bytes: tests write their own tables about copies."""
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    shoot(path, frames=40)
    return path.read_bytes()


def table(root, film, text, *, files=("Subject 1/a.mp4",)):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(film)
    (root / "clips.csv").write_text(text)
    return root


# ---- Class folders ----


def test_folder_of_classes_is_a_data_set(tree):
    folder = Folder(tree)
    check_dataset(folder)
    assert folder.classes == ("Kick it", "wave")
    assert [(r.key, r.label, r.subject) for r in folder.records] == [
        ("Kick it/2.mov", 0, "Kick it/2"),
        ("Kick it/ann/1.mp4", 0, "ann"),
        ("wave/ann/1.mp4", 1, "ann"),
        ("wave/bob/1.mkv", 1, "bob"),
    ]
    assert not folder.quarantine and folder.notes == {"clips_of_unknown_subject": 1}
    assert all((r.start, r.end) == (0.0, pytest.approx(1.0)) for r in folder.records)


def test_classes_select_and_order(tree):
    folder = Folder(tree, classes=["wave"])
    assert folder.classes == ("wave",)
    assert {(r.key, r.label) for r in folder.records} == {("wave/ann/1.mp4", 0), ("wave/bob/1.mkv", 0)}
    assert Folder(tree, classes=["wave", "Kick it"]).classes == ("wave", "Kick it")


def test_folders_that_are_divided_already_keep_their_classes(tmp_path, film):
    table(tmp_path, film, "", files=("train/wave/1.mp4", "test/wave/1.mp4", "test/kick/1.mp4"))
    folder = Folder(tmp_path)
    assert folder.classes == ("kick", "wave")
    assert [r.key for r in folder.records] == ["test/kick/1.mp4", "test/wave/1.mp4", "train/wave/1.mp4"]


def test_folders_without_film_do_not_decide_what_the_others_are(tmp_path, film):
    table(tmp_path, film, "", files=("train/wave/1.mp4", "test/kick/1.mp4"))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "readme.txt").write_text("no film")
    assert Folder(tmp_path).classes == ("kick", "wave")


def test_film_both_in_parts_and_beside_them_is_refused(tmp_path, film):
    table(tmp_path, film, "", files=("train/wave/1.mp4", "test/kick/1.mp4", "wave/1.mp4"))
    with pytest.raises(ValueError, match=r"got both in .*\['test', 'train'\] and \['wave'\]. Move one kind elsewhere"):
        Folder(tmp_path)


def test_a_pattern_names_the_subjects(tree, tmp_path, film):
    table(tmp_path, film, "", files=("wave/v_wave_g01_c01.mp4", "wave/v_wave_g02_c01.mp4"))
    assert [r.subject for r in Folder(tmp_path, subject_pattern="_g([0-9]+)_").records] == ["01", "02"]
    with pytest.raises(ValueError, match=r"got none in 'wave/ann/1.mp4'. Widen the pattern"):
        Folder(tree, subject_pattern="_g([0-9]+)_", classes=["wave"])
    for pattern in ("(", "ann"):
        with pytest.raises(ValueError, match="regular expression with one group"):
            Folder(tree, subject_pattern=pattern, classes=["wave"])


def test_every_kind_of_bad_film_is_quarantined_with_its_reason(tmp_path, film):
    table(tmp_path, film, "", files=("wave/good.mp4",))
    (tmp_path / "wave/empty.mp4").touch()
    (tmp_path / "wave/random.mp4").write_bytes(np.random.default_rng(0).bytes(3000))
    (tmp_path / "wave/header.mp4").write_bytes(film[:200])
    with av.open(str(tmp_path / "wave/audio.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    folder = Folder(tmp_path)
    assert [r.key for r in folder.records] == ["wave/good.mp4"]
    reasons = {key: reason for key, reason in folder.quarantine.items()}
    assert set(reasons) == {f"wave/{name}.mp4" for name in ("empty", "random", "header", "audio")}
    assert "0 bytes" in reasons["wave/empty.mp4"]
    assert "to have a video stream" in reasons["wave/audio.mp4"]
    assert all(reason.startswith("Expected ") for reason in reasons.values())


def test_where_nothing_is_usable_the_reasons_are_told(tmp_path):
    (tmp_path / "wave").mkdir()
    (tmp_path / "wave/1.mp4").touch()
    with pytest.raises(ValueError, match=r"got 1 unusable entries \(wave/1.mp4: .*0 bytes.*Repair the first"):
        Folder(tmp_path).prepare()


def test_missing_root_and_empty_root_say_what_to_do(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"No such folder: dataset.root='/nowhere'. Set dataset.root"):
        Folder("/nowhere")
    with pytest.raises(DatasetNotFoundError, match=r"Expected labelled film.*got none. Add <class>"):
        Folder(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=r"No such table: dataset.csv=.*missing.csv.*correct either"):
        Folder(tmp_path, csv="missing.csv")


def test_unknown_class_is_answered_by_the_likely_one_and_the_list(tree):
    with pytest.raises(
        ValueError, match=r"dataset.classes .*got 'wavee'. Did you mean 'wave'\? Choose from: Kick it, wave."
    ):
        Folder(tree, classes=["wavee"])
    for wrong in ([], ["wave", "wave"]):
        with pytest.raises(ValueError, match="Expected dataset.classes to name at least one class, and each once"):
            Folder(tree, classes=wrong)


# ---- Tables ----


def test_table_with_foreign_names_of_columns_is_a_data_set(tmp_path, film):
    text = "File ,subject,CLASS,t0,t1,fps,frames\n"
    text += "Subject 1/a.mp4,1,Falling,0.5,2.00,29,115\nSubject 1/a.mp4,1,Standing,2,,29,1\n"
    folder = Folder(table(tmp_path, film, text), csv="clips.csv")
    check_dataset(folder)
    assert folder.classes == ("Falling", "Standing")
    assert [(r.key, r.subject, r.start, r.end) for r in folder.records] == [
        ("Subject 1/a.mp4#0.50-2.00", "1", 0.5, 2.0),
        ("Subject 1/a.mp4#2.00-4.00", "1", 2.0, pytest.approx(4.0)),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_separators_and_byte_order_marks_do_not_matter(tmp_path, film, delimiter):
    text = "\ufeff" + "file,sign,signer,view\nSubject 1/a.mp4,again,A,left\n".replace(",", delimiter)
    (record,) = Folder(table(tmp_path, film, text), csv="clips.csv").records
    assert (record.key, record.subject, record.camera) == ("Subject 1/a.mp4", "A", "left")


def test_without_a_subject_a_file_is_its_own_and_counted(tmp_path, film):
    folder = Folder(table(tmp_path, film, "file,label\nSubject 1/a.mp4,x\n"), csv="clips.csv")
    (record,) = folder.records
    assert record.subject == "Subject 1/a"
    assert folder.notes == {"clips_of_unknown_subject": 1} and folder.unnamed["subject"] == {record.key}


FILES = ("anna.mp4", "b.mp4", "c.mp4", "d.mp4")
NAMED = ("anna", "bob", "eve", "eve")


def named_by(root, film, column, names):
    lines = "".join(f"{file},x,{name}\n" for file, name in zip(FILES, names, strict=True))
    return Folder(table(root, film, f"file,label,{column}\n{lines}", files=FILES), csv="clips.csv")


@pytest.mark.parametrize(
    ("column", "protocol"),
    [("subject", CrossSubject(["anna"])), ("subject", Holdout(0.3)), ("camera", CrossView(["anna"]))],
)
def test_clips_that_name_nobody_beside_clips_that_do_are_refused(tmp_path, film, column, protocol):
    """The third may show anna. That her film has her name is no reason to think that nobody is named in it."""
    check_protocol(protocol, named_by(tmp_path / "named", film, column, NAMED))
    partly = named_by(tmp_path / "partly", film, column, ("anna", "bob", "", "eve"))
    assert partly.notes[f"clips_of_unknown_{column}"] == 1
    with pytest.raises(
        LeakError, match=rf"Expected a {column} for each clip.*none for 1 of 4 clips, such as 'c.mp4'.*Fill the"
    ):
        check_protocol(protocol, partly)


def test_clips_that_name_nobody_may_be_left_out_by_the_protocol(tmp_path, film):
    partly = named_by(tmp_path, film, "subject", ("anna", "bob", "", "eve"))
    check_protocol(CrossSubject(["anna"], train_subjects=["bob"]), partly)


def test_where_nobody_is_named_files_are_divided_and_counted(tmp_path, film):
    folder = named_by(tmp_path, film, "subject", ("", "", "", ""))
    check_protocol(Holdout(0.3), folder)
    assert folder.notes == {"clips_of_unknown_subject": 4}


def test_rows_that_cannot_be_understood_are_quarantined_by_line(tmp_path, film):
    rows = [
        "a.mp4,x,0,1",
        "a.mp4,x,9.7,3",
        "a.mp4,x,soon,3",
        "a.mp4,,0,1",
        ",x,0,1",
        "a.mp4,x,7,9",
        "a.mp4,x,-1,1",
        "a.mp4",
    ]
    text = "file,label,t0,t1\n" + "\n".join(rows)
    folder = Folder(table(tmp_path, film, text, files=("a.mp4",)), csv="clips.csv")
    assert [r.key for r in folder.records] == ["a.mp4#0.00-1.00"]
    lines = {key.split("line ")[1].split(":")[0]: reason for key, reason in folder.quarantine.items()}
    assert set(lines) == {"3", "4", "5", "6", "7", "8", "9"}
    assert "does not run forwards" in lines["3"] and "not a number" in lines["4"] and "no label" in lines["5"]
    assert "which ends at 4.00 s" in lines["7"]


def test_table_naming_a_missing_file_is_one_error_with_the_first_few(tmp_path, film):
    text = "file,label\nSubject 1/a.mp4,x\n" + "".join(f"gone{k}.mp4,x\n" for k in range(8))
    with pytest.raises(
        ValueError, match=r"8 rows with files that do not exist: 'gone0.mp4' \(clips.csv, line 3\).* and 3 more"
    ):
        Folder(table(tmp_path, film, text), csv="clips.csv")
    # Files of classes that nobody asked for need not be there.
    assert len(Folder(table(tmp_path, film, text + "Subject 1/a.mp4,y\n"), csv="clips.csv", classes=["y"]).records) == 1


@pytest.mark.parametrize("file", ["../outside.mp4", "Subject 1/../../outside.mp4", "/etc/hostname"])
def test_files_outside_the_root_are_refused(tmp_path, film, file):
    (tmp_path / "outside.mp4").write_bytes(film)
    with pytest.raises(
        ValueError, match=r"Expected files in dataset.root.*got 1 rows with files outside it.*Correct the rows"
    ):
        Folder(table(tmp_path / "root", film, f"file,label\n{file},x\n"), csv="clips.csv")


def test_one_file_under_two_spellings_is_one_file(tmp_path, film):
    text = f"file,label,t0,t1\n./a.mp4,x,0,1\nb/../a.mp4,x,2,3\n{tmp_path}/a.mp4,y,1,2\n"
    folder = Folder(table(tmp_path, film, text, files=("a.mp4",)), csv="clips.csv")
    assert [r.key for r in folder.records] == ["a.mp4#0.00-1.00", "a.mp4#1.00-2.00", "a.mp4#2.00-3.00"]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_table_of_faults_alone_tells_the_first_few(tmp_path, film, delimiter):
    """Decimal commas split a row of commas in more cells than there are columns; elsewhere they are no number."""
    rows = [delimiter.join(("a.mp4", "x", f"{k},5", f"{k + 1},5")) for k in range(9)]
    text = "\n".join([delimiter.join(("file", "label", "start", "end")), *rows])
    said = (
        "2 cells more than the header" if delimiter == "," else "'0,5' is not a number of seconds; write decimals with"
    )
    with pytest.raises(ValueError, match=rf"got 9 unusable entries \(clips.csv, line 2: .*{said}.*Repair the first"):
        Folder(table(tmp_path, film, text, files=("a.mp4",)), csv="clips.csv")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("rows", [9, 90_000])
def test_an_unclosed_quote_is_named_by_its_line(tmp_path, rows, ends):
    """It swallowed what follows into one label, or ended in csv's own error where that was long."""
    lines = ["file,label", "a.mp4,x", 'b.mp4,"y', *["c.mp4,z"] * rows]
    (tmp_path / "clips.csv").write_bytes(ends.join(lines).encode())
    with pytest.raises(ValueError, match=r"to be a CSV, got an error from line 3 on .*Close the quotes in that line"):
        read_table(tmp_path / "clips.csv")


def test_a_quote_that_closes_rows_later_makes_no_class(tmp_path):
    (tmp_path / "clips.csv").write_text('file,label\na.mp4,"x\nb.mp4,y"\nc.mp4,"z, and more"\n')
    rows, faults = read_table(tmp_path / "clips.csv")
    assert [(row.file, row.label) for row in rows] == [("c.mp4", "z, and more")]
    assert list(faults) == ["clips.csv, line 3"] and "over several lines" in faults["clips.csv, line 3"]


def test_a_table_that_is_divided_is_not_taken_for_one_that_is_not(tmp_path, film):
    root = table(tmp_path, film, "file,label,Split\na.mp4,x,train\n", files=("a.mp4",))
    with pytest.raises(
        ValueError, match=r"no column that divides the clips, got 'Split'.*Remove the column.*protocol=predefined"
    ):
        Folder(root, csv="clips.csv")


def test_divided_folders_are_divided_as_they_lie(tmp_path, film):
    files = ("train/wave/1.mp4", "Validation/wave/2.mp4", "test/wave/3.mp4")
    folder = Folder(table(tmp_path, film, "", files=files))
    protocol = instantiate(OmegaConf.create({"seed": 0, "protocol": OmegaConf.load(PREDEFINED)}).protocol)
    split = protocol.split(folder.records, folder.classes)
    assert [tuple(record.key for record in part) for part in (split.train, split.val, split.test)] == [
        (file,) for file in files
    ]


def test_tables_without_the_needed_columns_say_which(tmp_path, film):
    with pytest.raises(ValueError, match=r"a column for the file, .* got \['name', 'label'\]. Name it"):
        Folder(table(tmp_path, film, "name,label\na,b\n"), csv="clips.csv")
    with pytest.raises(ValueError, match=r"a column for the file, .* got \['name', 'label'\]"):
        Folder(table(tmp_path, film, "name,label\n"), csv="clips.csv")
    (tmp_path / "clips.csv").write_bytes(b"file,label\n\xff\xfe\n")
    with pytest.raises(ValueError, match=r"to be a CSV in UTF-8 text, got .*Save it as UTF-8"):
        read_table(tmp_path / "clips.csv")
    with pytest.raises(DatasetNotFoundError, match="Expected labelled film"):
        Folder(table(tmp_path, film, "file,label\n"), csv="clips.csv")


# ---- Overlaps ----


def test_intervals_beyond_the_film_are_cut_and_counted(tmp_path, film):
    text = "file,label,t0,t1\nSubject 1/a.mp4,x,3,9\n"
    folder = Folder(table(tmp_path, film, text), csv="clips.csv")
    assert folder.records[0].end == pytest.approx(4.0)
    assert folder.notes == {"intervals_cut_at_the_end": 1, "clips_of_unknown_subject": 1}


def test_overlapping_intervals_keep_what_they_have_alone(tmp_path, film, caplog):
    rows = ["fall,1.8,4", "sit,0,2", "read,0,4", "stand,1.9,2.1"]
    text = "file,label,t0,t1\n" + "".join(f"Subject 1/a.mp4,{row}\n" for row in rows)
    root = table(tmp_path, film, text)
    chosen = Folder(root, csv="clips.csv", classes=["fall", "sit"])
    assert [(r.key, r.label) for r in chosen.records] == [
        ("Subject 1/a.mp4#0.00-1.80", 1),
        ("Subject 1/a.mp4#2.00-4.00", 0),
    ]
    assert chosen.notes == {"intervals_trimmed": 2, "clips_of_unknown_subject": 2}
    with caplog.at_level(logging.WARNING):
        three = Folder(root, csv="clips.csv", classes=["fall", "sit", "stand"])
        assert [r.key for r in three.records] == ["Subject 1/a.mp4#0.00-1.80", "Subject 1/a.mp4#2.10-4.00"]
    assert "other labelled intervals cover it" in three.quarantine["Subject 1/a.mp4#1.90-2.10"]
    assert "1 entries left out, 2 clips of unknown subject, 2 intervals trimmed" in caplog.text


def test_what_is_left_alone_does_not_depend_on_the_order_of_rows(tmp_path, film):
    rows = ["fall,1.8,4", "sit,0,2", "sit,1,2.5", "stand,2.4,3"]
    found = []
    for number, order in enumerate((rows, rows[::-1], rows[2:] + rows[:2])):
        text = "file,label,t0,t1\n" + "".join(f"Subject 1/a.mp4,{row}\n" for row in order)
        folder = Folder(table(tmp_path / str(number), film, text), csv="clips.csv")
        found.append((folder.notes, [(r.key, r.label) for r in folder.records]))
    assert found[0] == found[1] == found[2]
    assert found[0][0]["intervals_joined"] == 1


def test_no_instant_has_two_labels():
    rng = np.random.default_rng(0)
    for _ in range(200):
        spans = rng.uniform(0, 10, (6, 2)).round(2)
        given = [Interval(k, "", min(span), max(span) + 0.1) for k, span in enumerate(spans.tolist())]
        kept = [rest for one in given if (rest := trim_overlaps(one, [other for other in given if other is not one]))]
        assert all(a.overlap(b) <= MAX_OVERLAP + 1e-9 for a in kept for b in kept if a is not b)
        assert all(given[rest.label].start <= rest.start < rest.end <= given[rest.label].end for rest in kept)


def test_touching_intervals_and_one_person_doing_one_thing_are_left_as_they_are():
    first, second = Interval(0, "a", 0.0, 2.0), Interval(1, "a", 1.96, 3.0)
    assert trim_overlaps(first, [second]) == first and trim_overlaps(second, [first]) == second
    assert join_intervals([first, Interval(0, "b", 1.0, 3.0)]) == [first, Interval(0, "b", 1.0, 3.0)]
    assert join_intervals([first, Interval(0, "a", 1.0, 3.0)]) == [Interval(0, "a", 0.0, 3.0)]


# ---- The index of films ----


def test_films_are_probed_once(tmp_path, tree, monkeypatch):
    records = Folder(tree, cache=tmp_path).records
    monkeypatch.setattr(probing, "_KNOWN", {})
    monkeypatch.setattr(probing, "_probe", lambda path: pytest.fail(f"{path} was probed again"))
    assert Folder(tree, cache=tmp_path).records == records


def test_a_changed_film_is_probed_again(tmp_path, film, monkeypatch):
    root = table(tmp_path / "root", film, "", files=("x/a.mp4",))
    Folder(root, cache=tmp_path).prepare()
    shoot(root / "x/a.mp4", frames=7)
    os.utime(root / "x/a.mp4", ns=(1, 1))
    assert Folder(root, cache=tmp_path).records[0].end == pytest.approx(0.7)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"readers": 1}', '{"films": 3}'])
def test_a_broken_index_is_ignored_with_a_warning_and_mended(tmp_path, tree, content):
    (tmp_path / "video-index.json").write_text(content)
    if content == '{"readers": 1}':
        assert len(Folder(tree, cache=tmp_path).records) == 4  # another version's is no fault
    else:
        with pytest.warns(UserWarning, match="is unreadable .* probed again and the index is written again"):
            folder = Folder(tree, cache=tmp_path)
            assert len(folder.records) == 4
        assert folder.notes["film_indices_ignored"] == 1
    index = VideoIndex(tmp_path)
    assert len(index.probe_all([tree / "wave/ann/1.mp4"], title="")[0]) == 1 and index.ignored == 0
    assert [path.name for path in tmp_path.iterdir()] == ["video-index.json"]


def test_the_index_keeps_other_films_when_it_grows(tmp_path, tree, film, monkeypatch):
    Folder(tree, cache=tmp_path).prepare()
    Folder(table(tmp_path / "other", film, "", files=("x/a.mp4",)), cache=tmp_path).prepare()
    monkeypatch.setattr(probing, "_KNOWN", {})
    monkeypatch.setattr(probing, "_probe", lambda path: pytest.fail(f"{path} was probed again"))
    Folder(tree, cache=tmp_path).prepare()


def test_a_worker_that_starts_afresh_knows_the_films(tree, tmp_path, monkeypatch):
    folder = Folder(tree, cache=tmp_path)
    folder.prepare()
    sent = pickle.dumps(folder)
    monkeypatch.setattr(probing, "_KNOWN", {})
    monkeypatch.setattr(probing, "_probe", lambda path: pytest.fail(f"{path} was probed again"))
    for record in pickle.loads(sent).records:
        probing.probe(record.path)


def test_a_film_that_vanishes_is_quarantined(tmp_path):
    infos, faults = VideoIndex(tmp_path).probe_all([Path("/nowhere/a.mp4")], title="")
    assert not infos and "No such file" in faults[Path("/nowhere/a.mp4")]
    with pytest.raises(VideoError):
        probing.probe("/nowhere/a.mp4")


# ---- Film of others ----


def test_home_film_of_falls_loads_as_it_is(shared_data, tmp_path):
    root = shared_data / "gmdcsa24"
    if not (root / "clips.csv").exists():
        pytest.skip("gmdcsa24 is not in shared/data")
    # The two rarest: four films, each with intervals of other classes over or beside them.
    folder = Folder(root, csv="clips.csv", classes=["Sleeping", "Eating"])
    assert [(r.key, r.label, r.subject) for r in folder.records] == [
        ("Subject 2/ADL/23.mp4#4.20-5.20", 1, "2"),
        ("Subject 3/ADL/18.mp4#5.10-5.80", 1, "3"),
        ("Subject 4/ADL/19.mp4#7.70-9.00", 1, "4"),
        ("Subject 4/Fall/02.mp4#0.00-1.40", 0, "4"),
    ]
    assert not folder.quarantine and not folder.notes
    check_protocol(CrossSubject([2]), folder)


def test_gestures_load_as_they_are(shared_data):
    root = shared_data / "intel_asl"
    if not (root / "labels.csv").exists():
        pytest.skip("intel_asl is not in shared/data")
    folder = Folder(root, csv="labels.csv", classes=["walk", "book", "yes"])
    assert [(r.key, r.label, r.subject) for r in folder.records] == [
        ("asl_gestures/book.mkv", 1, "C"),
        ("asl_gestures/walk.mkv", 0, "C"),
        ("asl_gestures/yes.mkv", 2, "A"),
    ]
    assert folder.records[0].end == pytest.approx(109 / 30)


# ---- Names in two forms of Unicode ----

TYPED, STORED = "caf\u00e9", "cafe\u0301"  # as keyboards type it, and as macOS stores it


@pytest.mark.parametrize("where", ["classes", "people", "parts"])
def test_folders_whose_names_look_alike_are_one(tmp_path, where):
    for form, name in ((TYPED, "1"), (STORED, "2")):
        place = {"classes": f"{form}/ann", "people": f"wave/{form}", "parts": f"train/{form}/ann"}[where]
        shoot(tmp_path / place / f"{name}.mp4")
    folder = Folder(tmp_path)
    check_dataset(folder)
    assert len(folder.records) == 2 and len({(r.label, r.subject) for r in folder.records}) == 1
    assert TYPED in ({r.subject for r in folder.records} if where == "people" else set(folder.classes))
    for form in (TYPED, STORED):
        if where == "people":
            assert CrossSubject([form], train_subjects=["x"]).names.test == (TYPED,)
        else:
            assert Folder(tmp_path, classes=[form]).classes == (TYPED,)


@pytest.mark.parametrize(("stored", "written"), [(TYPED, STORED), (STORED, TYPED), (STORED, STORED)])
def test_a_table_and_the_disk_may_write_a_name_in_two_forms(tmp_path, film, stored, written):
    text = f"file,label,subject,camera\n{written}/{written}.mp4,{written},{written},{written}\n"
    text += f"b.mp4,{stored},{stored},{stored}\n"
    folder = Folder(table(tmp_path, film, text, files=(f"{stored}/{stored}.mp4", "b.mp4")), csv="clips.csv")
    assert folder.classes == (TYPED,) and {(r.subject, r.camera) for r in folder.records} == {(TYPED, TYPED)}
    assert all(record.path.is_file() for record in folder.records)
    other = STORED if written == TYPED else TYPED
    os.rename(tmp_path / "clips.csv", tmp_path / f"{stored}.csv")
    assert Folder(tmp_path, csv=f"{other}.csv").records == folder.records


def test_everything_typed_about_names_may_be_in_either_form(tmp_path):
    for name in ("1", "2"):
        shoot(tmp_path / STORED / f"p_{STORED}{name}.mp4")
        shoot(tmp_path / "wave" / f"p_{STORED}{name}.mp4")
    folder = Folder(tmp_path, subject_pattern=f"p_({TYPED}[12])", mirrored_classes={TYPED: "wave"})
    assert {record.subject for record in folder.records} == {f"{TYPED}1", f"{TYPED}2"}
    assert folder.mirrored_classes == {TYPED: "wave"}
    split = CrossSubject([f"{STORED}2"]).split(folder.records, folder.classes)
    assert {record.subject for record in split.test} == {f"{TYPED}2"} and len(split.train) == 2
    keys = Predefined([f"*{TYPED}1.mp4"], [f"*{TYPED}2.mp4"]).split(folder.records, folder.classes)
    assert (len(keys.train), len(keys.test)) == (2, 2)


# ---- One film under several names ----


@pytest.mark.parametrize("how", ["symbolic link", "hard link", "copy", "link to a link"])
@pytest.mark.parametrize("protocol", [CrossSubject(["bob"]), Holdout(0.5), Predefined(["*ann*"], ["*bob*"])])
def test_a_test_film_that_is_a_training_film_under_another_name_is_a_leak(tmp_path, how, protocol):
    shoot(tmp_path / "wave/ann/1.mp4", frames=12)
    shoot(tmp_path / "wave/bob/3.mp4", frames=14)
    ours, theirs = tmp_path / "wave/ann/1.mp4", tmp_path / "wave/bob/2.mp4"
    if how == "link to a link":
        (tmp_path / ".elsewhere").mkdir()
        os.rename(ours, tmp_path / ".elsewhere/1.mp4")
        ours.symlink_to(tmp_path / ".elsewhere/1.mp4")
    link = {"hard link": os.link, "copy": shutil.copyfile}.get(how, os.symlink)
    link(ours, theirs)
    folder = Folder(tmp_path)
    split = protocol.split(folder.records, folder.classes)
    assert_disjoint(split, protocol.separates)
    with pytest.raises(LeakError, match="share no film, got one film under two names: .* Remove one of them") as raised:
        check_split(split, protocol.separates, folder.unnamed)
    assert str(ours) in str(raised.value) and str(theirs) in str(raised.value)
    check_split(split, protocol.separates, folder.unnamed, published=True)
    assert find_overlaps(split)["films of training"]["shared"] == 1


def test_films_of_equal_size_are_no_copies_and_parts_of_one_film_are_no_leak(tmp_path, film):
    files = ("a.mp4", "b.mp4", "c.mp4")
    text = "file,label,subject,start,end\na.mp4,x,ann,0,2\nb.mp4,x,bob,2,4\nc.mp4,x,bob,0,4\n"
    table(tmp_path, film, text, files=files)
    changed = bytearray(film)
    changed[len(film) // 3] ^= 1  # between the samples: told apart by the whole content alone
    (tmp_path / "c.mp4").write_bytes(changed + bytes(0))
    assert find_copies({tmp_path / "c.mp4"}, {tmp_path / "a.mp4"}) == {}
    folder = Folder(tmp_path, csv="clips.csv")
    split = CrossSubject(["bob"]).split(folder.records, folder.classes)
    check_split(split, "subject", folder.unnamed)
    with pytest.raises(LeakError, match="one film under two names"):
        check_split(split, "path", folder.unnamed)


def test_copies_are_found_without_reading_films_of_other_sizes(tmp_path):
    """20 films of different sizes and one copy: only the two of equal size are opened."""
    films = [tmp_path / f"{number}.bin" for number in range(20)]
    for number, path in enumerate(films):
        path.write_bytes(bytes(1000 + number))
        os.utime(path, ns=(0, 0))
    (tmp_path / "copy").write_bytes(bytes(1003))
    (tmp_path / "empty").touch()
    held_out = {tmp_path / "copy", tmp_path / "empty", tmp_path / "missing"}
    for path in set(films) - {films[3]}:
        path.chmod(0)
    assert find_copies(held_out, set(films)) == {tmp_path / "copy": (films[3],)}
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            (tmp_path / folder / f"{number}.png").write_bytes(bytes([number]))
    assert find_copies({tmp_path / "one"}, {tmp_path / "two"}) == {tmp_path / "one": (tmp_path / "two",)}
    (tmp_path / "two" / "2.png").write_bytes(bytes([7]))
    assert find_copies({tmp_path / "one"}, {tmp_path / "two"}) == {}
