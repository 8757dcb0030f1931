"""`patchsync resume`: lifts what stops the fleet, or a project."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from patchsync.cli.output import echo
from patchsync.config import Config, load
from patchsync.errors import GiveUp, RedisUnavailable, in_words
from patchsync.fleet.redis_client import RedisReader
from patchsync.patchwork.rate_limit_state import (
    key_prefix,
    read_hold,
    read_push_total,
    read_total,
    spent_shares,
)
from patchsync.store.halt import halted, release
from patchsync.sync.projects import configured, find_project, find_projects


@click.command()
@click.option(
    "-p", "--project", "projects", multiple=True, metavar="P", help="End the halt of this project."
)
@click.option("--yes", is_flag=True, help="Lift also what the server itself asked for.")
def resume(projects: tuple[str, ...], yes: bool) -> None:
    """Lift what stops the fleet, or with -p a project.

    A hold of all requests, or the halt of a project.

    A hold is "NOT ASKING" in `patchsync status`, which tells its end and its reason. Nobody who
    shares this Redis asks that Patchwork until then, for an hour at most. It ends by itself. The
    breaker opens where the server does not answer, for 5 seconds, and longer each time up to 5
    minutes: lift it once the server is back and you do not want to wait. Where the server asked to
    be left alone (Retry-After), it is lifted only with --yes: ask its admins first.

    A halt is for good: the server listed another message than is stored under an id, as after its
    database was restored from a backup. Nothing of the project is synced until somebody has looked,
    and says so by -p. It is halted again if that is still so.

    A day's budget that is spent is neither: it ends at 00:00 UTC, or with a higher
    [patchwork] requests_per_day.

    Asks the server nothing; the fleet goes on at its next round. Exit status 1 if what was to be
    lifted still stands.

    \b
    patchsync resume                  lift the breaker's hold
    patchsync resume -p linuxppc-dev  sync this project again
    """
    config = load()
    if projects:
        for key in projects:
            _release(config, key)
    elif not _lift(config, yes=yes):
        sys.exit(1)


def _release(config: Config, key: str) -> None:
    project = find_project(config, configured(config, key).id)
    if project is None:
        raise GiveUp(f"{key} is not in the store yet, so it is not halted; run `patchsync sync`")
    reason = release(project.paths)
    if reason is None:
        echo(f"{project.name}: is not halted")
    else:
        echo(f"{project.name}: is synced again; it was halted: {reason}")


def _lift(config: Config, *, yes: bool) -> bool:
    """Lift the hold of all requests. Returns whether none is left."""
    prefix = key_prefix(config)
    try:
        with RedisReader(config.redis_url) as reader:
            hold = read_hold(reader.execute_command, prefix)
            spent = read_total(reader.execute_command, prefix)
            of_push = read_push_total(reader.execute_command, prefix)
    except RedisUnavailable as error:
        where = "the embedded Redis" if config.embedded_redis else "the Redis of [redis] url"
        raise RedisUnavailable(
            f"no fleet runs, or {where} does not answer: {in_words(error)}"
        ) from None
    for project in find_projects(config):
        if reason := halted(project.paths):
            echo(f"{project.name}: is halted, see `resume -p {project.key}`: {reason}")
    for who in spent_shares(config, spent, of_push):
        echo(
            f"{who}'s share of the day's budget is spent, in all {spent} of {config.daily_budget}"
            " requests: it ends at 00:00 UTC, or with a higher [patchwork] requests_per_day",
            err=True,
        )
    if hold is None:
        echo("no hold: whoever has something to ask may ask")
        return True
    said = f"until {datetime.fromtimestamp(hold.until, UTC):%Y-%m-%d %H:%M:%S} UTC: {hold.why}"
    if hold.by_server and not yes:
        echo(
            f"not lifted: the server asked for it, {said}. It ends by itself; --yes lifts it now",
            err=True,
        )
        return False
    from redis import Redis  # Most calls end before.

    from patchsync.patchwork.rate_limit import fleet_rate_limiter

    with Redis.from_url(config.redis_url) as client:
        fleet_rate_limiter(config, client).lift()
    echo(f"lifted; nobody was to ask {said}")
    return True
