"""All revisions of a patch, by any name of one; where each is a patch, and what became of it."""

from __future__ import annotations

import json
from pathlib import Path

import pygit2
import pytest
from catalog_fakes import BEGAN, DAY, FakeStore, mail, name

from patchsync.config import load
from patchsync.errors import UnknownPatch
from patchsync.patchwork.shown_patch import ShownPatch
from patchsync.revisions import history as history_module
from patchsync.revisions.as_json import history_json, time_json
from patchsync.revisions.history import find_name, history_of
from patchsync.revisions.links import archive_url, patchwork_url
from patchsync.revisions.model import PatchHistory
from patchsync.store.patch_views import PatchViews

COMMIT = "1a2b3c4d5e6f" + "0" * 28


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    """Three revisions, the second on both lists, upstream; and another patch."""
    store = FakeStore(tmp_path / "store")
    store.put(1, mail("[PATCH] a change"))
    store.put(2, mail("[PATCH v2] a change", at=DAY))
    store.put(12, mail("[PATCH v2] a change", at=DAY), name(2), project=2)
    store.put(3, mail("[PATCH v3 1/2] a change", at=2 * DAY, author="B <b@example.org>"))
    store.put(4, mail("[PATCH] another"))
    store.group(f"1 2 3 => {COMMIT}")
    return store


def history(store: FakeStore, asked: object) -> PatchHistory:
    with store.catalog() as catalog:
        return history_of(store.config, catalog, str(asked))


@pytest.mark.parametrize(
    "asked", ["<2@example.org>", "2@example.org", " 2@example.org\n", "2", "12", "1a2b3c4", COMMIT]
)
def test_by_any_name(store: FakeStore, asked: str) -> None:
    """A message-id with and without brackets, an id of either project, a commit's hash."""
    found = history(store, asked)
    assert [mail.message_id for mail in found.revisions] == [name(1), name(2), name(3)]
    assert [commit.commit_hash for commit in found.commits] == [COMMIT]
    assert found.asked == (COMMIT if asked.startswith("1a") else name(2))


@pytest.mark.parametrize(
    "asked", ["", "<", "99", "0", "9" * 30, "nobody@x", "\ud800", "f" * 40, "x" * 9999]
)
def test_what_nobody_knows(store: FakeStore, asked: str) -> None:
    """It is told as that, whatever it is."""
    with store.catalog() as catalog, pytest.raises(UnknownPatch):
        find_name(store.config, catalog, asked)


def test_several_commits(store: FakeStore) -> None:
    """The beginning of two is none."""
    store.group(f"1 => {COMMIT} {COMMIT[:-1]}1")
    with store.catalog() as catalog, pytest.raises(UnknownPatch, match="several"):
        find_name(store.config, catalog, COMMIT[:12])


def test_what_patchwork_shows(store: FakeStore) -> None:
    """Of each patch as it was last seen, and when; of one that was never seen nothing."""
    with PatchViews(store.paths()) as views:
        shown = ShownPatch(patch_id=2, state="accepted", check="success", delegate="ada")
        views.record([shown], BEGAN + 5.0)
    revision = history(store, 1).revision(name(2))
    assert revision
    here, there = revision.patches
    assert (here.state, here.check, here.delegate) == ("accepted", "success", "ada")
    assert here.seen_at == BEGAN + 5
    assert (there.project_name, there.patch_id, there.state, there.seen_at) == (
        "other",
        12,
        None,
        None,
    )


def test_commits_of_a_repository(tmp_path: Path) -> None:
    """With subject, author and date where it has them; of one that it lacks the hash alone."""
    folder = tmp_path / "repo"
    repository = pygit2.init_repository(folder, bare=True)
    who = pygit2.Signature("C \x1b[1m", "c@example.org", BEGAN, 60)
    tree = repository.TreeBuilder().write()
    commit = str(repository.create_commit("refs/heads/main", who, who, "It is in\n\nYes", tree, []))
    tables = f'[analysis]\nrepo = "{folder}"\nupstream = "main"\n'
    store = FakeStore(tmp_path / "store", tables)
    store.put(1, mail())
    store.group(f"1 => {commit} {COMMIT}")
    missing, there = history(store, commit[:9]).commits
    assert (missing.commit_hash, missing.subject, missing.date) == (COMMIT, None, None)
    assert (there.subject, there.author_name, there.date) == ("It is in", "C \x1b[1m", BEGAN)
    # One of no mail is known by the repository.
    store.group("1")
    alone = history(store, commit)
    assert (alone.revisions, [each.commit_hash for each in alone.commits]) == ((), [commit])


