"""Taking in the mails of the store that are new, and forgetting those that count no more."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from patchsync.analysis.builtin.kept import KeptPatches
from patchsync.analysis.engine import Tell
from patchsync.analysis.group_file import read_content
from patchsync.analysis.mail import NotAPatch, NotReadHere, parse_mail
from patchsync.analysis.patch import Patch
from patchsync.analysis.project import Project
from patchsync.errors import GiveUp
from patchsync.store.container import MboxPatchwork
from patchsync.store.identity import list_containers
from patchsync.store.layout import IndexEntry, Layout

# Mails that are read between two commits of what is kept
_AT_ONCE = 500
_SCOPE = "scope"
# The source of a mail that could not be read: it is tried again each time.
_UNREAD = ""


class _Mail(NamedTuple):
    """The files of the mails with one message-id, in PaStA's order."""

    paths: tuple[Path, ...]
    in_window: bool

    @property
    def source(self) -> str:
        """What changes when the mail has to be read anew."""
        return " ".join(path.name for path in self.paths)


class Mails:
    """The mails of a store that an analysis takes in; a context.

    Those of all projects in the store, as PaStA has them: by message-id, dated within the window,
    not in its list of invalid mails (`<mbox>/invalid`), and with a message-id in brackets.
    """

    def __init__(self, d_mbox: Path, layout: Layout, project: Project) -> None:
        self._project = project
        self._invalid_file = d_mbox / "invalid"
        self._open = ExitStack()
        self._containers = {
            each.paths.index_name: self._open.enter_context(
                MboxPatchwork(each.paths.listaddr, d_mbox, each.paths.project_id, layout)
            )
            for each in list_containers(d_mbox)
            if each.paths.layout == layout and each.paths.index.exists()
        }

    def __enter__(self) -> Mails:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def take_in(self, kept: KeptPatches, tell: Tell) -> int:
        """Bring `kept` up to date with the store; returns the number of mails that were read."""
        listed = read_content(self._invalid_file) or b""
        invalid = frozenset(listed.decode(errors="replace").splitlines())
        window = f"{self._project.since} {self._project.until}"
        scope = f"{window} {hashlib.blake2b(listed).hexdigest()} {' '.join(self._containers)}"
        news = {
            name: container.news(kept.note(f"index {name}"))
            for name, container in self._containers.items()
        }
        if kept.note(_SCOPE) != scope or any(each.complete for each in news.values()):
            # Whoever is stopped in it begins it anew, whatever is configured by then.
            kept.set_note(_SCOPE, None)
            read = self._compare_all(kept, invalid, tell)
        else:
            names = {entry.message_id for each in news.values() for entry in each.entries}
            names |= kept.with_source(_UNREAD)
            found = ((name, self._mail(name)) for name in names if _counts(name, invalid))
            read = self._read(kept, found, len(names), tell)
        with kept.transaction():
            kept.set_note(_SCOPE, scope)
            for name, each in news.items():
                kept.set_note(f"index {name}", each.mark)
        return read

    def patch(self, message_id: str) -> Patch:
        """The patch in a mail.

        Raises:
            GiveUp: it is not in the store, or is no patch.
        """
        mail = self._mail(message_id)
        try:
            return _parsed(mail)
        except NotAPatch as reason:
            raise GiveUp(f"{message_id} is no patch to PaStA: {reason}") from None

    def _compare_all(self, kept: KeptPatches, invalid: frozenset[str], tell: Tell) -> int:
        entries: dict[str, list[tuple[MboxPatchwork, IndexEntry]]] = defaultdict(list)
        for container in self._containers.values():
            for entry in container.news(None).entries:
                entries[entry.message_id].append((container, entry))
        mails = {name: self._from(each) for name, each in entries.items() if _counts(name, invalid)}
        wanted = {name: mail for name, mail in mails.items() if mail.in_window}
        known = kept.mail_sources()
        kept.remove(known.keys() - wanted.keys())
        new = [(name, mail) for name, mail in wanted.items() if known.get(name) != mail.source]
        return self._read(kept, new, len(new), tell)

    def _mail(self, message_id: str) -> _Mail:
        return self._from(
            (container, entry)
            for container in self._containers.values()
            for entry in container.entries_of(message_id)
        )

    def _from(self, entries: Iterable[tuple[MboxPatchwork, IndexEntry]]) -> _Mail:
        found = list(entries)
        since, until = self._project.since, self._project.until
        return _Mail(
            tuple(container.paths.mail(entry.date, entry.md5) for container, entry in found),
            any(since <= entry.date <= until for _, entry in found),
        )

    def _read(
        self, kept: KeptPatches, mails: Iterable[tuple[str, _Mail]], number: int, tell: Tell
    ) -> int:
        waiting, read = iter(mails), 0
        while some := list(islice(waiting, _AT_ONCE)):
            with kept.transaction():
                read += sum(_take(kept, name, mail) for name, mail in some)
            tell("reading mails", read, number)
        return read


def _counts(name: str, invalid: frozenset[str]) -> bool:
    # PaStA takes for a commit what does not begin so, and it may be the hash of one; and its own
    # patch-groups it splits at an arrow wherever that stands.
    return name.startswith("<") and "=>" not in name and name not in invalid


def _take(kept: KeptPatches, name: str, mail: _Mail) -> bool:
    """Keep a mail as it is now; returns whether it was read for that."""
    known = kept.source_of(name)
    if not mail.in_window or (known and known.source == mail.source):
        return False
    kept.remove([name])
    try:
        patch = _parsed(mail)
    except OSError as error:
        kept.add_other(name, _UNREAD, f"{error.filename}: {error.strerror}")
    except NotReadHere as reason:
        kept.add_other(name, _UNREAD, str(reason))
    except NotAPatch as reason:
        kept.add_other(name, mail.source, str(reason))
    else:
        kept.add(name, mail.source, patch)
    return True


def _parsed(mail: _Mail) -> Patch:
    return parse_mail([path.read_bytes() for path in mail.paths])
