from pathlib import Path

import pytest

from synthaug.datasets import DatasetNotFoundError, LeakError
from synthaug.datasets.folder import Folder
from synthaug.datasets.hmdb51 import Hmdb51
from synthaug.datasets.indexing.lists import ListEntry, read_list
from synthaug.datasets.kinetics import Kinetics
from synthaug.datasets.leaks import assert_disjoint
from synthaug.datasets.protocols.lists import ListSplit
from synthaug.datasets.ucf101 import Ucf101
from synthaug.structures import Record
from synthaug.testing.datasets import check_dataset, check_protocol, example_film
from synthaug.video import write_video

UCF = {"train": ["trainlist0{number}.txt"], "test": ["testlist0{number}.txt"]}
HMDB = {"train": ["*_test_split{number}.txt:1"], "test": ["*_test_split{number}.txt:2"]}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    write_video(path, example_film(12), fps=25.0)
    return path.read_bytes()


def laid(root, film, names, texts):
    """A set as its authors lay it out: films by path, and lists."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(film)
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def keys(part):
    return [record.key for record in part]


# ---- UCF101 ----


def ucf(root, film):
    # The folder and the lists write Handstand with a small s, the films with a capital one: so it is in the archive.
    names = [f"YoYo/v_YoYo_g{group:02}_c01" for group in (1, 2, 8, 9)]
    names += [f"HandstandPushups/v_HandStandPushups_g{group:02}_c0{clip}" for group in (1, 8) for clip in (1, 2)]
    train = [name for name in names if "_g08" in name or "_g09" in name]
    return laid(root, film, [f"UCF-101/{name}.avi" for name in names], {
        "ucfTrainTestlist/classInd.txt": "1 HandstandPushups\n2 YoYo\n",
        "ucfTrainTestlist/trainlist01.txt": "".join(f"{n}.avi {1 + n.startswith('Y')}\n" for n in train),
        "ucfTrainTestlist/testlist01.txt": "".join(f"{name}.avi\r\n" for name in names if name not in train),
    })  # fmt: skip


PAIRS = ("Hammering", "HammerThrow", "JumpingJack", "JumpRope")
"""Numbers 35, 36, 47 and 48 of the published classInd.txt: capitals do not count in its order."""


def of_pairs(root, film, texts):
    return Ucf101(laid(root, film, [f"UCF-101/{name}/v_{name}_g01_c01.avi" for name in PAIRS], texts))


def test_ucf101_orders_its_classes_as_published_where_the_list_is_not_there(tmp_path, film):
    assert of_pairs(tmp_path, film, {}).classes == PAIRS


@pytest.mark.parametrize("order", [PAIRS, PAIRS[::-1]])
def test_ucf101_orders_its_classes_as_listed(tmp_path, film, order):
    lines = "".join(f"{number} {name}\r\n" for number, name in enumerate(("ApplyEyeMakeup", *order), 1))
    data = of_pairs(tmp_path, film, {"ucfTrainTestlist/classInd.txt": lines})
    assert data.classes == order
    assert {record.key: data.classes[record.label] for record in data.records} == {
        f"v_{name}_g01_c01": name for name in PAIRS
    }


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("Hammering\nHammerThrow\n", "to be a list of classes.*got other lines. Unpack"),
        ("1 Hammering\n1 HammerThrow\n2 JumpingJack\n3 JumpRope\n", "to be a list of classes"),
        ("1 Hammering\n2 HammerThrow\n3 JumpRope\n", "to list every class folder, got .*such as 'JumpingJack'. Unpack"),
    ],
)
def test_a_list_of_ucf101s_classes_that_is_none_is_refused(tmp_path, film, lines, said):
    with pytest.raises(ValueError, match=said):
        of_pairs(tmp_path, film, {"ucfTrainTestlist/classInd.txt": lines})


def test_ucf101_is_divided_as_listed(tmp_path, film):
    data = Ucf101(ucf(tmp_path, film))
    check_dataset(data)
    assert data.classes == ("HandstandPushups", "YoYo")
    protocol = ListSplit(tmp_path / "ucfTrainTestlist", UCF, by="subject")
    check_protocol(protocol, data)
    split = protocol.split(data.records, data.classes)
    assert {record.subject for record in split.train} == {"YoYo_g08", "YoYo_g09", "HandstandPushups_g08"}
    assert {record.subject for record in split.test} == {"YoYo_g01", "YoYo_g02", "HandstandPushups_g01"}
    assert (len(split.train), len(split.test), split.notes) == (4, 4, {})


def test_a_list_that_divides_a_group_leaks(tmp_path, film):
    data = Ucf101(ucf(tmp_path, film))
    both = {"ucfTrainTestlist/trainlist01.txt": "HandstandPushups/v_HandStandPushups_g01_c02.avi 1\n"
            "YoYo/v_YoYo_g08_c01.avi 2\n",
            "ucfTrainTestlist/testlist01.txt": "HandstandPushups/v_HandStandPushups_g01_c01.avi\n"}  # fmt: skip
    laid(tmp_path, film, [], both)
    protocol = ListSplit(tmp_path / "ucfTrainTestlist", UCF, by="subject")
    split = protocol.split(data.records, data.classes)
    assert split.notes == {
        "clips_in_no_part": 5, "sources_in_training_and_test": 1, "classes_without_test_clips": 1,
    }  # fmt: skip
    with pytest.raises(LeakError, match="HandstandPushups_g01"):
        assert_disjoint(split, protocol.separates)


def test_a_plain_folder_may_be_divided_by_lists(tmp_path, film):
    root = ucf(tmp_path, film)
    folder = Folder(root / "UCF-101", subject_pattern="([A-Za-z]+_g[0-9]+)_")
    check_protocol(ListSplit(root / "ucfTrainTestlist", UCF, by="subject"), folder)


def test_other_names_go_into_quarantine_and_other_classes_are_counted(tmp_path, film):
    laid(ucf(tmp_path, film), film, ["UCF-101/YoYo/holiday.avi"], {})
    data = Ucf101(tmp_path, classes=["YoYo"])
    assert set(data.quarantine) == {"UCF-101/YoYo/holiday.avi"} and data.notes == {"clips_of_other_classes": 4}
    with pytest.raises(ValueError, match=r"got 'YoYO'. Did you mean 'YoYo'\? Choose from: HandstandPushups, YoYo"):
        Ucf101(tmp_path, classes=["YoYO"])


# ---- HMDB51 ----


def hmdb(root, film):
    """Names hold every sign that names of the archive hold."""
    clips = {
        "brush_hair": {"April_09_brush_hair_u_nm_np1_ba_goo_0": 1, "April_09_brush_hair_u_nm_np1_ba_goo_1": 2,
                       "atheism_ben1_brush_hair_u_cm_np1_fr_med_2": 0},
        "clap": {"#20_Rhythm_clap_u_nm_np1_fr_goo_0": 1, "(HQ)_Rock!_clap_u_nm_np2_le_bad_10": 2},
    }  # fmt: skip
    names = [f"hmdb51_org/{label}/{name}.avi" for label, part in clips.items() for name in part]
    texts = {
        f"testTrainMulti_7030_splits/{label}_test_split1.txt": "".join(f"{n}.avi {c} \n" for n, c in part.items())
        for label, part in clips.items()
    }
    return laid(root, film, names, texts)


def test_hmdb51_is_divided_by_the_numbers_behind_names(tmp_path, film):
    data = Hmdb51(hmdb(tmp_path, film))
    check_dataset(data)
    split = ListSplit(tmp_path / "testTrainMulti_7030_splits", HMDB).split(data.records, data.classes)
    assert keys(split.train) == [
        "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0",
        "clap/#20_Rhythm_clap_u_nm_np1_fr_goo_0",
    ]
    assert keys(split.test) == [
        "brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_1",
        "clap/(HQ)_Rock!_clap_u_nm_np2_le_bad_10",
    ]
    assert [(record.subject, record.camera) for record in split.test] == [("April_09", "ba"), ("(HQ)_Rock!", "le")]
    # One film on both sides is told; the set promises no more.
    assert split.notes == {"clips_in_no_part": 1, "sources_in_training_and_test": 1}


def test_listed_clips_that_are_not_there_are_counted(tmp_path, film):
    root = hmdb(tmp_path, film)
    (root / "hmdb51_org/clap/(HQ)_Rock!_clap_u_nm_np2_le_bad_10.avi").unlink()
    data = Hmdb51(root)
    split = ListSplit(root / "testTrainMulti_7030_splits", HMDB).split(data.records, data.classes)
    assert split.notes["official_test_clips_absent"] == 1
    # Those of classes that were left out are nobody's loss.
    data = Hmdb51(root, classes=["brush_hair"])
    split = ListSplit(root / "testTrainMulti_7030_splits", HMDB).split(data.records, data.classes)
    assert "official_test_clips_absent" not in split.notes


# ---- Kinetics ----

TABLE = "label,youtube_id,time_start,time_end,split\n"


def kinetics(root, film):
    return laid(
        root, film,
        ["train/-a_b_c_d_e_f_000010_000020.mp4", "train/zumba/bbbbbbbbbbb_000003_000013.mp4",
         "val/ccccccccccc_000000_000010.mp4", "val/ddddddddddd_000123_000133.mp4", "val/eeeeeeeeeee_000001_000011.mp4"],
        {"annotations/train.csv": TABLE + "abseiling,-a_b_c_d_e_f,10,20,train\nzumba,bbbbbbbbbbb,3,13,train\n",
         "annotations/val.csv": TABLE + '"abseiling",ccccccccccc,0,10,val\nzumba,ddddddddddd,123.0,133.0,val\n'
         "yoga,fffffffffff,0,10,val\n",
         "annotations/test.csv": "youtube_id,time_start,time_end,split\neeeeeeeeeee,1,11,test\n"},
    )  # fmt: skip


def test_kinetics_takes_labels_and_parts_from_its_tables(tmp_path, film):
    data = Kinetics(kinetics(tmp_path, film))
    check_dataset(data)
    assert data.classes == ("abseiling", "zumba") and data.notes == {"films_in_no_table": 1}
    protocol = ListSplit(tmp_path / "annotations", {"train": ["train.csv"], "test": ["val.csv"]})
    check_protocol(protocol, data)
    split = protocol.split(data.records, data.classes)
    assert keys(split.train) == ["-a_b_c_d_e_f_000010_000020", "bbbbbbbbbbb_000003_000013"]
    assert keys(split.test) == ["ccccccccccc_000000_000010", "ddddddddddd_000123_000133"] and not split.notes
    assert split.train[0].subject == "-a_b_c_d_e_f"


def test_a_replacement_beside_the_training_films_takes_the_place_of_a_damaged_one(tmp_path, film):
    """Kinetics publishes them in a folder of their own: moving dataset.root to either folder would lose the others."""
    kinetics(tmp_path, film)
    damaged = Kinetics(tmp_path).records[1].path
    damaged.write_bytes(b"damaged")
    replacement = tmp_path / "replacement" / "replacement_for_corrupted" / damaged.name
    replacement.parent.mkdir(parents=True)
    replacement.write_bytes(film)
    data = Kinetics(tmp_path)
    assert data.records[1].path == replacement and data.notes["films_replaced"] == 1 and not data.quarantine
    assert data.films.count(replacement) == 1 and damaged not in data.films
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / damaged.name).write_bytes(film)
    replacement.unlink()
    with pytest.raises(ValueError, match=r"got two: .*again/.* Move one of them out of dataset.root: the broken one"):
        Kinetics(tmp_path)


def test_tables_that_disagree_or_lack_columns_are_refused(tmp_path, film):
    kinetics(tmp_path, film)
    (tmp_path / "annotations/more.csv").write_text(TABLE + "yoga,bbbbbbbbbbb,3,13,train\n")
    with pytest.raises(ValueError, match=r"one class of the clip 'bbbbbbbbbbb_000003_000013', got 'zumba' .*'yoga'"):
        Kinetics(tmp_path)
    (tmp_path / "annotations/more.csv").write_text("label,id\n")
    with pytest.raises(ValueError, match=r"got \['label', 'id'\]. Name the column youtube_id in the first line"):
        Kinetics(tmp_path)
    (tmp_path / "annotations/more.csv").write_text(TABLE + "yoga,bbbbbbbbbbb,soon,13,train\n")
    with pytest.raises(ValueError, match=r"more.csv, line 2, to be numbers of seconds, got 'soon' and '13'"):
        Kinetics(tmp_path)


# ---- Lists ----


def test_lines_are_understood_as_published(tmp_path):
    (tmp_path / "testlist01.txt").write_text("YoYo/v_YoYo_g01_c01.avi\n\nYoYo/v.2_YoYo 7\n")
    assert read_list(tmp_path / "testlist01.txt") == [
        ListEntry("v_YoYo_g01_c01", "YoYo"),
        ListEntry("v.2_YoYo", "YoYo", "7"),
    ]
    (tmp_path / "climb_stairs_test_split3.txt").write_text("a b.avi 2 \n")
    assert read_list(tmp_path / "climb_stairs_test_split3.txt") == [ListEntry("a b", "climb_stairs", "2")]
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9.avi 1\n")
    with pytest.raises(ValueError, match="to be a list in UTF-8 text, got "):
        read_list(tmp_path / "latin.txt")


def test_lists_that_share_a_clip_or_are_not_there_are_refused(tmp_path):
    record = Record("a", Path("/films/a.avi"), 0, "1", "", 0.0, 1.0)
    for part in ("train", "test"):
        (tmp_path / f"{part}.txt").write_text("wave/a.avi\n")
    with pytest.raises(ValueError, match="one part only, got 'a' in train and test"):
        ListSplit(tmp_path, {"train": ["train.txt"], "test": ["test.txt"]}).split([record], ["wave"])
    with pytest.raises(DatasetNotFoundError, match=r"No such list: 'other4.txt' in protocol.folder=.*Unpack the"):
        ListSplit(tmp_path, {"train": ["other{number}.txt"], "test": []}, number=4).split([record], ["wave"])
    with pytest.raises(DatasetNotFoundError, match="No such list"):
        read_list(tmp_path / "nothing.txt")
    for parts in ({"train": []}, {"train": [], "test": [], "trial": []}):
        with pytest.raises(
            ValueError, match="Expected protocol.parts to have train, test .*Name the lists of each part"
        ):
            ListSplit(tmp_path, parts)
    with pytest.raises(ValueError, match="Expected protocol.by to be 'subject' or 'key', got 'camera'"):
        ListSplit(tmp_path, {"train": [], "test": []}, by="camera")


@pytest.mark.parametrize(
    ("data", "said"),
    [(Ucf101, r"UCF-101/<Class>/<name>.avi.*ucfTrainTestlist/trainlist01.txt.*crcv.ucf.edu"),
     (Hmdb51, r"hmdb51_org/<class>/<name>.avi.*testTrainMulti_7030_splits/<class>_test_split1.txt.*serre-lab"),
     (Kinetics, r"<youtube_id>_000010_000020.mp4.*annotations/train.csv.*cvdfoundation")],
)  # fmt: skip
def test_what_is_missing_is_asked_for_in_words(tmp_path, data, said):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DatasetNotFoundError, match=f"isn't at dataset.root=.*{said}.*then set dataset.root.*demo"):
            data(root)
