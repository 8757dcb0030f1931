"""Drives a project until it is in step: what `patchsync sync` waits for.

The work is the fleet's. This only enqueues a round or an audit when none is under way, reads from
the store how it went, and says whether both sides agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import redis

from patchsync.config import Config
from patchsync.fleet.leases import Leases
from patchsync.fleet.redis_client import redis_now
from patchsync.fleet.trouble import last_trouble
from patchsync.patchwork.rate_limit_state import key_prefix, read_hold
from patchsync.sync.holdings import holdings
from patchsync.sync.projects import Project, find_project, name_of
from patchsync.sync.records import AuditRecord, RoundRecord, last_audit, last_round

# A message may be lost: when nothing was heard for so long it is sent again, then less often.
ASK_AGAIN_SECONDS = 10.0
LONGEST_SECONDS = 60.0


class Driver:
    """One project on its way to agreement. Call `step` until `outcome` is set."""

    def __init__(self, config: Config, key: str, enqueue: Callable[..., Any]) -> None:
        """`enqueue(task, project, ...)` enqueues a task for a project."""
        self.key = key
        self.name = name_of(config, key)
        self.known = 0
        self.count: int | None = None
        self.doing = "starting"
        # Pages
        self.in_flight = 0
        self.outcome: str | None = None
        self.agreed = False
        self._config = config
        self._enqueue = enqueue
        self._redis = redis.Redis.from_url(config.redis_url)
        self._leases = Leases(
            self._redis,
            config.namespace,
            key,
            lease_seconds=config.fleet.lease_seconds,
        )
        # Redis' clock, which the workers note by what was listed
        self._began = redis_now(self._redis)
        # What there was before is not what we wait for, whatever clock it was noted by.
        self._former_trouble = last_trouble(self._redis, config.namespace, key)
        # What is wrong now, and what it waits for; None where nothing is
        self.trouble: str | None = None
        self._trouble: str | None = None
        # How a task saw that nothing answers at the url
        self.unreachable: str | None = None
        # Whether anything came of what was asked
        self.heard = False
        self._seen: object = None
        # When something was last seen to happen, on the monotonic clock
        self.moved_at = time.monotonic()
        self._ask("round")

    def step(self) -> None:
        """Look how far it is, and enqueue what is due."""
        if self.outcome is not None:
            return
        trouble = last_trouble(self._redis, self._config.namespace, self.key)
        if trouble and trouble != self._former_trouble:
            self._trouble = f"{trouble.task}: {trouble.message}"
            self.unreachable = self._trouble if trouble.unreachable else None
            if trouble.lasting:
                self.give_up(self._trouble)
                return
        self.trouble = self._trouble
        hold = read_hold(self._redis.execute_command, key_prefix(self._config))
        if hold:
            until = datetime.fromtimestamp(hold.until, UTC)
            self.trouble = f"Patchwork is not asked until {until:%H:%M:%S} UTC: {hold.why}"
        project = find_project(self._config, self.key)
        if project:
            self._follow(project)
        if time.monotonic() > self._ask_again_at:
            self._enqueue_question()

    def give_up(self, why: str) -> None:
        """Set the outcome of a project that is not in step, unless it has one."""
        self.outcome = self.outcome or f"{self.name}: not in step: {why}"

    def _follow(self, project: Project) -> None:
        round_, audit = records = _records(project)
        self.in_flight = in_flight = self._leases.in_flight()
        ours = holdings(project)
        self.name, self.known = project.name, ours.known
        self.count = round_.count if round_ else None
        self.heard = self.heard or bool(in_flight) or round_ != self._former_round
        self._note((self.known, in_flight, records))
        if in_flight:
            self.doing = f"{in_flight} pages in flight"
        elif self._question == "round" and round_ and round_ != self._former_round:
            self.doing = "comparing"
            if round_.in_sync:
                self._ask("audit")
        elif (
            self._question == "audit"
            and audit
            and audit != self._former_audit
            and audit.began >= self._asked_at
            and audit.proves_for(self._began)
        ):
            self.doing = f"audit: {audit.pages} of {audit.all_pages} pages"
            if audit.agreed:
                self.agreed = True
                self.outcome = (
                    f"{self.name}: in step: {self.known} patches, the highest is {ours.highest}; "
                    f"{ours.gone} gone, {len(ours.quarantined)} quarantined"
                )
            elif audit.ended:
                self._ask("round")

    def _note(self, seen: object) -> None:
        if seen != self._seen:
            self._seen = seen
            self._trouble = None
            self.moved_at = time.monotonic()
            self._ask_again_at = self.moved_at + ASK_AGAIN_SECONDS

    def _ask(self, question: Literal["round", "audit"]) -> None:
        self._question = question
        self._asked_at = time.time()
        project = find_project(self._config, self.key)
        self._former_round, self._former_audit = _records(project) if project else (None, None)
        self._enqueue_question()

    def _enqueue_question(self) -> None:
        quiet = time.monotonic() - self.moved_at
        self._ask_again_at = time.monotonic() + min(ASK_AGAIN_SECONDS + quiet, LONGEST_SECONDS)
        if self._question == "round":
            self._enqueue("fetch.probe", self.key)
        else:
            self._enqueue("fetch.audit", self.key, self._asked_at, self._began)


def _records(project: Project) -> tuple[RoundRecord | None, AuditRecord | None]:
    return last_round(project), last_audit(project)
