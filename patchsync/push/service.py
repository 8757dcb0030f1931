"""One configuration's push: what is planned, what is due, and how one job of it is done."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Self

from patchsync.config import Config
from patchsync.errors import ConfigError, GiveUp
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.rate_limit import PATIENCE
from patchsync.patchwork.schemas import PatchView
from patchsync.push.checks import CheckSender
from patchsync.push.comment.sender import CommentSender
from patchsync.push.entries import Entry, Sink, SinkCounts, StateValue
from patchsync.push.identity import Identity, ask_identity, note_identity, noted_identity
from patchsync.push.jobs import Job, cut
from patchsync.push.ledger import Ledger
from patchsync.push.ledger_file import ledger_path
from patchsync.push.plan import RULES, Planned, plan
from patchsync.push.rebuild import Rebuild
from patchsync.push.relation.audit import audit
from patchsync.push.relation.executor import RelationSender
from patchsync.push.relation.neighbourhood import relation_of
from patchsync.push.relation.under_way import UnderWay
from patchsync.push.sending import Outcome, Sender
from patchsync.push.states import StateSender
from patchsync.push.status import PushStatus, ledger_status
from patchsync.store.lock import store_lock
from patchsync.sync.projects import Project, find_projects

# Relations are changed by one process at a time, on this machine.
RELATIONS_WAIT = 60.0


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
        # Those that are in the store, by the configuration's spelling
        self.projects: dict[str, Project] = {
            project.key: project for project in find_projects(config)
        }
        self._config = config
        self._annotator = annotator
        self._clock = clock
        self._identity: Identity | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()

    # Who we are

    @property
    def identity(self) -> Identity:
        """Who we are; asked for at the first time."""
        if self._identity is None:
            noted = noted_identity(self.ledger, self._token_mark())
            # A project that is configured since is not known by it.
            if noted is None or noted.names != {each.name for each in self.projects.values()}:
                return self.refresh_identity()
            self._identity = noted
        return self._identity

    def refresh_identity(self) -> Identity:
        """Ask Patchwork anew who we are."""
        if not self.projects:
            raise GiveUp("no project is in the store yet; run `patchsync sync` first")
        self._identity = ask_identity(self._annotator, self.projects.values())
        note_identity(self.ledger, self._identity, self._token_mark())
        return self._identity

    def _token_mark(self) -> str:
        """What tells another token: an identity goes with the one that it was asked for by."""
        token = self._config.token()
        if token is None:
            return ""
        return hashlib.sha256(f"patchsync {token.get_secret_value()}".encode()).hexdigest()[:16]

    # What is to be sent

    def learn(self) -> Iterator[str]:
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
            yield from Rebuild(
                ledger=self.ledger,
                annotator=self._annotator,
                identity=self.refresh_identity(),
                push=self._config.push,
                clock=self._clock,
            ).run()

    def plan(self, *, fewer_groups: bool = False) -> Planned:
        """Take over what changed in PaStA's groups; see `plan.plan`."""
        projects = self.projects.values()
        return plan(self._config, self.ledger, projects, self.identity, fewer_groups=fewer_groups)

    def retry(self) -> None:
        """Forget what was in the way, ask anew who we are, and have the next plan look at all."""
        self.refresh_identity()
        self.ledger.retry()
        self.ledger.write_notes({RULES: None})

    def take_back(self, patch_ids: Collection[int]) -> None:
        """Have what these patches show now count as ours, whoever did it: relation and state.

        Raises:
            GiveUp: a patch is not there, or in no project that we maintain; or too much is linked.
            TryAgainLater: what became of a request about one of these patches, or of those that
                they are linked with, is not known yet.
        """
        key = next(iter(self.identity.keys.values()))
        with self._alone():
            views = {patch_id: self._annotator.view(key, patch_id) for patch_id in patch_ids}
            for patch_id, view in views.items():
                if view is None or view.project_id not in self.identity.projects:
                    raise GiveUp(f"there is no patch {patch_id} in the projects that we maintain")
            # First what people did is noted as theirs: the one decision is taken back, no other.
            self._relation_sender(dry_run=True).note_people(patch_ids)
            with self.ledger.transaction():
                for view in filter(None, views.values()):
                    self._take_back(view)

    def _take_back(self, view: PatchView) -> None:
        members = relation_of(view)
        self.ledger.ownership.take_back(view.id, members)
        for entry in self.ledger.entries(Sink.RELATION, [view.id]).values():
            members |= entry.desired or frozenset()
        self.ledger.reconsider(Sink.RELATION, members)
        if self.ledger.entries(Sink.STATE, [view.id]):
            state = StateValue(state=view.state, commit_ref=view.commit_ref)
            self.ledger.observe(Sink.STATE, view.id, state, self._clock(), sent_by_us=True)
            self.ledger.reconsider(Sink.STATE, [view.id])

    def audit(self, project_ids: set[int]) -> list[Job]:
        """Look at some of the list pages, in rotation; the jobs that what people did makes."""
        if not {Sink.RELATION, Sink.STATE}.intersection(self._config.push.sinks):
            return []
        jobs: list[Job] = []
        for number, project in self.identity.projects.items():
            if number in project_ids:
                pages = self._config.push.audit_pages
                only_from = self._config.push.state.only_from
                changed = audit(self.ledger, self._annotator, number, project, pages, only_from)
                entries = self.ledger.entries(Sink.RELATION, changed).values()
                # All of them are in this project, also those that no plan spoke of yet.
                keys = dict.fromkeys(self.identity.projects, project.key)
                jobs += cut(entries, keys | {0: project.key})
        return jobs

    def pending(
        self, project_ids: set[int], limit: int | None = None, *, waiting: bool = False
    ) -> list[Entry[Any]]:
        """What is to be sent now to some projects; `waiting`: or on another day."""
        now = self._clock()
        per_day = self._config.push.check.per_group_and_day
        at_limit = () if waiting else self.ledger.daily_checks.at_limit(now, per_day)
        return self.ledger.pending(
            # To undo goes on whatever is switched on by now.
            (Sink.CHECK, Sink.RELATION) if self.ledger.undone else self._config.push.sinks,
            project_ids & self.identity.projects.keys(),
            limit,
            now=now,
            answer_seconds=self._answer_seconds,
            unchecked=at_limit,
        )

    def jobs(
        self, project_ids: set[int], limit: int | None = None, *, waiting: bool = False
    ) -> list[Job]:
        """As `pending`, cut into jobs; `waiting`: with what its hour or day has no room for."""
        pending = self.pending(project_ids, limit, waiting=waiting)
        entries = {(each.sink, each.patch_id): each for each in pending}
        if Sink.RELATION in self._config.push.sinks:
            unknown = self.ledger.entries(Sink.RELATION, UnderWay(self.ledger).relations())
            for entry in unknown.values():
                if entry.project_id in project_ids & self.identity.projects.keys():
                    entries.setdefault((entry.sink, entry.patch_id), entry)
        comments = [key for key in entries if key[0] == Sink.COMMENT]
        # No more mails than an hour takes, and behind all else: they wait for a slow server.
        for key in comments[len(comments) if waiting else self._config.push.comment.per_hour :]:
            del entries[key]
        jobs = cut(entries.values(), self.identity.keys)
        return sorted(jobs, key=lambda job: job.sink == Sink.COMMENT)

    # Who agreed to it

    def confirmed(self) -> set[int]:
        """The ids of the projects that we maintain, and to which somebody agreed to push."""
        return self.ledger.agreed & self.identity.projects.keys()

    def confirm(self, project_ids: set[int]) -> None:
        """Note that somebody agreed."""
        self.ledger.set_agreed(self.confirmed() | project_ids)

    def may_push(self, project_id: int) -> bool:
        """Whether a fleet may push to a project by itself; asks who we are only if it may."""
        if self.ledger.undone or not self.ledger.complete:
            return False
        return project_id in self.confirmed()

    def obstacle(self, project: Project) -> str | None:
        """Why the fleet leaves a project alone, and what helps; None where it does not."""
        number = project.paths.project_id
        status = ledger_status(self.ledger, self._config, number, project.name)
        return status.obstacle(project.key)

    def status(self, project_id: int) -> PushStatus:
        """Where push stands with a project that we maintain."""
        name = self.identity.projects[project_id].link_name
        return ledger_status(self.ledger, self._config, project_id, name)

    def count_ours(self) -> tuple[int, int]:
        """How many patches show a check of ours, and how many we placed in a relation.

        What is known to be gone from Patchwork shows nothing any more.
        """
        checks = self.ledger.counts().get(Sink.CHECK, SinkCounts())
        gone = self._gone()
        placed = self.ledger.ownership.placed_by_us() - gone
        return checks.shown - len(self._checked(gone)), len(placed)

    def undo(self) -> None:
        """Have our checks and relations withdrawn by the next jobs; see `Ledger.undo`."""
        with self.ledger.transaction():
            for patch_id in self._checked(self._gone()):
                self.ledger.observe(Sink.CHECK, patch_id, None, self._clock())
            self.ledger.undo(self._clock())

    def _gone(self) -> set[int]:
        """The patches that Patchwork lost, as far as the last sync knows."""
        gone: set[int] = set()
        for project in self.projects.values():
            with project.open() as container:
                gone |= container.gone()
        return gone

    def _checked(self, patch_ids: set[int]) -> list[int]:
        """Those of the patches that showed a check of ours when we last looked."""
        entries = self.ledger.entries(Sink.CHECK, patch_ids)
        return [patch_id for patch_id, entry in entries.items() if entry.observed is not None]

    # Sending

    def do(self, job: Job, *, dry_run: bool = False) -> Iterator[Outcome]:
        """Do a job, or only say what would be done; yields and raises as `Sender.send`."""
        if job.sink != Sink.RELATION:
            yield from self._patch_sender(job.sink, dry_run).send(job)
            return
        # Also for a dry run: half a step of another one would look like a person's.
        with self._alone():
            yield from self._relation_sender(dry_run).send(job)

    def _patch_sender(self, sink: Sink, dry_run: bool) -> Sender:
        push = self._config.push
        shared: dict[str, Any] = {
            "ledger": self.ledger,
            "annotator": self._annotator,
            "clock": self._clock,
            "answer_seconds": self._answer_seconds,
            "dry_run": dry_run,
        }
        if sink == Sink.CHECK:
            return CheckSender(
                **shared,
                user=self.identity.user,
                context=push.check.context,
                per_group_and_day=push.check.per_group_and_day,
            )
        if sink == Sink.STATE:
            return StateSender(**shared, user=self.identity.user, only_from=push.state.only_from)
        return CommentSender(**shared, config=self._config, projects=self.projects)

    def _relation_sender(self, dry_run: bool) -> RelationSender:
        # Nobody agreed to what is done in other projects; to undo it, nobody needs to.
        free = dry_run or self.ledger.undone
        open_to_us = self.identity.projects.keys() if free else self.confirmed()
        return RelationSender(
            ledger=self.ledger,
            annotator=self._annotator,
            keys={n: key for n, key in self.identity.keys.items() if n in open_to_us},
            table=self._config.push.relation,
            clock=self._clock,
            answer_seconds=self._answer_seconds,
            dry_run=dry_run,
        )

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
