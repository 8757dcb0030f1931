"""A configured project and its place in the store."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from patchsync.config import Config, ProjectTable
from patchsync.errors import ConfigError, UnknownProject
from patchsync.patchwork.client import Client
from patchsync.store.container import MboxPatchwork
from patchsync.store.identity import Origin, claim, list_containers
from patchsync.store.layout import ContainerPaths


@dataclass(frozen=True, kw_only=True)
class Site:
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


def find_site(config: Config, key: str) -> Site | None:
    """The place of the project that the configuration spells `key`; None before its first round.

    Asks nobody: what project an index belongs to is noted beside it.
    """
    for container in list_containers(config.d_mbox):
        origin, paths = container.origin, container.paths
        if (
            origin is not None
            and origin.is_at(config.base_url)
            and paths.layout == config.store.layout
            # Patchwork does not tell link names apart by case.
            and key.lower() in (origin.link_name.lower(), str(origin.project_id))
        ):
            return Site(key=key, name=origin.link_name, paths=paths)
    return None


def open_site(config: Config, client: Client, key: str) -> Site:
    """The place of a project, by number or link name; made, and noted, at its first round.

    Raises:
        ConfigError: the configuration has no such project.
        UnknownProject: Patchwork has no such project.
        GiveUp: its place in the store belongs to another one.
    """
    site = locate_site(config, client, key)
    settle(config, site)
    return site


def locate_site(config: Config, client: Client, key: str) -> Site:
    """As `open_site`, but leaves nothing behind: `settle` makes the place this project's."""
    table = _ask_for(config, client, key)
    site = find_site(config, table.id)
    if site is None:
        project = client.project(table.id)
        site = _place(config, table, project.id, project.link_name, project.list_email)
    _demand_once(config, site)
    return site


def locate_site_offline(config: Config, key: str, link_name: str | None) -> Site:
    """As `locate_site`, from what the configuration and the store say; nobody is asked.

    `link_name`: what the project is called elsewhere, as in the name of its archive.

    Raises:
        ConfigError: they do not say enough.
    """
    table = configured(config, key)
    site = find_site(config, table.id)
    if site is None:
        if not table.id.isdecimal() or not table.list_email or not link_name:
            raise ConfigError(
                f"project {table.id}: without asking Patchwork its place in the store is known "
                "only from [mbox.patchwork] projects = [{ id = <number>, list_email = ... }] and "
                "an archive that is called <link name>.mbox"
            )
        site = _place(config, table, int(table.id), link_name, table.list_email)
    _demand_once(config, site)
    return site


def settle(config: Config, site: Site) -> None:
    """Note that its place in the store is this project's.

    Raises:
        GiveUp: it belongs to another one.
    """
    origin = Origin(
        url=config.base_url,
        project_id=site.paths.project_id,
        link_name=site.name,
        list_email=site.paths.listaddr,
    )
    claim(site.paths, origin)


def _place(config: Config, table: ProjectTable, number: int, name: str, list_email: str) -> Site:
    paths = ContainerPaths(
        d_mbox=config.d_mbox,
        listaddr=table.list_email or list_email,
        project_id=number,
        layout=config.store.layout,
    )
    return Site(key=table.id, name=name, paths=paths)


def _demand_once(config: Config, site: Site) -> None:
    """Refuse a project that is configured by number and by name: it would have two locks."""
    twice = [
        table.id
        for table in config.projects
        if table.id != site.key
        and table.id.lower() in (site.name.lower(), str(site.paths.project_id))
    ]
    if twice:
        raise ConfigError(f"{site.key} and {', '.join(twice)} are the same project; keep one")


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
        site = find_site(config, table.id)
        if site and key in (site.name, str(site.paths.project_id)):
            return table
    return config.project(key)


def _ask_for(config: Config, client: Client, key: str) -> ProjectTable:
    """As `configured`; a name that is not known yet is looked up in Patchwork."""
    try:
        return configured(config, key)
    except ConfigError:
        with suppress(UnknownProject):
            project = client.project(key)
            for table in config.projects:
                if table.id in (project.link_name, str(project.id)):
                    return table
        raise
