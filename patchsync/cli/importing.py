"""`patchsync import`: take in what `manage.py dumparchive` wrote."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import click
import redis

from patchsync.archive.source import Archive
from patchsync.cli.import_progress import LINE_SECONDS, Bar
from patchsync.cli.signals import end_as_by_ctrl_c
from patchsync.config import Config, load
from patchsync.errors import (
    ConfigError,
    GiveUp,
    PatchsyncError,
    ServerUnavailable,
    TryAgainLater,
)
from patchsync.fleet.missing_services import MissingServices
from patchsync.fleet.supervisor import Supervisor
from patchsync.fleet.trouble import last_trouble
from patchsync.imports.feed import Enqueue, Feed, Progress
from patchsync.imports.fetching import fetch
from patchsync.imports.intake import Intake
from patchsync.imports.matching import Projects
from patchsync.imports.part import Part, Tally
from patchsync.patchwork.client import Client, ProjectRemote
from patchsync.sync.connect import connect
from patchsync.sync.projects import Project, configured

# So many patches that are not in are named, with the reason.
NAMED = 10
DOUBT_PATIENCE_SECONDS = 60.0


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
    """Take in archives of `manage.py dumparchive`, of any size, instead of fetching each mail.

    ARCHIVES are what it wrote (a tar, gzipped or not) or single .mbox files out of it; without any
    the configuration's initial_archives. Each project in a tar is known by its link name.

    The archive is read twice: first all of it is looked through, and held against Patchwork's list,
    a request for 250 patches; then what the store does not have goes through the index workers.
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
        click.echo(f"patchsync: interrupted; {later}", err=True)
        all_in = False
    if not all_in:
        sys.exit(1)


def _wanted(
    config: Config, archives: tuple[Path, ...], project: str | None
) -> list[tuple[Path, list[str], bool]]:
    """Each archive, the projects that it may be of, and whether somebody said so."""
    key = configured(config, project).id if project else None
    keys = [key] if key else [table.id for table in config.projects]
    if archives:
        return [(path, keys, key is not None) for path in archives]
    listed = dict.fromkeys(pair for pair in config.initial_archives if pair[0] in keys)
    if not listed:
        raise ConfigError(
            "name an archive, or set initial_archives = [[<project>, <path>]] in [mbox.patchwork]"
        )
    return [(path, [each], True) for each, path in listed]


@dataclass
class _Workers:
    """Who stores the mails, and how they are told."""

    vacancies: MissingServices
    enqueue: Enqueue


