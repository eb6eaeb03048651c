from itertools import product
from pathlib import Path

import pytest

from synthaug.datasets import DatasetNotFoundError
from synthaug.datasets.indexing.named_films import UnknownNameError
from synthaug.datasets.toyota.dataset import (
    CLASSES,
    CROSS_VIEW_CLASSES,
    ORDERS,
    STRAY,
    Toyota,
    parse_toyota_name,
    to_our_label,
)
from synthaug.datasets.toyota.protocols import RULES, ToyotaSplit
from synthaug.structures import Record
from synthaug.testing.datasets import check_dataset, check_protocol, example_film
from synthaug.video import write_video

PARTS = {"train": "train", "validation": "val", "test": "test"}


def recorded(stem, classes):
    name = parse_toyota_name(stem)
    return Record(
        stem,
        Path("/films") / f"{stem}.mp4",
        classes.index(name.activity),
        str(name.subject),
        str(name.camera),
        0.0,
        1.0,
    )


def made(root, stems, *, under="mp4"):
    """Films of 20 frames a second in the data set's own layout."""
    for number, stem in enumerate(stems):
        (root / under).mkdir(parents=True, exist_ok=True)
        write_video(root / under / f"{stem}.mp4", example_film(14, seed=number), fps=20.0)
    return root


def stem_of(activity, subject, camera, repetition=0):
    return f"{activity}_p{subject:02}_r{repetition:02}_v01_c{camera:02}"


@pytest.fixture(scope="module")
def lists():
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "toyota_splits"
    if not folder.is_dir():
        pytest.skip("shared/data/toyota_splits is not beside this checkout")
    return {path.stem: path.read_text().split() for path in folder.glob("*_C*.txt")}


# The published lists -------------------------------------------------------------------------------------------------


def test_every_published_name_is_understood(lists):
    names = {line.removesuffix(".mp4") for lines in lists.values() for line in lines}
    assert len(names) == 16129
    understood = [parse_toyota_name(name) for name in names]
    assert {name.activity for name in understood} == {*CLASSES, STRAY}
    assert sum(name.activity == STRAY for name in understood) == 14
    assert len({name.subject for name in understood}) == 18 and {name.camera for name in understood} == set(range(1, 8))


@pytest.mark.parametrize(("rule", "classes"), [("CS", "all"), ("CS", "official"), ("CV1", "cv"), ("CV2", "cv")])
def test_the_rules_give_the_published_lists_name_for_name(lists, rule, classes):
    used = {"all": (*CLASSES, STRAY), "official": CLASSES, "cv": CROSS_VIEW_CLASSES}[classes]
    stems = {line.removesuffix(".mp4") for lines in lists.values() for line in lines}
    records = [recorded(stem, used) for stem in stems if parse_toyota_name(stem).activity in used]
    split = ToyotaSplit(rule).split(records, used)
    for part, ours in PARTS.items():
        published = {line.removesuffix(".mp4") for line in lists[f"{part}_{rule}"]}
        expected = {name for name in published if parse_toyota_name(name).activity in used}
        assert {record.key for record in getattr(split, ours)} == expected
        assert expected == published or classes == "official"
    sizes = (len(split.train), len(split.val), len(split.test))
    assert sizes == ((8831, 1854, 5444) if classes == "all" else RULES[rule].sizes)
    assert not any("absent" in note for note in split.notes)


def test_training_on_eleven_people_is_training_and_validation_of_the_nine(lists):
    stems = {line.removesuffix(".mp4") for part in PARTS for line in lists[f"{part}_CS"]}
    records = [recorded(stem, CLASSES) for stem in stems if parse_toyota_name(stem).activity in CLASSES]
    nine, eleven = (ToyotaSplit(rule).split(records, CLASSES) for rule in ("CS", "CS11"))
    assert set(eleven.train) == {*nine.train, *nine.val} and eleven.val == () and eleven.test == nine.test
    assert len(eleven.train) == RULES["CS11"].sizes[0] == 10682


# Names, classes, orders ----------------------------------------------------------------------------------------------


def test_a_class_may_hold_a_dot():
    name = parse_toyota_name("Cook.Cleandishes_p02_r00_v02_c03")
    assert (name.activity, name.subject, name.repetition, name.video, name.camera) == ("Cook.Cleandishes", 2, 0, 2, 3)


@pytest.mark.parametrize(
    "stem", ["Walk_p2_r00_v02_c03", "Walk_p02_r00_v02", "A.B.C_p02_r00_v02_c03", "Walk_p02_r00_v02_c0٣"]
)
def test_other_names_are_refused(stem):
    with pytest.raises(
        UnknownNameError, match="Expected a clip name of Toyota Smarthome such as Cutbread_p02_r00_v02_c03"
    ):
        parse_toyota_name(stem)


def test_orders_are_the_published_ones():
    assert list(CLASSES) == sorted(CLASSES) and len(CLASSES) == 31 and len(CROSS_VIEW_CLASSES) == 19
    # Tablet and telephone are the one difference, and what a swapped reading costs.
    assert (CLASSES[27], CLASSES[28]) == ("Usetablet", "Usetelephone")
    assert (ORDERS["unik"][27], ORDERS["unik"][28]) == ("Usetelephone", "Usetablet")
    assert [k for k in range(31) if ORDERS["unik"][k] != CLASSES[k]] == [27, 28]
    assert (to_our_label(27, "unik"), to_our_label(27, "i3d"), to_our_label(30, "unik")) == (28, 27, 30)
    assert to_our_label(18, "cv") == CLASSES.index("Walk") and to_our_label(18, "cv", CROSS_VIEW_CLASSES) == 18


