"""A project folder for PaStA that stands in for the real one, so that nothing of that can break.

PaStA writes its files in place, several times a run, and reads the index while we append to it. So
it gets copies of what it writes, a copy of the index, and links to the mails.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path

from patchsync.analysis.group_file import write_content
from patchsync.analysis.groups import read_content
from patchsync.analysis.pasta_config import PastaConfig
from patchsync.analysis.settings import THRESHOLD_KEYS, AnalysisSettings
from patchsync.errors import TryAgainLater
from patchsync.store.files import read_file, storing
from patchsync.store.identity import list_containers
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock

# Whatever PaStA's own configuration says: these are the shadow's, relative to it.
_OWN = {
    "MBOX": "resources/mbox",
    "PATCH_GROUPS": "resources/patch-groups",
    "FALSE_POSTITIVES": "resources/false-positives",  # so it is spelt there
    # PaStA looks for new commits only where it has not listed them.
    "STACK_HASHES": "resources/stack-hashes",
    "EVALUATION_RESULT": "resources/evaluation-result.pkl",
    "MAIL_THREAD_CACHE": "caches/mail-threads.pkl",
    "COMMIT_CACHE_MBOX": "caches/mails.pkl",
    "COMMIT_CACHE_UPSTREAM": "caches/commits.pkl",
}
# PaStA was stopped while it wrote its caches: they are dropped.
CACHING = b"caching"
# Date and message-id of a whole line of the index
_LINE = re.compile(rb"^(([0-9/]+) (<[^ \n]*) [^\n]+\n)", re.MULTILINE)


class Shadow:
    """The folder, made anew for each run by `fill` but for PaStA's caches."""

    def __init__(
        self, folder: Path, d_mbox: Path, pasta_config: PastaConfig, settings: AnalysisSettings
    ) -> None:
        """Nothing is made yet.

        `folder`: where it is to be; `d_mbox`: PaStA's MBOX folder, the real one; `settings` go
        before `pasta_config`.
        """
        self.folder = folder
        # PaStA's result, and what its `analyse` found, for its `rate`
        self.groups = folder / _OWN["PATCH_GROUPS"]
        self.evaluation = folder / _OWN["EVALUATION_RESULT"]
        self._d_mbox = d_mbox
        self._pasta_config = pasta_config
        self._settings = settings
        self._mbox = folder / _OWN["MBOX"]
        self._false_positives = folder / _OWN["FALSE_POSTITIVES"]
        self._caches = folder / "caches"
        # `CACHING` while PaStA writes its caches, the digest of a run that came to its end
        self.state = folder / "state"

    def fill(self, groups: bytes) -> None:
        """Make it ready for a run; `groups`: PaStA's result so far.

        Raises:
            TryAgainLater, StoreUnavailable, LockHeld.
        """
        with storing(self.folder):
            shutil.rmtree(self._mbox.parent, ignore_errors=True)
            if read_file(self.state) == CACHING:
                shutil.rmtree(self._caches, ignore_errors=True)
            self._mbox.mkdir(parents=True)
            self._caches.mkdir(exist_ok=True)
            self._copy_index()
            for entry in self._d_mbox.iterdir():
                if entry.name not in ("index", OWN_FOLDER) and not entry.name.startswith("invalid"):
                    (self._mbox / entry.name).symlink_to(entry)
            if self._settings.false_positives.is_dir():
                shutil.copytree(self._settings.false_positives, self._false_positives)
            config = _config(self._pasta_config, self._settings)
            (self.folder / "config").write_text(config, encoding="utf-8")
        write_content(self._mbox / "invalid", read_content(self._d_mbox / "invalid") or b"")
        write_content(self.groups, groups)
        # What a run follows from, before PaStA writes the false positives in its own way
        self._inputs = blake2b()
        folders = (self._mbox / "index", self._false_positives)
        files = sorted(file for folder in folders for file in folder.rglob("*") if file.is_file())
        for file in (self.folder / "config", self._pasta_config.defaults, *files):
            content = read_file(file) or b""
            self._inputs.update(b"%d %s\n" % (len(content), os.fsencode(file)) + content)

    def digest(self, groups: bytes, commits: str) -> bytes:
        """What tells whether a run would find anything new.

        `groups`: PaStA's result so far; `commits`: those at the ends of the range, or nothing.
        """
        state = self._inputs.copy()
        state.update(groups + commits.encode() + b" ".join(sorted(self._invalid())))
        return state.hexdigest().encode()

    def lost(self, before: bytes, after: bytes) -> set[bytes]:
        """The message-ids of our projects that PaStA's result `after` lacks.

        It has to have those in the window of time, and those that it had before.
        """
        since, until = self._settings.since.encode(), self._settings.until.encode()
        kept = set(before.split())
        wanted = {name for date, name in self._mails if since <= date <= until or name in kept}
        return wanted - set(after.split()) - self._invalid()

    def hand_over_invalid(self) -> None:
        """Add them to PaStA's own list, but for those that PaStA only did not find.

        It would never look at them again, also when they come into the store.
        """
        real = self._d_mbox / "invalid"
        before = set((read_content(real) or b"").split())
        if new := (self._invalid() - before) & self._listed:
            write_content(real, b"".join(b"%s\n" % name for name in sorted(before | new)))

    def _copy_index(self) -> None:
        containers = list_containers(self._d_mbox)
        if not containers:
            raise TryAgainLater(f"{self._d_mbox} has no mails yet; run `patchsync sync` first")
        with ExitStack() as locks:
            for container in containers:
                locks.enter_context(store_lock(container.paths.lock))
            files = [file for file in (self._d_mbox / "index").rglob("*") if file.is_file()]
            contents = {file: read_file(file) or b"" for file in files}
        ours = {container.paths.index for container in containers}
        # Date and message-id of each mail of our projects; the message-ids of all mails
        self._mails: list[tuple[bytes, bytes]] = []
        self._listed: set[bytes] = set()
        for file, content in contents.items():
            # PaStA would take half a line, of a writer that was killed, for a mail without a patch,
            # for ever; a message-id with an arrow for two, one without a bracket for a commit.
            mails = [mail for mail in _LINE.findall(content) if b"=>" not in mail[2]]
            copy = self._mbox / file.relative_to(self._d_mbox)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(b"".join(line for line, _, _ in mails))
            self._listed.update(message_id for _, _, message_id in mails)
            if file in ours:
                self._mails += [(date, message_id) for _, date, message_id in mails]

    def _invalid(self) -> set[bytes]:
        """The message-ids of the mails in which PaStA found no patch."""
        return set((read_content(self._mbox / "invalid") or b"").split())


