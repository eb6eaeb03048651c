import pytest

from synthaug.datasets.ntu.actions import ACTIONS
from synthaug.props.parts.table import TABLE, Holding, find_holdings, split_words
from synthaug.props.things import KINDS, Things


def kinds_of(name):
    return {kind for entry in find_holdings(name, TABLE) for kind in entry.kinds}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("drink water", "cup"), ("Drink.Frombottle", "bottle"), ("drinking from a glass", "glass"), ("drink", "cup"),
        ("make a phone call/answer phone", "phone"), ("answer phone", "phone"), ("Usetelephone", "phone"),
        ("Readbook", "book"), ("reading", "book"), ("brushing teeth", "toothbrush"), ("brush_hair", "comb"),
        ("Uselaptop", "laptop"), ("put on a hat/cap", "hat"), ("take off glasses", "glasses"), ("WatchTV", "remote"),
        ("sweeping floor", "broom"), ("tennis bat swing", "racket"), ("open a box", "box"), ("writing", "pen"),
        ("eat meal/snack", "spoon"), ("Usetablet", "tablet"), ("throw", "ball"), ("put on bag", "bag"),
    ],
)  # fmt: skip
def test_a_class_holds_what_its_name_says(name, kind):
    assert kind in kinds_of(name)


@pytest.mark.parametrize(
    "name",
    ["read watch", "check time (from watch)", "hand waving", "walk", "sit down", "kicking something", "boxing",
     "salute", "shoot at other person with a gun", "jump up", "put on headphone", "pointing to something with finger"],
)  # fmt: skip
def test_a_class_that_names_no_thing_holds_none(name):
    assert find_holdings(name, TABLE) == ()


def test_every_kind_of_the_table_exists_and_every_kind_is_in_it():
    named = {kind for held in TABLE.values() for entry in held for kind in entry.kinds}
    assert named == set(KINDS)


def test_a_user_s_words_win_over_ours():
    pool = Things(table={"drink": "bowl", "salute": ["pen", "comb"], "read": None}).assign(
        ("drink water", "salute", "read")
    )
    assert [[entry.kinds for entry in held] for held in pool.labels] == [[("bowl",)], [("pen", "comb")], []]


def test_an_entry_of_a_user_says_hand_and_times():
    table = {"salute": [{"kinds": "hat", "carrier": "head", "hand": "left", "times": [0.2, 0.8]}]}
    [held] = Things(table=table).assign(("salute",)).labels
    assert held == (Holding(("hat",), "head", "left", (0.2, 0.8)),)


def test_a_table_is_read_from_a_file(tmp_path):
    path = tmp_path / "things.yaml"
    path.write_text("salute: [pen]\n")
    assert Things(table=str(path)).assign(("salute",)).labels == ((Holding(("pen",)),),)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"drink": "chalice"}, "among cup, .* got 'chalice'. Correct it, or name a scan"),
        ({"drink": []}, "Expected 'drink' of synth.props.table to be a kind"),
        ({"drink": 3}, "Expected 'drink' of synth.props.table to be a kind"),
        ({"drink": [{"kinds": []}]}, "to name a kind, got none"),
        ({"drink": [{"kinds": "cup", "hand": "third"}]}, "Expected hand of 'drink' .* got 'third'"),
        ({"drink": [{"kinds": "cup", "times": "sometimes"}]}, "Expected times of 'drink' .* got 'sometimes'"),
        ({"drink": [{"kinds": "cup", "times": [0.8, 0.2]}]}, "Expected times of 'drink'"),
        ({"drink": [{"kinds": "cup", "colour": "red"}]}, "Expected keys of 'drink'"),
        ({"drink": [{"kinds": "cup", "person": 7}]}, "Expected person of 'drink' .* got 7"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_told_in_words(table, words):
    with pytest.raises(ValueError, match=words):
        Things(table=table)


def test_a_file_that_is_no_table_is_told(tmp_path):
    path = tmp_path / "things.yaml"
    path.write_text("- drink\n")
    with pytest.raises(ValueError, match="to have class names with kinds, got list"):
        Things(table=str(path))


def test_a_table_that_is_not_there_is_told():
    with pytest.raises(FileNotFoundError, match="No such file: 'nowhere.yaml'. Give synth.props.table"):
        Things(table="nowhere.yaml")


def test_a_class_that_the_data_set_lacks_is_told():
    with pytest.raises(ValueError, match="got 'salute'. Write words that a name contains: walk, jump"):
        Things(table={"salute": "pen"}).assign(("walk", "jump"))


@pytest.mark.parametrize(
    ("settings", "words"), [({"family": "x"}, "one of studio, street"), ({"share": 2.0}, "from 0 to 1")]
)
def test_wrong_settings_are_told(settings, words):
    with pytest.raises(ValueError, match=words):
        Things(**settings)


def test_spellings_have_the_same_words():
    spellings = ("Drink.Frombottle", "drinking from a bottle", "drink_from_bottle", "DrinkFromBottle")
    assert len({split_words(name) for name in spellings}) == 1


def test_published_vocabularies_call_for_things():
    assert sum(bool(find_holdings(name, TABLE)) for name in ACTIONS) >= 30
