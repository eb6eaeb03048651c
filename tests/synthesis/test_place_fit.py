"""Places that fit: words judge, chance keeps its share, and nothing else of a recipe changes."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import Films, Waves, plan

from synthaug.backgrounds.rooms import Rooms
from synthaug.structures import ClipFormat
from synthaug.synthesis import Synthesizer
from synthaug.synthesis.fitting import NEUTRAL, PlaceFit, find_kinds, kinds_of, rate, split_words
from synthaug.synthesis.place_words import ACTION_WORDS, KIND_WORDS
from synthaug.synthesis.references import gather

KINDS = tuple(KIND_WORDS)


def sample(rng):
    return {"kind": KINDS[int(rng.integers(len(KINDS)))]}


def describe(values):
    return values.get("kind", "")


@pytest.mark.parametrize(
    ("action", "fitting", "unfitting"),
    [
        ("Cook.Cleandishes", "kitchen", "bathroom"),
        ("Cutbread", "kitchen", "office"),
        ("brush teeth", "bathroom", "office"),
        ("brushing_teeth", "bathroom", "yard"),
        ("Uselaptop", "office", "bathroom"),
        ("lie_down", "bedroom", "corridor"),
        ("throw", "yard", "bathroom"),
        ("WatchTV", "living room", "bathroom"),
        ("typing on a keyboard", "office", "kitchen"),
        ("Makecoffee.Pourgrains", "kitchen", "yard"),
    ],
)
def test_words_know_where_things_are_done(action, fitting, unfitting):
    assert rate(action, fitting) > 0.9
    assert rate(action, unfitting) < 0.3


def test_what_is_not_known_is_neutral():
    assert rate("xyzzy", "kitchen") == rate("cook", "") == rate("cook", "a picture of something") == NEUTRAL
    assert find_kinds("walk") == {}


def test_captions_and_folders_are_understood():
    assert kinds_of("A modern kitchen with white cabinets") == ("kitchen",)
    assert kinds_of("house bathrooms") == ("bathroom",)
    assert kinds_of("people in a park") == ("yard",)
    assert set(kinds_of("kitchen and living room")) == {"kitchen", "living room"}
    assert split_words("A010 TakeOff_jacket-2") == ("a", "take", "off", "jacket")


def test_the_table_speaks_of_known_kinds_and_each_word_fits_somewhere():
    for kinds in ACTION_WORDS.values():
        assert set(kinds) <= set(KINDS)
        assert 0 < max(kinds.values()) <= 1


def test_fitting_places_are_taken_as_often_as_they_should_be():
    """Of 12 places of 7 kinds at least one is a kitchen with 84 %; a fifth of the clips are left to chance."""
    fit = PlaceFit(chance=0.2).assign(["cook"])
    rng, stream = np.random.default_rng(0), np.random.default_rng(1)
    taken = [fit.choose(0, sample(rng), sample, describe, stream)["kind"] for _ in range(1500)]
    expected = 0.2 / 7 + 0.8 * (1 - (6 / 7) ** 12)
    # Three standard deviations of a share among 1500 are 0.036, and the softmax takes another now and then.
    assert taken.count("kitchen") / 1500 == pytest.approx(expected, abs=0.05)


def test_a_high_temperature_and_full_chance_leave_places_as_they_were():
    stream = np.random.default_rng(1)
    first = {"kind": "yard"}
    always = PlaceFit(chance=1.0).assign(["cook"])
    assert all(always.choose(0, first, sample, describe, stream) is first for _ in range(20))
    hot = PlaceFit(temperature=1e6, chance=0.0).assign(["cook"])
    taken = [hot.choose(0, sample(stream), sample, describe, stream)["kind"] for _ in range(1400)]
    assert all(abs(taken.count(kind) - 200) < 60 for kind in KINDS)


def test_unknown_actions_and_silent_places_stay():
    """Places that say nothing keep their share of mixed backgrounds."""
    fit = PlaceFit(chance=0.0).assign(["xyzzy", "cook"])
    stream = np.random.default_rng(0)
    first, silent = {"kind": "yard"}, {"plate": "film"}
    assert fit.choose(0, first, sample, describe, stream) is first
    assert fit.choose(1, silent, sample, describe, stream) is silent

    def mixed(rng):
        return silent if rng.random() < 0.5 else sample(rng)

    taken = [fit.choose(1, mixed(stream), mixed, describe, stream) for _ in range(1000)]
    # Three standard deviations of a half among 1000.
    assert sum(place is silent for place in taken) / 1000 == pytest.approx(0.5, abs=0.05)


def test_settings_and_missing_names_are_told_in_words():
    for changes in ({"temperature": 0.0}, {"chance": 1.5}, {"places": 1}):
        with pytest.raises(ValueError, match="Set them under synth.fit"):
            replace(PlaceFit(), **changes)
    with pytest.raises(ValueError, match="names of 3 classes or more, got 1"):
        PlaceFit(chance=0.0).assign(["cook"]).choose(2, {}, sample, describe, np.random.default_rng(0))


def test_recipes_change_their_places_alone_and_only_where_asked(tmp_path):
    """Chance stays what it was: a stream of its own decides which place is taken."""
    records = Films(tmp_path).records
    references = gather(records, Waves())
    names = ["cook"] * (1 + max(record.label for record in records))

    def recipes(fit):
        rooms = Rooms(kinds="all")
        settings = plan(background=rooms, fit=fit, min_shown=0.0, min_shown_half_second=0.0).name_classes(names)
        ours = Synthesizer(settings, references, ClipFormat(num_frames=4, fps=5.0, size=48), seed=0)
        return [ours.sample(index) for index in range(len(ours))]

    without, left = recipes(None), recipes(PlaceFit(chance=1.0))
    assert [one.digest for one in left] == [one.digest for one in without]
    fitted = recipes(PlaceFit(chance=0.0, places=60))
    assert [replace(one, background={}) for one in fitted] == [replace(one, background={}) for one in without]
    # Sixty rooms of seven kinds lack a kitchen once in ten thousand; another kind is e^-6.7 times as likely each.
    kinds = [one.background["kind"] for one in fitted]
    assert kinds.count("kitchen") >= 0.8 * len(kinds)
    assert recipes(PlaceFit(chance=0.0, places=60)) == fitted
