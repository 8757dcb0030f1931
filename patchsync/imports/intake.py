"""One archive on its way into the store: read and judged, then fed to the index workers.

Started again after a kill it finds in the store what is done. Two at once of one project are
refused, so that the spool has one owner.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from patchsync.archive.plan import Plan
from patchsync.archive.scan import scan
from patchsync.archive.source import Archive, ArchiveFault
from patchsync.config import Config
from patchsync.errors import GiveUp, LockHeld
from patchsync.imports.cutting import PIECE_BYTES, pieces
from patchsync.imports.feed import Feed, Progress
from patchsync.imports.matching import Projects
from patchsync.imports.part import Part, Tally, Tell
from patchsync.imports.storing import spool_of
from patchsync.store.expected import expect
from patchsync.store.lock import store_lock
from patchsync.store.record import halted
from patchsync.sync.compare import Remote
from patchsync.sync.projects import Project, settle


class Intake:
    """An archive and what of it belongs to the projects that are wanted; a context."""

    def __init__(
        self, config: Config, path: Path, projects: Projects, *, plans: Path | None = None
    ) -> None:
        """Open the archive.

        Args:
            config: the configuration.
            path: the archive.
            projects: those that are wanted.
            plans: where to keep what is found; without it beside the store, which then is locked
                against other imports.

        Raises:
            ArchiveFault: it cannot be opened.
        """
        self.path = path
        # What was found in it, in the order of the archive
        self.parts: list[Part] = []
        # Other projects' mboxes
        self.others: list[str] = []
        self.bare = False
        self._config = config
        self._projects = projects
        self._plans = plans
        self._stack = ExitStack()
        self._archive = self._stack.enter_context(Archive(path))
        self.identity = self._archive.identity()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def size(self) -> int:
        """Bytes of the archive's file."""
        return self._archive.size

    def read(self) -> Iterator[Progress]:
        """Find all mails; yields now and then how many, and how much of the file that was.

        Raises:
            ArchiveFault: it is damaged, or none of it belongs to a wanted project.
            GiveUp: another import of one of its projects is under way.
        """
        mails = 0
        for member in self._archive.members():
            self.bare = member.link_name is None
            site = self._projects.site_of(member.link_name, self.path)
            if site is None:
                self.others.append(member.link_name or "")
                continue
            if any(part.site.paths == site.paths for part in self.parts):
                raise ArchiveFault(
                    f"{self.path} has more than one mbox that may be of {site.name}; unpack the "
                    "right one and name it"
                )
            reason = halted(site.paths)
            if reason:
                raise GiveUp(f"{site.name} is halted: {reason} See `patchsync status`")
            part = self._part(site)
            self.parts.append(part)
            if not part.plan.complete:
                for found in part.plan.fill(scan(member.read, name=member.name)):
                    yield Progress(mails + found, self._archive.position)
            mails += len(part.plan)
            yield Progress(mails, self._archive.position)
        if not self.parts:
            unknown = self._projects.unknown() if self.others else None
            raise ArchiveFault(
                f"{self.path} holds {', '.join(self.others) or 'no project'}; "
                f"{unknown or f'none of {self._projects.names()}'}"
            )

    def judge(
        self, remote_of: Callable[[Project], Remote] | None, tell: Callable[[Project], Tell]
    ) -> None:
        """Find out what is in doubt, by the server's list where there is `remote_of`.

        `tell`: whom to tell how far that is, see `Part.judge`.

        Raises:
            GiveUp: it is another project's archive.
        """
        for part in self.parts:
            remote = remote_of(part.site) if remote_of else None
            part.judge(remote, bare=self.bare, tell=tell(part.site))

    def demand_room(self, tallies: Iterable[Tally]) -> None:
        """See that the store's disk has room for all that is new, and for what waits meanwhile.

        `tallies`: of the parts.

        Raises:
            GiveUp: it has not.
        """
        needed = files = new_bytes = 0
        for each in tallies:
            needed += each.disk_bytes
            files += each.new
            new_bytes += each.new_bytes
        needed += min(self._config.imports.spool_bytes, new_bytes)
        d_mbox = self._config.d_mbox
        folder = next(each for each in (d_mbox, *d_mbox.parents) if each.exists())
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise GiveUp(
                f"{folder}: {self.path} needs {needed / 2**30:.2f} GiB there, and "
                f"{free / 2**30:.2f} GiB are free; free some, or lower [import] spool_bytes"
            )
        inodes = os.statvfs(folder)
        if inodes.f_files and inodes.f_favail < files:
            raise GiveUp(
                f"{folder}: {self.path} needs {files} files there, and the file system has "
                f"{inodes.f_favail} inodes left"
            )

    def store(self, feed_of: Callable[[Part], Feed]) -> Iterator[Progress]:
        """Have all that is new stored; yields what is done, often.

        Raises:
            GiveUp: an index worker cannot go on.
            TryAgainLater: nothing was stored for too long.
            ArchiveFault: the archive changed since it was read.
        """
        most = min(PIECE_BYTES, self._config.imports.spool_bytes // 4)
        done = Progress()
        with Archive(self.path) as archive:
            if archive.identity() != self.identity:
                raise ArchiveFault(f"{self.path} was changed meanwhile; start again")
            # All at once: nobody fetches a project's mails while another's are stored.
            for each in self.parts:
                settle(self._config, each.site)
                expect(each.site.paths, each.plan.certain_ids())
            for member in archive.members():
                site = self._projects.site_of(member.link_name, self.path)
                part = next((each for each in self.parts if each.site == site), None)
                if part is None:
                    continue
                part.spool.clear()
                now = Progress()
                for now in feed_of(part).run(pieces(part, member, most)):
                    yield Progress(done.mails + now.mails, done.bytes + now.bytes)
                done = Progress(done.mails + now.mails, done.bytes + now.bytes)

    def clean_up(self) -> None:
        """Remove what was needed on the way; to be called when it is through, or refused."""
        for part in self.parts:
            part.plan.remove()
            part.spool.remove_all()
            if self._plans is None:
                paths = part.site.paths
                with suppress(OSError):  # Another archive's may be there, of an import killed.
                    paths.expected.unlink(missing_ok=True)
                    paths.import_lock.unlink(missing_ok=True)
                    # The others only where nothing was ever stored.
                    for folder in (paths.imports, paths.own, paths.own.parent):
                        folder.rmdir()

    def _part(self, site: Project) -> Part:
        folder = self._plans or site.paths.imports
        if self._plans is None:
            try:
                self._stack.enter_context(store_lock(site.paths.import_lock, wait=1))
            except LockHeld as error:
                raise GiveUp(f"another import of {site.name} is under way; wait for it") from error
        plan = self._stack.enter_context(Plan(folder / f"{self.identity}.{site.key}.plan"))
        return Part(self._config, site, plan, spool_of(site.paths, self.identity))
