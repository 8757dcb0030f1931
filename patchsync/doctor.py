"""What of a configuration works and what does not, and how to mend it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from patchsync.analysis.builtin.doctor import check_builtin
from patchsync.analysis.pasta.doctor import check_pasta_project, check_pasta_start
from patchsync.config import TOKEN_VARIABLE, Config, ProjectTable
from patchsync.errors import ConfigError, GiveUp, PatchsyncError
from patchsync.fleet.redis_server import embedded_redis_server, redis_trouble
from patchsync.patchwork.client import Client
from patchsync.patchwork.schemas import ProjectEntry
from patchsync.push import preconditions
from patchsync.store.layout import ContainerPaths
from patchsync.sync.connect import connect
from patchsync.sync.projects import find_project


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, whether it works, and what to know or to do."""

    subject: str
    works: bool
    text: str


def findings(config: Config) -> Iterator[Finding]:
    """Look at all of the configuration, one finding after the other. Leaves nothing behind."""
    yield Finding("configuration", True, f"{config.source}, named {config.namespace}")
    try:
        client = connect(config, config.token())
    except ConfigError as error:
        yield Finding("configuration", False, str(error))
        return
    api = _finding("[mbox.patchwork] url", lambda: _api(client, config))
    yield api
    if api.works:
        projects = [_Project(config, client, table) for table in config.projects]
        for project in projects:
            yield _finding(f"project {project.table.id}", project.look)
        yield _finding("[mbox.patchwork] token", lambda: _token(config, client, projects))
        if config.push.sinks:
            yield _finding("[push] sinks", lambda: preconditions.supported_sinks(config, client))
        if "comment" in config.push.sinks:
            yield _finding("[push.comment] projects", lambda: _lists(config, projects))
    yield _finding("[patchwork] contact", lambda: _contact(config))
    yield _finding("[store] mbox", lambda: _store(config))
    yield _finding("[redis] url", lambda: _redis(config))
    yield from _analysis(config)
    yield from _push(config)


def _analysis(config: Config) -> Iterator[Finding]:
    """Whether the engine can work."""
    if config.analysis.engine == "pasta":
        yield _finding("[analysis] pasta_root", lambda: check_pasta_start(config))
        yield _finding("[analysis] pasta_project", lambda: check_pasta_project(config))
    elif config.analysis.engine == "builtin":
        yield _finding("[analysis] engine", lambda: check_builtin(config))
    else:
        yield Finding("[analysis] engine", True, "none: patch-groups is written by others")


def _push(config: Config) -> Iterator[Finding]:
    """What push needs beside the Patchwork."""
    if not config.push.sinks:
        yield Finding("[push] sinks", True, "none: nothing is pushed")
        return
    yield _finding("[push] templates", lambda: preconditions.templates(config))
    yield _finding("[push] groups", lambda: preconditions.groups(config))
    if "comment" in config.push.sinks:
        yield _finding("[push.comment]", lambda: preconditions.mail_server(config))


class _Project:
    """A configured project, and what Patchwork says of it."""

    def __init__(self, config: Config, client: Client, table: ProjectTable) -> None:
        self.table = table
        self.found: ProjectEntry | None = None
        self._config = config
        self._client = client

    def look(self) -> str:
        self.found = project = self._client.project(self.table.id)
        others = {table.id.lower() for table in self._config.projects if table.id != self.table.id}
        if others & {project.link_name.lower(), str(project.id)}:
            raise GiveUp(
                f"{project.link_name} is configured twice, by number and by name; keep one"
            )
        site = find_project(self._config, self.table.id)
        paths = site.paths if site else self._future_paths(project)
        given, told = self.table.list_email, project.list_email
        remark = f" (Patchwork says {told})" if given and given != told else ""
        return f"{project.link_name} (id {project.id}), {given or told}{remark}; " + _for_pasta(
            paths
        )

    def _future_paths(self, project: ProjectEntry) -> ContainerPaths:
        return ContainerPaths(
            d_mbox=self._config.d_mbox,
            listaddr=self.table.list_email or project.list_email,
            project_id=project.id,
            layout=self._config.store.layout,
        )


def _finding(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, look())
    except PatchsyncError as error:
        return Finding(subject, False, str(error))


def _api(client: Client, config: Config) -> str:
    pace = f"at most {config.rate:g} requests a second" if config.rate else "no limit of requests"
    if config.daily_budget:
        pace += f", {config.daily_budget} a day"
    return f"{config.base_url} is a Patchwork with API {client.api_version}; {pace}"


def _token(config: Config, client: Client, projects: list[_Project]) -> str:
    wanted = ", which [push] sinks wants" if config.push.sinks else ""
    if config.token() is None:
        if wanted:
            raise GiveUp(f"none is set{wanted}: set token_file there, or {TOKEN_VARIABLE}")
        return "none is set; reading needs none"
    client.verify_token()
    foreign = [
        project.found.link_name
        for project in projects
        if project.found and not client.maintains(project.found)
    ]
    if foreign:
        told = f"it is valid, but its user does not maintain {', '.join(foreign)}"
        if wanted:
            raise GiveUp(f"{told}{wanted}: let Patchwork's admins make it a maintainer there")
        return f"{told}; enough to read"
    return "it is valid, and its user maintains all projects"


def _lists(config: Config, projects: list[_Project]) -> str:
    """Where comments go to."""
    lists = []
    for project in projects:
        if project.table.id in config.push.comment.projects:
            if project.found is None:
                raise GiveUp(f"Patchwork does not tell of {project.table.id}; see above")
            lists.append(project.table.list_email or project.found.list_email)
    return f"mails go to {', '.join(lists)}"


def _contact(config: Config) -> str:
    if not config.patchwork.contact and config.rate:
        raise GiveUp("set an address by which the Patchwork's admins can reach you")
    return config.patchwork.contact or "none is set; this machine's own Patchwork needs none"


def _store(config: Config) -> str:
    folder = next(each for each in (config.d_mbox, *config.d_mbox.parents) if each.exists())
    if not folder.is_dir():
        raise GiveUp(f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise GiveUp(f"{folder} cannot be written by this user")
    made = "" if folder == config.d_mbox else "; the first sync makes it"
    return f"{config.d_mbox}, layout {config.store.layout}{made}"


def _redis(config: Config) -> str:
    if config.embedded_redis:
        return f"empty: {embedded_redis_server()} is started and stopped with us"
    trouble = redis_trouble(config)
    if trouble:
        raise GiveUp(trouble)
    return "answers"


def _for_pasta(paths: ContainerPaths) -> str:
    """What PaStA's own configuration needs to read this project."""
    if paths.layout == "patchwork":
        return f"PaStA (before July 2026) reads it as project id {paths.project_id}"
    name, _, host = paths.listaddr.rpartition("@")
    return f'for PaStA: [mbox.raw."{host}"] {name} = ["patchwork.{paths.project_id}"]'
