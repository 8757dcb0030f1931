"""Made-up mboxes, a configuration with one project, and a Patchwork that lists what it is told."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from patchsync.config import Config, load
from patchsync.imports.archive import Archive, ArchiveMember
from patchsync.imports.inventory import Inventory
from patchsync.imports.judge import ProjectMbox
from patchsync.imports.scan import scan
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import parse_mail
from patchsync.patchwork.paging import Answer, Page
from patchsync.store.writer import StoreWriter
from patchsync.sync.projects import Project, locate_project_offline, settle


def rendered(number: int, size: int = 0, message_id: str | None = None) -> bytes:
    """A mail as the API serves it; those of ascending numbers below 60 are in order of date."""
    head = (
        f"From patchwork Mon Apr 29 08:54:{number % 60:02} 2019\n"
        f"X-Patchwork-Id: {number}\n"
        f"Message-Id: {message_id or f'<{number}@example.org>'}\n\n"
    )
    return head.encode() + b"x" * max(size - len(head) - 1, 1) + b"\n"


def mbox_of(*mails: bytes) -> bytes:
    """As a dumparchive has them."""
    return b"".join(mail + b"\n" for mail in mails)


def config_in(folder: Path, tables: str = "") -> Config:
    """A configuration for the project 1, whose list is known."""
    file = folder / "patchsync.toml"
    project = 'projects = [{ id = 1, list_email = "list@example.org" }]'
    file.write_text(
        f'[mbox.patchwork]\nurl = "https://patchwork.example.org"\n{project}\n{tables}\n'
    )
    return load(file)


def project_in(config: Config) -> Project:
    """The place of its project, called `sample`."""
    project = locate_project_offline(config, "1", "sample")
    settle(config, project)
    return project


def store(project: Project, *mails: bytes, quarantined: tuple[tuple[int, str], ...] = ()) -> None:
    """Have these in the store."""
    with StoreWriter(project.paths) as writer:
        writer.apply(FetchResult(mails=tuple(map(parse_mail, mails)), quarantined=quarantined))


@contextmanager
def project_mbox_of(config: Config, mbox: bytes) -> Iterator[ProjectMbox]:
    """The project's mbox, its mails in the inventory; not judged."""
    project = project_in(config)
    with Inventory(project.paths.imports / "inventory") as inventory:
        for _ in inventory.fill(scan(io.BytesIO(mbox).read)):
            pass
        yield ProjectMbox(config, project, inventory)


@contextmanager
def member_of(folder: Path, mbox: bytes) -> Iterator[ArchiveMember]:
    """The mbox as it is read from a file."""
    file = folder / "some.mbox"
    file.write_bytes(mbox)
    with Archive(file) as archive:
        yield next(archive.members())


class FakeRemote:
    """A project that lists these patches: ids and message-ids."""

    def __init__(self, patches: Mapping[int, str]) -> None:
        self.patches = dict(patches)
        self.pages = 0
        self.there = True

    def newest(self, *, few: bool = False) -> tuple[int | None, int]:
        return max(self.patches, default=None), len(self.patches)

    def exists(self) -> bool:
        return self.there

    def list_page(self, page: Page) -> Answer | None:
        self.pages += 1
        ids = sorted(self.patches, reverse=page.order == "-id")
        start = (page.page - 1) * page.per_page
        if start and start >= len(ids):
            return None
        entries = [(each, self.patches[each]) for each in ids[start : start + page.per_page]]
        return Answer(page, tuple(entries), last=start + page.per_page >= len(ids))


def listing(*numbers: int) -> FakeRemote:
    """A project with these patches, under the message-ids of `rendered`."""
    return FakeRemote({number: f"<{number}@example.org>" for number in numbers})
