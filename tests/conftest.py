"""What every test shares: programs of the system, and a GPU, that may or may not be there."""

import os
import shutil

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "bwrap": ("bwrap",),
    "git": ("git",),
    "npm": ("npm",),
}
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_program(tool):
    """Path of a program of the system, or None."""
    return next(filter(None, map(shutil.which, PROGRAMS[tool])), None)


def required_programs():
    """Programs whose absence is a failure: `COURSEKIT_REQUIRE=chromium,bwrap`."""
    return set(filter(None, os.environ.get("COURSEKIT_REQUIRE", "").split(",")))


def pytest_runtest_setup(item):
    for mark in item.iter_markers("needs"):
        for tool in mark.args:
            if find_program(tool):
                continue
            reason = f"{tool} is not installed (README, 'What the tests need')"
            if tool in required_programs():
                pytest.fail(f"{reason}, and COURSEKIT_REQUIRE names it", pytrace=False)
            pytest.skip(reason)
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def chromium():
    """Path of the system's Chromium."""
    return find_program("chromium")


@pytest.fixture(scope="session")
def browser(chromium):
    """The one Chromium of the run: Playwright allows a process no second."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
