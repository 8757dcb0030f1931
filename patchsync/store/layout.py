"""Where PaStA looks for a project's mails and index, and what a line of the index says.

Two layouts: `patchwork`, that of PaStA's former Patchwork backend (before its commit ec7db6e), and
`raw`, that of its raw mailboxes, which PaStA loads today.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from patchsync.errors import ConfigError

Layout = Literal["raw", "patchwork"]

OWN_FOLDER = "patchsync"
LARGEST_ID = 2**63 - 1
LONGEST_MESSAGE_ID = 998  # the longest line of a mail, in bytes (RFC 5322, 2.1.1)

_DATE = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}")
_LINE = re.compile(
    rb"([0-9]{4}/[0-9]{2}/[0-9]{2}) ([^ \n]+) ([0-9a-f]{32}) ([1-9][0-9]{0,18})", re.DOTALL
)
_PLAIN_LINES = re.compile(
    r"(?:[0-9]{4}/[0-9]{2}/[0-9]{2} [!-~]{1,998} [0-9a-f]{32} [1-9][0-9]{0,17}\n)*"
)
_PLAIN_MESSAGE_ID = re.compile(r"[!-~]{1,998}")
_GROUP_ARROW = "=>"  # what separates messages from commits in PaStA's patch-groups


class IndexEntry(NamedTuple):
    """One line of the index: a tuple, since a million of them are read in a row."""

    patch_id: int
    date: str  # YYYY/MM/DD, UTC
    message_id: str
    md5: str  # of the mail's bytes, and the name of its file


@dataclass(frozen=True, kw_only=True)
class ContainerPaths:
    """The names of all files of one project in PaStA's store.

    `d_mbox` is PaStA's MBOX folder, `listaddr` the project's list, `project_id` Patchwork's id.
    Raises ConfigError when they cannot be part of a file name.
    """

    d_mbox: Path
    listaddr: str
    project_id: int
    layout: Layout = "raw"

    def __post_init__(self) -> None:
        if self.layout not in ("raw", "patchwork"):
            raise ConfigError(f"layout {self.layout!r} is neither 'raw' nor 'patchwork'")
        if self.project_id < 1:
            raise ConfigError(f"project id {self.project_id} is not positive")
        if not self.listaddr or any(c == "/" or not _visible(c) for c in self.listaddr):
            raise ConfigError(
                f"list address {self.listaddr!r} is empty or holds a slash, a space or a control"
                " character; PaStA makes it part of a file name"
            )

    @property
    def index_name(self) -> str:
        """Name of the index file, which also names this project within the store."""
        name = f"patchwork.{self.project_id}"
        return name if self.layout == "patchwork" else f"raw.{self.listaddr}.{name}"

    @property
    def index(self) -> Path:
        """PaStA's index, one line per patch."""
        return self.d_mbox / "index" / self.index_name

    @property
    def mails(self) -> Path:
        """The folder of the mails, shared by all projects of the layout."""
        return self.d_mbox / self.layout

    def mail(self, date: str, md5: str) -> Path:
        """Return the file of the mail with this date (YYYY/MM/DD) and md5."""
        return self.mails / mail_name(date, md5)

    @property
    def own(self) -> Path:
        """The folder of what patchsync keeps for this project; PaStA never looks into it."""
        return self.d_mbox / OWN_FOLDER / self.index_name

    @property
    def side_index(self) -> Path:
        """SQLite cache of the index; may be deleted at any time."""
        return self.own / "side-index.sqlite"

    @property
    def patch_views(self) -> Path:
        """SQLite file of what Patchwork was last seen to show of each patch; may be deleted."""
        return self.own / "patch-views.sqlite"

    @property
    def counts(self) -> Path:
        """SQLite file of how many patches the server and we had over time; may be deleted."""
        return self.own / "counts.sqlite"

    @property
    def lock(self) -> Path:
        """Empty file that is locked while the store is written."""
        return self.own / "lock"

    @property
    def fence(self) -> Path:
        """The highest fencing token that was handed out."""
        return self.own / "fence"

    @property
    def gone(self) -> Path:
        """Ids of patches that are held but no longer listed by Patchwork."""
        return self.own / "gone"

    @property
    def quarantine(self) -> Path:
        """Patches whose mail could not be stored, with the reason."""
        return self.own / "quarantine"

    @property
    def origin(self) -> Path:
        """Which Patchwork project this index belongs to."""
        return self.own / "origin.json"

    @property
    def round(self) -> Path:
        """The record of the last round."""
        return self.own / "round.json"

    @property
    def audit(self) -> Path:
        """The record of the audit that is under way, or of the last one."""
        return self.own / "audit.json"

    @property
    def listed(self) -> Path:
        """Notes of what was listed, which the audit of a sync need not list again."""
        return self.own / "listed"

    @property
    def requests(self) -> Path:
        """The record of the requests that the project cost on a day."""
        return self.own / "requests.json"

    @property
    def imports(self) -> Path:
        """The folder of what an import needs while it is under way."""
        return self.own / "import"

    @property
    def import_lock(self) -> Path:
        """Empty file that is locked while an import is under way."""
        return self.imports / "lock"

    @property
    def expected(self) -> Path:
        """Ids of the patches that this import will bring."""
        return self.imports / "expected"

    @property
    def halted(self) -> Path:
        """Present while the project must not be synced; holds the reason."""
        return self.own / "halted"


