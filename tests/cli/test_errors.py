"""A mistake of the user's comes as its words alone, in whichever process it is met."""

import os
import signal
import socket
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from synthaug.avatars.anny import AnnyPeople
from synthaug.cli.errors import plain_words
from synthaug.datasets import LeakError
from synthaug.datasets.protocols.choosing import ShotChoice
from synthaug.structures import Record
from synthaug.synthesis.references import References
from synthaug.video import VideoError


class Broken(Dataset):
    """Raises what a clip would."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 2

    def __getitem__(self, index):
        if self.error is ValueError:
            ShotChoice(2.0, None, 0)
        raise self.error("Expected a film, got\n  two lines: of words. Leave it out.")


def raise_in_process(rank, error):
    Broken(error)[rank]


@pytest.mark.parametrize("error", [VideoError, LeakError, ValueError, ZeroDivisionError, KeyError])
@pytest.mark.parametrize("how", ["loader", "processes"])
def test_words_of_another_process_come_without_its_traceback(error, how):
    with pytest.raises(Exception, match="Traceback") as raised:
        if how == "loader":
            list(DataLoader(Broken(error), num_workers=1))
        else:
            torch.multiprocessing.start_processes(raise_in_process, (error,), nprocs=1, start_method="fork")
    words = plain_words(raised.value)
    if error is ValueError:
        assert words is not None and words.startswith("Expected protocol.val_fraction to be a share from 0 to below 1")
        assert words.endswith("got 2.0. Set protocol.val_fraction=0 for no validation part.")
    elif error in (VideoError, LeakError):
        assert words == "Expected a film, got\n  two lines: of words. Leave it out."
    else:  # a bug of ours: the test itself is no part of the package
        assert words is None


class Bare(Dataset):
    """Looks a name up, in our package, that is not there: a bug, or a file that is damaged."""

    def __init__(self, names):
        self.names = names

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return References((), {}, {}).select(self.names)


@pytest.mark.parametrize("how", ["here", "loader"])
def test_a_bare_name_is_told_with_what_was_expected_and_where(how):
    def look_up():
        record = Record("file", Path("file.mp4"), 0, "ann", "", 0.0, 1.0)
        return References((record,), {}, {}).select(["file"])  # by_key["file"]

    class Here(Bare):
        def __getitem__(self, index):
            return look_up()

    with pytest.raises(KeyError) as raised:
        look_up() if how == "here" else list(DataLoader(Here([]), num_workers=1))
    words = plain_words(raised.value)
    assert words is not None and words.startswith("Expected 'file' among the names that synthaug/synthesis/references")
    assert ", line " in words and words.endswith("please report it with these words.")


@pytest.mark.parametrize("how", ["here", "loader"])
def test_words_of_a_key_error_are_not_shown_as_a_literal(how):
    class Unknown(Bare):
        def __getitem__(self, index):
            return AnnyPeople(levels=None).subject("no\nbody's")

    with pytest.raises(KeyError) as raised:
        Unknown([])[0] if how == "here" else list(DataLoader(Unknown([]), num_workers=1))
    words = plain_words(raised.value)
    assert words is not None and words.startswith("Expected") and words.endswith(".") and "\\'" not in words


class Dying(Dataset):
    """Its process is killed, as the system does when memory runs out."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def die(rank):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("how", ["loader", "processes"])
def test_a_process_that_was_killed_is_told_in_words(how):
    with pytest.raises(Exception, match="signal|unexpectedly") as raised:
        if how == "loader":
            list(DataLoader(Dying(), num_workers=1))
        else:
            torch.multiprocessing.start_processes(die, nprocs=1, start_method="fork")
    words = plain_words(raised.value)
    assert words is not None and "got one that was killed" in words and "ckpt_path=auto" in words


def lose_the_other(rank, port, said):
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        torch.distributed.all_reduce(torch.zeros(1))
    except RuntimeError as error:
        said.put(plain_words(error))


def test_a_process_whose_companion_is_gone_says_so():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = torch.multiprocessing.get_context("fork")
    said = context.SimpleQueue()
    both = [context.Process(target=lose_the_other, args=(rank, port, said)) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert both[1].exitcode == -signal.SIGKILL and both[0].exitcode == 0
    assert "got one that ended; what it said is above" in said.get()


def test_other_runtime_errors_are_not_taken_for_deaths():
    assert plain_words(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
