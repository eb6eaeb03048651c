"""A mistake of the user's comes as its words alone, in whichever process it is met."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from synthaug.cli.errors import plain_words
from synthaug.datasets import LeakError
from synthaug.datasets.protocols.choosing import ShotChoice
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
