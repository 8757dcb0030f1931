"""Which configured project an mbox is of: a dumparchive calls it by its link name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.patchwork.client import Client
from patchsync.sync.projects import Project, find_project, locate_project, locate_project_offline


class ProjectMatch:
    """The projects whose mails are wanted, and which mbox is of which of them."""

    def __init__(
        self, config: Config, keys: Sequence[str], client: Client | None, *, chosen: bool
    ) -> None:
        """Ask Patchwork for what is not known of them yet; without `client` nobody is asked.

        Args:
            config: the configuration.
            keys: the projects, as the configuration spells them.
            client: the Patchwork.
            chosen: somebody said that the archive is of these.

        Raises:
            UnknownProject: Patchwork does not have one of them.
            GiveUp: it belongs to another place in the store.
        """
        self._config = config
        self._keys = list(keys)
        self._chosen = chosen
        self._projects: list[Project] = []
        for key in keys:
            project = locate_project(config, client, key) if client else find_project(config, key)
            if project:
                self._projects.append(project)
        placed = {project.key for project in self._projects}
        # Nobody was asked where in the store they belong.
        self._unplaced = [key for key in keys if key not in placed]

    def names(self) -> str:
        """For messages."""
        return ", ".join([project.name for project in self._projects] or self._keys)

    def unknown(self) -> str | None:
        """Why an mbox may be of a wanted project that it is not known by; None if it cannot.

        What a project that is configured by number is called only Patchwork, or the store, tells.
        """
        numbers = [key for key in self._unplaced if key.isdecimal()]
        return _place_unknown(numbers) if numbers else None

    def project_of(self, link_name: str | None, path: Path) -> Project | None:
        """Whose mbox it is; None if it is of no project that is wanted.

        Args:
            link_name: what the archive calls the project; None for a bare mbox.
            path: the archive, whose name counts for a bare mbox.

        Raises:
            GiveUp: that cannot be told.
        """
        if link_name is None and self._chosen and self._projects:
            return self._projects[0]
        name = link_name or _stem(path)
        for project in self._projects:
            # Patchwork does not tell link names apart by case.
            if project.name.lower() == name.lower():
                return project
        if not self._projects and self._chosen and link_name:
            # Somebody says whose archive it is, and the archive what that project is called.
            return locate_project_offline(self._config, self._keys[0], link_name)
        unplaced = [key for key in self._unplaced if key.lower() == name.lower()]
        if link_name is None and not self._projects:
            unplaced = unplaced or self._unplaced
        if unplaced:
            raise GiveUp(f"{path}: {_place_unknown(unplaced)}")
        if link_name is None:
            raise GiveUp(
                f"{path} does not say of which project it is ({self.names()}); name it by --project"
            )
        return None


def _place_unknown(keys: list[str]) -> str:
    return (
        f"the place of {', '.join(keys)} in the store is not known yet: leave out --offline, or"
        " give id and list_email in [mbox.patchwork] projects, and --project"
    )


def _stem(path: Path) -> str:
    """What the file of a bare mbox is called for."""
    return path.name.removesuffix(".gz").removesuffix(".mbox")
