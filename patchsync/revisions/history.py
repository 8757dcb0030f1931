"""The history of a patch: all of its revisions, where each is a patch, and what became of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from pygit2 import Commit, GitError, Repository

from patchsync.analysis.commits import open_repository
from patchsync.analysis.lookup import look_up_commit, why_unknown
from patchsync.analysis.settings import read_settings
from patchsync.config import Config
from patchsync.errors import GiveUp, PatchsyncError, UnknownPatch
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.model import PatchHistory, PatchMail, UpstreamCommit

# Of one patch; a group may hold what somebody sent thousands of times.
MOST_REVISIONS = 100
MOST_COMMITS = 50
_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_HASH = re.compile(r"[0-9a-f]{7,64}", re.IGNORECASE)


def history_of(config: Config, catalog: Catalog, name: str) -> PatchHistory:
    """The history of the patch that a person names: see `find_name`.

    Of more than `MOST_REVISIONS` it has the last ones, or those up to the one that was asked for.

    Raises:
        UnknownPatch: nobody knows it.
    """
    asked = find_name(config, catalog, name)
    group = catalog.group_of(asked)
    mails = sorted(catalog.mails(group.message_ids).values(), key=_order)
    shown = mails[-MOST_REVISIONS:]
    if all(mail.message_id != asked for mail in shown):
        ends = [at for at, mail in enumerate(mails, 1) if mail.message_id == asked]
        shown = mails[max(0, ends[0] - MOST_REVISIONS) : ends[0]] if ends else shown
    keys = dict.fromkeys(mail.series_key for mail in shown)
    return PatchHistory(
        asked=asked,
        revisions=tuple(shown),
        commits=tuple(read_commits(config, catalog, group.commits[:MOST_COMMITS])),
        series={key: series for key in keys if (series := catalog.series(key))},
        left_out=len(group.message_ids) - len(shown),
    )


def find_name(config: Config, catalog: Catalog, text: str) -> str:
    """The message-id of a mail that the catalog has, or the whole hash of a commit.

    `text` is a message-id, with or without its angle brackets, a patchwork id, or a commit's hash
    of at least 7 digits.

    Raises:
        UnknownPatch: there is none, or several.
    """
    text = text.strip()
    for message_id in (text, f"<{text}>"):
        if catalog.mail(message_id):
            return message_id
    if _NUMBER.fullmatch(text):
        mails = catalog.mails_of_patch(int(text))
        if len(mails) > 1:
            names = ", ".join(mail.message_id for mail in mails)
            raise UnknownPatch(f"{text} is several patches: {names}; name one of these")
        if mails:
            return mails[0].message_id
    if _HASH.fullmatch(text):
        return _find_commit(config, catalog, text.lower())
    raise UnknownPatch(f"{text!r} is no patch in the store; {why_unknown(text)}")


def _find_commit(config: Config, catalog: Catalog, text: str) -> str:
    commits = catalog.commits_named(text)
    if len(commits) == 1:
        return commits[0]
    if commits:
        raise UnknownPatch(f"{text} is the beginning of several commits; give more of it")
    try:
        return look_up_commit(config, text)
    except GiveUp as error:
        raise UnknownPatch(str(error)) from None


def read_commits(config: Config, catalog: Catalog, hashes: Iterable[str]) -> list[UpstreamCommit]:
    """What the repository, where one is configured, says of commits; by their date."""
    repository = repository_of(config)
    commits = [_read_commit(repository, catalog, commit_hash) for commit_hash in hashes]
    return sorted(commits, key=lambda commit: (commit.date or 0, commit.commit_hash))


def _read_commit(
    repository: Repository | None, catalog: Catalog, commit_hash: str
) -> UpstreamCommit:
    if repository is not None:
        # It may be a shallow clone, or have dropped it since.
        with suppress(GitError, KeyError, ValueError, OSError):
            commit = repository.revparse_single(commit_hash).peel(Commit)
            subject = commit.raw_message.lstrip(b"\n").partition(b"\n")[0]
            return UpstreamCommit(
                commit_hash=commit_hash,
                subject=subject.decode(errors="replace"),
                author_name=commit.author.raw_name.decode(errors="replace"),
                date=float(commit.commit_time),
            )
    times = catalog.commit_times(commit_hash)
    return UpstreamCommit(commit_hash=commit_hash, date=times.committed if times else None)


def repository_of(config: Config) -> Repository | None:
    """That of [analysis] repo; None where none can be read, as `patchsync check` tells."""
    with suppress(PatchsyncError):
        if repo := read_settings(config).repo:
            return open_repository(repo)
    return None


def _order(mail: PatchMail) -> tuple[float, int, int, str]:
    return mail.date, mail.prefix.version, mail.prefix.part, mail.message_id
