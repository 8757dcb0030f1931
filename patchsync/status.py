"""The status of fleet, analysis and projects: who is alive, how the last update of the groups
ended, what the server had and the store has. From Redis and files; the server is asked nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from patchsync.analysis.quarantine import AnalysisQuarantine, FailedMail
from patchsync.analysis.update import UpdateRecord, last_update
from patchsync.config import Config
from patchsync.errors import PatchsyncError, RedisUnavailable
from patchsync.fleet.backpressure import IndexQueue
from patchsync.fleet.heartbeat import Heartbeats, Member
from patchsync.fleet.leases import count_in_flight
from patchsync.fleet.redis_client import Memory, RedisClient, plain_words, was_killed
from patchsync.fleet.services import HEALTH_PATHS, wanted_services
from patchsync.fleet.trouble import Trouble, last_trouble
from patchsync.patchwork.rate_limit_state import (
    Hold,
    key_prefix,
    read_hold,
    read_push_total,
    read_total,
)
from patchsync.store.halt import halted
from patchsync.store.lock import is_locked
from patchsync.sync.holdings import Holdings, holdings
from patchsync.sync.projects import Project, find_projects
from patchsync.sync.records import last_audit, last_round
from patchsync.sync.request_count import last_requests

if TYPE_CHECKING:
    from patchsync.push.status import PushStatus

# Where a fleet runs, a round should not be longer ago than this, and than so many of its intervals.
LATE_SECONDS = 600.0
LATE_ROUNDS = 5
# A trouble of push that did not come again for so many of its intervals is over.
PUSH_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class FleetStatus:
    """Who is alive and what holds all of them up, from Redis."""

    # Why Redis cannot be asked; None where it can
    redis_trouble: str | None = None
    members: tuple[Member, ...] = ()
    # Nobody asks the Patchwork until then, and why
    hold: Hold | None = None
    # Requests of this day (UTC) by all who share this Redis, and how many may be
    requests_today: int = 0
    daily_budget: int | None = None
    # Those of push among them, and how many may be; the rest is for sync
    push_requests_today: int = 0
    push_budget: int | None = None
    # What waits for the index worker
    waiting_messages: int = 0
    waiting_bytes: int = 0
    # What all have in Redis; no limit where there is no maxmemory
    memory: Memory | None = None
    # Whether a fleet should run: beat does, or it, or the embedded Redis, was killed
    expected: bool = False


@dataclass(frozen=True, kw_only=True)
class AnalysisStatus(UpdateRecord):
    """How the last updates of the groups ended, and which mails it was not to get through."""

    quarantined: tuple[FailedMail, ...] = ()


class ProjectState(StrEnum):
    """How far a project is, as people read it."""

    IN_STEP = "in step"
    NOT_IN_STEP = "NOT in step"
    HALTED = "HALTED"
    NEW = "never had a whole round"
    UNREADABLE = "cannot be read"


@dataclass(frozen=True, kw_only=True)
class ProjectStatus:
    """One project. Times are seconds since 1970; what the server has is as of `last_round`."""

    project: str
    link_name: str | None = None
    id: int | None = None
    server_highest: int | None = None
    server_count: int | None = None
    ours: Holdings = field(default_factory=Holdings)
    # How many the server has more than we know of
    difference: int | None = None
    in_sync: bool | None = None
    last_round: float | None = None
    # When the last whole audit agreed
    last_audit: float | None = None
    day: str | None = None
    requests_that_day: int = 0
    # None where Redis does not answer
    in_flight: int | None = None
    # A dumparchive of it is being taken in
    importing: bool = False
    halted: str | None = None
    # Why its store cannot be read; then nothing else of it is known
    unreadable: str | None = None
    trouble: Trouble | None = None
    # None where nothing is to be pushed, or before the first round
    push: PushStatus | None = None

    @property
    def state(self) -> ProjectState:
        """How far it is, in a few words."""
        if self.unreadable:
            return ProjectState.UNREADABLE
        if self.halted:
            return ProjectState.HALTED
        if self.in_sync is None:
            return ProjectState.NEW
        return ProjectState.IN_STEP if self.in_sync else ProjectState.NOT_IN_STEP


def fleet_status(config: Config, client: RedisClient) -> FleetStatus:
    """Who of this configuration's fleet is alive, on whatever machines."""
    index_queue = IndexQueue(client, config.namespace)
    heartbeats = Heartbeats(client, config.namespace)
    send, prefix = client.execute_command, key_prefix(config)
    try:
        return FleetStatus(
            members=tuple(heartbeats.alive()),
            hold=read_hold(send, prefix),
            requests_today=read_total(send, prefix),
            daily_budget=config.daily_budget,
            push_requests_today=read_push_total(send, prefix),
            push_budget=config.push_budget,
            waiting_messages=index_queue.messages(),
            waiting_bytes=index_queue.bytes(),
            memory=index_queue.memory(),
            expected=heartbeats.are_expected(),
        )
    except RedisUnavailable as error:
        return FleetStatus(redis_trouble=plain_words(error, config), expected=was_killed(config))


