"""A store of made-up mails, and its catalog."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from email.utils import formatdate
from pathlib import Path

from patchsync.config import Config, load
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.catalog_file import catalog_path
from patchsync.revisions.catch_up import catch_up
from patchsync.store.layout import ContainerPaths, IndexEntry, format_line
from patchsync.store.mails import md5_of
from patchsync.sync.projects import place_project, settle

DAY = 24 * 60 * 60
# Noon of 2020-09-13, the day of all mails in the index
BEGAN = 1_600_000_000
INDEX_DAY = "2020/09/13"
NAMES = {1: "sample", 2: "other"}


def name(number: int | str) -> str:
    """A message-id."""
    return f"<{number}@example.org>"


def mail(
    subject: str = "[PATCH] a change",
    *,
    author: str = "A <a@example.org>",
    at: float = 0,
    files: Iterable[str] = ("a.c",),
    answers: Iterable[int | str] = (),
    body: str = "",
    headers: str = "",
) -> bytes:
    """A mail; `at`: seconds since `BEGAN`; `answers`: the first of the thread first."""
    lines = [f"From: {author}", f"Subject: {subject}", f"Date: {formatdate(BEGAN + at)}"]
    if thread := [name(each) for each in answers]:
        lines += [f"In-Reply-To: {thread[-1]}", f"References: {' '.join(thread)}"]
    diff = "".join(
        f"diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n@@ -1 +1 @@\n-a\n+b\n"
        for file in files
    )
    return ("\n".join(lines) + f"\n{headers}\n{body}\n---\n{diff}").encode()


class FakeStore:
    """A store of two projects in a folder of its own."""

    def __init__(self, folder: Path, tables: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._tables = tables
        file = folder / "patchsync.toml"
        file.write_text(
            '[mbox.patchwork]\nurl = "https://patchwork.example.org"\n'
            f"project_ids = [1, 2]\n{tables}"
        )
        self.config: Config = load(file)
        for table in self.config.projects:
            number = int(table.id)
            listaddr = f"{NAMES[number]}@example.org"
            project = place_project(self.config, table, number, NAMES[number], listaddr)
            settle(self.config, project)

    def paths(self, project: int = 1) -> ContainerPaths:
        """The files of a project."""
        listaddr = f"{NAMES[project]}@example.org"
        return ContainerPaths(d_mbox=self.config.d_mbox, listaddr=listaddr, project_id=project)

    def put(
        self, patch_id: int, raw: bytes, message_id: str | None = None, project: int = 1
    ) -> None:
        """Have a mail in the store, too."""
        paths = self.paths(project)
        entry = IndexEntry(patch_id, INDEX_DAY, message_id or name(patch_id), md5_of(raw))
        file = paths.mail(entry.date, entry.md5)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(raw)
        paths.index.parent.mkdir(parents=True, exist_ok=True)
        with paths.index.open("ab") as index:
            index.write(format_line(entry))

    def take_out(self, patch_id: int, project: int = 1) -> None:
        """Remove a line of an index, as an operator does."""
        index = self.paths(project).index
        kept = [
            line
            for line in index.read_bytes().splitlines(keepends=True)
            if not line.endswith(b" %d\n" % patch_id)
        ]
        index.write_bytes(b"".join(kept))

    def set_gone(self, *patch_ids: int, project: int = 1) -> None:
        """Have Patchwork list these no more."""
        self.paths(project).gone.write_text("".join(f"{each}\n" for each in sorted(patch_ids)))

    def group(self, *groups: str) -> None:
        """Have patch-groups say this; a line names mails by what `name` takes."""
        lines = []
        for group in groups:
            before, arrow, commits = group.partition("=>")
            names = " ".join(map(name, before.split()))
            lines.append(" ".join(filter(None, [names, arrow, commits.strip()])) + "\n")
        self.config.patch_groups.parent.mkdir(parents=True, exist_ok=True)
        self.config.patch_groups.write_text("".join(lines))

    def catalog(self) -> Catalog:
        """The catalog, brought up to date."""
        assert catch_up(self.config)
        return Catalog.open(self.config)

    def scratch(self) -> Catalog:
        """A catalog that is made in one go, of a copy of the store."""
        folder = self.folder.with_name(f"{self.folder.name}-scratch")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.folder, folder)
        fresh = FakeStore(folder, self._tables)
        catalog_path(fresh.config).unlink(missing_ok=True)
        return fresh.catalog()