class _Import:
    """The command at work."""

    def __init__(self, config: Config, *, dry_run: bool, offline: bool, patience: float) -> None:
        self._config = config
        self._dry_run = dry_run
        self._patience = patience
        self._offline = offline
        self._client: Client | None = None
        self._workers: _Workers | None = None
        self._stored = False

    def run(self, wanted: list[tuple[Path, list[str], bool]]) -> bool:
        """All archives, one after the other. Returns whether all is in."""
        there = [each for each in wanted if _opens(each[0])]
        if not there:
            return False
        return self._run(there) and len(there) == len(wanted)

    def _run(self, wanted: list[tuple[Path, list[str], bool]]) -> bool:
        if self._dry_run:
            return self._take_in_all(wanted)
        with Supervisor(self._config) as fleet:
            vacancies = MissingServices(self._config, fleet, ["index"])
            # Celery takes half a second to load: the workers do so at the same time.
            from workers import ad_hoc

            self._workers = _Workers(vacancies, ad_hoc.enqueue)
            all_in = self._take_in_all(wanted)
            if all_in or not self._stored:
                fleet.kill()  # They idle; to ask them politely takes seconds.
                fleet.remove_files()
            elif fleet.logs():
                click.echo("what the workers said: " + " ".join(map(str, fleet.logs())), err=True)
            return all_in

    def _take_in_all(self, wanted: list[tuple[Path, list[str], bool]]) -> bool:
        if not self._offline:
            self._client = connect(self._config)
        all_in = [self._take_in_one(path, keys, chosen) for path, keys, chosen in wanted]
        return all(all_in)

    def _take_in_one(self, path: Path, keys: list[str], chosen: bool) -> bool:
        """One archive. Returns whether all that is in it is in the store."""
        try:
            return self._take_in(path, keys, chosen)
        except ServerUnavailable as error:
            click.echo(
                f"patchsync: {path}: Patchwork does not answer, or may not be asked now: {error}; "
                "`--offline` does without",
                err=True,
            )
            return False
        except PatchsyncError as error:
            again = "; start it again to go on" if isinstance(error, TryAgainLater) else ""
            click.echo(f"patchsync: {error}{again}", err=True)
            return False

    def _take_in(self, path: Path, keys: list[str], chosen: bool) -> bool:
        projects = Projects(self._config, keys, self._client, chosen=chosen)
        with ExitStack() as stack:
            plans = None
            if self._dry_run:
                plans = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            intake = stack.enter_context(Intake(self._config, path, projects, plans=plans))
            self._look_through(intake)
            before = [part.tally() for part in intake.parts]
            unknown = projects.unknown()
            known = "project whose place is known" if unknown else "configured project"
            for name in intake.others:
                click.echo(f"{path}: {name}.mbox is of no {known}; left alone")
            if unknown and intake.others:
                click.echo(f"{path}: {unknown}")
            if self._workers is None:
                all_in = [
                    _tell(part, tally, offline=self._offline)
                    for part, tally in zip(intake.parts, before, strict=True)
                ]
                return all(all_in)
            intake.demand_room(before)
            self._store(intake, before, self._workers)
            all_in = [
                _tell(part, part.tally(), tally, offline=self._offline)
                for part, tally in zip(intake.parts, before, strict=True)
            ]
            intake.clean_up()
            return all(all_in)

    def _look_through(self, intake: Intake) -> None:
        try:
            with Bar(f"reading {intake.path.name}", intake.size) as bar:
                for progress in intake.read():
                    bar.update(progress)
                    self._tend()
            client = self._client
            remote_of = (lambda site: ProjectRemote(client, site.key)) if client else None
            intake.judge(remote_of, _tell_pages)
        except GiveUp:
            intake.clean_up()
            raise

    def _store(self, intake: Intake, before: list[Tally], workers: _Workers) -> None:
        self._stored = True
        total = sum(tally.new_bytes for tally in before)
        with Bar(f"storing {intake.path.name}", total) as bar:
            for progress in intake.store(self._feed_of(intake, workers)):
                bar.update(progress)
                self._tend()
        if self._client is None:
            return
        for part in intake.parts:
            ids = part.to_fetch()
            if ids:
                workers.vacancies.need("fetch")
                with Bar(f"fetching what is in doubt of {part.site.name}", 0) as bar:
                    for left in fetch(part.site, ids, workers.enqueue, DOUBT_PATIENCE_SECONDS):
                        bar.update(Progress(len(ids) - left))
                        self._tend()

    def _feed_of(self, intake: Intake, workers: _Workers) -> Callable[[Part], Feed]:
        client = redis.Redis.from_url(self._config.redis_url, socket_timeout=5)

        def feed_of(part: Part) -> Feed:
            key = part.site.key
            return Feed(
                part.spool,
                workers.enqueue,
                partial(last_trouble, client, self._config.namespace, key),
                archive=intake.identity,
                project=key,
                spool_bytes=self._config.imports.spool_bytes,
                patience=self._patience,
            )

        return feed_of

    def _tend(self) -> None:
        if self._workers:
            self._workers.vacancies.fill()


def _opens(path: Path) -> bool:
    """Whether an archive is there and may be read; else says why not."""
    try:
        Archive(path).close()
    except GiveUp as error:
        click.echo(f"patchsync: {error}", err=True)
        return False
    return True


def _tell_pages(site: Project) -> Callable[[int, int], None]:
    """A line now and then of how far the comparison with a project's list is.

    Where there was one, the last page has its own.
    """
    next_line = time.monotonic() + LINE_SECONDS
    told = False

    def tell(seen: int, pages: int) -> None:
        nonlocal next_line, told
        if time.monotonic() > next_line or (told and seen == pages):
            next_line = time.monotonic() + LINE_SECONDS
            told = True
            click.echo(f"{site.name}: compared with {seen} of {pages} pages of Patchwork's list")

    return tell


def _tell(part: Part, now: Tally, before: Tally | None = None, *, offline: bool) -> bool:
    """Say what became of a project's mails, or would. Returns whether all are in."""
    later = "in doubt, left to the next sync" if before or offline else "to fetch, being in doubt"
    numbers = [
        (now.known - before.known if before else 0, "stored"),
        (0 if before else now.new, f"to store ({now.new_bytes / 1e6:.1f} MB)"),
        (before.known if before else now.known, "known already"),
        (now.quarantined, "quarantined"),
        (now.not_listed, "not listed by Patchwork, left out"),
        (now.in_doubt, later),
        (now.new if before else 0, "not stored: start it again"),
    ]
    told = ", ".join(f"{number} {what}" for number, what in numbers if number)
    click.echo(f"{part.site.name}: {now.mails} mails in the archive: {told or 'none'}")
    asked_for = not before and not offline
    reasons = (each for each in part.reasons() if not (asked_for and each.verdict == "in doubt"))
    for reason in islice(reasons, NAMED):
        click.echo(f"  {part.site.name}: patch {reason.patch_id}: {reason.text}")
    more = sum(1 for _ in reasons)
    if more:
        click.echo(f"  {part.site.name}: ... and {more} more")
    left = now.in_doubt and not asked_for
    return not (now.quarantined or left or (before and now.new))
