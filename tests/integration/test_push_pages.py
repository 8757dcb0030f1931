"""Checks that lead to our pages: new ones do, and none is posted for that alone."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
import requests

from standin.process import StandinProcess
from tests.support.inprocess import Workers
from tests.support.pushing import SINKS, Pushing, placed_store

PAGES = "https://patches.example.org/view"


@pytest.fixture
def pushing(
    synced: Path, tmp_path: Path, shared_standin: StandinProcess, workers: Workers
) -> Pushing:
    return Pushing(installation=placed_store(synced, tmp_path, shared_standin, SINKS, workers))


def set_url(pushing: Pushing, url: str, before: str = "") -> None:
    """Another `[web] url`, "" for none."""
    old, new = (f'[web]\nurl = "{each}"\n[push]' if each else "[push]" for each in (before, url))
    pushing.installation = pushing.installation.changed(old, new)


def targets(pushing: Pushing, patch_id: int) -> list[str]:
    """Where the checks on a patch lead, oldest first."""
    api = f"{pushing.standin.url}/api/1.3/patches/{patch_id}/checks/?order=id"
    return [check["target_url"] or "" for check in requests.get(api, timeout=10).json()]


def test_setting_the_pages_posts_no_check_again(pushing: Pushing) -> None:
    """What is new leads there, what changes does from then on; and so when they move, or go."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b])
    pushing.push()
    assert [*targets(pushing, a), *targets(pushing, b)] == ["", ""]
    set_url(pushing, f"{PAGES}/")
    pushing.assert_settled()
    pushing.group([a, b, c])
    assert pushing.writes()["POST"] == 2
    assert targets(pushing, a) == [""]
    page_of_b, page_of_c = (f"{PAGES}/r/{pushing.message_ids[n].strip('<>')}" for n in (b, c))
    assert [unquote(url) for url in targets(pushing, b)] == ["", page_of_b]
    assert [unquote(url) for url in targets(pushing, c)] == [page_of_c]
    moved = "http://localhost:5556"
    set_url(pushing, moved, before=f"{PAGES}/")
    pushing.assert_settled()
    set_url(pushing, "", before=moved)
    pushing.assert_settled()
    # Nor where the links are learnt from Patchwork.
    pushing.lose_ledger()
    assert pushing.writes() == {}


def test_what_was_not_sent_yet_leads_there_too(pushing: Pushing) -> None:
    """A check that waited for its day, say."""
    a, b, *_ = pushing.ids()
    pushing.group([a, b])
    pushing.run("--dry-run")
    set_url(pushing, PAGES)
    pushing.push()
    assert targets(pushing, a)[0].startswith(f"{PAGES}/r/")