def faults(
    config: Config, fleet: FleetStatus, projects: Iterable[ProjectStatus], now: float
) -> list[str]:
    """What somebody should look at, a sentence each; none where all is as it should be.

    `now`: seconds since 1970. What runs by single commands, such as `patchsync sync` by cron, needs
    no fleet, and no Redis between them unless one is configured.
    """
    lines = []
    if fleet.redis_trouble is not None:
        if fleet.expected or not config.embedded_redis:
            lines.append(fleet.redis_trouble)
    elif fleet.memory and fleet.memory.share >= 1:
        lines.append(f"Redis is full: {fleet.memory}; it refuses writes, heartbeats too")
    elif fleet.expected:
        alive = {member.service for member in fleet.members}
        signing_in = [s for s in wanted_services(config) if s not in HEALTH_PATHS]
        missing = [service for service in signing_in if service not in alive]
        if missing:
            lines.append(f"nobody is alive of: {', '.join(missing)}")
    late = max(LATE_SECONDS, LATE_ROUNDS * config.schedule.probe_seconds)
    for project in projects:
        name = project.link_name or project.project
        if project.unreadable:
            lines.append(f"{name} cannot be read: {project.unreadable}")
        elif project.halted:
            lines.append(f"{name} is halted")
        elif project.in_sync is None:
            lines.append(f"{name} never had a whole round")
        elif not project.in_sync:
            lines.append(f"{name} is not in step")
        elif project.trouble and _stays(project.trouble, project, config, now):
            lines.append(f"{name}: {project.trouble.task}: {project.trouble.message}")
        age = now - (project.last_round or now)
        if (fleet.expected or fleet.members) and age > late:
            lines.append(f"the last round of {name} was {age / 60:.0f} minutes ago")
        elif age < -LATE_SECONDS:
            lines.append(f"the clock was set back, and {name} had no round since")
    return lines


def _stays(trouble: Trouble, project: ProjectStatus, config: Config, now: float) -> bool:
    """Whether somebody has to change something, and nothing went well since."""
    pushes = trouble.task in ("plan", "send")
    since = now - PUSH_ROUNDS * config.schedule.push_seconds if pushes else project.last_round or 0
    return trouble.lasting and trouble.at > since


def analysis_status(config: Config) -> AnalysisStatus | None:
    """How the last updates of the groups ended; None where there is no engine."""
    if config.analysis.engine == "none":
        return None
    record = last_update(config) or UpdateRecord(engine=config.analysis.engine)
    if config.analysis.engine != "builtin":
        return AnalysisStatus(**asdict(record))
    quarantined = tuple(AnalysisQuarantine(config).quarantined())
    return AnalysisStatus(**asdict(record), quarantined=quarantined)


def project_statuses(
    config: Config, keys: Iterable[str], client: RedisClient | None, *, with_push: bool = True
) -> list[ProjectStatus]:
    """How far the projects are that the configuration spells so.

    `client`: None where Redis does not answer. `with_push`: looks at all that was ever pushed.
    """
    stored = {project.key: project for project in find_projects(config)}
    with_push = with_push and bool(config.push.sinks)
    return [_status_or_error(config, key, stored.get(key), client, with_push) for key in keys]


def _status_or_error(
    config: Config, key: str, project: Project | None, client: RedisClient | None, with_push: bool
) -> ProjectStatus:
    try:
        return _project_status(config, key, project, client, with_push)
    except PatchsyncError as error:  # The disk may be full; the rest is wanted all the more.
        name = project.name if project else None
        return ProjectStatus(project=key, link_name=name, unreadable=str(error))


def _project_status(
    config: Config, key: str, project: Project | None, client: RedisClient | None, with_push: bool
) -> ProjectStatus:
    in_flight: int | None = None
    trouble: Trouble | None = None
    if client:
        with suppress(RedisUnavailable):
            in_flight = count_in_flight(
                client, config.namespace, key, lease_seconds=config.fleet.lease_seconds
            )
            trouble = last_trouble(client, config.namespace, key)
    if project is None:
        return ProjectStatus(project=key, in_flight=in_flight, trouble=trouble)
    ours, last, audit = holdings(project), last_round(project), last_audit(project)
    spent = last_requests(project)
    return ProjectStatus(
        project=key,
        link_name=project.name,
        id=project.paths.project_id,
        server_highest=last.highest if last else None,
        server_count=last.count if last else None,
        ours=ours,
        difference=last.count - ours.known if last else None,
        in_sync=last.in_sync if last else None,
        last_round=last.at if last else None,
        last_audit=audit.last_agreed if audit else None,
        day=spent.day if spent else None,
        requests_that_day=spent.requests if spent else 0,
        in_flight=in_flight,
        importing=is_locked(project.paths.import_lock),
        halted=halted(project.paths),
        trouble=trouble,
        push=_push_status(config, project) if with_push else None,
    )


def _push_status(config: Config, project: Project) -> PushStatus:
    # Most of what `patchsync status` would load.
    from patchsync.push.status import push_status

    return push_status(config, project)
