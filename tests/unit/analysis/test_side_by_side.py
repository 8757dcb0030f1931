"""An update by several processes: the groups are those that one makes, whatever ends any."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import pytest
from analysis_fakes import FakeMail, Store, code, mail, name, patch_text, version
from upstream_fakes import Upstream, tables

from patchsync.analysis.builtin import child, linking, mails, pairs, reading
from patchsync.analysis.builtin.child import InHand, run_in_child
from patchsync.analysis.engine import OnProgress, Stopped
from patchsync.analysis.mail import parse_mail
from patchsync.analysis.patch import Patch
from patchsync.analysis.quarantine import AnalysisQuarantine
from patchsync.errors import TryAgainLater
from patchsync.fleet import processors

PROCESSES = 3
HOSTILE = 40
MARK = name(HOSTILE).encode()


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Have all be done side by side, also where it is little, or (False) nothing."""

    def have(side_by_side: bool) -> None:
        for module in (reading, linking):
            monkeypatch.setattr(module, "_FEW", 1 if side_by_side else 10**6)
        monkeypatch.setattr(reading, "_AT_ONCE", 3)
        monkeypatch.setattr(linking, "_OF_TASK", 4)
        monkeypatch.setattr(child, "processors", lambda: PROCESSES)

    have(True)
    return have


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Versions of a few patches, a hostile mail that would be one, and others."""
    store = Store(tmp_path / "store")
    store.put(*(version(number, number % 4, range(number % 5)) for number in range(1, 60)))
    store.put(*(mail(number) for number in range(60, 80)))
    return store


def without_hostile(store: Store) -> str:
    """The groups as if the hostile mail had never come."""
    store.take_out(name(HOSTILE))
    return store.from_scratch()


def rows_of(store: Store, *tables: str) -> list[object]:
    """What the cache holds, by the names of mails; numbers are as they came."""
    named = "SELECT a.name, b.name FROM {} JOIN patch a ON a.number = low JOIN patch b"
    named += " ON b.number = high"
    with closing(sqlite3.connect(store.cache)) as sql:
        return [
            sorted(map(sorted, sql.execute(named.format(table)).fetchall())) for table in tables
        ]


def some_mail(random: Random, number: int, commits: Sequence[str]) -> FakeMail:
    """A version of one of a few patches, a pick, or no patch."""
    first = random.randrange(12)
    changed = range(first, first + random.randrange(6))
    if random.random() < 0.1 and commits:
        said = f"Picked from {random.choice(commits)}."
        return mail(number, patch_text("Some pick", code(number), body=said))
    if random.random() < 0.1:
        return mail(number, "Subject: a question\n\nWhy?")
    return version(number, random.randrange(5), changed, seconds=random.randrange(9) * 80_000)


@pytest.mark.parametrize(
    "number",
    [0, *(pytest.param(number, marks=pytest.mark.long) for number in range(1, 30))],
)
@pytest.mark.parametrize("interactive", ["1.1", "0.75"])
def test_any_batches_end_as_one_after_the_other(
    tmp_path: Path,
    random: Random,
    several: Callable[[bool], None],
    number: int,
    interactive: str,
) -> None:
    """With commits and false positives that come in between, and pairs left to a person."""
    upstream = Upstream(tmp_path / "upstream.git")
    commits = [
        upstream.commit(random.randrange(5), first, first + 2)
        for first in random.sample(range(12), 6)
    ]
    store = Store(
        tmp_path / "store",
        f"{tables(upstream)}\n[analysis.thresholds]\ninteractive = {interactive}\n",
    )
    ids = random.sample(range(1, 90), 89)
    while ids:
        some = random.choice((1, 10, 30))
        store.put(*(some_mail(random, each, commits) for each in ids[:some]))
        del ids[:some]
        pick = lambda: name(random.randrange(1, 90))  # noqa: E731
        store.mark("".join(f"{pick()} {pick()} {pick()}\n" for _ in range(4)))
        store.mark(f"{pick()} {random.choice(commits)}\n", "mbox-upstream")
        if random.random() < 0.5:
            commits.append(upstream.commit(random.randrange(5), 3, 5))
        several(random.random() < 0.8)
        store.update()
    several(True)
    store.update(rebuild=True)
    links = rows_of(store, "link", "undecided")
    groups = store.text
    several(False)
    store.update(rebuild=True)
    assert groups == store.text
    assert links == rows_of(store, "link", "undecided")
    assert any(" " in line for line in store.groups)


def test_batches_side_by_side_end_as_from_scratch(
    tmp_path: Path, random: Random, several: Callable[[bool], None]
) -> None:
    """Also where what is new changes which candidate is the best."""
    store = Store(tmp_path / "store")
    for first in range(1, 80, 20):
        store.put(*(some_mail(random, each, ()) for each in range(first, first + 20)))
        marks = (sorted(random.sample(range(1, first + 20), 3)) for _ in range(6))
        store.mark("".join(f"{' '.join(map(name, each))}\n" for each in marks))
        several(True)
        store.update()
        groups = store.text
        several(False)
        assert groups == store.from_scratch()


def hostile_does(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Have this happen whenever the hostile mail is parsed."""

    def parse(raws: Sequence[bytes]) -> Patch:
        if MARK in raws[0]:
            what()
        return parse_mail(raws)

    monkeypatch.setattr(mails, "parse_mail", parse)


