"""Fixtures of all tests: one torch thread, own caches, measured clips, a browser, a bucket."""

import os
import shutil
import warnings
from pathlib import Path

import hypothesis
import pytest
import torch

torch.set_num_threads(1)
# No test asserts how long something takes: a machine that is busy elsewhere fails none.
hypothesis.settings.register_profile("any speed", deadline=None)
hypothesis.settings.load_profile("any speed")
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names of browsers that the tests of pages may drive."""


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


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that is installed here; tests that need it skip where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright (the group browser) is not installed")
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if path is None:
        pytest.skip(f"no Chromium is installed: none of {', '.join(CHROMIUMS)}")
    quiet = ("--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=list(quiet))
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser):
    """Open a file in the browser; a test fails if the page logs an error or asks the network for anything."""
    contexts, faults = [], []

    def show(path, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("request", lambda asked: None if asked.url.startswith(("file:", "blob:")) else faults.append(asked.url))
        page.goto(path.resolve().as_uri())
        return page

    yield show
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="session")
def server():
    """Address of an S3 server."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    running = moto.ThreadedMotoServer(port=0)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server, monkeypatch, request):
    """A bucket of the server that nobody has used."""
    import boto3
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"b{abs(hash(request.node.name)) % 10**8}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"
