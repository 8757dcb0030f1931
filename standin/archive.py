"""A real project, from Patchwork's own dump and what its API listed of it.

`manage.py dumparchive` writes a gzipped tar with one mbox per project, in order of date. Each mail
is what the API sends plus one newline. Body lines that begin with "From " are not escaped, so a
mail begins only at a "From patchwork" line whose headers bear the id of a listed patch.
"""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from standin.records import Patch, Project, Series
from standin.state import SERVER_ZONE, PatchworkState

_START = re.compile(rb"^From patchwork (\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\n", re.MULTILINE)
_PATCH_ID = re.compile(rb"^X-Patchwork-Id: (\d+)$", re.MULTILINE)
_NUMBER_OF = re.compile(r"(?:^\[|,)0*(\d+)/0*(\d+)[\],]")


class UnreadableArchive(Exception):
    """The two files do not fit each other, or are not what they should be."""


def load(state: PatchworkState, archive: Path, patches_json: Path) -> None:
    """Fill the state: ids, message-ids, dates and series as listed, the mails as dumped."""
    entries = _listed(patches_json)
    dates = {int(entry["id"]): datetime.fromisoformat(entry["date"]) for entry in entries}
    mails = split(dates, _dumped(archive))
    missing = [entry["id"] for entry in entries if entry["id"] not in mails]
    if missing:
        raise UnreadableArchive(f"{archive} lacks the mails of the patches {missing[:5]} ...")
    for entry in sorted(entries, key=lambda entry: int(entry["id"])):
        state.insert(_patch(state, entry, mails[entry["id"]]))
    for series in state.series.values():
        series.total = max(_number_of_total(patch.name)[1] for patch in series.patches)


def split(dates: dict[int, datetime], dump: bytes) -> dict[int, bytes]:
    """The mails of a dump by patch id, each without the newline that the dump puts after it.

    `dates` are those of the patches that are known. A mail that quotes another one's first lines
    names an id, but hardly that id's date.
    """
    starts = []
    for match in _START.finditer(dump):
        header_end = dump.find(b"\n\n", match.end())
        found = _PATCH_ID.search(dump, match.end(), header_end if header_end >= 0 else len(dump))
        if found is None:
            continue
        date = dates.get(int(found.group(1)))
        if date is not None and match.group(1).decode() == date.ctime():
            starts.append((match.start(), int(found.group(1))))
    ends = [start for start, _ in starts[1:]] + [len(dump)]
    return {
        patch_id: dump[start:end].removesuffix(b"\n")
        for (start, patch_id), end in zip(starts, ends, strict=True)
    }


def _listed(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    try:
        entries: list[dict[str, Any]] = json.loads(content)
    except ValueError as error:
        raise UnreadableArchive(f"{path} is not JSON: {error}") from error
    return entries


def _dumped(path: Path) -> bytes:
    try:
        with tarfile.open(path) as tar:
            members = [tar.extractfile(member) for member in tar if member.name.endswith(".mbox")]
            return b"".join(member.read() for member in members if member is not None)
    except tarfile.TarError as error:
        raise UnreadableArchive(f"{path} is not a dumparchive: {error}") from error


def _patch(state: PatchworkState, entry: dict[str, Any], mail: bytes) -> Patch:
    submitter = entry["submitter"]
    person = state.person(submitter["name"], submitter["email"], submitter["id"])
    project = _project(state, entry["project"])
    date = datetime.fromisoformat(entry["date"])
    series = None
    for listed in entry["series"]:
        series = state.series.get(listed["id"])
        if series is None:
            series = Series(
                id=listed["id"],
                project=project,
                name=listed["name"],
                date=datetime.fromisoformat(listed["date"]),
                submitter=person,
                version=listed["version"],
                total=1,
            )
    return Patch(
        id=entry["id"],
        project=project,
        msgid=entry["msgid"],
        date=date,
        name=entry["name"],
        hash=entry["hash"],
        submitter=person,
        mbox=mail,
        arrival=date + SERVER_ZONE + timedelta(seconds=3),
        series=series,
        number=_number_of_total(entry["name"])[0],
        state=entry["state"],
        archived=entry["archived"],
        commit_ref=entry["commit_ref"],
    )


def _project(state: PatchworkState, listed: dict[str, Any]) -> Project:
    known = state.projects.get(listed["id"])
    if known is not None:
        return known
    return state.add_project(
        Project(
            id=listed["id"],
            name=listed["name"],
            link_name=listed["link_name"],
            list_id=listed["list_id"],
            list_email=listed["list_email"],
        )
    )


def _number_of_total(name: str) -> tuple[int, int]:
    """The place in the series and the series' size that a patch's name announces."""
    found = _NUMBER_OF.search(name)
    return (int(found.group(1)), int(found.group(2))) if found is not None else (1, 1)
