"""The builtin engine follows a repository: the right-hand side of `=>`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from analysis_fakes import Store, code, mail, name, patch_text, run_here, version
from pygit2 import Repository
from upstream_fakes import Upstream, tables

from patchsync.analysis import commits
from patchsync.analysis.explain import explain
from patchsync.analysis.patch import NotAPatch, Patch
from patchsync.errors import ConfigError


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """With a first commit, that is not in the range."""
    return Upstream(tmp_path / "upstream.git")


@pytest.fixture
def store(tmp_path: Path, upstream: Upstream) -> Store:
    """An empty one."""
    return Store(tmp_path / "store", tables(upstream))


def updated(store: Store) -> list[str]:
    """The groups after an update; one from scratch finds the same."""
    store.update()
    assert store.text == store.from_scratch()
    return store.groups


def test_a_commit_that_comes_later(store: Store, upstream: Upstream) -> None:
    """It joins the group of its mails; a mail may come behind its commit as well."""
    store.put(version(1), version(2), version(3, topic=1))
    assert updated(store) == ["1 2", "3"]
    one = upstream.commit(0)
    assert updated(store) == [f"1 2 => {one}", "3"]
    two = upstream.commit(2)
    assert updated(store) == [f"1 2 => {one}", "3", f"=> {two}"]
    store.put(version(4, topic=2))
    assert updated(store) == [f"1 2 => {one}", "3", f"4 => {two}"]


def test_nothing_new_upstream(store: Store, upstream: Upstream) -> None:
    """Nothing is read again, and one new commit is all that is read when it comes."""
    upstream.commit(0)
    store.put(version(1))
    assert store.update().commits == 1
    assert store.update()[:3] == (0, 0, 0)
    upstream.commit(1)
    assert store.update()[:3] == (1, 0, 1)


def test_commits_alone(store: Store, upstream: Upstream) -> None:
    """Each is a line at the end, also one that changes no file; two that are alike are two."""
    made = [upstream.commit(1), upstream.commit(1, 0), upstream.commit(2)]
    assert updated(store) == [f"=> {each}" for each in sorted(made)]
    store.put(version(1))
    assert updated(store) == ["1", *(f"=> {each}" for each in sorted(made))]


def test_a_force_push(store: Store, upstream: Upstream) -> None:
    """What is not upstream any more is on no line; what took its place is."""
    store.put(version(1), version(2, topic=1))
    kept = upstream.commit(1)
    lost = upstream.commit(0)
    assert updated(store) == [f"1 => {lost}", f"2 => {kept}"]
    upstream.rewind(kept)
    assert updated(store) == ["1", f"2 => {kept}"]
    new = upstream.commit(0, 1)
    assert updated(store) == [f"1 => {new}", f"2 => {kept}"]


def test_the_blacklist(store: Store, upstream: Upstream, tmp_path: Path) -> None:
    """Its commits are in no line; they come when they are taken from it."""
    store.put(version(1))
    one, two = upstream.commit(0), upstream.commit(0, 1)
    barred = tmp_path / "blacklist"
    barred.write_text(f"{one}\n")
    store.configure(tables(upstream, f'upstream_blacklist = "{barred}"'))
    assert updated(store) == [f"1 => {two}"]
    barred.write_text(f"{two}\n")
    assert updated(store) == [f"1 => {one}"]
    barred.write_text("")
    assert updated(store) == [f"1 => {' '.join(sorted((one, two)))}"]


@pytest.mark.parametrize("mail_first", [True, False])
def test_a_mail_that_names_its_commit(store: Store, upstream: Upstream, mail_first: bool) -> None:
    """It is upstream there however different the two are; a mere mention is none."""
    commit = upstream.commit(0)
    picked = f"(cherry picked from commit {commit})"
    mails = [
        mail(1, patch_text("Something", ["else"], body=picked)),
        mail(2, patch_text("Another thing", ["again"], body=f"See {commit}.", file="b.c")),
    ]
    if mail_first:
        store.put(*mails)
        store.configure("")
        assert updated(store) == ["1", "2"]
        store.configure(tables(upstream))
    else:
        assert updated(store) == [f"=> {commit}"]
        store.put(*mails)
    assert updated(store) == [f"1 => {commit}", "2"]


def test_the_latest_mail_alone_is_compared(store: Store, upstream: Upstream) -> None:
    """By its author date; what was upstream before a later version came is not any more."""
    store.put(version(1), version(2, changed=range(7), seconds=0))
    commit = upstream.commit(0, *range(7, 13))
    assert updated(store) == [f"1 2 => {commit}"]
    store.put(version(3, changed=range(6)))
    assert updated(store) == ["1 2 3", f"=> {commit}"]
    store.take_out(name(3))
    assert updated(store) == [f"1 2 => {commit}"]


def test_two_groups_that_are_upstream_in_one_commit(store: Store, upstream: Upstream) -> None:
    """They become one, and two again when it goes."""
    store.put(version(1), version(2, changed=range(12)))
    assert updated(store) == ["1", "2"]
    before = upstream.commit(2)
    commit = upstream.commit(0, *range(6))
    assert updated(store) == [f"1 2 => {commit}", f"=> {before}"]
    upstream.rewind(before)
    assert updated(store) == ["1", "2", f"=> {before}"]


def test_a_mark_against_a_commit(store: Store, upstream: Upstream) -> None:
    """It holds for the whole group of the mail, until it is taken back."""
    store.put(version(1), version(2))
    commit = upstream.commit(0)
    assert updated(store) == [f"1 2 => {commit}"]
    store.mark(f"{name(1)} {commit}\n", "mbox-upstream")
    assert updated(store) == ["1 2", f"=> {commit}"]
    store.mark("", "mbox-upstream")
    assert updated(store) == [f"1 2 => {commit}"]


def test_reverts_and_dates(store: Store, upstream: Upstream) -> None:
    """AUTHOR_DATE_INTERVAL, and with FILENAME_THRESHOLD below 1 reverts, count for commits too."""
    commit = upstream.commit(0)
    store.put(version(1, seconds=0), version(2, seconds=-5 * 86_400))
    text = patch_text("Change of topic 0", code(0), file="file0.c", body="It reverts a thing.")
    store.put(mail(3, text, seconds=1))
    limits = "[analysis.thresholds]\n"
    for table, groups in (
        ("", f"1 2 3 => {commit}"),
        ("filename = 0.9", f"1 2 => {commit}|3"),
        ("author_date_interval = 2", f"1 3 => {commit}|2"),
        ("filename = 0.9\nauthor_date_interval = 2", f"1 => {commit}|2|3"),
    ):
        store.configure(tables(upstream, rest=limits + table))
        assert updated(store) == groups.split("|")


def test_the_repository_is_configured_no_more(store: Store, upstream: Upstream) -> None:
    """There is no right-hand side any more; and again, when it is."""
    store.put(version(1))
    commit = upstream.commit(0)
    assert updated(store) == [f"1 => {commit}"]
    store.configure("")
    assert updated(store) == ["1"]
    store.configure(tables(upstream))
    assert updated(store) == [f"1 => {commit}"]


def test_another_range(store: Store, upstream: Upstream) -> None:
    """Its commits count, and no other ones."""
    store.put(version(1))
    one, two = upstream.commit(0), upstream.commit(0, 1)
    assert updated(store) == [f"1 => {' '.join(sorted((one, two)))}"]
    store.configure(tables(upstream).replace(upstream.first, one))
    assert updated(store) == [f"1 => {two}"]
    store.configure(tables(upstream).replace("master", one))
    assert updated(store) == [f"1 => {one}"]


@pytest.mark.parametrize("mail_first", [True, False])
def test_a_mail_with_the_name_of_a_commit(
    store: Store, upstream: Upstream, mail_first: bool
) -> None:
    """Whoever sends that does the commit no harm."""
    commit = upstream.commit(0)
    if mail_first:
        store.configure("")
    store.put(version(1))
    store.update()
    store.put(mail(2, message_id=commit))
    store.update()
    store.configure(tables(upstream))
    assert updated(store) == [f"1 => {commit}"]
    store.take_out(commit)
    assert updated(store) == [f"1 => {commit}"]


def test_a_repository_that_is_not_there(store: Store, tmp_path: Path) -> None:
    """The old groups stay."""
    store.put(version(1))
    store.update()
    before = store.text
    store.put(version(2))
    store.configure(f'[analysis]\nrepo = "{tmp_path}/nowhere"\nupstream = "master"\n')
    with pytest.raises(ConfigError, match="nowhere"):
        store.update()
    assert store.text == before


@pytest.mark.parametrize("stop", range(5))
def test_stopped_while_commits_are_read(
    store: Store, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """And the branch is rewound meanwhile to where it was: nothing of it is left."""
    monkeypatch.setattr("patchsync.analysis.builtin.reading.COMMIT_SECONDS", -1)
    monkeypatch.setattr("patchsync.analysis.builtin.engine.run_in_child", run_here)
    store.put(version(1), version(2, topic=1))
    before = upstream.commit(1)
    assert updated(store) == ["1", f"2 => {before}"]
    upstream.commit(0)
    upstream.commit(2)
    calls = 0

    def on_progress(what: str, done: int, of: int) -> None:
        nonlocal calls
        if calls == stop:
            raise KeyboardInterrupt
        calls += 1

    with suppress(KeyboardInterrupt):
        store.update(on_progress)
    upstream.rewind(before)
    assert updated(store) == ["1", f"2 => {before}"]


def test_a_commit_that_pasta_cannot_read(
    store: Store, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands alone; all else goes on, also when more comes."""
    bad, good = upstream.commit(1), upstream.commit(0)
    really = commits.read_commit

    def read_commit(repository: Repository, commit: str) -> Patch:
        if commit == bad:
            raise NotAPatch("a hunk ends too early")
        return really(repository, commit)

    monkeypatch.setattr(commits, "read_commit", read_commit)
    store.put(version(1), version(2, topic=1))
    assert updated(store) == [f"1 => {good}", "2", f"=> {bad}"]
    store.put(version(3, topic=1))
    assert updated(store) == [f"1 => {good}", "2 3", f"=> {bad}"]


def test_a_pick_is_explained(store: Store, upstream: Upstream) -> None:
    """The mail has nothing in common with the commit but that it names it."""
    commit = upstream.commit(1)
    text = patch_text("Backport", code(7), body=f"(cherry picked from commit {commit})")
    store.put(mail(1, text))
    assert updated(store) == [f"1 => {commit}"]
    found = explain(store.config, name(1), commit)
    assert "picked" in found.verdict
    assert found.together
