"""One configuration's push: what is planned, what is due, and how one job of it is done."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from patchsync.config import Config
from patchsync.errors import AnswerLost, ConfigError, GiveUp
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.rate_limit import PATIENCE
from patchsync.push import plan as planning
from patchsync.push.checks import Checks
from patchsync.push.comment.sender import Comments
from patchsync.push.entries import Entry, Sink
from patchsync.push.identity import Identity, ask_identity, note_identity, noted_identity
from patchsync.push.jobs import Job, cut
from patchsync.push.ledger import Ledger
from patchsync.push.rebuild import Ours, Reading, rebuild
from patchsync.push.relation.audit import look_on
from patchsync.push.relation.executor import Relating, Rules, under_way
from patchsync.push.sending import Outcome
from patchsync.push.states import States
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock
from patchsync.sync.projects import find_project

CONFIRMED = "confirmed"
UNDONE = "undone"
# Relations are changed by one process at a time, on this machine.
RELATIONS_WAIT = 60.0
# So many lost answers in one job: then the server is in trouble, not a patch.
MOST_LOST = 3


def ledger_path(config: Config) -> Path:
    """Where the ledger of a configuration lies: beside the stores, one for each Patchwork."""
    return config.d_mbox / OWN_FOLDER / f"push.{config.instance}.sqlite"


def agreed(ledger: Ledger) -> set[int]:
    """The ids of the projects to which somebody agreed to push."""
    return {int(number) for number in (ledger.note(CONFIRMED) or "").split()}


class PushService:
    """Push at work; a context."""

    def __init__(
        self, config: Config, annotator: Annotator, clock: Callable[[], float] = time.time
    ) -> None:
        """Nothing is read or written yet.

        Raises:
            ConfigError: no sink is switched on.
        """
        if not config.push.sinks:
            raise ConfigError(
                f'{config.source}: nothing is switched on; set [push] sinks = ["check", "relation"]'
            )
        self.ledger = Ledger(ledger_path(config))
        self.sites = [
            site
            for table in config.projects
            if (site := find_project(config, table.id)) is not None
        ]
        self._config = config
        self._annotator = annotator
        self._clock = clock
        self._identity: Identity | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ledger.close()

    @property
    def identity(self) -> Identity:
        """Who we are; asked for at the first time."""
        if self._identity is None:
            noted = noted_identity(self.ledger, self._token_mark())
            # A project that is configured since is not known by it.
            if noted is None or noted.names != {site.name for site in self.sites}:
                return self.refresh_identity()
            self._identity = noted
        return self._identity

    def refresh_identity(self) -> Identity:
        """Ask Patchwork anew who we are."""
        if not self.sites:
            raise GiveUp("no project is in the store yet; run `patchsync sync` first")
        self._identity = ask_identity(self._annotator, self.sites)
        note_identity(self.ledger, self._identity, self._token_mark())
        return self._identity

    def _token_mark(self) -> str:
        """What tells another token: an identity goes with the one that it was asked for by."""
        token = self._config.token()
        if token is None:
            return ""
        return hashlib.sha256(f"patchsync {token.get_secret_value()}".encode()).hexdigest()[:16]

    # Before anything is sent

    def learn(self) -> Iterator[Reading]:
        """Have a new ledger know what Patchwork shows from us; yields how far it is.

        Raises:
            LockHeld: another process does so, or changes a relation.
        """
        if self.ledger.complete:
            return
        with self._alone():
            # Another one may just have done it: what it pushed since would be overwritten.
            if self.ledger.complete:
                return
            self.refresh_identity()
            push = self._config.push
            yield from rebuild(
                self.ledger,
                self._annotator,
                self.identity,
                Ours(
                    context=push.check.context, states=(push.state.superseded, push.state.accepted)
                ),
                # Who was at work with a lost ledger has ended.
                push.answer_seconds,
                self._clock,
            )

    def plan(self) -> planning.Planned:
        """Take over what changed in PaStA's groups; see `planning.plan`."""
        return planning.plan(self._config, self.ledger, self.sites, self.identity)

    def look_on(self, project_ids: set[int]) -> list[Job]:
        """Look at some of the list pages, in rotation; the jobs that what people did makes."""
        if Sink.RELATION not in self._config.push.sinks:
            return []
        jobs: list[Job] = []
        for number, project in self.identity.projects.items():
            if number in project_ids:
                pages = self._config.push.audit_pages
                changed = look_on(self.ledger, self._annotator, number, project, pages)
                entries = self.ledger.entries(Sink.RELATION, changed).values()
                keys = dict.fromkeys(self.identity.projects, project.key)
                jobs += cut(entries, keys | {0: project.key})
        return jobs

    def confirmed(self) -> set[int]:
        """The ids of the projects that we maintain, and to which somebody agreed to push."""
        return agreed(self.ledger) & self.identity.projects.keys()

    def confirm(self, project_ids: set[int]) -> None:
        """Note that somebody agreed."""
        numbers = " ".join(map(str, sorted(self.confirmed() | project_ids)))
        self.ledger.write_notes({CONFIRMED: numbers, UNDONE: None})

    def pending(self, project_ids: set[int], limit: int | None = None) -> list[Entry]:
        """What is to be sent now to some projects."""
        return self.ledger.pending(
            # What is undone is so whatever is switched on by now.
            (Sink.CHECK, Sink.RELATION) if self.undone else self._config.push.sinks,
            project_ids & self.identity.projects.keys(),
            limit,
            now=self._clock(),
            answer_seconds=self._answer_seconds,
        )

    def jobs(self, project_ids: set[int], limit: int | None = None) -> list[Job]:
        """As `pending`, cut into jobs."""
        keys = {number: each.key for number, each in self.identity.projects.items()}
        found = {(each.sink, each.patch_id): each for each in self.pending(project_ids, limit)}
        if Sink.RELATION in self._config.push.sinks:
            unknown = self.ledger.entries(Sink.RELATION, under_way(self.ledger))
            for entry in unknown.values():
                if entry.project_id in project_ids & keys.keys():
                    found.setdefault((entry.sink, entry.patch_id), entry)
        comments = [each for each in found.values() if each.sink == Sink.COMMENT]
        # No more mails than an hour takes, and behind all else: they wait for a slow server.
        for each in comments[self._config.push.comment.per_hour :]:
            del found[(each.sink, each.patch_id)]
        return sorted(cut(found.values(), keys), key=lambda job: job.sink == Sink.COMMENT)

    def count_ours(self) -> dict[str, int]:
        """How many patches show a check of ours, and how many we placed in a relation."""
        return {
            Sink.CHECK: sum(1 for _ in self.ledger.showing(Sink.CHECK)),
            Sink.RELATION: len(self.ledger.hands.made()),
        }

    def want_nothing(self) -> None:
        """Have our checks and relations withdrawn by the next jobs, and nothing planned again.

        Until somebody agrees to push again.
        """
        with self.ledger.transaction():
            self.ledger.want_nothing()
            self.ledger.commit_plan((), b"", {CONFIRMED: None, UNDONE: str(self._clock())})

    @property
    def undone(self) -> bool:
        """Whether somebody had everything withdrawn, and nobody agreed to push since."""
        return self.ledger.note(UNDONE) is not None

    # Sending

    def do(self, job: Job, *, dry_run: bool = False) -> Iterator[Outcome]:
        """Do a job, or only say what would be done; yields what came of each patch.

        Raises:
            AnswerLost, ServerUnavailable: the next round goes on.
            Refused, NotPatchwork: nothing can be written at all.
        """
        if job.sink == Sink.RELATION:
            yield from self._relate(job, dry_run)
            return
        lost = 0
        for entry in self.ledger.entries(job.sink, job.patch_ids).values():
            if entry.wanted == entry.shown and (dry_run or job.sink == Sink.STATE):
                continue
            try:
                outcome = self._send(job, entry, dry_run)
            except AnswerLost as error:
                # One patch that the server fails at does not hold up those behind it.
                lost += 1
                if lost == MOST_LOST or job.sink == Sink.COMMENT:
                    raise
                outcome = Outcome(
                    patch_id=entry.patch_id, sink=job.sink, text=str(error), trouble=True
                )
            if outcome:
                yield outcome

    def _send(self, job: Job, entry: Entry, dry_run: bool) -> Outcome | None:
        now = self._clock()
        if job.sink == Sink.CHECK:
            checks = Checks(
                self.ledger,
                self._annotator,
                self.identity.user,
                context=self._config.push.check.context,
                answer_seconds=self._answer_seconds,
                clock=self._clock,
            )
            return checks.would_send(entry) if dry_run else checks.send(job.key, entry)
        if job.sink == Sink.STATE:
            states = States(self.ledger, self._annotator, self._config.push.state.only_from)
            return states.send(job.key, entry, now, dry_run=dry_run)
        if job.sink == Sink.COMMENT:
            comments = Comments(
                self.ledger,
                self._config,
                self.sites,
                self._answer_seconds,
                self._annotator.comment_ids,
            )
            return comments.send(job.key, entry, now, dry_run=dry_run)
        raise GiveUp(f"there is no sink {job.sink!r}")

    def _relate(self, job: Job, dry_run: bool) -> Iterator[Outcome]:
        # Nobody agreed to what is done in other projects; to undo it, nobody needs to.
        free = dry_run or self.undone
        open_to_us = self.identity.projects.keys() if free else self.confirmed()
        rules = Rules(
            key_of={
                number: each.key
                for number, each in self.identity.projects.items()
                if number in open_to_us
            },
            most=self._config.push.relation.most,
            join=self._config.push.relation.foreign == "join",
        )
        relating = Relating(self.ledger, self._annotator, rules)
        # Also for a dry run: half a step of another one would look like a person's.
        with self._alone():
            yield from relating.outcomes(job.patch_ids, self._clock(), dry_run=dry_run)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        path = ledger_path(self._config)
        with store_lock(path.with_name(path.name + ".lock"), RELATIONS_WAIT):
            yield

    @property
    def _answer_seconds(self) -> float:
        """From a claim on: by then the answer is there, or never comes."""
        ask = self._config.patchwork
        timeouts = ask.connect_timeout + ask.read_timeout
        # The request goes out only when the rate limit lets it.
        return PATIENCE + timeouts + self._config.push.answer_seconds
