"""What a store holds, as PaStA sees it, and what it must not hold."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

from patchsync.store.layout import parse_line
from tests.support.installation import Installation

# All that patchsync keeps for a project beside PaStA's files; SQLite's come and go.
OWN_FILES = {"lock", "fence", "gone", "quarantine", "origin.json"}
OWN_FILES |= {"round.json", "audit.json", "listed", "requests.json"}
OWN_FILES |= {
    f"{name}.sqlite{end}"
    for name in ("side-index", "patch-views", "counts")
    for end in ("", "-wal", "-shm", "-journal")
}
# That of all projects
CATALOG = re.compile(r"catalog\..+\.sqlite(-wal|-shm|\.lock)?")
MAIL = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9a-f]{32}")


@dataclass(frozen=True)
class Contents:
    """The lines of each index, sorted, and each file below the folder of the mails."""

    lines: dict[str, list[str]]
    mails: dict[str, bytes]


def contents_of(installation: Installation) -> Contents:
    """Read a store; each index must be whole lines, each of a patch of its own."""
    d_mbox = installation.config.d_mbox
    lines = {}
    for index in (d_mbox / "index").iterdir():
        text = index.read_bytes()
        assert text.endswith(b"\n"), f"{index} has a torn line"
        ids = [parse_line(line).patch_id for line in text[:-1].split(b"\n")]
        assert len(ids) == len(set(ids)), f"{index}: a patch has two lines"
        lines[index.name] = sorted(text.decode().splitlines())
    folder = d_mbox / installation.config.store.layout
    mails = {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }
    return Contents(lines, mails)


def leftovers(d_mbox: Path) -> list[str]:
    """Files that nobody needs: half written, of a writer that was killed, or out of place."""
    found = []
    for file in d_mbox.rglob("*"):
        place, *rest = file.relative_to(d_mbox).parts
        if place == "patchsync":
            expected = len(rest) == 2 and rest[1] in OWN_FILES
            expected |= len(rest) == 1 and bool(CATALOG.fullmatch(rest[0]))
        elif place == "index":
            expected = len(rest) == 1
        else:
            expected = bool(MAIL.fullmatch("/".join(rest)))
        if file.is_file() and not expected:
            found.append(str(file.relative_to(d_mbox)))
    return found


def assert_same_store(installation: Installation, quiet: Contents) -> None:
    """The same lines and the same files, byte for byte, as `quiet`, and nothing else."""
    ours = contents_of(installation)
    assert ours.lines == quiet.lines
    assert ours.mails.keys() == quiet.mails.keys()
    assert ours.mails == quiet.mails
    for name, content in ours.mails.items():
        assert hashlib.md5(content).hexdigest() == name[-32:]
    d_mbox = installation.config.d_mbox
    # A fleet at work may be about to replace a file of its own.
    deadline = time.monotonic() + 60
    while left := leftovers(d_mbox):
        assert time.monotonic() < deadline, f"half-written files are left in the store: {left}"
        time.sleep(0.05)