def _config(pasta_config: PastaConfig, settings: AnalysisSettings) -> str:
    """PaStA's configuration for the shadow, as TOML; PaStA itself adds its defaults."""
    thresholds = settings.thresholds._asdict()
    table = pasta_config.tables["PaStA"] | _OWN
    table |= {key: thresholds[name] for name, key in THRESHOLD_KEYS.items()}
    table |= {"REPO": str(settings.repo), "UPSTREAM": settings.upstream}
    # Absolute, or else below `resources/common/blacklists`
    table["UPSTREAM_BLACKLIST"] = str(settings.blacklist or "")
    mbox = dict(pasta_config.tables.get("mbox", {}))
    mbox["MINDATE"] = settings.since.replace("/", "-")
    mbox["MAXDATE"] = settings.until.replace("/", "-")
    # Our token may stand in PaStA's file, and this one is for anybody to read.
    mbox["patchwork"] = {
        key: value for key, value in mbox.get("patchwork", {}).items() if key != "token"
    }
    return f"PaStA = {_toml(table)}\nmbox = {_toml(mbox)}\n"


def _toml(value: object) -> str:
    """A value as TOML writes it; of days as text, which PaStA takes too."""
    # An inline table of TOML's is an object of JSON's but for the colons.
    text = json.dumps(value, separators=(", ", " = "), ensure_ascii=False, default=str)
    return text.replace("\x7f", "\\u007f")
