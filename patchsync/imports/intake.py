"""One archive on its way into the store: scanned, judged, stored; what is in doubt is fetched.

Started again after a kill it finds in the store what is done. Two at once of one project are
refused.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, Self

from patchsync.config import Config
from patchsync.errors import GiveUp, LockHeld, ServerUnavailable
from patchsync.imports.archive import Archive, ArchiveFault, ArchiveMember
from patchsync.imports.inventory import Inventory
from patchsync.imports.judge import ProjectMbox, Tally
from patchsync.imports.list_comparison import OnPage
from patchsync.imports.locked_store import LockedStore
from patchsync.imports.new_mails import batches
from patchsync.imports.scan import scan
from patchsync.imports.which_project import ProjectMatch
from patchsync.patchwork.client import Client, ProjectRemote
from patchsync.patchwork.download import Limits
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.expected import expect
from patchsync.store.halt import halted
from patchsync.store.lock import store_lock
from patchsync.sync.fetch import fetch_patches
from patchsync.sync.projects import Project, settle

# A piece is stored at once: long, for what each costs to make durable; short, for who waits for the
# store meanwhile, and for what is done again after a kill. It is read batch by batch, one of which
# is in memory. A piece has at most half of [import] spool_bytes: by default 64 MiB, 4 at a time.
_BATCHES_IN_PIECE = 16
# Patches in doubt that are asked for at a time
_FETCHED_AT_ONCE = 20
# So long a Patchwork that does not answer is asked again; the next sync fetches what is left.
_FETCH_PATIENCE_SECONDS = 60.0
_ASK_AGAIN_SECONDS = 2.0

# Opens the store of a project.
OpenStore = Callable[[Project], LockedStore]


class ImportProgress(NamedTuple):
    """How much is done."""

    mails: int = 0
    bytes: int = 0

    def plus(self, result: FetchResult) -> ImportProgress:
        """With the mails of `result`."""
        return ImportProgress(
            self.mails + len(result.mails) + len(result.quarantined),
            self.bytes + sum(len(mail.content) for mail in result.mails),
        )


OnProgress = Callable[[ImportProgress], object]


class Intake:
    """An archive, and the mboxes in it that belong to the projects that are wanted; a context."""

    def __init__(
        self, config: Config, path: Path, match: ProjectMatch, *, inventories: Path | None = None
    ) -> None:
        """Open the archive.

        Args:
            config: the configuration.
            path: the archive.
            match: the projects that are wanted.
            inventories: where to keep what is found; without it beside the store, which then is
                locked against other imports.

        Raises:
            ArchiveFault: it cannot be opened.
        """
        self.path = path
        # Those of wanted projects, in the order of the archive
        self.mboxes: list[ProjectMbox] = []
        # Link names of the others
        self.others: list[str] = []
        self._bare = False
        self._config = config
        self._match = match
        self._inventories = inventories
        self._stack = ExitStack()
        self._archive = self._stack.enter_context(Archive(path))
        self._identity = self._archive.identity()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def size(self) -> int:
        """Bytes of the archive's file."""
        return self._archive.size

    def read(self, on_progress: OnProgress) -> None:
        """Find all mails; `on_progress` is told of them, and how much of the file that was.

        Raises:
            ArchiveFault: it is damaged, or none of it belongs to a wanted project.
            GiveUp: another import of one of its projects is under way.
        """
        mails = 0
        for member in self._archive.members():
            self._bare = member.link_name is None
            project = self._match.project_of(member.link_name, self.path)
            if project is None:
                self.others.append(member.link_name or "")
                continue
            if any(mbox.project.paths == project.paths for mbox in self.mboxes):
                raise ArchiveFault(
                    f"{self.path} has more than one mbox that may be of {project.name}; unpack the "
                    "right one and name it"
                )
            reason = halted(project.paths)
            if reason:
                raise GiveUp(f"{project.name} is halted: {reason} See `patchsync status`")
            inventory = self._inventory(project)
            self.mboxes.append(ProjectMbox(self._config, project, inventory))
            if not inventory.complete:
                for count in inventory.fill(scan(member.read, name=member.name)):
                    on_progress(ImportProgress(mails + count, self._archive.position))
            mails += len(inventory)
            on_progress(ImportProgress(mails, self._archive.position))
        if not self.mboxes:
            unknown = self._match.unknown() if self.others else None
            raise ArchiveFault(
                f"{self.path} holds {', '.join(self.others) or 'no project'}; "
                f"{unknown or f'none of {self._match.names()}'}"
            )

    def judge(self, client: Client | None, on_page: Callable[[Project], OnPage]) -> None:
        """Find out what is in doubt, by Patchwork's list where there is a `client`.

        `on_page`: for a project, what is told how many pages of its list were seen.

        Raises:
            GiveUp: it is another project's archive.
        """
        for mbox in self.mboxes:
            remote = ProjectRemote(client, mbox.project.key) if client else None
            mbox.judge(remote, bare=self._bare, on_page=on_page(mbox.project))

    def demand_room(self, tallies: Iterable[Tally]) -> None:
        """See that the store's disk has room for all that is new.

        `tallies`: of the mboxes.

        Raises:
            GiveUp: it has not.
        """
        needed = files = 0
        for tally in tallies:
            needed += tally.disk_bytes
            files += tally.new
        d_mbox = self._config.d_mbox
        folder = next(path for path in (d_mbox, *d_mbox.parents) if path.exists())
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise GiveUp(
                f"{folder}: {self.path} needs {needed / 2**30:.2f} GiB there, and "
                f"{free / 2**30:.2f} GiB are free; free some"
            )
        inodes = os.statvfs(folder)
        if inodes.f_files and inodes.f_favail < files:
            raise GiveUp(
                f"{folder}: {self.path} needs {files} files there, and the file system has "
                f"{inodes.f_favail} inodes left"
            )

    def store(self, open_store: OpenStore, on_progress: OnProgress) -> None:
        """Store all that is new.

        Raises:
            GiveUp: a project is halted, or its store is damaged.
            TryAgainLater: the disk is full, or the store was not to be had for too long.
            ArchiveFault: the archive changed since it was read.
        """
        batch_bytes = self._config.imports.spool_bytes // (2 * _BATCHES_IN_PIECE)
        done = ImportProgress()

        def counted(results: Iterator[FetchResult]) -> Iterator[FetchResult]:
            nonlocal done
            for result in results:
                yield result
                done = done.plus(result)
                on_progress(done)

        with Archive(self.path) as archive:
            if archive.identity() != self._identity:
                raise ArchiveFault(f"{self.path} was changed meanwhile; start again")
            # All at once: nobody fetches a project's mails while another's are stored.
            for mbox in self.mboxes:
                settle(self._config, mbox.project)
                expect(mbox.project.paths, mbox.inventory.certain_ids())
            for member in archive.members():
                if wanted := self._mbox_of(member):
                    with open_store(wanted.project) as store:
                        results = counted(batches(wanted, member, batch_bytes))
                        for first in results:
                            store.store(chain([first], islice(results, _BATCHES_IN_PIECE - 1)))

    def fetch(
        self, mbox: ProjectMbox, client: Client, open_store: OpenStore, on_progress: OnProgress
    ) -> None:
        """Have what is in doubt from Patchwork, patch by patch.

        What is not to be had now is left to the next sync.

        Raises:
            GiveUp: Patchwork, or the store, does not let us.
            TryAgainLater: the disk is full, or the store was not to be had for too long.
        """
        asked = 0
        ids = iter(mbox.ids_to_fetch())
        with open_store(mbox.project) as store:
            while some := list(islice(ids, _FETCHED_AT_ONCE)):
                deadline = time.monotonic() + _FETCH_PATIENCE_SECONDS
                while not self._fetched(some, mbox.project.key, client, store):
                    if time.monotonic() > deadline:
                        return
                    time.sleep(_ASK_AGAIN_SECONDS)
                asked += len(some)
                on_progress(ImportProgress(asked))

    def _fetched(self, ids: list[int], key: str, client: Client, store: LockedStore) -> bool:
        """Fetch and store these patches; False where Patchwork cannot be asked now."""
        limits = Limits.of(self._config)
        try:
            # One by one: the store is nobody's while we wait for Patchwork.
            for result in fetch_patches(client, key, ids, limits, lease=""):
                store.store([result])
        except ServerUnavailable:
            return False
        return True

    def clean_up(self) -> None:
        """Remove what was needed on the way; to be called when it is through, or refused."""
        for mbox in self.mboxes:
            mbox.inventory.remove()
            if self._inventories is None:
                paths = mbox.project.paths
                with suppress(OSError):  # Another archive's may be there, of an import killed.
                    paths.expected.unlink(missing_ok=True)
                    paths.import_lock.unlink(missing_ok=True)
                    # The others only where nothing was ever stored.
                    for folder in (paths.imports, paths.own, paths.own.parent):
                        folder.rmdir()

    def _mbox_of(self, member: ArchiveMember) -> ProjectMbox | None:
        project = self._match.project_of(member.link_name, self.path)
        return next((mbox for mbox in self.mboxes if mbox.project == project), None)

    def _inventory(self, project: Project) -> Inventory:
        folder = self._inventories or project.paths.imports
        if self._inventories is None:
            try:
                self._stack.enter_context(store_lock(project.paths.import_lock, wait=1))
            except LockHeld as error:
                raise GiveUp(
                    f"another import of {project.name} is under way; wait for it"
                ) from error
            _remove_leftovers(folder)
        file = folder / f"{self._identity}.{project.key}.inventory"
        return self._stack.enter_context(Inventory(file))


def _remove_leftovers(folder: Path) -> None:
    """Remove what an import by an earlier version left: the archive has it all."""
    for spool in folder.glob("*.spool"):
        shutil.rmtree(spool, ignore_errors=True)
    for plan in folder.glob("*.plan*"):
        plan.unlink(missing_ok=True)
