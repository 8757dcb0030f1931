"""One browser and one store for all tests of the pages; each test has a window of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from standin.process import StandinProcess
from tests.browser.world import World, running_world
from tests.support.inprocess import Workers

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOW = "there is no chromium to look at the pages with: apt install chromium fonts-dejavu-core"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
# Of a start, and of whatever a test waits for: a machine may be busy
MOST_SECONDS = 240


@dataclass
class Window:
    """A page of the browser, and all that it did which no page of ours does."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._on_request)

    def open(self, path: str, *, status: int = 200) -> Page:
        """Go to a page of ours, by its path."""
        response = self.page.goto(f"{self.url}{path}")
        assert response
        assert response.status == status, self.page.inner_text("main")
        return self.page

    def _on_console(self, message: ConsoleMessage) -> None:
        # What violates the Content-Security-Policy is told here, too. That there is no such page
        # is what we asked for.
        if message.type in ("error", "warning") and "404 (Not Found)" not in message.text:
            self.faults.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", "about:")):
            self.faults.append(f"asked for {request.url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's chromium, without a screen."""
    if not CHROMIUM:
        pytest.skip(HOW)
    with sync_playwright() as playwright:
        # In a container, where one is root, its own sandbox does not start.
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, timeout=MOST_SECONDS * 1000
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    browser: Browser,
    synced: Path,
    shared_standin: StandinProcess,
    session_workers: Workers,
) -> Iterator[World]:
    """What there is to look at; nothing is made where there is no browser."""
    folder = tmp_path_factory.mktemp("world")
    with running_world(folder, synced, shared_standin, session_workers) as world:
        yield world


@pytest.fixture
def window(request: pytest.FixtureRequest, browser: Browser, world: World) -> Iterator[Window]:
    """A new window, of the size and with the colours that the test is marked with.

    At its end nothing must have been asked of others, run or complained of.
    """
    settings = dict(getattr(request, "param", {}))
    context = browser.new_context(viewport=settings.pop("viewport", DESKTOP), **settings)  # type: ignore[arg-type]
    context.set_default_timeout(MOST_SECONDS * 1000)
    window = Window(context.new_page(), world.url)
    yield window
    context.close()
    assert window.faults == []
