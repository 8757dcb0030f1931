"""Bringing patch-groups up to date by PaStA: what is run, and what its result has to be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from patchsync.analysis.engine import OnProgress, Updated
from patchsync.analysis.false_positives import OF_COMMITS, OF_MAILS, read_false_positives
from patchsync.analysis.groups import read_content, write_content
from patchsync.analysis.pasta.install import PastaInstall
from patchsync.analysis.pasta.process import PastaRun
from patchsync.analysis.pasta.shadow import Shadow
from patchsync.analysis.settings import AnalysisSettings, read_settings
from patchsync.config import Config
from patchsync.errors import GiveUp, LockHeld, TryAgainLater
from patchsync.store.files import make_folder, storing
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock


class PastaEngine:
    """Brings patch-groups up to date by PaStA."""

    def __init__(self, config: Config) -> None:
        """Nothing is looked at yet."""
        self._config = config

    def update(self, on_progress: OnProgress) -> Updated:
        """Have PaStA look at all mails; its caches and the groups so far spare it most of the work.

        Args:
            on_progress: gets PaStA's command that runs, how many did, and how many there are.

        Raises:
            LockHeld: another update is under way.
            ConfigError: PaStA would fail; the message names what to change.
            GiveUp: PaStA failed, or its result cannot be right. The old groups stay.
            TryAgainLater: somebody else wrote the groups meanwhile; theirs stay.
        """
        with only_analysis(self._config):
            install, project = PastaInstall(self._config), read_settings(self._config)
            ends = install.check(self._config, project)
            ends = ends if self._config.analysis.repo else ""
            before = _whole(project.groups)
            shadow = Shadow(own_folder(self._config) / "project", self._config.d_mbox)
            shadow.fill(install.settings, project, _without_marked(before, project))
            if shadow.is_done(before, ends):
                return Updated(groups=0, mails=0, commits=0, summary="nothing new for PaStA")
            self._run(install, project, shadow, on_progress)
            after = read_content(shadow.groups) or b""
            _demand_all(before, after, shadow, project)
            if after != before:
                if (read_content(project.groups) or b"") != before:
                    raise TryAgainLater(
                        f"{project.groups} was written by somebody else while PaStA ran; PaStA's"
                        " result is dropped, and the next run goes on from theirs"
                    )
                write_content(project.groups, after)
            shadow.hand_over_invalid()
            shadow.note_done(after, ends)
            return _compared(before, after)

    def _run(
        self,
        install: PastaInstall,
        project: AnalysisSettings,
        shadow: Shadow,
        on_progress: OnProgress,
    ) -> None:
        upstream = bool(self._config.analysis.repo)
        accept = project.thresholds.autoaccept
        # Where a rating lies below, `rate` asks a person; without a terminal it dies of that.
        rate = f"rate -ti {accept!r}"
        steps = [f"sync -noup -mbox -create {'all' if upstream else 'downstream'}"]
        steps += ["analyse rep", rate]
        if upstream:
            steps += ["analyse upstream", rate]
        log = own_folder(self._config) / "log"
        with PastaRun(install.root, log, self._config.analysis.pasta_seconds) as run:
            for number, step in enumerate(steps):
                on_progress(step, number, len(steps))
                shadow.caching(now=number == 0)
                run.run(install.command(step.split(), shadow.folder), step)
                if number == 2 and project.thresholds.interactive < accept:
                    _leave_to_a_person(shadow, install)
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


def own_folder(config: Config) -> Path:
    """The folder of what we keep for PaStA: its log and its shadow of the project."""
    return config.d_mbox / OWN_FOLDER / "pasta"


def _whole(path: Path) -> bytes:
    content = read_content(path) or b""
    if content and not content.endswith(b"\n"):
        raise TryAgainLater(
            f"{path} ends within a line: somebody is writing it; if this stays, somebody was"
            " stopped in that: remove it"
        )
    return content


def _without_marked(groups: bytes, project: AnalysisSettings) -> bytes:
    """The groups without those that hold a false positive: PaStA takes apart nothing by itself.

    It looks at the mails of such a group anew, and what is marked stays apart.
    """
    marks = [
        {origin.encode(), other.encode()}
        for file in (OF_MAILS, OF_COMMITS)
        for origin, others in read_false_positives(project.false_positives / file).items()
        for other in others
    ]
    marked = set().union(*marks)
    return b"".join(
        line
        for line in groups.splitlines(keepends=True)
        if marked.isdisjoint(members := set(line.split()))
        or not any(pair <= members for pair in marks)
    )


def _leave_to_a_person(shadow: Shadow, install: PastaInstall) -> None:
    """Put the ratings where PaStA's own `rate`, which can ask, looks for them."""
    evaluation = install.path("EVALUATION_RESULT")
    if evaluation:
        with storing(evaluation):
            make_folder(evaluation.parent)
            fresh = evaluation.with_name(evaluation.name + ".new")
            with suppress(FileNotFoundError):
                shutil.move(shadow.evaluation, fresh)
                fresh.replace(evaluation)


def _demand_all(before: bytes, after: bytes, shadow: Shadow, project: AnalysisSettings) -> None:
    """Raise GiveUp unless the result has each mail of the store that it should have."""
    wanted = shadow.mails(project.since, project.until)
    wanted |= _message_ids(before) & shadow.mails()
    if lost := wanted - _message_ids(after) - shadow.invalid():
        example = min(lost).decode(errors="replace")
        raise GiveUp(
            f"PaStA's result lacks {len(lost)} mails that the store has, {example} for one; the"
            " old groups stay"
        )


def _compared(before: bytes, after: bytes) -> Updated:
    old, new = set(before.splitlines()), set(after.splitlines())
    changed = len(new - old) or len(old - new)
    mails = len(_message_ids(after) - _message_ids(before))
    commits = len(_commits(after) - _commits(before))
    summary = f"{mails:,} new mails; {changed:,} groups changed; {len(new):,} groups"
    if commits:
        summary = f"{commits:,} new commits; {summary}"
    return Updated(groups=changed, mails=mails, commits=commits, summary=summary)


def _message_ids(groups: bytes) -> set[bytes]:
    return {
        message_id
        for line in groups.splitlines()
        for message_id in takewhile(b"=>".__ne__, line.split(b" "))
    }


def _commits(groups: bytes) -> set[bytes]:
    return {
        commit for line in groups.splitlines() for commit in line.partition(b"=> ")[2].split(b" ")
    } - {b""}
