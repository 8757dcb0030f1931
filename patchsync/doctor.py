"""What of a configuration works and what does not, and how to mend it."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import requests

from patchsync.analysis.builtin.doctor import check_builtin
from patchsync.analysis.pasta.doctor import check_pasta_project, check_pasta_start
from patchsync.config import TOKEN_VARIABLE, Config, ProjectTable
from patchsync.errors import ConfigError, GiveUp, PatchsyncError, RedisUnavailable
from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.redis_client import RedisReader
from patchsync.fleet.redis_server import embedded_redis_server, redis_trouble, write_trouble
from patchsync.fleet.services import HEALTH_PATHS, demand_free_port, local_url
from patchsync.patchwork.client import Client
from patchsync.patchwork.schemas import ProjectEntry
from patchsync.push import preconditions
from patchsync.store.identity import list_containers
from patchsync.store.layout import ContainerPaths
from patchsync.sync.connect import connect
from patchsync.sync.probe import demand_room
from patchsync.sync.projects import find_project, place_project

HEALTH_SECONDS = 5.0
DAY_SECONDS = 86_400
# Addresses of this machine alone
HERE = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, whether it works, and what to know or to do."""

    subject: str
    works: bool
    text: str


def findings(config: Config) -> Iterator[Finding]:
    """Look at all of the configuration, one finding after the other. Leaves nothing behind."""
    yield Finding("configuration", True, f"{config.source}, named {config.namespace}")
    yield _finding("secrets", lambda: _secrets(config))
    try:
        client = connect(config, config.token())
    except ConfigError as error:
        yield Finding("configuration", False, str(error))
        return
    api = _finding("[mbox.patchwork] url", lambda: _api(client, config))
    yield api
    if api.works:
        yield from _projects(config, client)
    yield _finding("[patchwork] contact", lambda: _contact(config))
    yield _finding("[schedule]", lambda: _schedule(config))
    yield _finding("[store] mbox", lambda: _store(config))
    yield _finding("[redis] url", lambda: _redis(config))
    yield _finding("[flower]", lambda: _flower(config))
    yield _finding("[web]", lambda: _web(config))
    yield from _analysis(config)
    yield from _push(config)


def _projects(config: Config, client: Client) -> Iterator[Finding]:
    """What Patchwork says of the configured projects, and what we may do there."""
    # By how the configuration spells them; without those that Patchwork does not have
    entries: dict[str, ProjectEntry] = {}
    for table in config.projects:
        yield _finding(f"project {table.id}", partial(_project, config, client, table, entries))
    yield _finding("[mbox.patchwork] token", lambda: _token(config, client, entries))
    if config.push.sinks:
        yield _finding("[push] sinks", lambda: preconditions.supported_sinks(config, client))
    if "comment" in config.push.sinks:
        yield _finding("[push.comment] projects", lambda: _lists(config, entries))


def _analysis(config: Config) -> Iterator[Finding]:
    """Whether the engine can work."""
    if config.analysis.engine == "pasta":
        yield _finding("[analysis] pasta_root", lambda: check_pasta_start(config))
        yield _finding("[analysis] pasta_project", lambda: check_pasta_project(config))
    elif config.analysis.engine == "builtin":
        yield _finding("[analysis] engine", lambda: check_builtin(config))
    else:
        yield Finding("[analysis] engine", True, "none: patch-groups is written by others")
        return
    yield _finding("patch-groups", lambda: _written_groups(config))


def _push(config: Config) -> Iterator[Finding]:
    """What push needs beside the Patchwork."""
    if not config.push.sinks:
        yield Finding("[push] sinks", True, "none: nothing is pushed")
        return
    yield _finding("[push] templates", lambda: preconditions.templates(config))
    yield _finding("[push] groups", lambda: preconditions.groups(config))
    if "comment" in config.push.sinks:
        yield _finding("[push.comment]", lambda: preconditions.mail_server(config))


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


