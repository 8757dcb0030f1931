"""A project folder for PaStA that stands in for the real one, so that nothing of that can break.

PaStA writes its files in place, several times a run, and reads the index while we append to it. So
it gets copies of what it writes, a copy of the index, and links to the mails.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path
from typing import Any

from patchsync.analysis.groups import read_content, write_content
from patchsync.analysis.settings import AnalysisSettings
from patchsync.errors import TryAgainLater
from patchsync.store.files import make_folder, storing
from patchsync.store.identity import list_containers
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock

_INDEX = "index"
_INVALID = "invalid"
# Whatever PaStA's own configuration says: these are the shadow's, relative to it.
_OWN = {
    "MBOX": "resources/mbox",
    "PATCH_GROUPS": "resources/patch-groups",
    "FALSE_POSTITIVES": "resources/false-positives",  # so it is spelt there
    "STACK_HASHES": "resources/stack-hashes",
    "EVALUATION_RESULT": "resources/evaluation-result.pkl",
    "MAIL_THREAD_CACHE": "resources/mail-threads.pkl",
    "COMMIT_CACHE_MBOX": "resources/mails.pkl",
    "COMMIT_CACHE_UPSTREAM": "resources/commits.pkl",
    "COMMIT_CACHE_STACK": "resources/stack.pkl",
}
_CACHES = ("MAIL_THREAD_CACHE", "COMMIT_CACHE_MBOX", "COMMIT_CACHE_UPSTREAM")


class Shadow:
    """The folder, made anew for each run but for PaStA's caches."""

    def __init__(self, folder: Path, d_mbox: Path) -> None:
        """`folder`: where it is to be; `d_mbox`: PaStA's MBOX folder, the real one."""
        self.folder = folder
        self._d_mbox = d_mbox
        self._mbox = self._own("MBOX")
        self._caching = folder / "caching"
        self._done = folder / "done"

    @property
    def groups(self) -> Path:
        """PaStA's result."""
        return self._own("PATCH_GROUPS")

    @property
    def evaluation(self) -> Path:
        """What PaStA's `analyse` found, for its `rate`."""
        return self._own("EVALUATION_RESULT")

    def fill(self, settings: dict[str, Any], project: AnalysisSettings, groups: bytes) -> None:
        """Make it ready for a run.

        Args:
            settings: PaStA's own configuration, with its defaults.
            project: what goes before that.
            groups: PaStA's result so far.

        Raises:
            ConfigError, TryAgainLater, StoreUnavailable, LockHeld.
        """
        with storing(self.folder):
            make_folder(self._mbox)
            if self._caching.exists():
                # A run was stopped while PaStA wrote them.
                for key in _CACHES:
                    self._own(key).unlink(missing_ok=True)
                self._caching.unlink()
            # PaStA looks for new commits only where it has not listed them.
            shutil.rmtree(self._own("STACK_HASHES"), ignore_errors=True)
            shutil.rmtree(self._own("FALSE_POSTITIVES"), ignore_errors=True)
            if project.false_positives.is_dir():
                shutil.copytree(project.false_positives, self._own("FALSE_POSTITIVES"))
            (self.folder / "config").write_text(_config(settings, project), encoding="utf-8")
            self._copy_store()
        write_content(self.groups, groups)

    def caching(self, *, now: bool) -> None:
        """Note that PaStA begins to write its caches, or that it has."""
        with storing(self._caching):
            if now:
                self._caching.touch()
            else:
                self._caching.unlink(missing_ok=True)

    def is_done(self, groups: bytes, upstream: str) -> bool:
        """Whether a run would find the same as the last one did.

        Args:
            groups: PaStA's result so far.
            upstream: the commits at the ends of its range, or nothing.
        """
        with storing(self._done):
            return self._done.exists() and self._done.read_text() == self._digest(groups, upstream)

    def note_done(self, groups: bytes, upstream: str) -> None:
        """Note what the last run was about, and its result."""
        with storing(self._done):
            self._done.write_text(self._digest(groups, upstream))

    def _digest(self, groups: bytes, upstream: str) -> str:
        state = blake2b(groups + upstream.encode())
        folders = (self._mbox / _INDEX, self._own("FALSE_POSTITIVES"))
        files = sorted(file for folder in folders for file in folder.rglob("*") if file.is_file())
        for file in (self.folder / "config", *files):
            state.update(b"%d %s\n" % (file.stat().st_size, os.fsencode(file)))
            state.update(file.read_bytes())
        state.update(b" ".join(sorted(self.invalid())))
        return state.hexdigest()

    def mails(self, since: str = "", until: str = "~") -> set[bytes]:
        """The message-ids of our projects in the copy of the index, dated from one to the other."""
        ours = [container.paths.index for container in list_containers(self._mbox)]
        return _listed(ours, since, until)

    def invalid(self) -> set[bytes]:
        """The message-ids of the mails in which PaStA found no patch."""
        return set((read_content(self._mbox / _INVALID) or b"").split())

    def hand_over_invalid(self) -> None:
        """Add them to PaStA's own list, but for those that PaStA only did not find.

        It would never look at them again, also when they come into the store.
        """
        real = self._d_mbox / _INVALID
        there = set((read_content(real) or b"").split())
        new = self.invalid() - there
        if new:
            index = self._mbox / _INDEX
            new &= _listed(file for file in index.rglob("*") if file.is_file())
        if new:
            write_content(real, b"".join(b"%s\n" % each for each in sorted(there | new)))

    def _own(self, key: str) -> Path:
        return self.folder / _OWN[key]

    def _copy_store(self) -> None:
        for entry in self._mbox.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        for entry in self._d_mbox.iterdir():
            if entry.name not in (_INDEX, OWN_FOLDER) and not entry.name.startswith(_INVALID):
                (self._mbox / entry.name).symlink_to(entry)
        invalid = read_content(self._d_mbox / _INVALID)
        if invalid is not None:
            write_content(self._mbox / _INVALID, invalid)
        with ExitStack() as locks:
            containers = list_containers(self._d_mbox)
            if not containers:
                raise TryAgainLater(f"{self._d_mbox} has no mails yet; run `patchsync sync` first")
            for container in containers:
                locks.enter_context(store_lock(container.paths.lock))
            for file in (self._d_mbox / _INDEX).rglob("*"):
                if file.is_file():
                    copy = self._mbox / file.relative_to(self._d_mbox)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    with copy.open("wb") as lines:
                        lines.writelines(_digestible(file))


