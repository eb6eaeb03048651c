import io
import logging
import subprocess
import sys

import pytest

from synthaug import progress
from synthaug.progress import Pace, describe_end, describe_progress, is_main_process, say, track


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def single_process(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


def work_through(count, *, each, **options):
    clock = Clock()
    for _ in track(range(count), "Moving stones", clock=clock, **options):
        clock.now += each


def test_lines_come_after_ten_seconds_and_then_ever_more_seldom():
    clock = Clock()
    pace, due = Pace(clock), []
    for second in range(1, 400):
        clock.now = 1000.0 + second
        if pace.is_due():
            due.append(second)
    assert due == [10, 30, 70, 130, 190, 250, 310, 370]


def test_an_item_may_say_how_the_work_goes(caplog):
    caplog.set_level(logging.INFO)
    work_through(40, each=0.5, note=lambda item: f"{item}.5 dB")
    assert caplog.messages == [
        "Moving stones: 20 of 40, 2.0 per second, 10 s left, 19.5 dB",
        "Moving stones: 40 of 40 in 20 s, 2.0 per second, 39.5 dB",
    ]


def test_short_work_says_nothing_and_long_work_says_how_far_it_is(caplog):
    caplog.set_level(logging.INFO)
    work_through(9, each=1.0)
    assert caplog.messages == []
    work_through(100, each=0.5)
    assert caplog.messages == [
        "Moving stones: 20 of 100, 2.0 per second, 40 s left",
        "Moving stones: 60 of 100, 2.0 per second, 20 s left",
        "Moving stones: 100 of 100 in 50 s, 2.0 per second",
    ]


def test_what_was_done_before_counts_as_done_but_not_for_the_rate(caplog):
    caplog.set_level(logging.INFO)
    work_through(20, each=1.0, total=120, done=100)
    assert caplog.messages[0] == "Moving stones: 110 of 120, 1.0 per second, 10 s left"


def test_work_of_unknown_length_is_counted(caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()
    for _ in track(iter(range(12)), "Counting", clock=clock):
        clock.now += 1.0
    assert caplog.messages == ["Counting: 10, 1.0 per second", "Counting: 12 in 12 s, 1.0 per second"]


@pytest.mark.parametrize(
    ("count", "total", "seconds", "words"),
    [
        (37, 215, 12.76, "37 of 215, 2.9 per second, 61 s left"),
        (10, 100, 100.0, "10 of 100, 6.0 per minute, 15 min left"),
        (1, 10, 3600.0, "1 of 10, 1.0 per hour, 9 h 0 min left"),
        (300, 600, 10.0, "300 of 600, 30 per second, 10 s left"),
        (0, 5, 11.0, "0 of 5, 0.0 per hour"),
    ],
)
def test_progress_in_words(count, total, seconds, words):
    assert describe_progress(count, total, seconds) == words


def test_the_sum_in_words():
    assert describe_end(215, 215, 74.1) == "215 of 215 in 74 s, 2.9 per second"


@pytest.mark.parametrize("items", [[], [1], [1, 2, 3]])
@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_items_come_through_unchanged(items, stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream())
    assert list(track(items, "Passing")) == items


def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    work_through(30, each=1.0)
    assert "Moving stones" in stream.getvalue() and caplog.messages == []


def test_an_error_on_the_way_is_passed_on_without_a_sum(caplog):
    caplog.set_level(logging.INFO)
    clock = Clock()

    def breaking():
        yield 1
        raise ValueError("stone too heavy")

    with pytest.raises(ValueError, match="too heavy"):
        for _ in track(breaking(), "Moving stones", 2, clock=clock):
            clock.now += 11.0
    assert caplog.messages == ["Moving stones: 1 of 2, 5.5 per minute, 11 s left"]


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_one_of_several_processes_speaks(name, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv(name, "1")
    assert not is_main_process()
    work_through(100, each=1.0)
    say("twice")
    monkeypatch.setenv(name, "0")
    say("once")
    assert caplog.messages == ["once"]


def test_lines_go_to_stderr_where_nobody_set_logging_up():
    code = "from synthaug.progress import say; say('one line')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "one line\n")


def test_lines_go_to_the_log_where_there_is_one(tmp_path):
    code = (
        f"import logging; logging.basicConfig(filename={str(tmp_path / 'train.log')!r}, level=logging.INFO)\n"
        "from synthaug.progress import say; say('one line')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "" and "one line" in (tmp_path / "train.log").read_text()


def test_progress_needs_no_heavy_library():
    code = "import sys, synthaug.progress; print({'torch', 'rich', 'lightning'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
    assert progress.PAUSES[0] == 10.0


def test_one_long_item_among_others_says_how_far_it_is(caplog):
    """A film of an hour among three: the bar or the line of the films alone stands still while it is looked at."""
    caplog.set_level(logging.INFO)
    clock = Clock()
    for film in track(["a", "long", "b"], "Extracting motions", clock=clock):
        for _ in track(range(60 if film == "long" else 2), f"Looking at {film}", clock=clock):
            clock.now += 1.0
    assert caplog.messages[0] == "Looking at long: 10 of 60, 1.0 per second, 50 s left"
    assert "Looking at long: 60 of 60 in 60 s, 1.0 per second" in caplog.messages
    assert not [line for line in caplog.messages if line.startswith(("Looking at a", "Looking at b"))]


def test_a_terminal_has_one_bar_and_lines_for_what_is_within(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    stream, clock = Terminal(), Clock()
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in track(range(3), "Extracting motions", clock=clock):
        for _ in track(range(30), "Looking closely", clock=clock):
            clock.now += 1.0
    # Nothing else is shown while the first film is looked at: it has the bar. The others are within the films' bar.
    assert "Looking closely" in stream.getvalue() and "Extracting motions" in stream.getvalue()
    assert caplog.messages.count("Looking closely: 30 of 30 in 30 s, 1.0 per second") == 2
    assert progress._bars == 0
