"""How tasks call each other: each message with its bounds, and with arguments that read as a story.

`argsrepr` is what events, Flower and logs show instead of the arguments: never a mail.
"""

from __future__ import annotations

from dataclasses import asdict

from patchsync.backlog import FIRST, LATER
from patchsync.delivery import Delivery
from patchsync.pages import lease_of
from patchsync.push.jobs import Job
from patchsync.sync import Want
from workers.celery import app
from workers.context import config, errand

SET_ASIDE_LEASE = "set aside"
# The groups are one file for all projects.
ANALYSIS = "analysis"
# What comes in so soon after a batch is taken in with it.
SETTLE_SECONDS = 1.0


def probe(project: str) -> None:
    """Enqueue the next round of a project."""
    app.send_task(
        "workers.fetch.probe",
        args=[project],
        argsrepr=f"({config().project(project).called})",
        expires=config().fleet.lease_seconds,
        priority=FIRST,
    )


def audit_on(project: str, since: float) -> None:
    """Enqueue the next step of the audit that began at `since` and goes on to the end."""
    app.send_task(
        "workers.fetch.audit",
        args=[project, since],
        argsrepr=f"({config().project(project).called}: on to the last page)",
    )


def fetch_page(project: str, name: str, want: Want, *, later: bool = False) -> None:
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


def fetch_set_aside(project: str, name: str, ids: tuple[int, ...]) -> None:
    """Enqueue another try for patches that were set aside."""
    app.send_task(
        "workers.fetch.fetch_patches",
        args=[project, list(ids)],
        argsrepr=f"({name}: {len(ids)} that were set aside)",
        expires=config().fleet.lease_seconds,
        priority=LATER,
    )


def index_mails(project: str, delivery: Delivery) -> None:
    """Hand to the index worker what was found."""
    app.send_task(
        "workers.index.index_mails",
        args=[project, delivery.to_message()],
        argsrepr=index_story(project, delivery),
        compression="zlib",
    )


def analyse(project: str) -> None:
    """Enqueue an update of the groups, since a project has new mails; not where one is on its way.

    It expires as its lease does. Were it to come later, beat's next one would have done its work.
    """
    if config().analysis.engine == "none" or not errand(ANALYSIS).ask():
        return
    app.send_task(
        "workers.analyse.update",
        args=[project],
        argsrepr=analysis_story(project),
        countdown=SETTLE_SECONDS,
        expires=config().fleet.lease_seconds,
        priority=FIRST,
    )


def plan(project: str) -> None:
    """Enqueue a plan of what to push, since the groups changed; not where one is on its way.

    Without the audit, which the plans of beat make: what is new does not wait for it.
    """
    if errand(planning(project)).ask():
        app.send_task(
            "workers.push.plan",
            args=[project, False],
            argsrepr=f"({config().project(project).called}: groups changed)",
            expires=config().fleet.lease_seconds,
            priority=FIRST,
        )


def push(job: Job) -> None:
    """Enqueue what is to be shown of some patches."""
    app.send_task(
        "workers.push.send",
        args=[job.key, job.sink, list(job.patch_ids)],
        argsrepr=f"({config().project(job.key).called}: {job.sink}, {len(job.patch_ids)} patches)",
        expires=config().schedule.push_seconds,
    )


def planning(project: str) -> str:
    """The name of the errand that `plan` is."""
    return f"plan {project}"


def analysis_story(project: str) -> str:
    """What is shown instead of the arguments of `update`."""
    return f"({config().project(project).called}: new mails)"


def index_story(project: str, delivery: Delivery) -> str:
    """What is shown instead of the arguments of `index_mails`."""
    ends = f", ends {delivery.lease}" if delivery.lease else ""
    return f"({config().project(project).called}: {delivery.summary()}{ends})"
