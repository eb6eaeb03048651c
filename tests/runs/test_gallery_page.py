"""The gallery's page in a headless Chromium: filter, play, mark, save, by mouse and by keyboard alone."""

import json

import pytest
import torch
from browsing import wait_for
from contrast import measure_contrasts

from synthaug.runs.gallery.page import FILMS, Papers, build_page
from synthaug.synthesis.exclusions import Exclusions, read_exclusions
from synthaug.video import write_video

CLASSES = ["drink", "sit </script><b>down</b>", "caf\u00e9"]
PEOPLE, PLACES, WHO = ("ann", "ben", ""), ("plates", "rooms"), ("studio-1", "studio-2", "studio-10")


def describe(count, motions=12):
    """Clips with everything that the page distinguishes, in plain patterns."""
    made = [
        {
            "key": f"{place:03d}/m", "class": place % 3, "person": PEOPLE[place % 3], "camera": "",
            "quality": None if place == 5 else round(0.3 + 0.05 * place, 3) % 1, "parts": {"steady": 0.9, "limbs": 0.4},
            "stranger": place == 7, "people": 1, "seconds": 2.0,
        }
        for place in range(motions)
    ]  # fmt: skip
    clips = [
        {
            "id": f"{number:032x}", "motion": number % motions, "class": number % motions % 3, "who": [WHO[number % 3]],
            "place": PLACES[number % 2], "mirrored": number == 1, "partner": "", "share": 0.0, "start": 0.25,
            "fps": 8.0, "frames": 16,
        }
        for number in range(count)
    ]  # fmt: skip
    return {"classes": CLASSES, "motions": made, "clips": clips}


def make_page(folder, count, **papers):
    """A page whose clips are all one film of two seconds, bright at its end."""
    content = describe(count)
    (folder / "index.html").write_text(build_page(content, Papers("Clips", count, **papers)), "utf-8")
    shade = torch.arange(16, dtype=torch.uint8).mul(15)[:, None, None, None].expand(16, 3, 40, 120)
    films = folder / FILMS
    write_video(films / "film.mp4", shade, fps=8.0)
    for clip in content["clips"]:
        (films / f"{clip['id']}.mp4").symlink_to("film.mp4")
    return content


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    return folder, make_page(folder, 60)


def labels(page):
    return page.eval_on_selector_all("#clips > .clip", "cards => cards.map(card => card.getAttribute('aria-label'))")


def status(page):
    return page.inner_text("#count")


def focused(page):
    return page.evaluate("document.activeElement.clip?.id ?? document.activeElement.id")


def wait_for_count(page, words):
    wait_for(page, "words => document.getElementById('count').textContent.includes(words)", arg=words)


def save(page, path, press=None):
    """The list that the page saves."""
    with page.expect_download() as download:
        page.keyboard.press(press) if press else page.click("#save")
    assert download.value.suggested_filename == "exclude.jsonl"
    download.value.save_as(path)
    return read_exclusions(path)


def test_filters_show_exactly_the_clips_that_are_like_that(show, gallery):
    """Held to the same question asked of the content in Python."""
    folder, content = gallery
    page, motions = show(folder / "index.html"), content["motions"]
    assert status(page).startswith("60 of 60 clips")

    def expect(wanted):
        count = sum(wanted(clip, motions[clip["motion"]]) for clip in content["clips"])
        assert 0 < count < 60
        wait_for_count(page, f"{count} of 60")
        page.click("#clear")
        assert status(page).startswith("60 of 60")

    page.select_option("#class", label=f"{CLASSES[1]} (20)")
    expect(lambda clip, motion: clip["class"] == 1)
    page.select_option("#person", label="not named (20)")
    expect(lambda clip, motion: motion["person"] == "")
    page.select_option("#place", label="rooms (30)")
    page.select_option("#who", label="studio-10 (20)")
    expect(lambda clip, motion: clip["place"] == "rooms" and clip["who"] == ["studio-10"])
    page.select_option("#grade", label="below 0.5")
    expect(lambda clip, motion: motion["quality"] is not None and motion["quality"] < 0.5)
    page.select_option("#grade", label="known motion")
    expect(lambda clip, motion: motion["quality"] is None)
    page.fill("#search", "CAFE\u0301 rooms")  # another form of é, and capitals
    expect(lambda clip, motion: CLASSES[clip["class"]] == "caf\u00e9" and clip["place"] == "rooms")
    page.fill("#search", "nothing is called so")
    page.wait_for_selector(".none")
    page.click("#clear")
    assert page.query_selector(".none") is None