def _listed(files: Iterable[Path], since: str = "", until: str = "~") -> set[bytes]:
    """The message-ids in files of an index, dated from one to the other."""
    first, last = since.encode(), until.encode()
    found = set()
    for file in files:
        with storing(file), file.open("rb") as lines:
            for line in lines:
                date, message_id, _ = line.split(b" ", 2)
                if first <= date <= last:
                    found.add(message_id)
    return found


def _digestible(file: Path) -> Iterator[bytes]:
    """The lines of an index that PaStA can take.

    It would take half a line, of a writer that was killed, for a mail without a patch, for ever;
    a message-id with an arrow in it for two, and one without a bracket for a commit.
    """
    with file.open("rb") as lines:
        for line in lines:
            _, _, rest = line.partition(b" ")
            message_id, _, _ = rest.partition(b" ")
            if line.endswith(b"\n") and message_id.startswith(b"<") and b"=>" not in message_id:
                yield line


def _config(settings: dict[str, Any], project: AnalysisSettings) -> str:
    """PaStA's configuration for the shadow, as TOML."""
    thresholds = project.thresholds
    table = settings["PaStA"] | _OWN
    table |= {
        "REPO": str(project.repo),
        "UPSTREAM": project.upstream,
        # Absolute, or else below `resources/common/blacklists`
        "UPSTREAM_BLACKLIST": str(project.blacklist or ""),
        "AUTOACCEPT_THRESHOLD": thresholds.autoaccept,
        "INTERACTIVE_THRESHOLD": thresholds.interactive,
        "DIFF_LINES_RATIO": thresholds.diff_lines_ratio,
        "HEADING_THRESHOLD": thresholds.heading,
        "FILENAME_THRESHOLD": thresholds.filename,
        "MESSAGE_DIFF_WEIGHT": thresholds.message_diff_weight,
        "AUTHOR_DATE_INTERVAL": thresholds.author_date_interval,
    }
    window = {
        "MINDATE": project.since.replace("/", "-"),
        "MAXDATE": project.until.replace("/", "-"),
    }
    mbox = settings.get("mbox", {}) | window
    # Our token may stand in PaStA's file, and this one is for anybody to read.
    mbox["patchwork"] = {
        key: value for key, value in mbox.get("patchwork", {}).items() if key != "token"
    }
    tables = {"PaStA": table, "mbox": mbox}
    return "".join(f"{key} = {_toml(value)}\n" for key, value in tables.items())


def _toml(value: object) -> str:
    """A value as TOML writes it; of days as text, which PaStA takes too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