def _schedule(config: Config) -> str:
    """Whether what is asked though nothing is new leaves room for what is."""
    table = config.schedule
    # Each round is one request, each step of an audit one at least.
    rounds_a_day = DAY_SECONDS / table.probe_seconds + DAY_SECONDS / table.audit_seconds
    asked = round(len(config.projects) * rounds_a_day)
    text = f"{asked} requests a day though nothing is new"
    allowed: list[tuple[float, str, str]] = []
    if config.daily_budget is not None:
        budget = config.daily_budget - (config.push_budget or 0)
        spent = f"after {24 * budget / asked:.1f} h nothing is asked until 00:00 UTC"
        allowed.append((budget, "requests_per_day", spent))
    if config.rate is not None:
        late = "rounds take longer, and audits wait"
        allowed.append((round(DAY_SECONDS * config.rate), "requests_per_second", late))
    if not allowed:
        return text
    most, key, outcome = min(allowed)
    if asked <= most:
        return f"{text}, of {most} that sync has"
    # So half of it is for what is new.
    longer = 2 * asked / most
    raise ConfigError(
        f"{text}, but [patchwork] {key} leaves {most} to sync: {outcome}. Set probe_seconds ="
        f" {math.ceil(longer * table.probe_seconds)} and audit_seconds ="
        f" {math.ceil(longer * table.audit_seconds)}; or a higher {key}, if the Patchwork's"
        " admins agree"
    )


def _project(
    config: Config, client: Client, table: ProjectTable, entries: dict[str, ProjectEntry]
) -> str:
    entries[table.id] = entry = client.project(table.id)
    others = {other.id.lower() for other in config.projects if other.id != table.id}
    if others & {entry.link_name.lower(), str(entry.id)}:
        raise GiveUp(f"{entry.link_name} is configured twice, by number and by name; keep one")
    project = find_project(config, table.id) or place_project(
        config, table, entry.id, entry.link_name, entry.list_email
    )
    ours, theirs = table.list_email or entry.list_email, entry.list_email
    remark = f" (Patchwork says {theirs})" if ours != theirs else ""
    return f"{entry.link_name} (id {entry.id}), {ours}{remark}; {_for_pasta(project.paths)}"


def _token(config: Config, client: Client, entries: dict[str, ProjectEntry]) -> str:
    need = ", which [push] sinks wants" if config.push.sinks else ""
    if config.token() is None:
        if need:
            raise GiveUp(f"none is set{need}: set token_file there, or {TOKEN_VARIABLE}")
        return "none is set; reading needs none"
    client.verify_token()
    foreign = [entry.link_name for entry in entries.values() if not client.maintains(entry)]
    if not foreign:
        return "it is valid, and its user maintains all projects"
    lack = f"it is valid, but its user does not maintain {', '.join(foreign)}"
    if need:
        raise GiveUp(f"{lack}{need}: let Patchwork's admins make it a maintainer there")
    return f"{lack}; enough to read"


def _lists(config: Config, entries: dict[str, ProjectEntry]) -> str:
    """Where comments go to."""
    lists = []
    for table in config.projects:
        if table.id in config.push.comment.projects:
            if table.id not in entries:
                raise GiveUp(f"Patchwork does not tell of {table.id}; see above")
            lists.append(table.list_email or entries[table.id].list_email)
    return f"mails go to {', '.join(lists)}"


def _secrets(config: Config) -> str:
    """Who may read the files that hold secrets."""
    by_group = []
    for key, file in config.secret_files.items():
        try:
            mode = file.stat().st_mode
        except OSError:
            continue  # Told where it is needed.
        if mode & stat.S_IROTH:
            raise GiveUp(
                f"{key}: {file} may be read by all users of this machine; `chmod 600` it, or 640 "
                "for a group"
            )
        if mode & stat.S_IRGRP:
            by_group.append(key)
    groups = f", but the group may read {', '.join(by_group)}" if by_group else ""
    return f"read by nobody else{groups}" if config.secret_files else "none is in a file"