def mail_name(date: str, md5: str) -> str:
    """The name of a mail's file within the folder of mails."""
    return f"{date}/{md5}"


def format_line(entry: IndexEntry) -> bytes:
    """Return the line of the index for `entry`, with its newline."""
    return f"{entry.date} {entry.message_id} {entry.md5} {entry.patch_id}\n".encode()


def parse_line(line: bytes) -> IndexEntry:
    """Return what a line of the index says, given without its newline.

    Raises ValueError, saying what is wrong with it, unless it is exactly what `format_line` writes.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError("it is not 'YYYY/MM/DD <message-id> <md5> <patchwork id>'")
    date, message_id, md5, patch_id = match.groups()
    entry = IndexEntry(int(patch_id), date.decode(), message_id.decode(), md5.decode())
    if entry.patch_id > LARGEST_ID:
        raise ValueError(f"patchwork id {entry.patch_id} is too large")
    if not is_date(entry.date):
        raise ValueError(f"there is no such date as {entry.date}")
    if fault := message_id_fault(entry.message_id):
        raise ValueError(fault)
    return entry


def parse_plain_lines(block: bytes) -> list[Any] | None:
    """Return what the whole lines of `block` say, many times faster than one by one.

    That is date, message-id, md5 and patchwork id (an int) of each, all in a row. None unless each
    line is right and in plain ASCII: then `parse_line` has the answer, or the fault.
    """
    if not block.isascii():
        return None
    text = block.decode()
    if not _PLAIN_LINES.fullmatch(text) or f" {_GROUP_ARROW} " in text:
        return None
    fields: list[Any] = text.split()
    if not all(map(is_date, set(fields[0::4]))):
        return None
    fields[3::4] = map(int, fields[3::4])
    return fields


@lru_cache(maxsize=1 << 15)
def is_date(text: str) -> bool:
    """Tell whether `text` is a day of the calendar as YYYY/MM/DD, which PaStA insists on."""
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return False
    return True


def message_id_fault(message_id: str) -> str | None:
    """Say why `message_id` cannot stand in PaStA's files; None if it can.

    PaStA opens them as text with universal newlines, splits the index at single spaces, its list of
    invalid mails by str.splitlines() and patch-groups at " => ". A slash does no harm: a message-id
    is never part of a path.
    """
    if _PLAIN_MESSAGE_ID.fullmatch(message_id) and message_id != _GROUP_ARROW:
        return None
    if not message_id:
        return "the message-id is empty"
    if message_id == _GROUP_ARROW:
        return f"the message-id is {_GROUP_ARROW!r}, which separates fields of patch-groups"
    if not all(map(_visible, message_id)):
        return "the message-id holds white space or a control character"
    try:
        length = len(message_id.encode())
    except UnicodeEncodeError:
        return "the message-id cannot be written as UTF-8"
    if length > LONGEST_MESSAGE_ID:
        return f"the message-id has {length} bytes, more than {LONGEST_MESSAGE_ID}"
    return None


def _visible(character: str) -> bool:
    return not character.isspace() and unicodedata.category(character) != "Cc"
