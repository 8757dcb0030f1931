"""Taking in the upstream commits that are new, and forgetting those that are upstream no more."""

from __future__ import annotations

import hashlib
from itertools import islice

from patchsync.analysis.builtin.kept import KeptPatches
from patchsync.analysis.commits import (
    new_commits,
    open_repository,
    read_blacklist,
    read_commit,
    resolve_range,
)
from patchsync.analysis.engine import Tell
from patchsync.analysis.mail import NotAPatch
from patchsync.analysis.project import Project

_AT_ONCE = 500
_NOTE = "upstream"


def take_in_commits(project: Project, kept: KeptPatches, tell: Tell) -> int:
    """Bring `kept` up to date with the configured range; returns the number of new commits.

    Raises:
        ConfigError: the repository or the range cannot be used.
    """
    if project.repo is None or project.upstream is None:
        if kept.note(_NOTE) is not None:
            with kept.transaction():
                kept.remove(kept.commit_names())
                kept.set_note(_NOTE, None)
        return 0
    repository = open_repository(project.repo)
    blacklist = read_blacklist(project.blacklist) if project.blacklist else frozenset()
    now = resolve_range(repository, project.upstream)
    barred = hashlib.blake2b(" ".join(sorted(blacklist)).encode(), digest_size=8).hexdigest()
    noted = (kept.note(_NOTE) or "").split(" ")
    before = noted[0] if noted[1:] == [barred] else None
    if before == now:
        return 0
    found = new_commits(repository, before, now)
    wanted = [each for each in found.added if each not in blacklist]
    # Whoever is stopped from here on looks at all of them, whatever is configured by then.
    kept.set_note(_NOTE, None)
    known = kept.commit_names()
    if found.complete:
        kept.remove(known.difference(wanted))
    new = [each for each in wanted if each not in known]
    waiting, read = iter(new), 0
    while some := list(islice(waiting, _AT_ONCE)):
        with kept.transaction():
            for name in some:
                try:
                    kept.add(name, "", read_commit(repository, name), is_commit=True)
                except NotAPatch:
                    kept.add_empty_commit(name)
        read += len(some)
        tell("reading commits", read, len(new))
    kept.set_note(_NOTE, f"{now} {barred}")
    return read
