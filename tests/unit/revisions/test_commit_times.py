"""When commits were made: from the repository, where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from catalog_fakes import BEGAN, DAY, FakeStore, mail
from pygit2 import Signature, init_repository

from patchsync.errors import ConfigError
from patchsync.revisions.catalog import Catalog, CommitTimes
from patchsync.revisions.catch_up import catch_up

UNKNOWN = "ab" * 20


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with a commit of three days after `BEGAN`, written a day before."""
    folder = tmp_path / "upstream"
    made = init_repository(folder, bare=True)
    author, committer = (Signature("A", "a@b.c", BEGAN + days * DAY) for days in (2, 3))
    tree = made.TreeBuilder().write()
    commit = made.create_commit("refs/heads/master", author, committer, "Fix it\n", tree, [])
    (folder / "name").write_text(str(commit))
    return folder


def tables(repository: Path) -> str:
    """The configuration for it."""
    return f'[analysis]\nrepo = "{repository}"\nupstream = "master"\n'


def test_a_group_took_days_to_get_upstream(tmp_path: Path, repository: Path) -> None:
    """From its first mail to its first commit; it counts when either comes."""
    commit = (repository / "name").read_text()
    store = FakeStore(tmp_path / "store", tables(repository))
    store.put(2, mail(at=2.5 * DAY))
    store.group(f"1 2 => {commit} {UNKNOWN}", f"3 => {UNKNOWN}")
    with store.catalog() as catalog:
        assert catalog.commit_times(commit) == CommitTimes(BEGAN + 2 * DAY, BEGAN + 3 * DAY)
        assert catalog.commit_times(UNKNOWN) is None
        assert catalog.sums.days_to_upstream() == {0: 1}
    store.put(1, mail(at=DAY))
    store.put(3, mail())
    with store.catalog() as catalog:
        assert catalog.sums.days_to_upstream() == {2: 1}
    store.group("1 2", f"3 => {commit}")
    with store.catalog() as catalog:
        assert catalog.sums.days_to_upstream() == {3: 1}
    store.group("1 2", "3")
    with store.catalog() as catalog:
        assert catalog.sums.days_to_upstream() == {}
        assert catalog.commit_times(commit) is None


def test_another_repository_is_asked_anew(tmp_path: Path, repository: Path) -> None:
    """Also one that is configured later, or no more, or that is none."""
    commit = (repository / "name").read_text()
    for text, told in (("", {}), (tables(repository), {3: 1}), ("", {})):
        store = FakeStore(tmp_path / "store", text)
        if not store.paths().index.exists():
            store.put(1, mail())
            store.group(f"1 => {commit}")
        with store.catalog() as catalog:
            assert catalog.sums.days_to_upstream() == told
    store = FakeStore(tmp_path / "store", tables(tmp_path / "none"))
    with pytest.raises(ConfigError, match="repo"):
        catch_up(store.config)
    with Catalog.open(store.config) as catalog:
        assert len(catalog.page(1)) == 1
