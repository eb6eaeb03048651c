"""What a gallery of many clips costs a browser: `python -m benchmarks.gallery --clips 5000`; the last line is JSON.

Milliseconds of the page's own thread, so that other work on the machine does not count: until a first key was answered,
and of single actions. It needs an installed Chromium and the group `browser`.
"""

import argparse
import json
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from synthaug.runs.gallery.page import FILMS, Papers, build_page
from synthaug.structures import Plain
from synthaug.video import write_video

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CLASSES, MOTIONS = 10, 400
ACTIONS = {
    "filter": "choose('class', '4')",
    "show_all": "document.getElementById('clear').click()",
    "order": "choose('order', '2')",
    "search": "await search('p017')",
    "mark": "document.querySelector('.clip .mark').click()",
    "last_clip": "document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'End', bubbles: true }))",
}
"""What is measured, one after the other, in the page's language."""
_RUN = """async () => {
  const choose = (id, value) => {
    const one = document.getElementById(id);
    one.value = value;
    one.dispatchEvent(new Event('change'));
  };
  const search = async words => {
    const before = document.getElementById('count').textContent, one = document.getElementById('search');
    one.value = words;
    one.dispatchEvent(new Event('input'));
    while (document.getElementById('count').textContent === before) await new Promise(next => setTimeout(next, 20));
  };
  ACTION;
  await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
}"""


def make_page(folder: Path, count: int) -> Path:
    """A page of this many clips, whose films are one film under many names."""
    motions: list[Plain] = [
        {
            "key": f"action_{place % CLASSES}/p{place:03d}", "class": place % CLASSES, "person": f"p{place % 40:02d}",
            "camera": "", "quality": round(0.3 + 0.7 * (place * 37 % 100) / 100, 3), "stranger": False, "people": 1,
            "parts": {"steady": 0.9, "limbs": 0.8, "scale": 0.7}, "seconds": 2.4,
        }
        for place in range(MOTIONS)
    ]  # fmt: skip
    clips: list[Plain] = [
        {
            "id": f"{number:032x}", "motion": number % MOTIONS, "class": number % MOTIONS % CLASSES, "partner": "",
            "who": [f"studio-{number % 41:06d}"], "place": ("plates", "rooms")[number % 2], "mirrored": False,
            "share": 0.0, "start": 0.2, "fps": 5.0, "frames": 12,
        }
        for number in range(count)
    ]  # fmt: skip
    content: dict[str, Plain] = {
        "classes": [f"action {label}" for label in range(CLASSES)], "motions": motions, "clips": clips,
    }  # fmt: skip
    write_video(folder / FILMS / "film.mp4", torch.randint(0, 255, (12, 3, 160, 480), dtype=torch.uint8), fps=5.0)
    for number in range(count):
        (folder / FILMS / f"{number:032x}.mp4").symlink_to("film.mp4")
    page = folder / "index.html"
    page.write_text(build_page(content, Papers("Clips", count)), "utf-8")
    return page


def measure(page: Path, *, rounds: int = 3) -> dict[str, float]:
    """Median milliseconds of the page's thread: `load`, to a first key, and each of ACTIONS."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {name: [] for name in ("load", *ACTIONS)}
    with sync_playwright() as driver:
        program = next(filter(None, map(shutil.which, BROWSERS)), None)
        chromium = driver.chromium.launch(executable_path=program, args=["--disable-gpu"])
        for _ in range(rounds):
            tab = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
            session = tab.context.new_cdp_session(tab)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})

            tab.goto(page.as_uri(), wait_until="domcontentloaded")
            tab.keyboard.press("ArrowRight")
            tab.wait_for_function("document.activeElement.clip")
            found["load"].append(_read_clock(session))
            for name, action in ACTIONS.items():
                before = _read_clock(session)
                tab.evaluate(_RUN.replace("ACTION", action))
                found[name].append(_read_clock(session) - before)
            tab.context.close()
        chromium.close()
    return {f"{name}_ms": round(statistics.median(times), 1) for name, times in found.items()}


def _read_clock(session: "CDPSession") -> float:
    """Milliseconds that the page's thread has worked."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1000 * next(one["value"] for one in metrics if one["name"] == "TaskDuration")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=5000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="synthaug-gallery-") as folder:
        page = make_page(Path(folder), chosen.clips)
        size = round(page.stat().st_size / 1e6, 2)
        print(json.dumps({"gallery_clips": chosen.clips, "page_mb": size, **measure(page)}))


if __name__ == "__main__":
    main()
