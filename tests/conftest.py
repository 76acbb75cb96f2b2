"""Small problems that many tests share."""

import pytest
import torch
from browser import find as find_browser
from playwright.sync_api import sync_playwright

from alasso import fast, readers
from alasso import run as runner
from alasso.datasets import Dataset
from alasso.networks import MLP
from alasso.tasks import generator, permuted_stream

torch.set_num_threads(1)  # the problems are small, and threads that wait for each other are slow on a busy machine


@pytest.fixture
def dataset() -> Dataset:
    """96 training and 24 test images of 3 × 3 random pixels; the class is the brightest of the first three pixels."""
    images = torch.randint(0, 256, (120, 1, 3, 3), generator=generator(0, "test images"), dtype=torch.uint8)
    labels = images.flatten(1)[:, :3].long().argmax(1)
    return Dataset("small", images[:96], labels[:96], images[96:], labels[96:], ("a", "b", "c"), "0" * 64)


@pytest.fixture
def pictures() -> Dataset:
    """Nine classes of 8 × 8 random pixels in three colours, 20 training and 5 test images of each."""
    images = torch.randint(0, 256, (225, 3, 8, 8), generator=generator(0, "test images"), dtype=torch.uint8)
    labels = torch.arange(9).repeat(25)
    return Dataset("pictures", images[:180], labels[:180], images[180:], labels[180:], tuple("abcdefghi"), "0" * 64)


@pytest.fixture
def network() -> MLP:
    return MLP((9, 8, 3))


@pytest.fixture
def stream(dataset):
    return permuted_stream(dataset, tasks=3, seed=0, permute_first=True)


@pytest.fixture
def small_runs(monkeypatch, dataset):
    """Runs on small images, a checkpoint after every step, and the fast path uncompiled."""
    monkeypatch.setattr(runner.datasets, "load", lambda name: dataset)
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr(fast, "can_compile", lambda: False)
    monkeypatch.setattr(fast, "_compiled_update", lambda: fast.update)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Whatever is downloaded comes from nowhere, unless a test says where from."""

    def unreachable(url, *_):
        raise OSError(f"no route to {url}")

    monkeypatch.setattr(readers, "download_url", unreachable)


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium, silent but for what a test asks of it."""
    found = find_browser()
    if found is None:
        pytest.fail("no browser: install the package chromium, or run python book/browser.py", pytrace=False)
    quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=quiet)
        yield running
        running.close()
