"""The report's page in a headless Chromium: it shows what it says, on every screen, in light and dark, by keyboard."""

import pytest
from browsing import wait_for
from contrast import measure_contrasts
from fabricated import CLASSES, sweep

from synthaug.reports.cautions import find_cautions
from synthaug.reports.pages import build_page
from synthaug.reports.sweeps import study_results


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    found = study_results(sweep(folder, seeds=3))
    path = folder / "report.html"
    path.write_text(build_page("A sweep", found, find_cautions(found)), "utf-8")
    return path


def test_every_link_of_the_page_leads_to_its_section(show, report):
    page = show(report)
    links = page.locator("nav a")
    assert links.count() > 8
    for place in range(links.count()):
        links.nth(place).click()
        name = links.nth(place).inner_text()
        wait_for(page, "name => document.querySelector(':target h2')?.textContent === name", arg=name)
    # It glides there.
    wait_for(page, "document.querySelector(':target').getBoundingClientRect().top < innerHeight")


def test_names_of_the_data_are_words(show, report):
    page = show(report)
    assert page.locator("td.words", has_text=CLASSES[1]).count() > 0
    assert (
        page.evaluate("[...document.querySelectorAll('td b, text b')].filter(one => one.textContent === 'down').length")
        == 0
    )


def test_what_is_folded_opens_by_keyboard(show, report):
    page = show(report)
    folded = page.locator("details").first
    assert not folded.locator("figure, table").first.is_visible()
    folded.locator("summary").focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    assert folded.locator("figure, table").first.is_visible()


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_nothing_is_cut_off_on_any_screen(show, report, width):
    """The page never scrolls sideways; tables that are wider than the screen do, within their frames."""
    page = show(report, viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    spilled = page.evaluate(
        """[...document.querySelectorAll('svg text')].filter(words => words.textContent).filter(words => {
        const box = words.getBoundingClientRect(), frame = words.ownerSVGElement.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1; }).map(words => words.textContent)"""
    )
    assert spilled == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(show, report, scheme):
    page = show(report, color_scheme=scheme)
    ratios = measure_contrasts(
        page, ["p.lead", "p.under", "th", "td.words", "td small", "nav a", ".cautions b", "summary"]
    )
    assert all(ratio >= 4.5 for ratio in ratios.values()), ratios


def test_a_table_says_which_column_a_figure_is_in(show, report):
    """As many cells in every row as heads, counted by the browser after it has mended what it could."""
    page = show(report)
    odd = page.evaluate(
        """[...document.querySelectorAll('table')].filter(table => {
        const heads = table.tHead.rows[0].cells.length;
        return [...table.tBodies[0].rows].some(row => row.cells.length !== heads); }).length"""
    )
    assert odd == 0 and page.locator("table").count() > 4
