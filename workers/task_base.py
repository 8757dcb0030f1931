"""What all tasks share: project, bounds, how errors are reported, how one comes again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import redis
from celery import Task
from kombu.exceptions import OperationalError

from patchsync.errors import PatchsyncError, PushShareSpent, TryAgainLater
from patchsync.fleet.redis_client import plain_words
from patchsync.fleet.trouble import note_trouble
from patchsync.sync.projects import name_of
from workers import context

log = logging.getLogger(__name__)


class ProjectTask(Task[Any, None]):
    """A task of one project, which is its first argument."""

    abstract = True
    # Errors of the family end a task with one line. What it leaves undone the next round meets
    # again, so Celery does not run it again; `max_retries` bounds what follows a lost worker.
    throws = (PatchsyncError,)
    max_retries = 3
    # After a lost worker; else it would be three minutes.
    default_retry_delay = 5
    Request = "workers.request:SafeRequest"
    # An error shows with its project in `patchsync status`; else the task keeps its own record.
    notes_trouble = True
    # The project as the configuration spells it; else the task looks up other names itself.
    wants_key = True

    def __call__(self, project: str, *args: Any, **kwargs: Any) -> None:
        """Run the task; raises PatchsyncError, which was logged, and Celery's Retry."""
        project = str(project)
        with self.report_errors(project):
            if self.wants_key:
                context.config().project(project)  # ConfigError where there is none
            self.run(project, *args, **kwargs)

    @contextmanager
    def report_errors(self, project: str) -> Iterator[None]:
        """Let an error of the family show in log and `patchsync status`, and end the task."""
        try:
            try:
                yield
            except (redis.RedisError, OperationalError) as error:
                # Not from: dozens of lines of two libraries say no more.
                raise TryAgainLater(plain_words(error, context.config())) from None
        except PushShareSpent as error:
            log.info("%s", error)  # It is as it should be, and `patchsync status` says it.
        except PatchsyncError as error:
            task = self.name.rpartition(".")[2]
            log.error("%s of %s: %s", task, name_of(context.config(), project), error)
            if self.notes_trouble:
                with suppress(redis.RedisError):
                    note_trouble(
                        context.redis_client(), context.config().namespace, project, task, error
                    )
            raise

    def come_again(self, busy: PatchsyncError, seconds: float) -> NoReturn:
        """Have the same message come again, since somebody else is at work.

        Raises:
            celery.exceptions.Retry: it was sent.
            PatchsyncError: `busy`, when it came too often.
        """
        # Else Celery shows the arguments themselves: whole mails.
        options: dict[str, Any] = {"argsrepr": getattr(self.request, "argsrepr", None) or "(again)"}
        raise self.retry(exc=busy, countdown=seconds, **options) from busy
