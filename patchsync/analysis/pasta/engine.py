"""Bringing patch-groups up to date by PaStA: what is run, and what its result has to be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from patchsync.analysis.engine import OnProgress, Updated
from patchsync.analysis.false_positives import OF_COMMITS, OF_MAILS, read_false_positives
from patchsync.analysis.group_file import write_content
from patchsync.analysis.groups import read_content
from patchsync.analysis.pasta.checkout import PastaCheckout
from patchsync.analysis.pasta.shadow import CACHING, Shadow
from patchsync.analysis.settings import read_settings
from patchsync.config import Config
from patchsync.errors import GiveUp, LockHeld, TryAgainLater
from patchsync.store.files import read_file, replace_file, storing
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock


class PastaEngine:
    """Has PaStA look at all mails; its caches and the groups so far spare it most of the work."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError where the checkout or its settings cannot be used."""
        self._config = config
        self._checkout = PastaCheckout(config)
        self._settings = read_settings(config)
        self._folder = config.d_mbox / OWN_FOLDER / "pasta"
        self._shadow = Shadow(
            self._folder / "project", config.d_mbox, self._checkout.pasta_config, self._settings
        )

    def update(self, on_progress: OnProgress) -> Updated:
        """See `Engine`; `on_progress` gets PaStA's command that runs.

        Raises:
            LockHeld, ConfigError: before PaStA is started; the message names what to change.
            GiveUp: PaStA failed, or its result cannot be right. The old groups stay.
            TryAgainLater: somebody else wrote the groups meanwhile; theirs stay.
        """
        shadow, groups = self._shadow, self._settings.groups
        with only_analysis(self._config):
            commits = self._checkout.check(self._settings)
            before = read_content(groups) or b""
            if before and not before.endswith(b"\n"):
                raise TryAgainLater(
                    f"{groups} ends within a line: somebody is writing it; if this stays, somebody"
                    " was stopped in that: remove it"
                )
            shadow.fill(_without_marked(before, self._settings.false_positives))
            if read_file(shadow.state) == shadow.digest(before, commits):
                return Updated(groups=0, mails=0, commits=0, summary="nothing new for PaStA")
            self._run(on_progress)
            after = read_content(shadow.groups) or b""
            if lost := shadow.lost(before, after):
                example = min(lost).decode(errors="replace")
                raise GiveUp(
                    f"PaStA's result lacks {len(lost)} mails that the store has, {example} for one;"
                    " the old groups stay"
                )
            if after != before:
                if (read_content(groups) or b"") != before:
                    raise TryAgainLater(
                        f"{groups} was written by somebody else while PaStA ran; PaStA's result is"
                        " dropped, and the next run goes on from theirs"
                    )
                write_content(groups, after)
            shadow.hand_over_invalid()
            replace_file(shadow.state, shadow.digest(after, commits))
        return _compare(before, after)

    def _run(self, on_progress: OnProgress) -> None:
        """Run PaStA's commands one after the other, in the shadow."""
        shadow, thresholds = self._shadow, self._settings.thresholds
        # Where a rating lies below, `rate` asks a person; without a terminal it dies of that.
        rate = f"rate -ti {thresholds.autoaccept!r}"
        steps = ["sync -noup -mbox -create downstream", "analyse rep", rate]
        if self._config.analysis.repo:
            steps = ["sync -noup -mbox -create all", "analyse rep", rate, "analyse upstream", rate]
        log = self._folder / "log"
        with storing(log), suppress(FileNotFoundError):
            log.replace(f"{log}.1")
        replace_file(shadow.state, CACHING)
        deadline = time.monotonic() + self._config.analysis.pasta_seconds
        for number, step in enumerate(steps):
            on_progress(step, number, len(steps))
            self._checkout.run(step, shadow.folder, log, deadline)
            if number == 0:
                replace_file(shadow.state, b"cached")
            if number == 2 and thresholds.interactive < thresholds.autoaccept:
                # Where PaStA's own `rate`, which can ask a person, looks for what is left open
                evaluation = read_file(shadow.evaluation)
                if evaluation is not None:
                    replace_file(self._checkout.evaluation, evaluation)
        on_progress("done", len(steps), len(steps))


@contextmanager
def only_analysis(config: Config) -> Iterator[None]:
    """Be the only one that brings patch-groups up to date. Raises LockHeld where another one is."""
    with ExitStack() as lock:
        try:
            lock.enter_context(store_lock(config.d_mbox / OWN_FOLDER / "analysis.lock", wait=0))
        except LockHeld:
            raise LockHeld(
                "another analysis, or `patchsync pasta`, is under way; try again when it is through"
            ) from None
        yield


def _without_marked(groups: bytes, false_positives: Path) -> bytes:
    """The groups without those that hold a false positive: PaStA takes apart nothing by itself.

    It looks at the mails of such a group anew, and what is marked stays apart.
    """
    marks = [read_false_positives(false_positives / name) for name in (OF_MAILS, OF_COMMITS)]

    def holds_a_pair(line: bytes) -> bool:
        names = line.decode(errors="replace").split()
        others = (mark.get(name, frozenset()) for name in names for mark in marks)
        return any(not marked.isdisjoint(names) for marked in others)

    return b"".join(line for line in groups.splitlines(keepends=True) if not holds_a_pair(line))


def _compare(before: bytes, after: bytes) -> Updated:
    new = set(after.split()) - set(before.split()) - {b"=>"}
    mails = sum(name.startswith(b"<") for name in new)
    commits = len(new) - mails
    old_lines, lines = set(before.splitlines()), set(after.splitlines())
    changed = len(lines - old_lines) or len(old_lines - lines)
    summary = f"{mails:,} new mails; {changed:,} groups changed; {len(lines):,} groups"
    if commits:
        summary = f"{commits:,} new commits; {summary}"
    return Updated(groups=changed, mails=mails, commits=commits, summary=summary)
