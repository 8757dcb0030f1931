"""Upstream commits as PaStA sees them, read by libgit2; no git program is needed.

A range is what git log takes as one argument: `A..B`, `A..` (up to HEAD), or `B` (all of its
history), each a branch, a tag or a hash.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from pygit2 import Commit, GitError, Object, Repository, Signature
from pygit2.enums import RepositoryOpenFlag, RevSpecFlag

from patchsync.analysis.diff import FilterdiffTooSlow, read_diff
from patchsync.analysis.patch import NotAPatch, Patch, read_message
from patchsync.errors import ConfigError, TryAgainLater

# Older versions of pygit2 raise the latter two themselves.
_GIT_ERRORS = (GitError, KeyError, ValueError)


class NewCommits(NamedTuple):
    """Commits of a range, without merges."""

    # Hashes, newest first
    added: list[str]
    # They are all of the range: what else was known is not in it any more.
    complete: bool


def open_repository(folder: Path, key: str = "[analysis] repo") -> Repository:
    """The repository in `folder`, bare or with a work tree; it serves one process.

    `key`: where it is configured.

    Raises:
        ConfigError: there is none that may be read.
    """
    try:
        # Not one in a folder above: that would hide a mistake.
        return Repository(folder, RepositoryOpenFlag.NO_SEARCH)
    except _GIT_ERRORS as error:
        advice = ""
        if "not owned by current user" in str(error):
            advice = (
                "; git reads foreign ones only where the user's git config allows it:"
                f" git config --global --add safe.directory {folder}"
            )
        raise ConfigError(f"{key} = {str(folder)!r}: no git repository: {error}{advice}") from error


def resolve_range(repository: Repository, range_: str, key: str = "[analysis] upstream") -> str:
    """What `range_` names now, by full hashes: `A..B` or `B`, itself a range.

    `key`: where it is configured.

    Raises:
        ConfigError: it names nothing in this repository, or is no such range.
    """
    try:
        spec = repository.revparse(range_)
        if spec.flags & RevSpecFlag.MERGE_BASE:
            raise ValueError("three dots are not supported, write A..B")
        first = _commit(spec.from_object)
        if not spec.flags & RevSpecFlag.RANGE:
            return first
        return f"{first}..{_commit(spec.to_object)}"
    except _GIT_ERRORS as error:
        raise ConfigError(
            f"{key} = {range_!r}: no range of commits in {repository.path}: {error}"
        ) from error


def new_commits(repository: Repository, before: str | None, now: str) -> NewCommits:
    """The commits of the range `now` that are not in `before`, each as `resolve_range` gave it.

    All of them where nothing was known, the start moved, or the tip is no descendant of the one
    before.
    """
    start, tip = _ends(now)
    if before is not None:
        start_before, tip_before = _ends(before)
        if start == start_before and _follows(repository, tip, tip_before):
            return NewCommits(list(_walk(repository, tip, start, tip_before)), complete=False)
    return NewCommits(list(_walk(repository, tip, start)), complete=True)


def read_commit(repository: Repository, commit_hash: str) -> Patch:
    """The patch that a commit is; without files if it is a root, empty or a merge.

    Raises:
        NotAPatch: PaStA cannot read it either.
        TryAgainLater: the repository does not have all of it.
    """
    try:
        commit = repository[commit_hash].peel(Commit)
        diff = _diff(repository, commit)
    except (*_GIT_ERRORS, OSError) as error:
        raise TryAgainLater(
            f"[analysis] repo = {repository.path!r}: commit {commit_hash} cannot be read: {error};"
            " is it a partial or shallow clone?"
        ) from error
    try:
        message, is_revert = read_message(_text(commit.raw_message).split("\n"))
        files, lines = read_diff(diff.split("\n"))
        return Patch(
            message=message,
            author_date=_date(commit.author),
            is_revert=is_revert,
            files=files,
            lines=lines,
        )
    except (MemoryError, FilterdiffTooSlow):
        raise
    except Exception as error:  # As with mails: whatever PaStA would stumble over.
        raise NotAPatch(f"commit {commit_hash}: {type(error).__name__}: {error}") from error


def read_times(repository: Repository, commit_hash: str) -> tuple[float, float] | None:
    """When a commit was written and committed, in seconds since 1970; None if it is not there."""
    with suppress(*_GIT_ERRORS, OSError):
        commit = repository[commit_hash].peel(Commit)
        return float(commit.author.time), float(commit.committer.time)
    return None


def read_blacklist(file: Path) -> frozenset[str]:
    """The full hashes in `file`, one on a line; empty lines and those that begin with # are none.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        lines = file.read_text("iso8859-1").splitlines()
    except OSError as error:
        raise ConfigError(
            f"[analysis] upstream_blacklist = {str(file)!r}: {error.strerror}"
        ) from error
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _commit(named: Object) -> str:
    """The hash of the commit that is named, maybe by a tag."""
    return str(named.peel(Commit).id)


def _ends(resolved: str) -> tuple[str | None, str]:
    start, dots, tip = resolved.rpartition("..")
    return start if dots else None, tip


def _follows(repository: Repository, tip: str, before: str) -> bool:
    with suppress(*_GIT_ERRORS):  # a tip that is not there any more
        return tip == before or repository.descendant_of(tip, before)
    return False


def _walk(repository: Repository, tip: str, *hidden: str | None) -> Iterator[str]:
    walker = repository.walk(tip)
    for other in filter(None, hidden):
        walker.hide(other)
    for commit in walker:
        if len(commit.parent_ids) < 2:
            yield str(commit.id)


def _diff(repository: Repository, commit: Commit) -> str:
    """The diff to the one parent, as text with libgit2's defaults, renames found; else nothing."""
    if len(commit.parent_ids) != 1:
        return ""
    diff = repository.diff(commit.parents[0], commit)
    diff.find_similar()
    return diff.patch or ""


def _date(signature: Signature) -> datetime:
    zone = timezone(timedelta(minutes=signature.offset))
    return datetime.fromtimestamp(signature.time, zone)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("iso8859-1")