def test_one_that_is_in_no_group(store: FakeStore) -> None:
    """It is a history of one."""
    found = history(store, 4)
    assert [mail.message_id for mail in found.revisions] == [name(4)]
    assert found.commits == ()


def test_too_many(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last ones, or those up to the one that was asked for."""
    monkeypatch.setattr(history_module, "MOST_REVISIONS", 2)
    for asked, shown in ((3, (2, 3)), (2, (2, 3)), (1, (1,)), (COMMIT, (2, 3))):
        found = history(store, asked)
        assert [mail.message_id for mail in found.revisions] == [name(each) for each in shown]
        assert found.left_out == 3 - len(shown)


def test_links(store: FakeStore, tmp_path: Path) -> None:
    """To Patchwork as it links itself, and to the archive; whatever a mail calls itself."""
    store = FakeStore(
        tmp_path / "linked", '[web]\narchive = "https://lore.kernel.org/r/{message_id}"\n'
    )
    store.put(1, mail())
    store.put(2, mail(), '<a/b?c#d%">@x>')
    found = [history(store, each).revisions[0] for each in (1, 2)]
    assert [patchwork_url(store.config, each, each.patches[0]) for each in found] == [
        "https://patchwork.example.org/project/sample/patch/1@example.org/",
        "https://patchwork.example.org/patch/2/",
    ]
    assert [archive_url(store.config, each) for each in found] == [
        "https://lore.kernel.org/r/1@example.org",
        "https://lore.kernel.org/r/a%2Fb%3Fc%23d%25%22%3E@x",
    ]


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("https://lists.example.org/{}", "https://lists.example.org/1@example.org"),
        ("https://lists.example.org/", None),
        ("javascript:alert({})", None),
        ("https://{}.example.org/", None),
        ("https://lists.example.org/{0.__class__}", None),
    ],
)
def test_the_archive_of_the_project(store: FakeStore, said: str, address: str | None) -> None:
    """As Patchwork says, where that is an address, and the configuration names none."""
    with PatchViews(store.paths()) as views:
        views.record_archive(said)
    assert archive_url(store.config, history(store, 1).revisions[0]) == address
    archive = '[web]\narchive = "https://lore.kernel.org/r/{message_id}"\n'
    store.config.source.write_text(store.config.source.read_text() + archive)
    config = load(store.config.source)
    found = archive_url(config, history(store, 1).revisions[0])
    assert found == "https://lore.kernel.org/r/1@example.org"


def test_as_json(store: FakeStore) -> None:
    """All of it, as docs/revisions.md has it; what came before each is named."""
    found = history_json(store.config, history(store, 3))
    assert json.loads(json.dumps(found)) == found
    assert found["asked"] == name(3)
    assert [each["previous"] for each in found["revisions"]] == [None, name(1), name(2)]
    last = found["revisions"][-1]
    assert last["author"] == {"name": "B", "email": "b@example.org"}
    assert (last["version"], last["part"], last["of"]) == (3, 1, 2)
    assert last["series"]["missing"] == [2]
    assert last["date"] == "2020-09-15T12:26:40Z"
    assert found["revisions"][1]["patches"][1]["project"] == "other"
    assert found["commits"] == [{"hash": COMMIT, "subject": None, "author": None, "date": None}]


@pytest.mark.parametrize("seconds", [2.0**38, 1e300, float("inf"), float("nan"), -1e15])
def test_a_time_of_no_calendar(seconds: float) -> None:
    """It is none, and no error."""
    assert time_json(seconds) is None


HOSTILE = {
    "escapes": mail("[PATCH] \x1b[2J\x9b31m\u202e evil", author="\x1b]0;x\x07 <\x1b@x>"),
    "html": mail("[PATCH] <script>alert(1)</script>", author='"><img src=x> <a@x>', files=["<b>"]),
    "huge": mail("[PATCH] " + "x" * 1_000_000, author="y" * 1_000_000, files=["f" * 100_000]),
    "no head": b"\n\nno head at all",
    "no date": b"Subject: [PATCH] s\n\n---\n",
    "future": mail().replace(b"2020", b"9999"),
    "odd bytes": mail("=?utf-8?b?//79/A==?= \xff\ud800".encode(errors="replace").decode()),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile(tmp_path: Path, raw: bytes) -> None:
    """Whatever a mail says, its history is there, as JSON too, and bounded."""
    store = FakeStore(tmp_path / "store")
    store.put(1, mail())
    store.put(2, raw)
    store.group("1 2")
    for asked in (1, 2):
        found = history(store, asked)
        assert len(found.revisions) == 2
        assert len(json.dumps(history_json(store.config, found))) < 100_000
