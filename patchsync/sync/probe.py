"""One round of a project: its Patchwork is compared with the store, and the record is kept."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Collection
from dataclasses import asdict
from datetime import UTC, datetime

from patchsync.config import Config
from patchsync.errors import PatchsyncError, StoreNotWritable
from patchsync.patchwork.client import Client
from patchsync.patchwork.paging import Page
from patchsync.patchwork.rate_limit import RedisRateLimiter
from patchsync.store.count_history import CountHistory, Counts
from patchsync.store.json_file import write_record
from patchsync.store.quarantine import due
from patchsync.sync.compare import compare
from patchsync.sync.differences import (
    Differences,
    RememberingRemote,
    demand_same_messages,
    known_ids,
)
from patchsync.sync.projects import Project
from patchsync.sync.records import RoundRecord, last_round
from patchsync.sync.request_count import keep_count

log = logging.getLogger(__name__)

# Quarantined patches that are tried again by one task; the next round takes more.
MOST_RETRIED = 20


def may_begin(project: Project, config: Config, in_flight: int) -> bool:
    """Whether a round is due while so many things are in flight.

    One that asked for as much as it may has more to ask for, so that the next one begins when half
    of that is stored: no fetch worker waits for the last page of a window.
    """
    if not in_flight:
        return True
    before = last_round(project)
    full = before is not None and before.pages >= config.fleet.window
    return full and in_flight <= config.fleet.window // 2


def probe(
    project: Project,
    config: Config,
    client: Client,
    limiter: RedisRateLimiter,
    in_flight: Collection[Page] = (),
) -> Differences:
    """Compare a project with the store (`sync.compare`), and keep the record.

    `in_flight`: pages of it that are being fetched.

    Raises:
        GiveUp: the project is halted.
        StoreNotWritable: there is no room for what would be fetched.
        UnknownProject: the server does not know the project any more.
    """
    project.demand_not_halted()
    demand_room(config)
    # Here too, for it must be kept also when the budget is spent and no request follows.
    keep_count(project, limiter)
    remote = RememberingRemote(client, project.key)
    with project.open() as container:
        known, coming = known_ids(project, container)
        window = max(1, config.fleet.window - len(in_flight))
        comparison = compare(remote, known, window, in_flight)
        demand_same_messages(project, container, remote)
        seen = remote.evidence(comparison.gone, comparison.back)
        retry = due(container.quarantined().values(), datetime.now(UTC))[:MOST_RETRIED]
    record = RoundRecord(
        at=time.time(),
        highest=comparison.highest,
        count=comparison.count,
        known=comparison.known,
        in_sync=comparison.in_sync and not coming,
        pages=len(comparison.want) + len(in_flight),
        requests=comparison.requests,
    )
    write_record(project.paths, project.paths.round, asdict(record))
    _keep_counts(project, Counts(record.at, record.count, record.known))
    keep_count(project, limiter)
    summary = record.summary() + (f", {coming} of these from an archive" if coming else "")
    return Differences(want=comparison.want, seen=seen, due=tuple(retry), summary=summary)


def _keep_counts(project: Project, counts: Counts) -> None:
    """For a chart; what is in the way is logged, and holds up nothing."""
    try:
        CountHistory(project.paths).record(counts)
    except PatchsyncError as error:
        log.warning("%s: how many patches there are is not kept: %s", project.name, error)


def demand_room(config: Config) -> None:
    """Refuse to fetch what could not be stored: it would be fetched again each round.

    Raises:
        StoreNotWritable: there is room for less than two messages of mails.
    """
    folder = next(path for path in (config.d_mbox, *config.d_mbox.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    needed = 2 * config.fleet.batch_bytes
    if free < needed:
        raise StoreNotWritable(
            f"{folder}: {free} bytes are free, less than two batches of mails ({needed}); "
            "free some space, or see [store] mbox"
        )
