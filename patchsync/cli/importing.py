"""`patchsync import`: take in what `manage.py dumparchive` wrote."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import click
import redis

from patchsync.cli.bars import LINE_SECONDS
from patchsync.cli.import_progress import Bar
from patchsync.cli.output import echo
from patchsync.cli.signals import end_as_by_ctrl_c
from patchsync.config import Config, load
from patchsync.errors import (
    ConfigError,
    GiveUp,
    PatchsyncError,
    ServerUnavailable,
    TryAgainLater,
)
from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.supervisor import Supervisor
from patchsync.imports.archive import Archive
from patchsync.imports.intake import Intake, OpenStore
from patchsync.imports.judge import ProjectMbox, Tally
from patchsync.imports.list_comparison import OnPage
from patchsync.imports.locked_store import LockedStore
from patchsync.imports.which_project import ProjectMatch
from patchsync.patchwork.client import Client
from patchsync.patchwork.rate_limit import RedisRateLimiter
from patchsync.sync.connect import connect
from patchsync.sync.projects import Project, configured
from patchsync.sync.request_count import keep_count

# So many patches that are not in are named, with the reason.
NAMED = 10


@click.command("import")
@click.argument("archives", nargs=-1, type=click.Path(path_type=Path))
@click.option("-p", "--project", metavar="P", help="Only this one; a bare .mbox is of this one.")
@click.option("--dry-run", is_flag=True, help="Count and report; write nothing.")
@click.option(
    "--offline",
    is_flag=True,
    help="Do not ask Patchwork whether it lists what the archive holds, but trust the archive.",
)
@click.option(
    "--patience",
    default=180.0,
    show_default=True,
    help="Seconds without any progress after which it is given up; start it again to go on.",
)
def import_archives(
    archives: tuple[Path, ...], project: str | None, dry_run: bool, offline: bool, patience: float
) -> None:
    """Take in a dumparchive of any size, instead of each mail.

    ARCHIVES are what `manage.py dumparchive` wrote (a tar, gzipped or not) or single .mbox files
    out of it; without any the configuration's initial_archives. Each project in a tar is known by
    its link name.

    The archive is read twice: first all of it is looked through, and held against Patchwork's list,
    a request for 250 patches; then what the store does not have is stored, piece by piece.
    It may be interrupted at any moment: started again it goes on. A fleet, and a sync, may run
    beside it. Mails that are in doubt, such as two that claim one id, come from Patchwork instead.

    Exit status 0 only if all mails of the archive that Patchwork lists are in the store.
    """
    config = load()
    wanted = _wanted(config, archives, project)
    command = _Import(config, dry_run=dry_run, offline=offline, patience=patience)
    try:
        end_as_by_ctrl_c()
        all_in = command.run(wanted)
    except KeyboardInterrupt:
        later = "nothing was written" if dry_run else "the same command goes on"
        echo(f"Interrupted: {later}", err=True)
        all_in = False
    if not all_in:
        sys.exit(1)


class _Wanted(NamedTuple):
    """An archive to take in, and whose it may be."""

    path: Path
    # The projects that it may be of, as the configuration spells them
    keys: list[str]
    # Whether somebody said that it is of these
    chosen: bool


def _wanted(config: Config, archives: tuple[Path, ...], project: str | None) -> list[_Wanted]:
    key = configured(config, project).id if project else None
    keys = [key] if key else [table.id for table in config.projects]
    if archives:
        return [_Wanted(path, keys, key is not None) for path in archives]
    listed = dict.fromkeys(pair for pair in config.initial_archives if pair[0] in keys)
    if not listed:
        raise ConfigError(
            "name an archive, or set initial_archives = [[<project>, <path>]] in [mbox.patchwork]"
        )
    return [_Wanted(path, [of], True) for of, path in listed]


class _Import:
    """The command at work."""

    def __init__(self, config: Config, *, dry_run: bool, offline: bool, patience: float) -> None:
        self._config = config
        self._dry_run = dry_run
        self._patience = patience
        self._offline = offline
        self._client: Client | None = None

    def run(self, wanted: list[_Wanted]) -> bool:
        """All archives, one after the other. Returns whether all is in."""
        openable = [archive for archive in wanted if _opens(archive.path)]
        if not openable:
            return False
        return self._run(openable) and len(openable) == len(wanted)

    def _run(self, wanted: list[_Wanted]) -> bool:
        if self._dry_run:
            return self._take_in_all(wanted, None)
        with Supervisor(self._config) as supervisor:
            supervisor.ensure_redis()
            all_in = self._take_in_all(wanted, self._store_opener(supervisor))
            supervisor.kill()
            supervisor.remove_files()
            return all_in

    def _store_opener(self, supervisor: Supervisor) -> OpenStore:
        client = redis.Redis.from_url(self._config.redis_url, socket_timeout=5)

        def keep_redis() -> None:
            with suppress(GiveUp):  # It may come back; else patience runs out.
                supervisor.ensure_redis()

        return lambda project: LockedStore(
            self._config, project, client, patience=self._patience, keep_redis=keep_redis
        )

    def _take_in_all(self, wanted: list[_Wanted], open_store: OpenStore | None) -> bool:
        """`open_store`: None to write nothing."""
        if not self._offline:
            self._client = connect(self._config)
        all_in = [self._take_in_one(archive, open_store) for archive in wanted]
        return all(all_in)

    def _take_in_one(self, archive: _Wanted, open_store: OpenStore | None) -> bool:
        """One archive. Returns whether all that is in it is in the store."""
        try:
            return self._take_in(archive, open_store)
        except ServerUnavailable as error:
            echo(
                f"Error: {archive.path}: Patchwork does not answer, or may not be asked now: "
                f"{error}; `--offline` does without",
                err=True,
            )
            return False
        except PatchsyncError as error:
            again = "; start it again to go on" if isinstance(error, TryAgainLater) else ""
            echo(f"Error: {error}{again}", err=True)
            return False

    def _take_in(self, archive: _Wanted, open_store: OpenStore | None) -> bool:
        match = ProjectMatch(self._config, archive.keys, self._client, chosen=archive.chosen)
        with ExitStack() as stack:
            inventories = None
            if open_store is None:
                inventories = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            intake = stack.enter_context(
                Intake(self._config, archive.path, match, inventories=inventories)
            )
            self._look_through(intake)
            before = [mbox.tally() for mbox in intake.mboxes]
            _name_others(intake, match.unknown())
            if open_store is None:
                all_in = [
                    _summarize(mbox, tally, offline=self._offline)
                    for mbox, tally in zip(intake.mboxes, before, strict=True)
                ]
                return all(all_in)
            intake.demand_room(before)
            self._store(intake, before, open_store)
            all_in = [
                _summarize(mbox, mbox.tally(), tally, offline=self._offline)
                for mbox, tally in zip(intake.mboxes, before, strict=True)
            ]
            intake.clean_up()
            return all(all_in)

    def _look_through(self, intake: Intake) -> None:
        try:
            with Bar(f"reading {intake.path.name}", intake.size) as bar:
                intake.read(bar.update)
            intake.judge(self._client, _page_line)
        except GiveUp:
            intake.clean_up()
            raise

    def _store(self, intake: Intake, before: list[Tally], open_store: OpenStore) -> None:
        total = sum(tally.new_bytes for tally in before)
        with Bar(f"storing {intake.path.name}", total) as bar:
            intake.store(open_store, bar.update)
        if total:
            self._ask_for_analysis(intake.mboxes[0].project.key)
        if self._client is None:
            return
        for mbox, tally in zip(intake.mboxes, before, strict=True):
            if tally.in_doubt:
                with Bar(f"fetching what is in doubt of {mbox.project.name}", 0) as bar:
                    intake.fetch(mbox, self._client, open_store, bar.update)
        limiter = self._client.limiter
        if isinstance(limiter, RedisRateLimiter):
            for mbox in intake.mboxes:
                with suppress(TryAgainLater):  # Only a note, which the next round makes again.
                    keep_count(mbox.project, limiter)

    def _ask_for_analysis(self, key: str) -> None:
        """Have a fleet beside us take the new mails into the groups, as after each batch."""
        client = redis.Redis.from_url(self._config.redis_url, socket_timeout=5)
        with suppress(redis.RedisError):  # Else beat asks for it.
            alive = Heartbeats(client, self._config.namespace).alive()
            if any(member.service == "analyse" for member in alive):
                # Celery takes half a second to load.
                from kombu.exceptions import OperationalError

                from workers import enqueue

                with suppress(OperationalError):
                    enqueue.analyse(key)


def _opens(path: Path) -> bool:
    """Whether an archive is there and may be read; else says why not."""
    try:
        Archive(path).close()
    except GiveUp as error:
        echo(f"Error: {error}", err=True)
        return False
    return True


def _name_others(intake: Intake, unknown: str | None) -> None:
    """Name the mboxes that are left alone; `unknown`: see `ProjectMatch.unknown`."""
    known = "project whose place is known" if unknown else "configured project"
    for name in intake.others:
        echo(f"{intake.path}: {name}.mbox is of no {known}; left alone")
    if unknown and intake.others:
        echo(f"{intake.path}: {unknown}")


def _page_line(project: Project) -> OnPage:
    """Prints a line now and then of how far the comparison with a project's list is.

    Where there was one, the last page has its own.
    """
    next_line = time.monotonic() + LINE_SECONDS
    begun = False

    def on_page(seen: int, pages: int) -> None:
        nonlocal next_line, begun
        if time.monotonic() > next_line or (begun and seen == pages):
            next_line = time.monotonic() + LINE_SECONDS
            begun = True
            echo(f"{project.name}: compared with {seen} of {pages} pages of Patchwork's list")

    return on_page


def _summarize(
    mbox: ProjectMbox, now: Tally, before: Tally | None = None, *, offline: bool
) -> bool:
    """Say what became of a project's mails, or would. Returns whether all are in."""
    name = mbox.project.name
    later = "in doubt, left to the next sync" if before or offline else "to fetch, being in doubt"
    numbers = [
        (now.stored - before.stored if before else 0, "stored"),
        (0 if before else now.new, f"to store ({now.new_bytes / 1e6:.1f} MB)"),
        (before.stored if before else now.stored, "known already"),
        (now.quarantined, "quarantined"),
        (now.not_listed, "not listed by Patchwork, left out"),
        (now.in_doubt, later),
        (now.new if before else 0, "not stored: start it again"),
    ]
    summary = ", ".join(f"{number} {what}" for number, what in numbers if number)
    echo(f"{name}: {now.mails} mails in the archive: {summary or 'none'}")
    to_be_fetched = not before and not offline
    reasons = (
        reason for reason in mbox.reasons() if not (to_be_fetched and reason.verdict == "in doubt")
    )
    for reason in islice(reasons, NAMED):
        echo(f"  {name}: patch {reason.patch_id}: {reason.text}")
    more = sum(1 for _ in reasons)
    if more:
        echo(f"  {name}: ... and {more} more")
    left = now.in_doubt and not to_be_fetched
    return not (now.quarantined or left or (before and now.new))
