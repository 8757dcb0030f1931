"""Tasks that annotate Patchwork: what is to be said (`plan`), and saying it (`send`)."""

from __future__ import annotations

import logging

from patchsync.errors import AnswerLost
from patchsync.patchwork.rate_limit_state import key_prefix, read_push_total
from patchsync.push.jobs import Job
from patchsync.sync.projects import find_project, name_of
from workers import context, enqueue
from workers.celery import app
from workers.task_base import ProjectTask

log = logging.getLogger(__name__)

# Jobs that one plan enqueues; the next plan, which comes behind them, takes more.
MOST_JOBS = 200


@app.task(name="workers.push.plan", base=ProjectTask)
def plan(project: str, audit: bool = True, left: int | None = None) -> None:
    """Find what Patchwork should show of a project and does not, and enqueue it.

    With `audit` also look at some of what people did there, which takes its time. `left`: how many
    jobs there were when this one was asked to go on with them.
    """
    config = context.config()
    debounce = context.debounce(enqueue.planning(project))
    if debounce.begin() and not audit:
        enqueue.plan(project, left)
        return
    stored = find_project(config, project)
    if stored is None:
        return  # Nothing is synced yet.
    with context.push() as service:
        number = stored.paths.project_id
        if not service.may_push(number):
            # No error: `patchsync status` says it too.
            log.info("%s: nothing is pushed: %s", stored.name, service.obstacle(stored))
            return
        planned = service.plan()
        if _share_is_spent():
            log.info("%s: push waits: its share of the day's requests is spent", stored.name)
            return
        audited = service.audit({number}) if audit else []
        jobs = [*audited, *service.jobs({number})]
    log.info(
        "%s: %d groups changed, %d annotations, %d jobs",
        stored.name,
        planned.groups,
        planned.changed,
        len(jobs),
    )
    for job in jobs[:MOST_JOBS]:
        enqueue.push(job)
    if jobs:
        # One that was asked for meanwhile would come before them, and enqueue them again.
        debounce.defer()
    # Jobs that do not become fewer, of a server in trouble say, are left to beat.
    if len(jobs) > MOST_JOBS and (left is None or len(jobs) < left):
        enqueue.plan(project, len(jobs))


@app.task(name="workers.push.send", base=ProjectTask)
def send(project: str, sink: str, patch_ids: list[int]) -> None:
    """Show what is desired of some patches; all that a relation links goes together."""
    job = Job.from_message(project, sink, patch_ids)
    name = name_of(context.config(), project)
    with context.push() as service:
        stored = service.projects.get(project)
        if not stored or not service.may_push(stored.paths.project_id):
            log.info("%s of %s: nobody agrees to push any more", sink, name)
            return
        try:
            for outcome in service.do(job):
                level = logging.WARNING if outcome.trouble else logging.INFO
                log.log(level, "%s: patch %d: %s", sink, outcome.patch_id, outcome.text)
        except AnswerLost as error:
            log.warning("%s of %s: %s; it is looked up later", sink, name, error)


def _share_is_spent() -> bool:
    """No error: `patchsync status` says it too, and tomorrow the next plan goes on."""
    config = context.config()
    if config.push_budget is None:
        return False
    spent = read_push_total(context.redis_client().execute_command, key_prefix(config))
    return spent >= config.push_budget