def test_clips_stand_in_the_order_that_is_chosen(show, gallery):
    folder, content = gallery
    page = show(folder / "index.html")
    grades = [motion["quality"] for motion in content["motions"]]
    lowest = min(grade for grade in grades if grade is not None)
    assert labels(page)[0].endswith(f"grade {lowest:.2f}")
    page.select_option("#order", label="by class")
    assert all(label.startswith("drink") for label in labels(page)[:6])


def test_names_of_the_data_are_words(show, gallery):
    folder, _ = gallery
    page = show(folder / "index.html")
    page.select_option("#class", label=f"{CLASSES[1]} (20)")
    assert page.inner_text(".clip .first b") == CLASSES[1]
    assert page.query_selector(".clip b b") is None


def test_films_play_in_step_and_stop(show, gallery):
    folder, _ = gallery
    page = show(folder / "index.html")
    films = "[...document.querySelectorAll('.clip video')]"
    wait_for(page, f"{films}.length > 5 && {films}.every(film => film.readyState >= 3 && !film.paused)")
    before = page.evaluate(f"{films}.map(film => film.currentTime)")
    page.wait_for_timeout(400)
    assert page.evaluate(f"{films}.map(film => film.currentTime)") != before
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Play" and page.get_attribute("#play", "aria-pressed") == "false"
    wait_for(page, f"{films}.every(film => film.paused && !film.seeking)")
    times = page.evaluate(f"{films}.map(film => film.currentTime)")
    assert max(times) - min(times) < 0.01
    page.keyboard.press(".")
    wait_for(page, f"{films}.every(film => !film.seeking)")
    later = page.evaluate(f"{films}.map(film => film.currentTime)")
    assert max(later) - min(later) < 0.01
    frames = [int(time * 8 + 1e-3) for time in (times[0], later[0])]
    assert (frames[1] - frames[0]) % 16 == 1
    page.keyboard.press(",")
    wait_for(page, f"{films}.every(film => !film.seeking)")
    assert int(page.evaluate(f"{films}[0].currentTime") * 8 + 1e-3) == frames[0]


def test_whoever_asks_for_less_motion_gets_films_that_stand(show, gallery):
    page = show(gallery[0] / "index.html", reduced_motion="reduce")
    page.wait_for_timeout(500)
    assert page.inner_text("#play") == "Play"
    assert page.evaluate("[...document.querySelectorAll('video')].every(film => film.paused)")


def test_a_click_marks_and_the_saved_list_is_what_training_takes(show, gallery, tmp_path):
    folder, content = gallery
    page = show(folder / "index.html")
    assert page.is_disabled("#save")
    page.click(".clip >> nth=0 >> text=Clip is bad")
    page.click(".clip >> nth=1 >> text=Motion is bad")
    ids = page.eval_on_selector_all("#clips > .clip", "cards => cards.map(card => [card.clip.id, card.clip.motion])")
    key = content["motions"][ids[1][1]]["key"]
    # Every clip of the motion shows the mark.
    bad = page.eval_on_selector_all(".bad-motion", "cards => cards.map(card => card.clip.motion)")
    assert set(bad) == {ids[1][1]} and len(bad) == sum(motion == ids[1][1] for _, motion in ids)
    assert "1 motion and 1 clip marked as bad · not saved" in status(page)
    assert save(page, tmp_path / "a.jsonl") == Exclusions(frozenset({key}), frozenset({ids[0][0]}))
    assert "not saved" not in status(page)
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    assert all(line["class"] in CLASSES for line in lines)
    page.select_option("#marked", label="bad")
    assert status(page).startswith("5 of 60")  # the motion's five, of which the clip is one
    page.click("#clear")
    page.click(".clip >> nth=0 >> text=Clip is bad")
    assert "1 motion and 0 clips" in status(page)
    # A reload keeps what was marked.
    page.reload()
    assert "1 motion and 0 clips marked as bad · not saved" in status(page)


def test_a_list_goes_on_from_round_to_round(show, tmp_path):
    """What the run leaves out already, and what an earlier list names, is saved again."""
    gone = Exclusions(frozenset({"gone/m"}), frozenset({"f" * 32}))
    make_page(tmp_path, 4, excluded=gone)
    page = show(tmp_path / "index.html")
    assert "1 motion and 1 clip marked as bad · 2 of them are not on this page" in status(page)
    earlier = tmp_path / "earlier.jsonl"
    earlier.write_text('\ufeff{"motion": "000/m", "class": "drink"}\r\n\r\n{"clip": "' + "e" * 32 + '"}\r\n', "utf-8")
    page.set_input_files("#load", str(earlier))
    wait_for_count(page, "2 motions and 2 clips")
    saved = save(page, tmp_path / "new.jsonl")
    assert saved == Exclusions(frozenset({"gone/m", "000/m"}), frozenset({"f" * 32, "e" * 32}))
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("not a list\n")
    page.set_input_files("#load", str(wrong))
    wait_for_count(page, "wrong.jsonl is not a list")
    assert save(page, tmp_path / "again.jsonl") == saved


