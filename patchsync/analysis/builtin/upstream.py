"""Reading the upstream commits that are new, and forgetting those that are upstream no more."""

from __future__ import annotations

import hashlib

from patchsync.analysis.builtin.cache import PatchCache
from patchsync.analysis.builtin.child import InHand
from patchsync.analysis.builtin.kept import KeptPatch, kept
from patchsync.analysis.builtin.reading import read_all
from patchsync.analysis.engine import OnProgress
from patchsync.analysis.false_positives import is_commit
from patchsync.analysis.patch import NotAPatch
from patchsync.analysis.settings import AnalysisSettings

# Key of a note: the range that was read, by full hashes, and which commits were left out
_NOTE = "upstream"


def read_new_commits(
    settings: AnalysisSettings,
    cache: PatchCache,
    quarantined: frozenset[str],
    in_hand: InHand,
    on_progress: OnProgress,
) -> int:
    """Bring the cache up to date with the configured range; returns the number of new commits.

    Those that are quarantined are left out.

    Raises:
        ConfigError: the repository or the range cannot be used.
    """
    if settings.repo is None or settings.upstream is None:
        if cache.note(_NOTE) is not None:
            with cache.transaction():
                cache.remove(cache.commit_hashes())
                cache.set_note(_NOTE, None)
        return 0
    # libgit2 is loaded where there is a repository only.
    from patchsync.analysis.commits import (
        new_commits,
        open_repository,
        read_blacklist,
        read_commit,
        resolve_range,
    )

    repository = open_repository(settings.repo)
    blacklist = read_blacklist(settings.blacklist) if settings.blacklist else frozenset()
    blacklist |= {name for name in quarantined if is_commit(name)}
    now = resolve_range(repository, settings.upstream)
    left_out = hashlib.blake2b(" ".join(sorted(blacklist)).encode(), digest_size=8).hexdigest()
    noted = (cache.note(_NOTE) or "").split(" ")
    before = noted[0] if noted[1:] == [left_out] else None
    if before == now:
        return 0
    commits = new_commits(repository, before, now)
    wanted = [commit for commit in commits.added if commit not in blacklist]
    # Whoever is stopped from here on looks at all of them, whatever is configured by then.
    cache.set_note(_NOTE, None)
    known = cache.commit_hashes()
    if commits.complete:
        cache.remove(known.difference(wanted))
    new = [commit for commit in wanted if commit not in known]

    def read(commit: str) -> KeptPatch | None:
        try:
            return kept(read_commit(repository, commit))
        except NotAPatch:
            return None

    read_all(
        "reading commits",
        new,
        read,
        lambda name, patch: _keep(cache, name, patch),
        cache,
        in_hand,
        on_progress,
    )
    cache.set_note(_NOTE, f"{now} {left_out}")
    return len(new)


def _keep(cache: PatchCache, commit: str, patch: KeptPatch | None) -> None:
    """Have a commit in the cache; None: nothing can be compared with it."""
    if patch is None:
        cache.add_empty_commit(commit)
    else:
        cache.add(commit, "", patch, is_commit=True)
