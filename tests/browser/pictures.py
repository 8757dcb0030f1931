"""The pictures of the pages in docs/, of generated patches: `make pictures` takes them anew."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from patchsync.config.addresses import quoted_name
from patchsync.store.count_history import CountHistory, Counts
from patchsync.sync.projects import find_projects
from standin.process import StandinProcess
from tests.browser.conftest import Window
from tests.browser.world import World, running_world
from tests.support import pushing
from tests.support.inprocess import Workers

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
PATCHES = 1000
WIDTH = 1000
DAY = 86400  # seconds


def test_take_pictures(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    browser: Browser,
    shared_standin: StandinProcess,
    workers: Workers,
) -> None:
    """Of each kind of page the top, with a light background; smaller where there is a pngquant."""
    monkeypatch.setattr(pushing, "PATCHES", PATCHES)
    store = pushing.synced_store(tmp_path, shared_standin, workers)
    folder = tmp_path / "world"
    folder.mkdir()
    with running_world(folder, store, shared_standin, workers, with_hostile=False) as world:
        _differ(world)
        *_, before, newest = (quoted_name(world.pushing.message_ids[each]) for each in world.story)
        context = browser.new_context(viewport={"width": WIDTH, "height": 700})
        window = Window(context.new_page(), world.url)
        for name, path, height in (
            ("front", "/", 1130),
            ("project", "/p/sample", 560),
            ("revisions", f"/r/{newest}", 1230),
            ("diff", f"/diff/{before}/{newest}", 900),
        ):
            page = window.open(path)
            height = min(height, page.evaluate("document.documentElement.scrollHeight"))
            page.set_viewport_size({"width": WIDTH, "height": height})
            page.screenshot(path=PICTURES / f"web-{name}.png")
        context.close()
        assert window.faults == []
    if pngquant := shutil.which("pngquant"):
        subprocess.run(
            [pngquant, "--force", "--ext", ".png", *PICTURES.glob("web-*.png")], check=True
        )


def _differ(world: World) -> None:
    """Have us lag behind the server now and then, in the past weeks."""
    for project in find_projects(world.pushing.installation.config):
        history = CountHistory(project.paths)
        for days in range(59, 0, -1):
            ours = 300 - days
            server = ours + max(0, days * 7 % 11 - 6) * project.paths.project_id
            history.record(Counts(time.time() - days * DAY, server, ours))
