"""The builtin engine: PaStA's groups, from what is new in the store and in the repository."""

from __future__ import annotations

from patchsync.analysis.builtin.cache import Counts, PatchCache, cache_path
from patchsync.analysis.builtin.comparing import Comparer, link_new
from patchsync.analysis.builtin.grouping import regroup
from patchsync.analysis.builtin.mails import Mails
from patchsync.analysis.builtin.upstream import read_new_commits
from patchsync.analysis.builtin.writing import FileOwnership, WrittenGroups, write_groups
from patchsync.analysis.engine import OnProgress, Updated
from patchsync.analysis.false_positives import OF_COMMITS, OF_MAILS, read_false_positives
from patchsync.analysis.settings import read_settings
from patchsync.config import Config
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock


class BuiltinEngine:
    """Computes what PaStA would; its cache may be deleted at any time."""

    def __init__(self, config: Config, *, overwrite: bool = False, rebuild: bool = False) -> None:
        """`overwrite`: also a patch-groups that somebody else wrote; `rebuild`: without the cache.

        Raises:
            ConfigError: as `read_settings`.
        """
        self._config = config
        self._settings = read_settings(config)
        self._overwrite = overwrite
        self._rebuild = rebuild

    def update(self, on_progress: OnProgress) -> Updated:
        """Take in what is new; see `Engine`."""
        config, settings = self._config, self._settings
        with (
            store_lock(config.d_mbox / OWN_FOLDER / "analysis.lock", wait=0),
            PatchCache(cache_path(config)) as cache,
        ):
            if self._rebuild:
                cache.clear()
            with Mails(config.d_mbox, config.store.layout, settings) as mails:
                mails_read = mails.read_new(cache, on_progress)
            commits_read = read_new_commits(settings, cache, on_progress)
            comparer = Comparer(cache, settings.thresholds)
            link_new(cache, comparer, settings.thresholds, on_progress)
            false_mails = read_false_positives(settings.false_positives / OF_MAILS)
            false_commits = read_false_positives(settings.false_positives / OF_COMMITS)
            regroup(cache, comparer, false_mails, false_commits, on_progress)
            written = write_groups(
                cache, settings.groups, FileOwnership(config), overwrite=self._overwrite
            )
            counts = cache.counts()
        new = _number_of(mails_read, "new mail")
        if settings.repo:
            new += f", {_number_of(commits_read, 'new commit')}"
        return Updated(
            groups=written.changed,
            mails=mails_read,
            commits=commits_read,
            summary=f"{new}; {_summary(written, counts)}",
        )


def _summary(written: WrittenGroups, counts: Counts) -> str:
    parts = [
        f"{_number_of(written.changed, 'group')} changed",
        f"{_number_of(written.groups, 'group')} of {_number_of(counts.mails, 'mail')}",
    ]
    if counts.not_patches:
        parts.append(f"no patch: {_number_of(counts.not_patches, 'mail')}")
    if counts.undecided:
        parts.append(f"left to a person: {_number_of(counts.undecided, 'pair')}")
    return "; ".join(parts)


def _number_of(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
