"""How tasks enqueue each other: each message with its bounds.

`argsrepr` is what events, Flower and logs show instead of the arguments: never a mail.
"""

from __future__ import annotations

from dataclasses import asdict

from patchsync.fleet.backpressure import FIRST, LATER
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.push.jobs import Job
from patchsync.sync.compare import PageToFetch
from patchsync.sync.fetch import lease_of
from patchsync.sync.projects import name_of
from workers.celery import app
from workers.context import config, debounce

QUARANTINE_LEASE = "quarantined"
# The groups are one file for all projects.
ANALYSIS = "analysis"
# What comes in of a backlog so soon after a batch is taken in with it.
SETTLE_SECONDS = 1.0


def probe(project: str) -> None:
    """Enqueue the next round of a project."""
    app.send_task(
        "workers.fetch.probe",
        args=[project],
        argsrepr=f"({_called(project)})",
        expires=config().fleet.lease_seconds,
        priority=FIRST,
    )


def audit(project: str, since: float | None, listed_since: float | None) -> None:
    """Enqueue the next step of an audit: of the one that began at `since` and goes on to the end,
    or else of the one in rotation, which beat enqueues again.

    `listed_since`: as for `sync.audit.audit`.
    """
    on = ": on to the last page" if since is not None else ""
    app.send_task(
        "workers.fetch.audit",
        args=[project, since, listed_since],
        argsrepr=f"({_called(project)}{on})",
        expires=None if since is not None else config().schedule.audit_seconds,
    )


def fetch_page(project: str, name: str, want: PageToFetch, *, later: bool = False) -> None:
    """Enqueue a page, which nobody needs any more once its lease is over.

    `later`: it is one of a backlog, and lets those of other projects go first.
    """
    page = want.page
    app.send_task(
        "workers.fetch.fetch_page",
        args=[project, asdict(page), list(want.held), lease_of(page)],
        argsrepr=f"({name}: {lease_of(page)}, {len(want.held)} held)",
        priority=LATER if later else FIRST,
    )


def retry_quarantined(project: str, name: str, ids: tuple[int, ...]) -> None:
    """Enqueue another try for patches that were quarantined."""
    app.send_task(
        "workers.fetch.fetch_patches",
        args=[project, list(ids)],
        argsrepr=f"({name}: {len(ids)} that were quarantined)",
        expires=config().fleet.lease_seconds,
        priority=LATER,
    )


def index_mails(project: str, result: FetchResult) -> None:
    """Enqueue to the index worker what was downloaded or seen."""
    ends = f", ends {result.lease}" if result.lease else ""
    app.send_task(
        "workers.index.index_mails",
        args=[project, result.to_message()],
        argsrepr=f"({_called(project)}: {result.summary()}{ends})",
        compression="zlib",
    )


def analyse(project: str, *, later: bool = False) -> None:
    """Enqueue an update of the groups for a project's new mails; not where one is on its way.

    `later`: they are of a backlog, of which more comes in a moment: else each part of it would be
    annotated as if it were the last. It expires as its lease does. Were it to come later, beat's
    next one would have done its work.
    """
    if config().analysis.engine == "none" or not debounce(ANALYSIS).ask():
        return
    app.send_task(
        "workers.analyse.update",
        args=[project],
        argsrepr=f"({_called(project)}: new mails)",
        countdown=SETTLE_SECONDS if later else None,
        expires=config().fleet.lease_seconds,
        priority=FIRST,
    )


def plan(project: str, left: int | None = None) -> None:
    """Enqueue a plan of what to push, since the groups changed; not where one is on its way.

    Without the audit, which the plans of beat make: what is new does not wait for it. `left`: it
    follows one that left jobs to it, of so many.
    """
    # It waits behind what the one before enqueued. Beat's next one replaces one that expires.
    seconds = config().schedule.push_seconds
    if debounce(planning(project), seconds).ask():
        why = "groups changed" if left is None else f"of {left} jobs some were left"
        app.send_task(
            "workers.push.plan",
            args=[project, False, *([] if left is None else [left])],
            argsrepr=f"({_called(project)}: {why})",
            expires=seconds,
            priority=FIRST,
        )


def push(job: Job) -> None:
    """Enqueue what is to be shown of some patches."""
    app.send_task(
        "workers.push.send",
        args=[job.key, job.sink, list(job.patch_ids)],
        argsrepr=f"({_called(job.key)}: {job.sink}, {len(job.patch_ids)} patches)",
        expires=config().schedule.push_seconds,
    )


def planning(project: str) -> str:
    """The name under which plans of a project are debounced."""
    return f"plan {project}"


def _called(project: str) -> str:
    """A configured project's name for people."""
    return name_of(config(), project)
