"""Reading the mails of the store that are new, and forgetting those that count no more."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from patchsync.analysis.builtin.cache import UNREAD, PatchCache
from patchsync.analysis.builtin.child import InHand
from patchsync.analysis.builtin.kept import KeptPatch, kept
from patchsync.analysis.builtin.reading import read_all
from patchsync.analysis.engine import OnProgress
from patchsync.analysis.groups import read_content
from patchsync.analysis.mail import NotReadHere, parse_mail
from patchsync.analysis.patch import NotAPatch, Patch
from patchsync.analysis.quarantine import FailedMail, names_of
from patchsync.analysis.settings import AnalysisSettings
from patchsync.errors import GiveUp, StoreDamaged
from patchsync.store.container import MboxPatchwork
from patchsync.store.identity import list_containers
from patchsync.store.layout import ContainerPaths, IndexEntry, Layout

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
    not in its list of invalid mails (`<mbox>/invalid`), with a message-id in brackets, and not
    quarantined.
    """

    def __init__(
        self,
        d_mbox: Path,
        layout: Layout,
        settings: AnalysisSettings,
        failed: Collection[FailedMail] = (),
    ) -> None:
        """`failed`: what an update could not get through before."""
        self._settings = settings
        self._quarantined = names_of(failed, quarantined=True)
        self._tried = names_of(failed, quarantined=False)
        self._invalid_file = d_mbox / "invalid"
        self._open = ExitStack()
        self._containers: dict[str, MboxPatchwork] = {}
        # Why a project could not be looked at: its mails stay as they were, the others go on.
        self.trouble: str | None = None
        try:
            for container in list_containers(d_mbox):
                if container.paths.layout == layout and container.paths.index.exists():
                    self._add(container.paths)
        except BaseException:
            self._open.close()
            raise

    def _add(self, paths: ContainerPaths) -> None:
        try:
            container = MboxPatchwork(paths.listaddr, paths.d_mbox, paths.project_id, paths.layout)
        except StoreDamaged as damage:
            self.trouble = str(damage)
        else:
            self._containers[paths.index_name] = self._open.enter_context(container)

    def __enter__(self) -> Mails:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def read_new(self, cache: PatchCache, in_hand: InHand, on_progress: OnProgress) -> int:
        """Bring the cache up to date with the store; returns the number of mails that were read.

        What failed once comes last: others need not wait for it.
        """
        listed = read_content(self._invalid_file) or b""
        listed += b"".join(b"%s\n" % name.encode() for name in sorted(self._quarantined))
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
            new_mails = self._compare_all(cache, invalid)
        else:
            names = {entry.message_id for new in news.values() for entry in new.entries}
            names |= cache.unread()
            mails = {name: self._mail(name) for name in names if _counts(name, invalid)}
            new_mails = {
                name: mail
                for name, mail in mails.items()
                if mail.in_window and cache.source_of(name) != mail.source
            }
        order = sorted(new_mails, key=self._tried.__contains__)
        read_all(
            "reading mails",
            order,
            lambda name: _read(new_mails[name]),
            lambda name, was_read: _keep(cache, name, new_mails[name].source, was_read),
            cache,
            in_hand,
            on_progress,
        )
        with cache.transaction():
            cache.set_note(_SCOPE, scope)
            for name, new in news.items():
                cache.set_note(f"index {name}", new.mark)
        return len(order)

    def patch(self, message_id: str) -> Patch:
        """The patch in a mail.

        Raises:
            GiveUp: it is not in the store, or is no patch.
        """
        mail = self._mail(message_id)
        if not mail.paths and self.trouble:
            raise GiveUp(self.trouble)
        try:
            return mail.parse()
        except NotAPatch as reason:
            raise GiveUp(f"{message_id} is no patch to PaStA: {reason}") from None

    def _compare_all(self, cache: PatchCache, invalid: frozenset[str]) -> dict[str, _Mail]:
        """Hold all entries of the indexes against the cache; returns the mails that are new."""
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
        gone = known.keys() - mails.keys()
        # Where a project cannot be looked at, its mails stay, but for those that must not.
        cache.remove(gone if self.trouble is None else gone & invalid)
        return {name: mail for name, mail in mails.items() if known.get(name) != mail.source}

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


class _NoPatch(NamedTuple):
    """A mail that is no patch, or cannot be read now: see `PatchCache.add_not_a_patch`."""

    source: str
    reason: str


def _read(mail: _Mail) -> KeptPatch | _NoPatch:
    """What is kept of a mail as it is now."""
    try:
        return kept(mail.parse())
    except OSError as error:
        return _NoPatch(UNREAD, f"{error.filename}: {error.strerror}")
    except NotReadHere as reason:
        return _NoPatch(UNREAD, str(reason))
    except NotAPatch as reason:
        return _NoPatch(mail.source, str(reason))


def _keep(cache: PatchCache, name: str, source: str, was_read: KeptPatch | _NoPatch) -> None:
    """Have a mail in the cache as it was read."""
    cache.remove([name])
    if isinstance(was_read, _NoPatch):
        cache.add_not_a_patch(name, *was_read)
    else:
        cache.add(name, source, was_read)
