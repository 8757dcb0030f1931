"""A Patchwork in memory that is annotated, and a store of its patches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from relation_server import State, apply

from patchsync.errors import AnswerLost, GoneThere
from patchsync.patchwork.schemas import (
    Check,
    CheckEvent,
    PatchView,
    RelationEvent,
    StateEvent,
    User,
)
from patchsync.push.annotations import ProjectFacts
from patchsync.push.identity import Identity, MaintainedProject

US = User(id=1, username="pasta-bot")
IDENTITY = Identity(
    user=US,
    projects={1: MaintainedProject(key="linux", link_name="linux", facts=ProjectFacts())},
)


class Entry(NamedTuple):
    """A line of the index."""

    patch_id: int
    date: str
    message_id: str


def name_of(patch_id: int) -> str:
    """A message-id."""
    return f"<{patch_id}@example.org>"


@dataclass
class FakeProject:
    """A project whose patch N is the mail <N@example.org>: project, paths and container in one."""

    index: Path
    patch_ids: range
    project_id: int = 1
    key: str = "linux"
    name: str = "linux"
    listaddr: str = "linux@example.org"
    gone_ids: set[int] = field(default_factory=set)
    # Of those that are not of the first day
    dates: dict[int, str] = field(default_factory=dict)

    @property
    def paths(self) -> FakeProject:
        return self

    def open(self) -> FakeProject:
        return self

    def __enter__(self) -> FakeProject:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def gone(self) -> frozenset[int]:
        return frozenset(self.gone_ids)

    def message_ids(self, patch_ids: Iterable[int]) -> dict[int, str]:
        return {each: name_of(each) for each in patch_ids if each in self.patch_ids}

    def entries_of_all(self, message_ids: Iterable[str]) -> Iterator[Entry]:
        for message_id in message_ids:
            number = int(message_id[1:].partition("@")[0])
            if number in self.patch_ids:
                yield Entry(number, self.dates.get(number, "2024/01/01"), message_id)


class FakePatchwork:
    """What `Annotator` asks; `lose` is called before and after each write, `looked` at a view."""

    def __init__(self, patch_ids: Iterable[int]) -> None:
        self.patch_ids = set(patch_ids)
        self.relations: State = frozenset()
        self.checks: dict[int, list[Check]] = {}
        self.states: dict[int, str] = {}
        self.state_changes: list[StateEvent] = []
        self.events: dict[int, RelationEvent] = {}
        self.writes = 0
        self.reads = 0
        self.lose: Callable[[int, bool], None] = lambda number, before: None
        self.looked: Callable[[int], None] = lambda number: None

    def post_check(self, key: str, patch_id: int, **content: Any) -> Check:
        self._begin(patch_id)
        rows = self.checks.setdefault(patch_id, [])
        rows.append(Check(id=self.writes, user_id=US.id, **content))
        self.lose(self.writes, False)
        return rows[-1]

    def relate(self, key: str, patch_id: int, related: Iterable[int]) -> None:
        self._begin(patch_id)
        self.relations = apply(self.relations, patch_id, list(related), self.patch_ids)
        self.lose(self.writes, False)

    def set_state(self, key: str, patch_id: int, state: str, commit_ref: str | None) -> None:
        self._begin(patch_id)
        self.choose(patch_id, state, US.id)
        self.lose(self.writes, False)

    def newest_check(self, key: str, patch_id: int, user_id: int, context: str) -> Check | None:
        self.reads += 1
        return self.checks.get(patch_id, [None])[-1]

    def comment_ids(self, key: str, patch_id: int) -> frozenset[str]:
        return frozenset()

    def own_checks(self, key: str, user: User) -> dict[tuple[int, str], CheckEvent | None]:
        self.reads += 1
        return {(each, rows[-1].context): None for each, rows in self.checks.items()}

    def choose(self, patch_id: int, state: str, user_id: int) -> None:
        """Somebody sets a state."""
        self.states[patch_id] = state
        event = StateEvent(
            id=len(self.state_changes) + 1,
            project_id=1,
            project_link_name="linux",
            actor_id=user_id,
            patch_id=patch_id,
            state=state,
        )
        self.state_changes.append(event)

    def state_events(self, key: str, patch_id: int) -> tuple[StateEvent, ...]:
        self.reads += 1
        return tuple(event for event in self.state_changes if event.patch_id == patch_id)

    def own_states(self, key: str, user: User, states: tuple[str, ...]) -> dict[int, str]:
        self.reads += 1
        return {each: state for each, state in self.states.items() if state in states}

    def relation_events(self, key: str) -> dict[int, RelationEvent]:
        self.reads += 1
        return self.events

    def view(self, key: str, patch_id: int) -> PatchView | None:
        self.reads += 1
        self.looked(self.reads)
        if patch_id not in self.patch_ids:
            return None
        members = next((each for each in self.relations if patch_id in each), frozenset())
        return PatchView(
            id=patch_id,
            message_id=name_of(patch_id),
            project_id=1,
            project_link_name="linux",
            state=self.states.get(patch_id, "new"),
            commit_ref=None,
            related=tuple(sorted(members - {patch_id})),
            list_archive_url=None,
        )

    def list_views(self, key: str, page: int) -> tuple[PatchView, ...]:
        if page > 1:
            return ()
        found = (self.view(key, each) for each in sorted(self.patch_ids))
        return tuple(view for view in found if view)

    def _begin(self, patch_id: int) -> None:
        self.writes += 1
        self.lose(self.writes, True)
        if patch_id not in self.patch_ids:
            raise GoneThere(f"there is no patch {patch_id}")


def answer_lost(at: int, *, arrived: bool) -> Callable[[int, bool], None]:
    """For `FakePatchwork.lose`: of the write of this number."""

    def lose(number: int, before: bool) -> None:
        if number == at and before != arrived:
            raise AnswerLost("the connection was cut")

    return lose
