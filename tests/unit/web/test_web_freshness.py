"""Whether what a browser has is still so."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from patchsync.web.freshness import AGE_SECONDS, Freshness, Sources

LATER = 1_800_000_000 // AGE_SECONDS * AGE_SECONDS + 60.0  # a minute after an hour began


def written(path: Path, at: float = LATER - 600) -> Path:
    """A file of that moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (at, at))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The catalog and a project's files."""
    written(tmp_path / "catalog.sqlite")
    written(tmp_path / "raw.list.patchwork.1" / "patch-views.sqlite")
    return tmp_path


def test_the_same_files_are_the_same_page(folder: Path) -> None:
    """Of one address; what is locked or mapped to read changes nothing."""
    sources = Sources(folder, "1")
    first = sources.freshness(LATER)
    written(folder / "raw.list.patchwork.1" / "lock", LATER)
    written(folder / "catalog.sqlite-shm", LATER)
    again = sources.freshness(LATER + 1)
    assert first.etag("/r/a", "") == again.etag("/r/a", "")
    assert first.etag("/r/a", "") not in (first.etag("/r/b", ""), first.etag("/r/a", "x=1"))


@pytest.mark.parametrize(
    "name", ["catalog.sqlite", "catalog.sqlite-wal", "raw.list.patchwork.1/patch-views.sqlite"]
)
def test_any_file_may_change_a_page(folder: Path, name: str) -> None:
    """Also one that came anew."""
    sources = Sources(folder, "1")
    before = sources.freshness(LATER)
    written(folder / name, LATER - 5)
    after = sources.freshness(LATER)
    assert before.etag("/", "") != after.etag("/", "")
    assert after.modified == LATER - 5


def test_ages_grow_and_programs_change(folder: Path) -> None:
    """A page that tells how old something is is not the same an hour later, nor is another's."""
    sources = Sources(folder, "1")
    now = sources.freshness(LATER)
    assert sources.freshness(LATER + AGE_SECONDS).etag("/", "") != now.etag("/", "")
    assert Sources(folder, "2").freshness(LATER).etag("/", "") != now.etag("/", "")


def test_no_folder_yet(tmp_path: Path) -> None:
    """Before the first round there is nothing, and that may change."""
    sources = Sources(tmp_path / "none", "1")
    before = sources.freshness(LATER)
    written(tmp_path / "none" / "catalog.sqlite")
    assert sources.freshness(LATER).etag("/", "") != before.etag("/", "")


def test_what_changed_just_now_has_no_date(folder: Path) -> None:
    """It may change again within the same second, and nobody would see it."""
    sources = Sources(folder, "1")
    written(folder / "catalog.sqlite", LATER - 1)
    assert sources.freshness(LATER).last_modified is None
    assert sources.freshness(LATER + 10).last_modified is not None


@pytest.mark.parametrize(
    ("if_none_match", "if_modified_since", "same"),
    [
        ("", "", False),
        ('W/"t"', "", True),
        ('"t"', "", True),
        ('"x", W/"t"', "", True),
        ("*", "", True),
        ('"x"', "", False),
        ("", "Thu, 01 Jan 1970 00:00:10 GMT", True),
        ("", "Thu, 01 Jan 1970 00:00:09 GMT", False),
        ("", "yesterday", False),
        ("", "Thu, 99 Jan 99999 00:00:09 GMT", False),
        # The tag goes before the date.
        ('"x"', "Thu, 01 Jan 1970 00:00:10 GMT", False),
    ],
)
def test_what_a_browser_has(if_none_match: str, if_modified_since: str, same: bool) -> None:
    """By RFC 9110; what is no date counts as none."""
    fresh = Freshness("tag", 10)
    assert fresh.is_not_modified('W/"t"', if_none_match, if_modified_since) is same


def test_it_begins_with_the_process() -> None:
    """A page of an earlier program may have looked otherwise."""
    began = time.time()
    assert (Sources(Path("/nowhere"), "1").freshness(began + 5).modified or 0) >= int(began)
