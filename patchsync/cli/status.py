"""`patchsync status`: fleet, analysis and projects, for people or as JSON."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from patchsync.cli.output import echo
from patchsync.config import Config, load
from patchsync.fleet.redis_client import RedisReader
from patchsync.fleet.services import wanted_services
from patchsync.patchwork.rate_limit_state import spent_shares
from patchsync.status import (
    AnalysisStatus,
    FleetStatus,
    ProjectState,
    ProjectStatus,
    analysis_status,
    faults,
    fleet_status,
    project_statuses,
)
from patchsync.sync.projects import configured

if TYPE_CHECKING:
    from patchsync.push.status import PushStatus

# What does not happen while nobody of a service is alive.
WITHOUT = {
    "probe": "nothing is compared with Patchwork",
    "fetch": "nothing is downloaded",
    "index": "nothing is written to the store",
    "analyse": "patch-groups is not brought up to date",
    "push": "nothing is annotated in Patchwork",
    "beat": "nothing is enqueued by itself",
}


@click.command()
@click.option("-p", "--project", "projects", multiple=True, metavar="P", help="Only this one.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(projects: tuple[str, ...], as_json: bool) -> None:
    """Show who is alive, and how far each project is.

    Also how the last analysis went, what the server had at the last round, and what is pushed.
    Asks the server nothing. What ends with exit status 1 stands at the end, after WRONG:

    \b
    - a project is not in step, is halted, never had a round, or its trouble waits for somebody
    - where a fleet should run, since beat does or was killed: a service has no living process
    - where anything of it runs, or should: the last round is older than ten minutes, or five
      intervals of [schedule] probe_seconds
    - the Redis of [redis] url does not answer

    Without a fleet (imports, `patchsync sync` by cron) only the first counts. An analysis that
    failed, and what is still to be pushed, or was refused, do not count. 2 is a wrong command line.
    """
    config = load()
    tables = [configured(config, key) for key in projects] or config.projects
    with RedisReader(config.redis_url) as client:
        fleet, analysis = fleet_status(config, client), analysis_status(config)
        # Each project would wait for a Redis that does not answer.
        answering = None if fleet.redis_trouble else client
        statuses = project_statuses(config, [table.id for table in tables], answering)
    wrong = faults(config, fleet, statuses, time.time())
    if as_json:
        content = {
            "wrong": wrong,
            "fleet": asdict(fleet),
            "analysis": asdict(analysis) if analysis else None,
            "projects": [asdict(project) for project in statuses],
        }
        echo(json.dumps(content, indent=2, default=str))
    else:
        parts = [_fleet_lines(config, fleet)]
        if analysis:
            parts.append(_analysis_lines(analysis))
        parts += [_project_lines(config, project) for project in statuses]
        if wrong:
            parts.append(["WRONG", *wrong])
        echo("\n\n".join("\n  ".join(lines) for lines in parts))
    if wrong:
        sys.exit(1)


def _fleet_lines(config: Config, fleet: FleetStatus) -> list[str]:
    if fleet.redis_trouble is not None:
        return [f"fleet: {fleet.redis_trouble}"]
    lines = ["fleet"]
    is_full = fleet.memory is not None and fleet.memory.share >= 1
    for service in wanted_services(config):
        without = WITHOUT.get(service)
        if without is None:
            continue
        members = [member for member in fleet.members if member.service == service]
        places = ", ".join(f"process {member.pid} on {member.host}" for member in members)
        none = "unknown: Redis is full, nobody can sign in" if is_full else f"none: {without}"
        lines.append(f"{service:<12}{places or none}")
    lines += _request_lines(config, fleet)
    if fleet.hold:
        lines.append(f"NOT ASKING  until {_time(fleet.hold.until)}: {fleet.hold.why}")
        lines.append("            ends by itself; see `patchsync resume --help`")
    if fleet.waiting_messages:
        size = fleet.waiting_bytes / 2**20
        lines.append(f"waiting     {fleet.waiting_messages} messages for index, {size:.1f} MiB")
    if fleet.memory:
        full = "; FULL: it refuses writes" if fleet.memory.share >= 1 else ""
        lines.append(f"Redis       {fleet.memory} used{full}")
    return lines


def _request_lines(config: Config, fleet: FleetStatus) -> list[str]:
    """The requests of the day, and who waits for the next one."""
    total, of_push = fleet.requests_today, fleet.push_requests_today
    budget = f" of {fleet.daily_budget}" if fleet.daily_budget else ""
    share = f", {of_push} of {fleet.push_budget} for push" if fleet.push_budget else ""
    key = {"push": "[push] requests_share", "sync": "[patchwork] requests_per_day"}
    return [f"requests    {total}{budget} today (UTC){share}"] + [
        f"{who} waits  until 00:00 UTC: its share of the requests is spent, which is {key[who]}"
        for who in spent_shares(config, total, of_push)
    ]


def _analysis_lines(record: AnalysisStatus) -> list[str]:
    if record.at is None:
        lines = [f"analysis ({record.engine}): never went through yet"]
    else:
        lines = [
            f"analysis ({record.engine}): {record.story}",
            f"ended       {_time(record.at)}, after {record.seconds or 0:.1f} s",
        ]
    if record.trouble:
        lines.append(f"FAILED      {_time(record.failed_at)}: {record.trouble}")
    lines += [
        f"quarantined {mail.name} since {mail.first:%Y-%m-%d %H:%M}, tried {mail.tries} times:"
        f" {mail.reason}"
        for mail in record.quarantined
    ]
    return lines


def _project_lines(config: Config, project: ProjectStatus) -> list[str]:
    if project.unreadable:
        return [f"{project.link_name or project.project}: {project.state}: {project.unreadable}"]
    if project.in_sync is None:
        name = project.link_name or project.project
        lines = [f"{name}: {ProjectState.NEW}; run `patchsync sync` or `patchsync up`"]
    else:
        ours = project.ours
        difference = "unknown" if project.difference is None else f"{project.difference:+d}"
        lines = [
            f"{project.link_name} (id {project.id}): {project.state}",
            f"server      highest id {project.server_highest}, count {project.server_count}"
            f" ({_time(project.last_round)})",
            f"ours        highest id {ours.highest}, known {ours.known}:"
            f" stored {ours.stored} - gone {ours.gone} + quarantined {len(ours.quarantined)}",
            f"difference  {difference}",
            f"audit       last agreed {_time(project.last_audit)}",
            f"requests    {project.requests_that_day} on {project.day}",
        ]
    if project.halted:
        lines.append(f"halted      {project.halted}")
        lines.append(f"            when mended: `patchsync resume -p {project.project}`")
    if project.in_flight:
        lines.append(f"in flight   {project.in_flight} pages")
    if project.importing:
        lines.append("import      an import is under way")
    if project.trouble:
        trouble = project.trouble
        lines.append(f"trouble     {_time(trouble.at)}, {trouble.task}: {trouble.message}")
    lines += [
        f"quarantined {entry.id} since {entry.first:%Y-%m-%d %H:%M}, tried {entry.tries} times:"
        f" {entry.reason}"
        for entry in project.ours.quarantined
    ]
    if project.push:
        lines += _push_lines(config, project.project, project.push)
    return lines


def _push_lines(config: Config, key: str, push: PushStatus) -> list[str]:
    from patchsync.push.daily_checks import until_tomorrow
    from patchsync.push.entries import TroubleKind  # Most do not push.

    lines = [
        f"push        {sink}: {counts.wanted} wanted, {counts.shown} shown,"
        f" {counts.pending} pending, {counts.trouble} in trouble"
        + (f"; {counts.respected} as people have them" if counts.respected else "")
        for sink, counts in push.sinks.items()
    ]
    if push.waiting_checks:
        limit = config.push.check.per_group_and_day
        lines.append(f"push waits  {push.waiting_checks} checks {until_tomorrow(limit)}")
    if obstacle := push.obstacle(key):
        lines.append(f"NOT PUSHING {obstacle}")
    lines += [
        f"{f'patch {respected.patch_id}':<11} {respected.sink}, no trouble,"
        f" {_time(respected.at)}: {respected.text}"
        for respected in push.respected
    ]
    lines += [
        f"{f'patch {trouble.patch_id}':<11} {trouble.sink}, {trouble.kind.replace('_', ' ')},"
        f" {_time(trouble.at)}: {trouble.text}"
        for trouble in push.troubles
    ]
    if any(trouble.kind != TroubleKind.CHANGED for trouble in push.troubles):
        lines.append("            after a remedy: `patchsync push --retry`")
    return lines


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