def test_labels_of_unknown_orders_or_classes_are_refused():
    with pytest.raises(ValueError, match=r"order to be one of i3d, unik, cv, got 'posec3d'. Name"):
        to_our_label(3, "posec3d")
    with pytest.raises(ValueError, match="Expected a label from 0 to 18 in the order 'cv', got 19"):
        to_our_label(19, "cv")
    with pytest.raises(ValueError, match="a label of the 19 classes in use, got 0 .*'Cook.Cleandishes'"):
        to_our_label(0, "i3d", CROSS_VIEW_CLASSES)


# The data set --------------------------------------------------------------------------------------------------------


def test_data_set_and_protocol_keep_their_contracts(tmp_path):
    stems = [stem_of(a, s, c) for a, (s, c) in product(("Cutbread", "Cook.Cut", "Walk"), ((3, 1), (19, 5), (2, 2)))]
    toyota = Toyota(made(tmp_path, stems), classes=["Walk", "Cutbread", "Cook.Cut"])
    check_dataset(toyota)
    check_protocol(ToyotaSplit("CS"), toyota)
    check_protocol(ToyotaSplit("CS11", n_shot=1), toyota)
    walk = next(record for record in toyota.records if record.key.startswith("Walk_p03"))
    assert (walk.label, walk.subject, walk.camera) == (0, "3", "1")
    # The film's own rate, not what readers of the set assume.
    assert walk.end == pytest.approx(14 / 20)
    views = Toyota(tmp_path, classes=["Walk", "Cutbread"])
    check_protocol(ToyotaSplit("CV1"), views)
    assert views.notes == {"clips_of_other_classes": 3}


def test_stray_clips_are_counted_and_never_another_class(tmp_path):
    made(tmp_path, [stem_of("Walk", 3, 1), stem_of(STRAY, 3, 1), stem_of("Pour.Fromteapot", 3, 1)])
    (tmp_path / "mp4" / "holiday.mp4").write_bytes(b"")
    (tmp_path / "mp4" / f"{stem_of('Walk', 3, 2)}.mp4").write_bytes(b"no film")
    toyota = Toyota(tmp_path)
    assert [record.key for record in toyota.records] == [stem_of("Walk", 3, 1)]
    assert toyota.notes == {"clips_of_unofficial_class": 1}
    assert set(toyota.quarantine) == {
        f"mp4/{stem_of('Pour.Fromteapot', 3, 1)}.mp4", "mp4/holiday.mp4", stem_of("Walk", 3, 2)
    }  # fmt: skip
    kept = Toyota(tmp_path, classes="with_stray")
    assert kept.classes == (*CLASSES, STRAY) and {record.label for record in kept.records} == {29, 31}


def test_what_is_missing_is_asked_for_in_words(tmp_path):
    for root in (tmp_path / "nowhere", made(tmp_path, [stem_of(STRAY, 3, 1)])):
        with pytest.raises(
            DatasetNotFoundError, match=r"mp4/<name>.mp4.*project.inria.fr/toyotasmarthome.*dataset=demo"
        ):
            Toyota(root)


def test_two_films_of_one_name_are_refused(tmp_path):
    made(tmp_path, [stem_of("Walk", 3, 1)])
    made(tmp_path, [stem_of("Walk", 3, 1)], under="mp4/small")
    with pytest.raises(ValueError, match="Expected one film of the clip 'Walk_p03_r00_v01_c01', got two"):
        Toyota(tmp_path)


@pytest.mark.parametrize("classes", ["cv2", ["Walk", "walk"], ["Walk", "Walk"], []])
def test_unknown_classes_are_refused(tmp_path, classes):
    with pytest.raises(ValueError, match=r"Expected dataset.classes to be 'official', .*, got .*Choose from"):
        Toyota(made(tmp_path, [stem_of("Walk", 3, 1)]), classes=classes)


def test_cross_view_is_refused_over_classes_that_it_lacks():
    records = [recorded(stem_of("Cook.Cut", 3, camera), CLASSES) for camera in (1, 2, 5)]
    with pytest.raises(
        ValueError, match=r"the 19 classes of protocol.rule=CV1, got also 'Cook.Cleandishes'.*dataset.classes=cv"
    ):
        ToyotaSplit("CV1").split(records, CLASSES)
    with pytest.raises(ValueError, match="protocol.rule to be one of CS, CS11, CV1, CV2, got 'cs'"):
        ToyotaSplit("cs")


def test_what_a_copy_lacks_is_counted():
    stems = [stem_of(name, subject, 1) for name in CLASSES for subject in (3, 19, 2)]
    split = ToyotaSplit("CS").split([recorded(stem, CLASSES) for stem in stems], CLASSES)
    assert split.notes["official_training_clips_absent"] == 8829 - 31
    assert split.notes["official_test_clips_absent"] == 5433 - 31
