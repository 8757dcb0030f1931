"""A configured project and its place in the store."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchsync.config import Config, ProjectTable
from patchsync.errors import ConfigError, GiveUp, UnknownProject
from patchsync.store.container import MboxPatchwork
from patchsync.store.halt import halted
from patchsync.store.identity import Origin, claim, list_containers, read_origin
from patchsync.store.layout import ContainerPaths

if TYPE_CHECKING:
    from patchsync.patchwork.client import Client

# Where each project was found last, by store, Patchwork, layout, and its name or number: else each
# round of each project would read what all the others have noted.
_found_at: dict[tuple[Path, str, str, str], ContainerPaths] = {}


@dataclass(frozen=True, kw_only=True)
class Project:
    """A configured project that has its place in the store."""

    # As the configuration spells it: what messages, locks and counts go by
    key: str
    # Patchwork's link name, for people
    name: str
    paths: ContainerPaths

    def open(self) -> MboxPatchwork:
        """The project's mails; to be closed."""
        paths = self.paths
        return MboxPatchwork(paths.listaddr, paths.d_mbox, paths.project_id, paths.layout)

    def demand_not_halted(self) -> None:
        """Refuse to go on with a project that somebody has to look at first.

        Raises:
            GiveUp: the file `halted` is there; the message says what it says.
        """
        reason = halted(self.paths)
        if reason:
            raise GiveUp(
                f"{self.name} is halted: {reason} When that is mended, remove {self.paths.halted}"
            )


def find_project(config: Config, key: str) -> Project | None:
    """The place of the project that the configuration spells `key`; None before its first round.

    Asks nobody: what project an index belongs to is noted beside it.
    """
    # Patchwork does not tell link names apart by case.
    place = (config.d_mbox, config.base_url, config.store.layout, key.lower())
    project = _at(place, key)
    if project is None:
        _look_at_all(config)
        project = _at(place, key)
    return project


def _at(place: tuple[Path, str, str, str], key: str) -> Project | None:
    """The project at its remembered place, unless it was removed, or made anew for another."""
    paths = _found_at.get(place)
    origin = read_origin(paths) if paths else None
    if paths is None or origin is None:
        return None
    _, url, _, name = place
    if not origin.is_at(url) or name not in _names(origin):
        return None
    return Project(key=key, name=origin.link_name, paths=paths)


def _look_at_all(config: Config) -> None:
    places: dict[tuple[Path, str, str, str], ContainerPaths] = {}
    for container in list_containers(config.d_mbox):
        origin, layout = container.origin, container.paths.layout
        if origin is not None and origin.is_at(config.base_url):
            for name in _names(origin):
                place = (config.d_mbox, config.base_url, layout, name)
                places.setdefault(place, container.paths)
    _found_at.update(places)


def _names(origin: Origin) -> tuple[str, str]:
    return origin.link_name.lower(), str(origin.project_id)


def synced_project(config: Config, key: str) -> Project:
    """As `find_project`.

    Raises:
        GiveUp: it has no place in the store yet.
    """
    project = find_project(config, key)
    if project is None:
        raise GiveUp(f"{config.d_mbox} has no place for project {key!r} yet; a probe makes it")
    return project


def open_project(config: Config, client: Client, key: str) -> Project:
    """The place of a project, by number or link name; made, and noted, at its first round.

    Raises:
        ConfigError: the configuration has no such project.
        UnknownProject: Patchwork has no such project.
        GiveUp: its place in the store belongs to another one.
    """
    project = locate_project(config, client, key)
    settle(config, project)
    return project


def locate_project(config: Config, client: Client, key: str) -> Project:
    """As `open_project`, but leaves nothing behind: `settle` makes the place this project's."""
    table = _ask_for(config, client, key)
    project = find_project(config, table.id)
    if project is None:
        answer = client.project(table.id)
        project = _place(config, table, answer.id, answer.link_name, answer.list_email)
    _demand_once(config, project)
    return project


def locate_project_offline(config: Config, key: str, link_name: str | None) -> Project:
    """As `locate_project`, from what the configuration and the store say; nobody is asked.

    `link_name`: what the project is called elsewhere, as in the name of its archive.

    Raises:
        ConfigError: they do not say enough.
    """
    table = configured(config, key)
    project = find_project(config, table.id)
    if project is None:
        if not table.id.isdecimal() or not table.list_email or not link_name:
            raise ConfigError(
                f"project {table.id}: without asking Patchwork its place in the store is known "
                "only from [mbox.patchwork] projects = [{ id = <number>, list_email = ... }] and "
                "an archive that is called <link name>.mbox"
            )
        project = _place(config, table, int(table.id), link_name, table.list_email)
    _demand_once(config, project)
    return project


def settle(config: Config, project: Project) -> None:
    """Note that its place in the store is this project's.

    Raises:
        GiveUp: it belongs to another one.
    """
    origin = Origin(
        url=config.base_url,
        project_id=project.paths.project_id,
        link_name=project.name,
        list_email=project.paths.listaddr,
    )
    claim(project.paths, origin)


def _place(config: Config, table: ProjectTable, number: int, name: str, list_email: str) -> Project:
    paths = ContainerPaths(
        d_mbox=config.d_mbox,
        listaddr=table.list_email or list_email,
        project_id=number,
        layout=config.store.layout,
    )
    return Project(key=table.id, name=name, paths=paths)


def _demand_once(config: Config, project: Project) -> None:
    """Refuse a project that is configured by number and by name: it would have two locks."""
    twice = [
        table.id
        for table in config.projects
        if table.id != project.key
        and table.id.lower() in (project.name.lower(), str(project.paths.project_id))
    ]
    if twice:
        raise ConfigError(f"{project.key} and {', '.join(twice)} are the same project; keep one")


def configured(config: Config, key: str) -> ProjectTable:
    """The configured project that `key` means: as it is spelt there, or by its other name.

    The other name is known from the first round on.

    Raises:
        ConfigError: there is none; the message lists those there are.
    """
    for table in config.projects:
        if table.id == key:
            return table
    for table in config.projects:
        project = find_project(config, table.id)
        if project and key in (project.name, str(project.paths.project_id)):
            return table
    return config.project(key)


def _ask_for(config: Config, client: Client, key: str) -> ProjectTable:
    """As `configured`; a name that is not known yet is looked up in Patchwork."""
    try:
        return configured(config, key)
    except ConfigError:
        with suppress(UnknownProject):
            answer = client.project(key)
            for table in config.projects:
                if table.id in (answer.link_name, str(answer.id)):
                    return table
        raise
