"""What each way to ask for what is new misses: tried out, one thing that happens at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import timedelta

from asking_ways import AUDITED, BISECTION, Bisection, all_ways
from claims import Claim, Measured

from standin import instance
from standin.instance import Standin
from standin.records import Patch
from standin.state import SERVER_ZONE
from standin.thread import served

PATCHES = 1500
# What happens at a server; at each `yield` all look
Happening = Generator[None]


class World:
    """A Patchwork with a list, and the time there."""

    def __init__(self, standin: Standin) -> None:
        self.state = standin.state
        self._postman = standin.postman
        self.project = standin.state.projects[3]
        self.neighbour = standin.state.projects[2]
        self.now = self.patches[-1].date + timedelta(minutes=10)

    @property
    def patches(self) -> list[Patch]:
        return self.state.in_order(self.project)

    def insert(
        self, count: int, *, dated_back: timedelta = timedelta(), at_once: bool = False
    ) -> list[int]:
        """Mails come in, 10 s apart; nobody sees them before they are committed."""
        new = self._postman.deliver(self.project, count, visible=False)
        for patch in new:
            self.now += timedelta(seconds=0 if at_once else 10)
            patch.date = self.now - dated_back
            patch.arrival = self.now + SERVER_ZONE
        return [patch.id for patch in new]

    def add(
        self, count: int, *, dated_back: timedelta = timedelta(), at_once: bool = False
    ) -> list[int]:
        """Mails come in, and are there."""
        new = self.insert(count, dated_back=dated_back, at_once=at_once)
        self.state.commit(new)
        return new

    def lose_event(self, patch_id: int) -> None:
        """Nothing tells any more that a patch was created."""
        events = self.state.events
        self.state.events = [e for e in events if e.patch is None or e.patch.id != patch_id]


def some_new(world: World) -> Happening:
    world.add(3)
    yield


def late_by_one(world: World) -> Happening:
    late = world.insert(1)
    world.add(1)
    yield
    world.state.commit(late)
    yield


def late_by_many(world: World) -> Happening:
    late = world.insert(1)
    world.add(40)
    yield
    world.state.commit(late)
    yield


def late_by_hours(world: World) -> Happening:
    late = world.insert(1)
    world.now += timedelta(hours=3)
    world.add(40)
    yield
    world.state.commit(late)
    yield


def dated_back(world: World) -> Happening:
    world.add(1, dated_back=timedelta(days=30))
    yield


def newest_deleted(world: World) -> Happening:
    world.state.delete([world.patches[-5].id])
    yield


def old_deleted(world: World) -> Happening:
    world.state.delete([world.patches[100].id])
    yield


def moved_out(world: World) -> Happening:
    world.state.move([world.patches[700].id], world.neighbour)
    yield


def moved_in(world: World) -> Happening:
    world.state.move([world.state.in_order(world.neighbour)[0].id], world.project)
    yield


def at_one_moment(world: World) -> Happening:
    world.add(600, at_once=True)
    yield


def event_lost(world: World) -> Happening:
    lost, *_ = world.add(3)
    world.lose_event(lost)
    yield


def hidden(world: World) -> Happening:
    late = world.insert(1)
    world.add(40)
    yield
    world.state.commit(late)
    world.state.delete([world.patches[100].id])
    yield


HAPPENINGS: dict[str, Callable[[World], Happening]] = {
    "3 new": some_new,
    "600 of one date": at_one_moment,
    "late below 1": late_by_one,
    "late below 40": late_by_many,
    "3 hours late": late_by_hours,
    "dated back 30 d": dated_back,
    "a new one deleted": newest_deleted,
    "an old deleted": old_deleted,
    "moved out": moved_out,
    "moved in": moved_in,
    "an event lost": event_lost,
    "late, and deleted": hidden,
}
# Here one hides the other from a count.
HIDES = "late, and deleted"


def losses() -> Claim:
    """How many patches each way has or lacks in error after each happening."""
    measured = []
    for name, happening in HAPPENINGS.items():
        standin = instance.generated(30, seed=1, long=PATCHES)
        with served(standin) as url:
            for who, wrong in _wrong(World(standin), url, happening).items():
                measured.append(Measured(who=who, case=name, samples=(wrong,)))
    ours = [each for each in measured if each.who in (BISECTION, AUDITED)]
    missed = {(each.who, each.case) for each in ours if each.samples[0]}
    return Claim(
        title="What each way to ask for what is new misses",
        unit="patches",
        wanted="none, but for what hides another one's absence, which an audit finds",
        holds=missed <= {(BISECTION, HIDES)},
        measured=tuple(measured),
        remarks=(
            "a late patch has a lower id than others that were seen before it",
            "`since=` looks a day back, `events/` an hour",
        ),
    )


def _wrong(world: World, url: str, happening: Callable[[World], Happening]) -> dict[str, int]:
    held = [patch.id for patch in world.patches]
    key = world.project.link_name
    newest = max(patch.arrival for patch in world.patches)
    ways = all_ways(url, key, held, world.now, newest)
    for _ in happening(world):
        for way in ways.values():
            way.look(world.now)
    there = {patch.id for patch in world.patches}
    wrong = {name: len(way.held ^ there) for name, way in ways.items()}
    ours = ways[BISECTION]
    assert isinstance(ours, Bisection)
    ours.audit()
    ours.look(world.now)
    return wrong | {AUDITED: len(ours.held ^ there)}
