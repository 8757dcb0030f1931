"""Reading the mails of the store that are new, and forgetting those that count no more."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from patchsync.analysis.builtin.cache import UNREAD, PatchCache
from patchsync.analysis.engine import OnProgress
from patchsync.analysis.groups import read_content
from patchsync.analysis.mail import NotReadHere, parse_mail
from patchsync.analysis.patch import NotAPatch, Patch
from patchsync.analysis.settings import AnalysisSettings
from patchsync.errors import GiveUp
from patchsync.store.container import MboxPatchwork
from patchsync.store.identity import list_containers
from patchsync.store.layout import IndexEntry, Layout

# Mails that are read between two commits of the cache
_AT_ONCE = 500
# Key of a note: which mails were looked for
_SCOPE = "scope"


class _Mail(NamedTuple):
    """The files of the mails with one message-id, in PaStA's order."""

    paths: tuple[Path, ...]
    in_window: bool

    @property
    def source(self) -> str:
        """What changes when the mail has to be read anew."""
        return " ".join(path.name for path in self.paths)

    def parse(self) -> Patch:
        """The patch in it; raises NotAPatch or OSError."""
        return parse_mail([path.read_bytes() for path in self.paths])


class Mails:
    """The mails of a store that an analysis takes in; a context.

    Those of all projects in the store, as PaStA has them: by message-id, dated within the window,
    not in its list of invalid mails (`<mbox>/invalid`), and with a message-id in brackets.
    """

    def __init__(self, d_mbox: Path, layout: Layout, settings: AnalysisSettings) -> None:
        self._settings = settings
        self._invalid_file = d_mbox / "invalid"
        self._open = ExitStack()
        self._containers = {
            paths.index_name: self._open.enter_context(
                MboxPatchwork(paths.listaddr, d_mbox, paths.project_id, layout)
            )
            for paths in (container.paths for container in list_containers(d_mbox))
            if paths.layout == layout and paths.index.exists()
        }

    def __enter__(self) -> Mails:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def read_new(self, cache: PatchCache, on_progress: OnProgress) -> int:
        """Bring the cache up to date with the store; returns the number of mails that were read."""
        listed = read_content(self._invalid_file) or b""
        invalid = frozenset(listed.decode(errors="replace").splitlines())
        window = f"{self._settings.since} {self._settings.until}"
        scope = f"{window} {hashlib.blake2b(listed).hexdigest()} {' '.join(self._containers)}"
        news = {
            name: container.news(cache.note(f"index {name}"))
            for name, container in self._containers.items()
        }
        if cache.note(_SCOPE) != scope or any(new.complete for new in news.values()):
            # Whoever is stopped in it begins it anew, whatever is configured by then.
            cache.set_note(_SCOPE, None)
            read = self._compare_all(cache, invalid, on_progress)
        else:
            names = {entry.message_id for new in news.values() for entry in new.entries}
            names |= cache.unread()
            mails = ((name, self._mail(name)) for name in names if _counts(name, invalid))
            read = _read(cache, mails, len(names), on_progress)
        with cache.transaction():
            cache.set_note(_SCOPE, scope)
            for name, new in news.items():
                cache.set_note(f"index {name}", new.mark)
        return read

    def patch(self, message_id: str) -> Patch:
        """The patch in a mail.

        Raises:
            GiveUp: it is not in the store, or is no patch.
        """
        try:
            return self._mail(message_id).parse()
        except NotAPatch as reason:
            raise GiveUp(f"{message_id} is no patch to PaStA: {reason}") from None

    def _compare_all(
        self, cache: PatchCache, invalid: frozenset[str], on_progress: OnProgress
    ) -> int:
        """Hold all entries of the indexes against the cache; returns as `read_new`."""
        by_name: dict[str, list[tuple[MboxPatchwork, IndexEntry]]] = defaultdict(list)
        for container in self._containers.values():
            for entry in container.news(None).entries:
                by_name[entry.message_id].append((container, entry))
        mails = {
            name: mail
            for name, entries in by_name.items()
            if _counts(name, invalid) and (mail := self._mail_of(entries)).in_window
        }
        known = cache.mail_sources()
        cache.remove(known.keys() - mails.keys())
        new = [(name, mail) for name, mail in mails.items() if known.get(name) != mail.source]
        return _read(cache, new, len(new), on_progress)

    def _mail(self, message_id: str) -> _Mail:
        return self._mail_of(
            [
                (container, entry)
                for container in self._containers.values()
                for entry in container.entries_of(message_id)
            ]
        )

    def _mail_of(self, entries: list[tuple[MboxPatchwork, IndexEntry]]) -> _Mail:
        since, until = self._settings.since, self._settings.until
        return _Mail(
            tuple(container.paths.mail(entry.date, entry.md5) for container, entry in entries),
            any(since <= entry.date <= until for _, entry in entries),
        )


def _counts(name: str, invalid: frozenset[str]) -> bool:
    # PaStA takes for a commit what does not begin so, and it may be the hash of one; and its own
    # patch-groups it splits at an arrow wherever that stands.
    return name.startswith("<") and "=>" not in name and name not in invalid


def _read(
    cache: PatchCache, mails: Iterable[tuple[str, _Mail]], number: int, on_progress: OnProgress
) -> int:
    """Have `number` mails in the cache as they are now; returns how many were read for that."""
    left, read = iter(mails), 0
    while some := list(islice(left, _AT_ONCE)):
        with cache.transaction():
            read += sum(_read_one(cache, name, mail) for name, mail in some)
        on_progress("reading mails", read, number)
    return read


def _read_one(cache: PatchCache, name: str, mail: _Mail) -> bool:
    """Have a mail in the cache as it is now; returns whether it was read for that."""
    if not mail.in_window or cache.source_of(name) == mail.source:
        return False
    cache.remove([name])
    try:
        patch = mail.parse()
    except OSError as error:
        cache.add_not_a_patch(name, UNREAD, f"{error.filename}: {error.strerror}")
    except NotReadHere as reason:
        cache.add_not_a_patch(name, UNREAD, str(reason))
    except NotAPatch as reason:
        cache.add_not_a_patch(name, mail.source, str(reason))
    else:
        cache.add(name, mail.source, patch)
    return True
