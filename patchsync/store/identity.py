"""Which Patchwork project an index belongs to, so that two of them never share one."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from patchsync.errors import GiveUp, StoreDamaged
from patchsync.store.files import read_file, replace_file, storing
from patchsync.store.layout import OWN_FOLDER, ContainerPaths
from patchsync.store.lock import LOCK_WAIT, store_lock

_INDEX_NAME = re.compile(r"(?:raw\.(?P<listaddr>.+)\.)?patchwork\.(?P<project_id>[1-9][0-9]{0,18})")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A project of a Patchwork instance."""

    url: str
    project_id: int
    link_name: str
    list_email: str

    def is_at(self, url: str) -> bool:
        """Tell whether this is a project of the Patchwork at `url`, however that is spelt."""
        return _spelling(self.url) == _spelling(url)

    def collisions(self, other: Origin) -> list[str]:
        """Say in what the two differ so that they cannot be one project; nothing if they can.

        The list's address may change, and how the url is spelt does not matter.
        """
        pairs = [
            ("Patchwork", _spelling(self.url), _spelling(other.url)),
            ("project id", str(self.project_id), str(other.project_id)),
            ("link name", self.link_name, other.link_name),
        ]
        return [f"{what} {ours} and {theirs}" for what, ours, theirs in pairs if ours != theirs]


@dataclass(frozen=True, kw_only=True)
class Container:
    """A Patchwork project found in a store."""

    paths: ContainerPaths
    # None where PaStA's former backend made the index and patchsync never had it.
    origin: Origin | None


def claim(paths: ContainerPaths, origin: Origin, wait: float = LOCK_WAIT) -> None:
    """Note `origin` as the project of this index, once; later calls only compare.

    Raises GiveUp, naming what collides, when the index belongs to another project; LockHeld when
    the store's lock is not to be had within `wait` seconds; StoreUnavailable, StoreDamaged.
    """
    there = read_origin(paths)
    if there is None:
        with store_lock(paths.lock, wait):
            there = read_origin(paths)
            if there is None:
                content = json.dumps(asdict(origin), indent=2) + "\n"
                replace_file(paths.origin, content.encode())
                return
    if collisions := there.collisions(origin):
        raise GiveUp(
            f"{paths.index} belongs to another project: {', '.join(collisions)}. Give this one"
            f" another store; or, if it was moved or renamed, remove {paths.origin}"
        )


def read_origin(paths: ContainerPaths) -> Origin | None:
    """Return the project noted for this index, None if none is; StoreDamaged when foreign."""
    content = read_file(paths.origin)
    if content is None:
        return None
    try:
        data = json.loads(content)
        origin = Origin(**data)
        if type(origin.project_id) is not int or not all(
            isinstance(text, str) for text in (origin.url, origin.link_name, origin.list_email)
        ):
            raise TypeError("a field of another type")
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreDamaged(f"{paths.origin}: not a project's origin; remove the file") from error
    return origin


def list_containers(d_mbox: Path) -> list[Container]:
    """Return all Patchwork projects in the store `d_mbox`; raises what `read_origin` does."""
    names: set[str] = set()
    for folder in (d_mbox / "index", d_mbox / OWN_FOLDER):
        with storing(folder):
            if folder.is_dir():
                names.update(path.name for path in folder.iterdir())
    containers = []
    for name in sorted(names):
        if match := _INDEX_NAME.fullmatch(name):
            paths = _paths(d_mbox, match["listaddr"], int(match["project_id"]))
            containers.append(Container(paths=paths, origin=read_origin(paths)))
    return containers


def _paths(d_mbox: Path, listaddr: str | None, project_id: int) -> ContainerPaths:
    if listaddr is not None:
        return ContainerPaths(d_mbox=d_mbox, listaddr=listaddr, project_id=project_id)
    # The layout `patchwork` does not name the list in the index' name; the origin knows it.
    unnamed = ContainerPaths(
        d_mbox=d_mbox, listaddr="unknown", project_id=project_id, layout="patchwork"
    )
    origin = read_origin(unnamed)
    if origin is None:
        return unnamed
    return ContainerPaths(
        d_mbox=d_mbox, listaddr=origin.list_email, project_id=project_id, layout="patchwork"
    )


def _spelling(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(
        (parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/"), parts.query, "")
    )
