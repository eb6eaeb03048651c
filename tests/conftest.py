"""Fixtures of all tests: one torch thread, a cache folder of their own, and the folder of measured clips."""

import os
import warnings
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """A cache folder for tests, so that none writes to the user's."""
    root = tmp_path_factory.getbasetemp() / "synthaug-cache"
    monkeypatch.setenv("SYNTHAUG_CACHE", str(root))
    return root


@pytest.fixture
def quiet():
    """Without Lightning's advice on workers and loggers: for `pytestmark = pytest.mark.usefixtures("quiet")`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="session")
def shared_data():
    """The measured clips beside the checkout; tests that need them skip where they are absent."""
    root = Path(os.environ.get("SYNTHAUG_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip("shared/data is not beside this checkout")
    return root
