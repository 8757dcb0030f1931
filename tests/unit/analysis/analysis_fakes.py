"""Made-up patches as mails in a store of their own, and the builtin engine over it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

from patchsync.analysis.builtin.cache import PatchCache
from patchsync.analysis.builtin.child import InHand
from patchsync.analysis.engine import OnProgress, Updated
from patchsync.analysis.update import open_engine
from patchsync.config import Config, load
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.layout import ContainerPaths
from patchsync.store.writer import StoreWriter

WORDS = 24
DAY = 24 * 60 * 60
_EPOCH = 1_600_000_000
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class FakeMail:
    """A mail to be stored."""

    patch_id: int
    message_id: str
    date: str
    content: bytes


def code(topic: int = 0, changed: Iterable[int] = ()) -> list[str]:
    """Lines of one word each, which `topic` tells; those at `changed` are others.

    By the usual thresholds, and with equal messages, up to 7 other words are the same patch.
    """
    lines = [
        f"{_LETTERS[at]}{hashlib.md5(b'%d %d' % (topic, at)).hexdigest()[:7]}"
        for at in range(WORDS)
    ]
    for at in changed:
        lines[at] = f"{_LETTERS[at]}{'zyxwvut'}"
    return lines


def patch_text(
    subject: str, lines: Iterable[str], *, file: str = "a.c", body: str = "It does a thing."
) -> str:
    """Subject, message and diff, as behind the headers of a mail, with one file of insertions."""
    added = [f"+{line}" for line in lines]
    diff = [f"diff --git a/{file} b/{file}", f"--- a/{file}", f"+++ b/{file}"]
    diff += [f"@@ -1,0 +1,{len(added)} @@", *added]
    return "\n".join([f"Subject: [PATCH] {subject}", "", body, "", "---", *diff, "-- ", "2.30"])


def mail(
    patch_id: int,
    text: str | None = None,
    *,
    message_id: str | None = None,
    date: str = "2020/01/01",
    seconds: int | None = None,
) -> FakeMail:
    """A mail with this text behind its other headers; author dates ascend with the ids.

    `date`: in the index; `seconds`: since the first author date.
    """
    message_id = message_id or name(patch_id)
    if text is None:
        text = patch_text(f"Change {patch_id}", code(patch_id))
    sent = formatdate(_EPOCH + (patch_id * 60 if seconds is None else seconds))
    head = f"From: A <a@example.org>\nDate: {sent}\nMessage-Id: {message_id}\n"
    head += f"X-Patchwork-Id: {patch_id}\n"
    content = (head + text + "\n").encode("utf-8", "surrogateescape")
    return FakeMail(patch_id=patch_id, message_id=message_id, date=date, content=content)


def name(patch_id: int) -> str:
    """The message-id of a mail."""
    return f"<{patch_id}@example.org>"


def version(
    patch_id: int, topic: int = 0, changed: Iterable[int] = (), **others: object
) -> FakeMail:
    """A mail with a version of a patch: `code` of a topic under that topic's subject."""
    text = patch_text(f"Change of topic {topic}", code(topic, changed), file=f"file{topic % 3}.c")
    return mail(patch_id, text, **others)  # type: ignore[arg-type]


class InHandHere:
    """For an update that is to work on mails in the test's own process."""

    def take(self, name: str) -> None:
        """Any is welcome."""

    def put_down(self) -> None:
        """It takes what it takes."""

    @contextmanager
    def side_by_side(
        self, work: Callable[[Any, InHand], Iterable[Any]], tasks: Iterable[Any]
    ) -> Iterator[Iterator[Any]]:
        """One after the other."""
        yield (result for task in tasks for result in work(task, self))


def run_here(work: Callable[[InHand, OnProgress], object], on_progress: OnProgress) -> object:
    """In place of `run_in_child`, for what is stopped or counted in the test's own process."""
    return work(InHandHere(), on_progress)


class Store:
    """A store in a folder of its own, its configuration, and the engine."""

    def __init__(self, folder: Path, tables: str = "") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(tables)

    def configure(self, tables: str) -> None:
        """Another configuration from now on."""
        self._tables = tables
        file = self.folder / "patchsync.toml"
        file.write_text(
            '[mbox.patchwork]\nurl = "https://patchwork.example.org"\n'
            'projects = [{ id = 1, list_email = "list@example.org" },'
            f' {{ id = 2, list_email = "other@example.org" }}]\n{tables}\n'
        )
        self.config: Config = load(file)

    def paths(self, project: int = 1) -> ContainerPaths:
        """The files of a project."""
        listaddr = {1: "list@example.org", 2: "other@example.org"}[project]
        return ContainerPaths(d_mbox=self.config.d_mbox, listaddr=listaddr, project_id=project)

    def put(self, *mails: FakeMail, project: int = 1) -> None:
        """Have these in the store, too."""
        with StoreWriter(self.paths(project)) as writer:
            writer.apply(FetchResult(mails=mails))

    def take_out(self, *message_ids: str, project: int = 1) -> None:
        """Remove their lines from the index, as an operator does."""
        index = self.paths(project).index
        lines = index.read_text().splitlines(keepends=True)
        index.write_text("".join(line for line in lines if line.split(" ")[1] not in message_ids))

    def mark(self, text: str, file: str = "mbox-patch-stack") -> None:
        """Write a file of false positives."""
        folder = self.config.d_mbox.parent / "false-positives"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)

    def update(
        self,
        on_progress: OnProgress = lambda what, done, of: None,
        *,
        overwrite: bool = False,
        rebuild: bool = False,
    ) -> Updated:
        """Bring the groups up to date."""
        engine = open_engine(self.config, overwrite=overwrite, rebuild=rebuild)
        assert engine is not None
        return engine.update(on_progress)

    @property
    def text(self) -> str:
        """What patch-groups says; nothing where it is not there."""
        file = self.config.patch_groups
        return file.read_text() if file.exists() else ""

    @property
    def groups(self) -> list[str]:
        """The lines of patch-groups, with the number of a mail for its message-id."""
        return self.text.replace("@example.org>", "").replace("<", "").splitlines()

    @property
    def cache(self) -> Path:
        """The file of what the engine keeps between updates."""
        return self.config.d_mbox / "patchsync" / "analysis.sqlite"

    def not_patches(self) -> dict[str, str]:
        """The mails that are no patch, and why."""
        with PatchCache(self.cache) as cache:
            return dict(cache.rows("SELECT name, reason FROM other"))

    def from_scratch(self) -> str:
        """The groups that one update finds in a copy of the store, without what is kept."""
        folder = self.folder.with_name(f"{self.folder.name}-scratch")
        shutil.rmtree(folder, ignore_errors=True)
        left_out = shutil.ignore_patterns("patchsync", "patch-groups*")
        shutil.copytree(self.folder, folder, ignore=left_out)
        fresh = Store(folder, self._tables)
        fresh.update()
        return fresh.text
