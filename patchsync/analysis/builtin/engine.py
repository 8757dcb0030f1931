"""The builtin engine: PaStA's groups, from what is new in the store and in the repository."""

from __future__ import annotations

import logging

from patchsync.analysis.builtin.cache import Counts, PatchCache, cache_path
from patchsync.analysis.builtin.child import (
    Failed,
    InHand,
    NeedsChild,
    NothingInHand,
    run_in_child,
)
from patchsync.analysis.builtin.comparing import Comparer
from patchsync.analysis.builtin.grouping import regroup
from patchsync.analysis.builtin.linking import link_new
from patchsync.analysis.builtin.mails import Mails
from patchsync.analysis.builtin.upstream import read_new_commits
from patchsync.analysis.builtin.writing import WrittenGroups, write_groups
from patchsync.analysis.engine import OnProgress, Updated
from patchsync.analysis.false_positives import OF_COMMITS, OF_MAILS, read_false_positives
from patchsync.analysis.groups_record import GroupsRecord
from patchsync.analysis.quarantine import TRIES, AnalysisQuarantine, names_of
from patchsync.analysis.settings import read_settings
from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock

log = logging.getLogger(__name__)


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
        self._quarantine = AnalysisQuarantine(config)

    def update(self, on_progress: OnProgress) -> Updated:
        """Take in what is new; see `Engine`."""
        config = self._config
        with store_lock(config.d_mbox / OWN_FOLDER / "analysis.lock", wait=0):
            if self._rebuild:
                self._quarantine.clear()
                with PatchCache(cache_path(config)) as cache:
                    cache.clear()
            mails_read, commits_read, trouble = self._take_in(on_progress)
            self._quarantine.forgive()
            with PatchCache(cache_path(config)) as cache:
                written = write_groups(
                    cache,
                    self._settings.groups,
                    GroupsRecord(config),
                    overwrite=self._overwrite,
                )
                counts = cache.counts()
        new = _number_of(mails_read, "new mail")
        if self._settings.repo:
            new += f", {_number_of(commits_read, 'new commit')}"
        return Updated(
            groups=written.changed,
            mails=mails_read,
            commits=commits_read,
            summary=f"{new}; {_summary(written, counts, len(self._quarantine.quarantined()))}",
            trouble=trouble,
        )

    def _take_in(self, on_progress: OnProgress) -> tuple[int, int, str | None]:
        """Have what is new in the cache, compared and grouped; what cannot be is quarantined.

        Returns how many mails and commits were read, and `Updated.trouble`.
        """
        try:
            return self._bring_up_to_date(NothingInHand(), on_progress)
        except NeedsChild:
            pass
        while True:
            try:
                return run_in_child(self._bring_up_to_date, on_progress)
            except Failed as failed:
                noted = self._quarantine.note(failed.name, failed.reason)
                if noted.tries > TRIES:
                    raise GiveUp(
                        f"analysis: {failed}, though it is quarantined: a fault of patchsync;"
                        " `patchsync analyse --rebuild` begins with nothing kept"
                    ) from failed
                what_next = "it is quarantined" if noted.is_quarantined else "it is tried once more"
                log.warning("analysis: %s; %s", failed, what_next)

    def _bring_up_to_date(
        self, in_hand: InHand, on_progress: OnProgress
    ) -> tuple[int, int, str | None]:
        """See `_take_in`; whoever goes on after one that was killed begins where that ended."""
        config, settings = self._config, self._settings
        failed = self._quarantine.read().values()
        with PatchCache(cache_path(config)) as cache:
            with Mails(config.d_mbox, config.store.layout, settings, failed) as mails:
                mails_read = mails.read_new(cache, in_hand, on_progress)
            quarantined = names_of(failed, quarantined=True)
            commits_read = read_new_commits(settings, cache, quarantined, in_hand, on_progress)
            comparer = Comparer(cache, settings.thresholds)
            link_new(cache, comparer, settings.thresholds, in_hand, on_progress)
            false_mails = read_false_positives(settings.false_positives / OF_MAILS)
            false_commits = read_false_positives(settings.false_positives / OF_COMMITS)
            regroup(cache, comparer, false_mails, false_commits, in_hand, on_progress)
        return mails_read, commits_read, mails.trouble


def _summary(written: WrittenGroups, counts: Counts, quarantined: int) -> str:
    parts = [
        f"{_number_of(written.changed, 'group')} changed",
        f"{_number_of(written.groups, 'group')} of {_number_of(counts.mails, 'mail')}",
    ]
    if counts.not_patches:
        parts.append(f"no patch: {_number_of(counts.not_patches, 'mail')}")
    if quarantined:
        parts.append(f"quarantined: {_number_of(quarantined, 'mail')}")
    if counts.undecided:
        parts.append(f"left to a person: {_number_of(counts.undecided, 'pair')}")
    return "; ".join(parts)


def _number_of(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