def takes_for_ever() -> None:
    """Calculates."""
    while True:
        pass


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (takes_for_ever, "took more than 0.4 s of CPU time"),
        (lambda: bytearray(2**30), "took more than 256 MiB of memory"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed"),
        (lambda: 1 // 0, "ZeroDivisionError"),
        (lambda: time.sleep(600), "waited for more than 1 s"),
    ],
)
@pytest.mark.usefixtures("several")
def test_a_mail_that_ends_its_process_twice_is_quarantined(
    store: Store, monkeypatch: pytest.MonkeyPatch, what: Callable[[], object], reason: str
) -> None:
    """In the same update, and the others are grouped as without it."""
    monkeypatch.setattr(child, "CPU_SECONDS", 0.4)
    monkeypatch.setattr(child, "WAITING_SECONDS", 1.0 if "waited" in reason else 60.0)
    monkeypatch.setattr(child, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(child, "MEMORY_BYTES", 256 * 2**20)
    with monkeypatch.context() as patch:
        hostile_does(patch, what)
        store.update()
    [failed] = AnalysisQuarantine(store.config).quarantined()
    assert failed.name == name(HOSTILE)
    assert reason in failed.reason
    assert store.text == without_hostile(store)


@pytest.mark.usefixtures("several")
def test_a_mail_that_ends_its_process_when_compared(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not compared with any, and the others are."""
    really = pairs.PairFinder._link

    def link(*arguments: object) -> Iterator[int]:
        if arguments[1].name == name(HOSTILE):  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGKILL)
        return really(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(pairs.PairFinder, "_link", link)
        store.update()
    assert [each.name for each in AnalysisQuarantine(store.config).quarantined()] == [name(HOSTILE)]
    assert store.text == without_hostile(store)


def test_one_that_is_killed_with_none_in_hand(
    store: Store, monkeypatch: pytest.MonkeyPatch, several: Callable[[bool], None]
) -> None:
    """Nobody is to blame; the next update goes on."""
    killed = store.folder / "killed"

    class Fatal(child._InHand):
        def put_down(self) -> None:
            super().put_down()
            if not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(child, "_InHand", Fatal)
        with pytest.raises(TryAgainLater, match="its process was killed"):
            store.update()
    assert AnalysisQuarantine(store.config).read() == {}
    store.update()
    several(False)
    assert store.text == store.from_scratch()


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    with suppress(OSError):
        own = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [each for text in own for each in (int(text), *children_of(int(text)))]
    return []


def is_alive(pid: int) -> bool:
    """Whether it runs."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.usefixtures("several")
def test_none_outlives_an_update_that_is_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By who shows its progress; the next one goes on, and ends as from scratch."""
    monkeypatch.setattr(child, "_LOOK_SECONDS", 0.05)
    # What other tests of this process have started, such as a Redis, goes on.
    others = set(children_of(os.getpid()))
    pids: set[int] = set()

    def on_progress(what: str, done: int, of: int) -> None:
        pids.update(set(children_of(os.getpid())) - others)
        if len(pids) > PROCESSES:
            raise Stopped

    for module in (reading, linking, pairs):
        monkeypatch.setattr(module, "COMMIT_SECONDS", -1)
    with pytest.raises(Stopped):
        store.update(on_progress)
    deadline = time.monotonic() + 60
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    store.update()
    assert store.text == store.from_scratch()


UPDATE = """
import os, signal, sys, threading, time
from patchsync.analysis.builtin import child, linking, pairs, reading
from patchsync.analysis.update import open_engine
from patchsync.config import load
for module in (reading, linking):
    module._FEW = 1
for module in (reading, linking, pairs):
    module.COMMIT_SECONDS = -1
reading._AT_ONCE, linking._OF_TASK = 2, 3
child.processors = lambda: 3
steps = int(sys.argv[2])
def on_progress(what, done, of):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), signal.SIGKILL)
open_engine(load(sys.argv[1])).update(on_progress)
"""


def test_the_parent_is_killed_in_the_middle(store: Store, random: Random) -> None:
    """Its children end with it, and whoever comes next goes on from what was kept."""
    killed = 0
    for _ in range(4):
        command = [
            sys.executable,
            "-c",
            UPDATE,
            str(store.config.source),
            str(random.randrange(25)),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        killed += done.returncode != 0
    store.update()
    assert store.text == store.from_scratch()
    assert killed


def test_results_come_of_each_task_once(several: Callable[[bool], None]) -> None:
    """Whatever their number and size, and whoever does them."""

    def square(task: int, in_hand: InHand) -> Iterator[tuple[int, bytes]]:
        yield task, bytes(task % 7 * 100_000)
        yield -task, b""

    def work(in_hand: InHand, on_progress: OnProgress) -> list[int]:
        with in_hand.side_by_side(square, range(1, 100)) as results:
            return [number for number, _ in results]

    found = run_in_child(work, lambda what, done, of: None)
    assert sorted(found) == [*range(-99, 0), *range(1, 100)]


@pytest.mark.parametrize(
    ("quota", "number"),
    [("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1), ("9900000 100000", 8), ("", 8)],
)
def test_a_container_has_its_share_of_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, number: int
) -> None:
    """Of a machine that has more."""
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(processors, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert processors.processors() == number
