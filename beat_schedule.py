"""What Celery beat enqueues, and when: made from the configuration."""

from __future__ import annotations

from typing import Any

from patchsync.config import Config


def entries(config: Config) -> dict[str, dict[str, Any]]:
    """Celery's `beat_schedule`: per project a probe, a step of the audit, and a plan of what to
    push if anything is switched on; for all of them an update of the groups; each at its interval.

    What nobody took before the next one is due expires, so that two beats, or workers that come
    back after an hour, do not make a queue of probes. Each probe is of the project whose turn it is
    when a worker takes it: where there is time for some only, the others are next.
    """
    schedule: dict[str, dict[str, Any]] = {}
    for project in config.projects:
        for task, seconds in (
            ("fetch.probe", config.schedule.probe_seconds),
            ("fetch.audit", config.schedule.audit_seconds),
            *([("push.plan", config.schedule.push_seconds)] if config.push.sinks else []),
        ):
            schedule[f"{task.partition('.')[2]} {project.id}"] = {
                "task": f"workers.{task}",
                "schedule": seconds,
                "args": [project.id, *([True] if task == "fetch.probe" else [])],
                "options": {
                    "expires": seconds,
                    # Which one shows in the log.
                    "argsrepr": "(in turn)" if task == "fetch.probe" else f"({project.called})",
                },
            }
    if config.analysis.engine != "none":
        seconds = config.schedule.analyse_seconds
        schedule["analyse"] = {
            "task": "workers.analyse.update",
            "schedule": seconds,
            # It is for all; a task's first argument is a project.
            "args": [config.projects[0].id],
            "options": {"expires": seconds, "argsrepr": "(all projects)"},
        }
    return schedule