def test_everything_can_be_done_by_keyboard_alone(show, gallery, tmp_path):
    folder, content = gallery
    page = show(folder / "index.html")
    page.keyboard.press("/")
    assert focused(page) == "search"
    page.keyboard.type("caf\u00e9")
    wait_for_count(page, "20 of 60")
    page.keyboard.press("Escape")
    first = focused(page)
    assert first == page.evaluate("document.querySelector('.clip').clip.id")
    # What has the focus is seen to have it.
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("x")
    page.keyboard.press("ArrowRight")
    second = focused(page)
    assert second != first
    page.keyboard.press("m")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert focused(page) == second
    page.keyboard.press("End")
    page.keyboard.press("Home")
    assert focused(page) == first
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail[open]")
    assert "steady" in page.inner_text("#detail") and page.get_attribute("#detail a", "href") == f"{FILMS}/{first}.json"
    page.keyboard.press("m")  # in the close view too
    page.keyboard.press("m")
    page.keyboard.press("Escape")
    page.wait_for_selector("#detail:not([open])", state="attached")
    assert focused(page) == first
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Motion is bad"
    page.keyboard.press("Enter")
    page.keyboard.press("Space")  # marked, and the mark taken back: the button is pressed, the films are not stopped
    assert page.inner_text("#play") == "Pause"
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    page.keyboard.press("Escape")
    saved = save(page, tmp_path / "keys.jsonl", press="s")
    motion = next(clip["motion"] for clip in content["clips"] if clip["id"] == second)
    assert saved == Exclusions(frozenset({content["motions"][motion]["key"]}), frozenset({first}))


def test_everything_has_a_name_for_those_who_hear_the_page(show, gallery):
    page = show(gallery[0] / "index.html")
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, select, input, a, [role]')].filter(one =>
        !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length || one.title)).length"""
    )
    assert nameless == 0
    first = page.locator(".clip").first
    assert first.get_attribute("aria-posinset") == "1" and first.get_attribute("aria-setsize") == "60"
    assert page.locator(".clip[tabindex='0']").count() == 1, "one clip is a stop of the tab key"
    page.click(".clip >> nth=0 >> text=Clip is bad")
    assert first.get_attribute("aria-label").endswith("clip marked as bad")
    assert page.get_attribute("#count", "aria-live") == "polite"


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_nothing_is_cut_off_on_any_screen(show, gallery, width):
    page = show(gallery[0] / "index.html", viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    spilled = page.evaluate(
        """[...document.querySelectorAll('.clip')].filter(card => {
        const box = card.getBoundingClientRect(), last = card.querySelector('.marks').getBoundingClientRect();
        return last.bottom > box.bottom + 0.5 || box.right > innerWidth + 0.5; }).length"""
    )
    assert spilled == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(show, gallery, scheme):
    """WCAG 2.2, criterion 1.4.3: a contrast of 4.5 to 1."""
    page = show(gallery[0] / "index.html", color_scheme=scheme)
    page.click(".clip >> nth=0 >> text=Clip is bad")
    kinds = [".words b", ".small", ".grade", ".marks button", "#count", ".private", "#save", ".mark[aria-pressed=true]"]
    ratios = measure_contrasts(page, kinds)
    assert all(ratio >= 4.5 for ratio in ratios.values()), ratios


def test_five_thousand_clips_take_no_more_elements_than_sixty(show, gallery, tmp_path):
    make_page(tmp_path, 5000)
    few, many = show(gallery[0] / "index.html"), show(tmp_path / "index.html")
    assert status(many).startswith("5000 of 5000")
    assert many.locator(".clip").count() == few.locator(".clip").count() < 40
    size = "document.querySelectorAll('*').length"
    assert abs(many.evaluate(size) - few.evaluate(size)) < 10  # a clip may have a tag more than another
    many.keyboard.press("End")
    assert many.evaluate("document.activeElement.getAttribute('aria-posinset')") == "5000"
    wait_for(many, "[...document.querySelectorAll('.clip video')].some(film => film.readyState >= 2)")
    assert many.evaluate("document.querySelectorAll('.clip').length") < 40
    top, bottom, height = many.evaluate(
        "(({ top, bottom }) => [top, bottom, innerHeight])(document.activeElement.getBoundingClientRect())"
    )
    assert top >= 0 and bottom <= height
    many.fill("#search", f"{4321:032x}")
    wait_for_count(many, "1 of 5000")
