"""The builtin engine: PaStA's groups, from what is new in the store and in the repository."""

from __future__ import annotations

from pathlib import Path

from patchsync.analysis.builtin.comparing import Comparing
from patchsync.analysis.builtin.kept import KeptPatches
from patchsync.analysis.builtin.linking import link_new
from patchsync.analysis.builtin.mails import Mails
from patchsync.analysis.builtin.regrouping import regroup
from patchsync.analysis.builtin.upstream import take_in_commits
from patchsync.analysis.builtin.writing import write_groups
from patchsync.analysis.engine import Tell, Updated
from patchsync.analysis.false_positives import OF_COMMITS, OF_MAILS, read_false_positives
from patchsync.analysis.own_groups import own_groups
from patchsync.analysis.project import read_project
from patchsync.config import Config
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock


class BuiltinEngine:
    """Computes what PaStA would; what it keeps between updates may be deleted at any time."""

    def __init__(self, config: Config, *, overwrite: bool = False, rebuild: bool = False) -> None:
        """`overwrite`: also a patch-groups that somebody else wrote; `rebuild`: with nothing kept.

        Raises:
            ConfigError: as `read_project`.
        """
        self._config = config
        self._project = read_project(config)
        self._overwrite = overwrite
        self._rebuild = rebuild

    def update(self, tell: Tell) -> Updated:
        """Take in what is new; see `Engine`."""
        own = self._config.d_mbox / OWN_FOLDER
        project = self._project
        with (
            store_lock(own / "analysis.lock", wait=0),
            KeptPatches(kept_path(self._config)) as kept,
        ):
            if self._rebuild:
                kept.forget()
            with Mails(self._config.d_mbox, self._config.store.layout, project) as mails:
                read = mails.take_in(kept, tell)
            commits = take_in_commits(project, kept, tell)
            comparing = Comparing(kept, project.thresholds)
            link_new(kept, comparing, project.thresholds, tell)
            false = read_false_positives(project.false_positives / OF_MAILS)
            false_upstream = read_false_positives(project.false_positives / OF_COMMITS)
            regroup(kept, comparing, false, false_upstream, tell)
            written = write_groups(
                kept, project.groups, own_groups(self._config), overwrite=self._overwrite
            )
            counts = kept.counts()
        new = _of(read, "new mail") + (f", {_of(commits, 'new commit')}" if project.repo else "")
        all_told = f"{_of(written.groups, 'group')} of {_of(counts.mails, 'mail')}"
        if counts.others:
            all_told += f"; no patch: {_of(counts.others, 'mail')}"
        if counts.undecided:
            all_told += f"; left to a person: {_of(counts.undecided, 'pair')}"
        story = f"{new}; {_of(written.changed, 'group')} changed; {all_told}"
        return Updated(written.changed, read, commits, story)


def _of(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def kept_path(config: Config) -> Path:
    """Where the builtin engine keeps what it read."""
    return config.d_mbox / OWN_FOLDER / "analysis.sqlite"
