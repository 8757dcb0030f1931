"""Any history of a project that changes between any two queries ends in sync."""

from __future__ import annotations

from random import Random
from typing import TypeVar

import pytest
from model_server import Found, ModelServer, ModelStore, audit, compare, fetch, nothing, sync

from patchsync.patchwork.paging import LARGEST_PAGE
from patchsync.sync import compare as comparison
from patchsync.sync.compare import PageToFetch


class ChangingProject:
    """A project in which anything may happen between any two queries."""

    def __init__(self, random: Random, count: int, page_size: int, chance: float) -> None:
        self._random = random
        self._chance = chance
        self._next = 1
        self._late: list[int] = []
        self._away: list[int] = []
        self.server = ModelServer([], page_size=page_size)
        for _ in range(count):
            self._arrive()
        self.server.between = self.change

    def change(self) -> None:
        while self._random.random() < self._chance:
            self._random.choice(
                (
                    self._arrive,
                    self._arrive,
                    self._begin_late,
                    self._end_late,
                    self._delete,
                    self._move_out,
                    self._move_back,
                    self._move_in,
                )
            )()

    def _new_id(self) -> int:
        self._next += self._random.choice([1, 1, 1, 2, 4])  # other projects take ids too
        return self._next

    def _arrive(self) -> None:
        self.server.add(self._new_id())

    def _begin_late(self) -> None:
        """An id is given at INSERT and visible only at COMMIT."""
        self._late.append(self._new_id())

    def _end_late(self) -> None:
        if self._late:
            self.server.add(self._late.pop(self._random.randrange(len(self._late))))

    def _take(self) -> int | None:
        ids = self.server.ids
        if not ids:
            return None
        patch_id = self._random.choice([ids[0], ids[-1], *self._random.choices(ids, k=4)])
        self.server.remove(patch_id)
        return patch_id

    def _delete(self) -> None:
        self._take()

    def _move_out(self) -> None:
        if (patch_id := self._take()) is not None:
            self._away.append(patch_id)

    def _move_back(self) -> None:
        if self._away:
            self.server.add(self._away.pop(self._random.randrange(len(self._away))))

    def _move_in(self) -> None:
        """A patch of another project, with any id that is not one of ours."""
        free = self._random.randrange(1, self._next + 1)
        if free not in {*self.server.ids, *self._late, *self._away}:
            self.server.add(free)


Message = TypeVar("Message")


class Fleet:
    """Tasks whose messages are lost, doubled, late and out of order."""

    def __init__(self, random: Random, server: ModelServer, store: ModelStore, window: int) -> None:
        self._random = random
        self._server = server
        self._store = store
        self._window = window
        # Pages that wait for a fetch task, and what waits for the index
        self._wanted: list[PageToFetch] = []
        self._found: list[Found] = []

    def round(self) -> None:
        outcome = compare(self._server, self._store, self._window)
        self._wanted += outcome.want
        self._found.append(Found(tuple(outcome.back), (), tuple(outcome.gone)))
        self.deliver()

    def deliver(self) -> None:
        for want in self._some(self._wanted):
            found = fetch(self._server, want)
            stored = tuple(i for i in found.downloaded if self._random.random() < 0.9)
            self._found.append(Found(found.listed, stored, found.gone))
        for found in self._some(self._found):
            self._store.apply(found)

    def _some(self, messages: list[Message]) -> list[Message]:
        """Takes some, some of them for good and some twice, loses some, and leaves the others."""
        self._random.shuffle(messages)
        taken: list[Message] = []
        left: list[Message] = []
        for message in messages:
            fate = self._random.random()
            if fate < 0.75:
                taken.append(message)
            if 0.65 < fate < 0.9:
                left.append(message)
        messages[:] = left
        return taken


def history(seed: int, *, page_size: int, count: int) -> bool:
    """One history, which must end in sync; returns whether the audit was needed for it."""
    random = Random(seed)
    window = random.choice([1, 2, 3, 10])
    chance = random.choice([0.0, 0.05, 0.3, 0.6])
    project = ChangingProject(random, random.randrange(count), page_size, chance)
    server = project.server
    held = {i for i in server.ids if random.random() < random.choice([0.5, 0.99])}
    store = ModelStore(held)
    fleet = Fleet(random, server, store, window)
    for _ in range(random.randrange(8)):
        fleet.round()

    # Quiet from here on; some messages are still under way, and some arrive only after a while.
    server.between = nothing
    pages = len(server.ids) // page_size + len(store.held) // page_size + 1
    rounds = 4 + 3 * pages // window
    if random.random() < 0.5:
        sync(server, store, window=window, rounds=rounds)
    fleet.deliver()
    sync(server, store, window=window, rounds=rounds)
    hidden = store.held - store.gone != set(server.ids)
    audit(server, store)
    sync(server, store, window=window, rounds=rounds)

    assert store.held - store.gone == set(server.ids)
    assert store.gone.isdisjoint(server.ids)
    assert audit(server, store).clean(store.known())
    return hidden


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of four, so that small projects have many."""
    monkeypatch.setattr(comparison, "LARGEST_PAGE", 4)
    monkeypatch.setattr(comparison, "HELD", 8)
    monkeypatch.setattr(comparison, "SLACK", 1)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("how_many", [500, pytest.param(20_000, marks=pytest.mark.long)])
def test_every_history_of_a_changing_project_ends_in_sync(random: Random, how_many: int) -> None:
    """Whatever changes between any two queries, and whatever is lost, doubled, late or reordered.

    When the server is quiet, a bounded number of rounds, an audit and rounds again end with equal
    sides.
    """
    hidden = [history(random.getrandbits(32), page_size=4, count=60) for _ in range(how_many)]

    assert sum(hidden) > how_many / 10, "the audit was hardly needed: these histories are too tame"


@pytest.mark.parametrize("how_many", [20, pytest.param(1000, marks=pytest.mark.long)])
def test_histories_with_pages_of_their_real_size_end_in_sync(random: Random, how_many: int) -> None:
    """The same with 250 patches on a page."""
    for _ in range(how_many):
        history(random.getrandbits(32), page_size=LARGEST_PAGE, count=3000)
