"""A configured project and its place in the store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patchsync.config import Config, ProjectTable
from patchsync.errors import ConfigError, GiveUp, PatchsyncError, UnknownProject
from patchsync.store.container import MboxPatchwork
from patchsync.store.halt import halted
from patchsync.store.identity import Origin, claim, list_containers, read_origin
from patchsync.store.layout import ContainerPaths

if TYPE_CHECKING:
    from patchsync.patchwork.client import Client

# Where each project was found last, by store, Patchwork, layout, and its name or number: else a
# round would cost more with each other project, for it would read what all have noted.
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
            GiveUp: it is halted; the message says why, and how that is ended.
        """
        reason = halted(self.paths)
        if reason:
            raise GiveUp(
                f"{self.name} is halted: {reason} When that is mended, run "
                f"`patchsync resume -p {self.key}`"
            )


def find_project(config: Config, key: str) -> Project | None:
    """The place of the project that the configuration spells `key`; None before its first round.

    Asks nobody: what project an index belongs to is noted beside it.
    """
    paths = _found_at.get(_place_of(config, key))
    origin = read_origin(paths) if paths else None
    # It may have been removed since, or made anew for another.
    if paths and origin and origin.is_at(config.base_url) and key.lower() in _names(origin):
        return Project(key=key, name=origin.link_name, paths=paths)
    return _project(key, _containers(config))


def name_of(config: Config, key: str) -> str:
    """What people read of the project that the configuration spells `key`.

    Its link name where the store knows it, else what the configuration says.
    """
    with suppress(PatchsyncError):
        project = find_project(config, key)
        if project:
            return project.name
    table = config.mbox.patchwork.by_key.get(key)
    return table.called if table else key


def find_projects(config: Config) -> list[Project]:
    """All configured projects that have a place, as `find_project` finds each."""
    containers = _containers(config)
    projects = (_project(table.id, containers) for table in config.projects)
    return [project for project in projects if project]


def _project(key: str, containers: Mapping[str, tuple[ContainerPaths, Origin]]) -> Project | None:
    # Patchwork does not tell link names apart by case.
    if key.lower() not in containers:
        return None
    paths, origin = containers[key.lower()]
    return Project(key=key, name=origin.link_name, paths=paths)


def _containers(config: Config) -> dict[str, tuple[ContainerPaths, Origin]]:
    """What the store has of this Patchwork, by link name and by number; it is remembered where."""
    containers: dict[str, tuple[ContainerPaths, Origin]] = {}
    for container in list_containers(config.d_mbox):
        paths, origin = container.paths, container.origin
        if origin and origin.is_at(config.base_url) and paths.layout == config.store.layout:
            for name in _names(origin):
                containers.setdefault(name, (paths, origin))
    for name, (paths, _) in containers.items():
        _found_at[_place_of(config, name)] = paths
    return containers


def _place_of(config: Config, name: str) -> tuple[Path, str, str, str]:
    return config.d_mbox, config.base_url, config.store.layout, name.lower()


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
    table = _look_up(config, client, key)
    project = find_project(config, table.id)
    if project is None:
        answer = client.project(table.id)
        project = place_project(config, table, answer.id, answer.link_name, answer.list_email)
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
                f"the place of project {table.id} in the store is not known yet: leave out"
                " --offline, or give id and list_email in [mbox.patchwork] projects"
            )
        project = place_project(config, table, int(table.id), link_name, table.list_email)
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
    _found_at[_place_of(config, project.key)] = project.paths


def place_project(
    config: Config, table: ProjectTable, number: int, link_name: str, list_email: str
) -> Project:
    """A configured project where it would have its place, as Patchwork names it; nothing is made.

    `number`: its id in Patchwork.
    """
    paths = ContainerPaths(
        d_mbox=config.d_mbox,
        listaddr=table.list_email or list_email,
        project_id=number,
        layout=config.store.layout,
    )
    return Project(key=table.id, name=link_name, paths=paths)


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
    with suppress(ConfigError):
        return config.project(key)
    for project in find_projects(config):
        if key in (project.name, str(project.paths.project_id)):
            return config.project(project.key)
    return config.project(key)


def _look_up(config: Config, client: Client, key: str) -> ProjectTable:
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
