"""Made-up mails, and two readers of a store that share no code with it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.layout import ContainerPaths, Layout
from patchsync.store.writer import Stored, StoreWriter

LIST = "jailhouse-dev@example.org"


@dataclass(frozen=True, kw_only=True)
class FakeMail:
    patch_id: int
    message_id: str
    date: str
    content: bytes


def fake_mail(patch_id: int, **changes: Any) -> FakeMail:
    """A mail that its id determines, but for `changes`."""
    fields: dict[str, Any] = {
        "patch_id": patch_id,
        "message_id": f"<{patch_id}.git@example.org>",
        "date": f"2019/04/{patch_id % 28 + 1:02}",
        "content": b"From patchwork\n\nThis is mail %d\n" % patch_id * 20,
    }
    return FakeMail(**{**fields, **changes})


def batch_of(*patch_ids: int, **fields: Any) -> FetchResult:
    return FetchResult(mails=tuple(map(fake_mail, patch_ids)), **fields)


def paths_in(folder: Path, *, layout: Layout = "raw", project_id: int = 1) -> ContainerPaths:
    return ContainerPaths(d_mbox=folder, listaddr=LIST, project_id=project_id, layout=layout)


def stored(number: int = 0, **others: int) -> Stored:
    """What becomes of a batch: all zero but for what is named."""
    return Stored(
        **{"stored": number, "known": 0, "quarantined": 0, "gone": 0, "back": 0, **others}
    )


def apply(paths: ContainerPaths, batch: FetchResult) -> Stored:
    with StoreWriter(paths) as writer:
        return writer.apply(batch)


def tree(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def write_index(paths: ContainerPaths, count: int) -> None:
    """An index of `count` lines, without any mail."""
    paths.index.parent.mkdir(parents=True, exist_ok=True)
    with paths.index.open("w") as file:
        for patch_id in range(1, count + 1):
            md5 = hashlib.md5(b"%d" % patch_id).hexdigest()
            file.write(f"2019/04/30 <{md5}.{patch_id}@example.org> {md5} {patch_id}\n")


def strict_read(paths: ContainerPaths) -> list[int]:
    """The patchwork ids in the index' order: whole lines only, each with its mail, none twice."""
    try:
        content = paths.index.read_bytes()
    except FileNotFoundError:
        return []
    ids = []
    folder = f"{paths.d_mbox}/{paths.layout}"
    for line in content.split(b"\n")[:-1]:
        day, message_id, md5, patch_id = line.decode().split(" ")
        date.fromisoformat(day.replace("/", "-"))
        mail = Path(f"{folder}/{day}/{md5}").read_bytes()
        assert hashlib.md5(mail).hexdigest() == md5, f"torn mail of {message_id}"
        ids.append(int(patch_id))
    assert len(ids) == len(set(ids)), "an id has two lines"
    return ids


def pasta_read(index: Path) -> dict[str, list[tuple[datetime, str, str]]]:
    """What PaStA makes of an index: text mode, split at newlines, then at single spaces."""
    lines = index.read_text().split("\n")
    while lines and not lines[-1]:
        lines.pop()
    entries = defaultdict(list)
    for line in lines:
        day, message_id, md5 = line.split(" ")[:3]
        entries[message_id].append((datetime.strptime(day, "%Y/%m/%d"), day, md5))
    return dict(entries)