def _contact(config: Config) -> str:
    if not config.patchwork.contact and config.rate:
        raise GiveUp("set an address by which the Patchwork's admins can reach you")
    return config.patchwork.contact or "none is set; this machine's own Patchwork needs none"


def _store(config: Config) -> str:
    folder = _writable_folder(config.d_mbox)
    for paths in (container.paths for container in list_containers(config.d_mbox)):
        for place in (paths.index, paths.mails, paths.own):
            if place.exists() and not os.access(place, os.W_OK):
                raise GiveUp(f"{place} cannot be written by this user")
    demand_room(config)
    made = "" if folder == config.d_mbox else "; the first sync makes it"
    return f"{config.d_mbox}, layout {config.store.layout}{made}"


def _written_groups(config: Config) -> str:
    """Where `analyse` writes its result."""
    path = config.patch_groups
    try:
        _writable_folder(path.parent)
        if path.is_dir():
            raise GiveUp(f"{path} is a folder")
    except GiveUp as error:
        raise GiveUp(
            f"`analyse` is to write {path}, but {error}; set [push] groups, or let its user write"
            " there"
        ) from error
    return f"`analyse` writes {path}"


def _writable_folder(wanted: Path) -> Path:
    """The folder, or the nearest one above that is there; raises GiveUp where it is no use."""
    folder = next(path for path in (wanted, *wanted.parents) if path.exists())
    if not folder.is_dir():
        raise GiveUp(f"{folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise GiveUp(f"{folder} cannot be written by this user")
    return folder


def _redis(config: Config) -> str:
    signed = config.signing_key() is not None
    if config.embedded_redis:
        return f"empty: {embedded_redis_server()} is started and stopped with us"
    trouble = redis_trouble(config) or write_trouble(config)
    if trouble:
        raise GiveUp(trouble)
    if signed:
        return "answers, and takes what is written; messages are signed"
    return (
        "answers, and takes what is written; whoever has its password may send tasks: see [redis]"
        " signing_key_file"
    )


def _flower(config: Config) -> str:
    login = config.flower_login()
    who = "behind a login" if login else "without a login: it only shows, on this machine alone"
    return f"{_free_or_ours(config, 'flower')}; {who}"


def _web(config: Config) -> str:
    public = f"; others reach it at {config.web.url}" if config.web.url else ""
    whom = "" if config.web.address in HERE else ", to whoever reaches this machine"
    return f"{_free_or_ours(config, 'web')}; it only shows{whom}{public}"


def _free_or_ours(config: Config, service: str) -> str:
    """That a service runs at its address, or can.

    Raises:
        GiveUp: something else listens there.
    """
    url = local_url(config, service)
    try:
        demand_free_port(config, service)
    except GiveUp:
        if _is_alive(config) and _answers(f"{url}{HEALTH_PATHS[service]}"):
            return f"runs at {url}"
        raise
    return f"{url} is free"


def _is_alive(config: Config) -> bool:
    """Whether a fleet of this configuration runs."""
    with suppress(RedisUnavailable), RedisReader(config.redis_url) as client:
        heartbeats = Heartbeats(client, config.namespace)
        # A full Redis takes no heartbeat.
        return bool(heartbeats.alive()) or heartbeats.are_expected()
    return False


def _answers(url: str) -> bool:
    """Whether what listens there says that it is alive."""
    with suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=HEALTH_SECONDS).ok
    return False


def _for_pasta(paths: ContainerPaths) -> str:
    """What PaStA's own configuration needs to read this project."""
    if paths.layout == "patchwork":
        return f"PaStA (before July 2026) reads it as project id {paths.project_id}"
    name, _, host = paths.listaddr.rpartition("@")
    return f'for PaStA: [mbox.raw."{host}"] {name} = ["patchwork.{paths.project_id}"]'
