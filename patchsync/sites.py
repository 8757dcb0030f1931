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
    table = _ask_for(config, client, key)
    site = find_site(config, table.id)
    if site:
        _demand_once(config, site)
        return site
    project = client.project(table.id)
    paths = ContainerPaths(
        d_mbox=config.d_mbox,
        listaddr=table.list_email or project.list_email,
        project_id=project.id,
        layout=config.store.layout,
    )
    claim(
        paths,
        Origin(
            url=config.base_url,
            project_id=project.id,
            link_name=project.link_name,
            list_email=paths.listaddr,
        ),
    )
    site = Site(key=table.id, name=project.link_name, paths=paths)
    _demand_once(config, site)
    return site


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
