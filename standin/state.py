"""The state of the stand-in: what is there, and how it changes.

What a client sees is in `patches`. A reserved patch has its id but is in `reserved` only: Patchwork
gives ids at INSERT and shows them at COMMIT, so a lower id can appear after a higher one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from standin import render
from standin.records import (
    Check,
    CheckState,
    Comment,
    Event,
    Patch,
    Person,
    Project,
    Relation,
    Series,
    User,
)

SERVER_ZONE = timedelta(hours=11)
"""Events and checks are dated in the server's own zone, which is Canberra's by default."""


class PatchworkState:
    """One Patchwork instance in memory. Not thread-safe: the server runs in one thread."""

    def __init__(self) -> None:
        self.projects: dict[int, Project] = {}
        self.users: dict[int, User] = {}
        self.tokens: dict[str, User] = {}
        self.people: dict[int, Person] = {}
        self.patches: dict[int, Patch] = {}
        self.reserved: dict[int, Patch] = {}
        self.series: dict[int, Series] = {}
        self.events: list[Event] = []
        self._by_message: dict[tuple[int, str], Patch] = {}
        self._person_ids: dict[str, int] = {}
        self._in_order: dict[int | None, list[Patch]] = {}
        self._event_ids = itertools.count(1)
        self._check_ids = itertools.count(1)
        self._comment_ids = itertools.count(1)
        self._highest_id = 0
        self._highest_series_id = 0
        self._last_moment = datetime.min

    def project(self, key: str) -> Project | None:
        """The project with this id or link name (in any case), as Patchwork looks it up."""
        if key.isdecimal():
            return self.projects.get(int(key))
        return next((p for p in self.projects.values() if p.link_name.lower() == key.lower()), None)

    def in_order(self, project: Project | None = None) -> list[Patch]:
        """The patches of a project, or of all, by ascending id. Not to be changed."""
        key = None if project is None else project.id
        if key not in self._in_order:
            self._in_order[key] = [
                patch
                for _, patch in sorted(self.patches.items())
                if project is None or patch.project is project
            ]
        return self._in_order[key]

    def by_message(self, project: Project, msgid: str) -> Patch | None:
        """The patch of a project with this message-id, brackets included."""
        return self._by_message.get((project.id, msgid))

    def moment(self) -> datetime:
        """Now, naive in the server's zone; each call later than the one before."""
        now = datetime.now(UTC).replace(tzinfo=None) + SERVER_ZONE
        self._last_moment = max(now, self._last_moment + timedelta(microseconds=1))
        return self._last_moment

    def add_project(self, project: Project) -> Project:
        """Take in a project."""
        self.projects[project.id] = project
        return project

    def add_user(self, username: str, token: str, maintains: Iterable[Project]) -> User:
        """Make an account with a token."""
        user = User(
            id=len(self.users) + 1,
            username=username,
            email=f"{username}@example.com",
            maintains=frozenset(project.id for project in maintains),
        )
        self.users[user.id] = user
        self.tokens[token] = user
        return user

    def person(self, name: str, email: str, person_id: int | None = None) -> Person:
        """The person with this address, made if there is none yet."""
        known = self._person_ids.get(email)
        if known is not None:
            return self.people[known]
        number = person_id if person_id is not None else max(self.people, default=0) + 1
        self._person_ids[email] = number
        return self.people.setdefault(number, Person(id=number, name=name, email=email))

    def next_id(self) -> int:
        """A fresh patch id. Ids are never given twice, also not after a deletion."""
        self._highest_id += 1
        return self._highest_id

    def next_series_id(self) -> int:
        """A fresh series id."""
        self._highest_series_id += 1
        return self._highest_series_id

    def insert(self, patch: Patch, *, visible: bool = True) -> None:
        """Take in a patch under its id; not visible: until `commit`."""
        self._highest_id = max(self._highest_id, patch.id)
        self.reserved[patch.id] = patch
        if visible:
            self.commit([patch.id])

    def commit(self, ids: Iterable[int]) -> None:
        """Make reserved patches visible. KeyError for an id that is not reserved."""
        for patch_id in ids:
            patch = self.reserved.pop(patch_id)
            self.patches[patch_id] = patch
            self._by_message[patch.project.id, patch.msgid] = patch
            self._note_arrival(patch)
        self._in_order.clear()

    def _note_arrival(self, patch: Patch) -> None:
        self._note("patch-created", patch, date=patch.arrival)
        series = patch.series
        if series is None:
            return
        first = series.id not in self.series
        series.patches.append(patch)
        series.patches.sort(key=lambda member: (member.date, member.id))
        if first:
            self.series[series.id] = series
            self._highest_series_id = max(self._highest_series_id, series.id)
            self._note_series("series-created", series, patch.arrival)
        self._note("patch-completed", patch, date=patch.arrival, series=series)
        if len(series.patches) >= series.total:
            self._note_series("series-completed", series, patch.arrival)

    def delete(self, ids: Iterable[int]) -> None:
        """Delete patches with all that hangs on them. KeyError for an unknown id."""
        for patch_id in ids:
            patch = self.patches.pop(patch_id)
            del self._by_message[patch.project.id, patch.msgid]
            self._unrelate(patch)
            if patch.series is not None:
                patch.series.patches.remove(patch)
            self.events = [event for event in self.events if event.patch is not patch]
        self._in_order.clear()

    def move(self, ids: Iterable[int], project: Project) -> None:
        """Put patches into another project, as an administrator can: no event tells of it."""
        for patch_id in ids:
            patch = self.patches[patch_id]
            del self._by_message[patch.project.id, patch.msgid]
            patch.project = project
            self._by_message[project.id, patch.msgid] = patch
            self.changed(patch)
        self._in_order.clear()

    def reply(self, patch: Patch, tag: str, sender: Person) -> None:
        """Take in a reply that consists of a tag, e.g. "Acked-by: ..."; the mbox then has it."""
        moment = self.moment()
        comment = Comment(
            id=next(self._comment_ids),
            msgid=f"<reply.{len(patch.comments) + 1}.{patch.msgid.strip('<>')}>",
            date=moment.replace(microsecond=0) - SERVER_ZONE,
            subject=f"Re: {patch.name}",
            submitter=sender,
            content=f"{tag}\n",
        )
        patch.comments.append(comment)
        patch.mbox = render.fold_in_tag(patch.mbox, tag)
        self._note("patch-comment-created", patch, date=moment, comment=comment)

    def replace_message(self, patch: Patch, msgid: str) -> None:
        """Give an id to another message, as after a restore from an old backup."""
        del self._by_message[patch.project.id, patch.msgid]
        patch.mbox = patch.mbox.replace(patch.msgid.encode(), msgid.encode())
        patch.msgid = msgid
        self._by_message[patch.project.id, msgid] = patch
        self.changed(patch)

    def rename(self, project: Project, link_name: str) -> None:
        """Give a project another link name."""
        project.link_name = link_name
        for patch in self.in_order(project):
            self.changed(patch)

    def changed(self, patch: Patch) -> None:
        """Forget how a patch, and whatever shows it, was rendered."""
        patch.rendered.clear()
        if patch.relation is not None:
            for member in patch.relation.members:
                member.rendered.clear()

    def add_check(
        self,
        patch: Patch,
        user: User,
        *,
        state: CheckState,
        context: str,
        target_url: str | None,
        description: str | None,
    ) -> Check:
        """Add a check. Nothing is looked up: the same check twice is two rows."""
        check = Check(
            id=next(self._check_ids),
            user=user,
            date=self.moment(),
            state=state,
            target_url=target_url,
            context=context,
            description=description,
        )
        patch.checks.append(check)
        self.changed(patch)
        self._note("check-created", patch, date=check.date, actor=user, check=check)
        return check

    def set_state(self, patch: Patch, state: str, actor: User) -> None:
        """Set the state of a patch."""
        if state == patch.state:
            return
        before, patch.state = patch.state, state
        self.changed(patch)
        self._note(
            "patch-state-changed", patch, date=self.moment(), actor=actor, states=(before, state)
        )

    def relate(
        self, patches: Iterable[Patch], relation: Relation | None, actor: User | None
    ) -> Relation:
        """Put patches into a relation, a new one if None; it is returned."""
        target = relation if relation is not None else Relation()
        for patch in patches:
            if patch.relation is target:
                continue
            patch.relation = target
            target.members.append(patch)
            self._note("patch-relation-changed", patch, date=self.moment(), actor=actor)
        target.members.sort(key=lambda member: (member.date, member.id))
        for member in target.members:
            self.changed(member)
        return target

    def take_out(self, patch: Patch, actor: User) -> None:
        """Take one patch out of its relation. Dissolving a pair sends no event, as in Patchwork."""
        relation = patch.relation
        if relation is None:
            return
        pair = len(relation.members) == 2
        self._unrelate(patch)
        if not pair:
            self._note("patch-relation-changed", patch, date=self.moment(), actor=actor)

    def _unrelate(self, patch: Patch) -> None:
        relation = patch.relation
        if relation is None:
            return
        self.changed(patch)
        relation.members.remove(patch)
        patch.relation = None
        if len(relation.members) == 1:
            relation.members.pop().relation = None

    def _note(
        self,
        category: str,
        patch: Patch,
        *,
        date: datetime,
        actor: User | None = None,
        series: Series | None = None,
        check: Check | None = None,
        comment: Comment | None = None,
        states: tuple[str, str] | None = None,
    ) -> None:
        self.events.append(
            Event(
                id=next(self._event_ids),
                category=category,
                project=patch.project,
                date=date,
                actor=actor,
                patch=patch,
                series=series,
                check=check,
                comment=comment,
                states=states,
            )
        )

    def _note_series(self, category: str, series: Series, date: datetime) -> None:
        self.events.append(
            Event(
                id=next(self._event_ids),
                category=category,
                project=series.project,
                date=date,
                series=series,
            )
        )
