"""The ledger: what is sent is sent once, whoever is killed, and what is unsettled is found at once.

`python test_push_ledger.py <what> <ledger> <arguments>` is a process of its own, to be killed.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest

from patchsync.errors import GiveUp, StoreDamaged, StoreUnavailable
from patchsync.push.entries import (
    CheckValue,
    Claimed,
    CommentValue,
    Desired,
    Entry,
    Needless,
    Sink,
    SinkCounts,
    StateValue,
    TroubleKind,
    Unsure,
    Value,
    Wait,
)
from patchsync.push.ledger import Ledger
from patchsync.store import sqlite_file

ANSWER = 120.0  # seconds
A, B = (
    CheckValue(state=state, description="it is there", target_url="")
    for state in ("success", "warning")
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "patchsync" / "push.example.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger(path) as ledger:
        ledger.set_complete()
        yield ledger


def checks(ids: Iterable[int], value: Value | None = A, project_id: int = 1) -> list[Desired]:
    return [Desired(patch_id, project_id, Sink.CHECK, value) for patch_id in ids]


def check(patch_id: int = 1, value: Value | None = A) -> Entry[Any]:
    """The entry of a patch, as who is about to send `value` read it."""
    return Entry(Sink.CHECK, patch_id, 1, value, None, False)


def pending(
    ledger: Ledger,
    *,
    sinks: Iterable[str] = Sink,
    projects: Iterable[int] | None = None,
    limit: int | None = None,
    now: float = 1000.0,
) -> list[int]:
    """The patch ids of what is pending, ascending."""
    found = ledger.pending(sinks, projects, limit, now=now, answer_seconds=ANSWER)
    return sorted(entry.patch_id for entry in found)


def claim(
    ledger: Ledger, patch_id: int = 1, value: Value | None = A, now: float = 1000.0
) -> Claimed | Unsure[Any] | Wait | Needless:
    return ledger.claim(check(patch_id, value), now, ANSWER)


def claimed(ledger: Ledger, patch_id: int = 1, value: Value | None = A, now: float = 1000.0) -> int:
    """The claim that the ledger must grant."""
    result = claim(ledger, patch_id, value, now)
    assert isinstance(result, Claimed)
    return result.claim


# --- what is pending -------------------------------------------------------------------------


def test_pending_is_what_is_desired_and_not_observed(ledger: Ledger) -> None:
    """Also what shall not be there any more; by sink, by project, up to a limit."""
    assert ledger.set_desired(checks([1, 2]) + checks([3], project_id=2)) == 3
    state = StateValue(state="accepted", commit_ref=None)
    ledger.set_desired([Desired(4, 1, Sink.STATE, state), Desired(5, 1, Sink.STATE, None)])
    assert pending(ledger) == [1, 2, 3, 4]
    assert pending(ledger, sinks=[Sink.CHECK]) == [1, 2, 3]
    assert pending(ledger, projects=[1]) == [1, 2, 4]
    assert len(pending(ledger, limit=2)) == 2
    ledger.observe(Sink.CHECK, 1, A, 5.0, sent_by_us=True)
    ledger.observe(Sink.CHECK, 2, B, 5.0)
    assert pending(ledger) == [2, 3, 4]
    ledger.set_desired(checks([1], None))
    assert pending(ledger) == [1, 2, 3, 4]
    entry = ledger.entries(Sink.CHECK, range(1000))[1]
    assert (entry.desired, entry.observed, entry.sent_by_us) == (None, A, True)


def test_what_no_plan_ever_spoke_of_is_not_pending(ledger: Ledger) -> None:
    """A rebuild shows what is there before the plan says whether it is desired."""
    ledger.observe(Sink.CHECK, 1, A, 5.0)
    assert pending(ledger) == []
    assert ledger.set_desired(checks([1])) == 1
    assert pending(ledger) == []
    ledger.set_desired(checks([1], B))
    assert pending(ledger) == [1]


def test_to_want_the_same_again_changes_nothing(ledger: Ledger) -> None:
    """It is counted as no change; another project is one."""
    ledger.set_desired(checks(range(100)))
    assert ledger.set_desired(checks(range(100))) == 0
    assert ledger.set_desired(checks([1], project_id=2)) == 1
    assert pending(ledger, projects=[2]) == [1]


def test_nothing_is_sent_from_a_ledger_that_is_not_complete(path: Path) -> None:
    """While it is rebuilt, it does not know what is there already."""
    with Ledger(path) as ledger:
        ledger.set_desired(checks([1]))
        assert not ledger.complete
        assert pending(ledger) == []
        assert claim(ledger) == Needless()
        ledger.set_complete()
        assert ledger.complete
        assert pending(ledger) == [1]


def test_what_is_pending_is_found_without_looking_at_the_rest(ledger: Ledger) -> None:
    """Neither at what is shown nor at what is in trouble, nor does SQLite sort."""
    many, few = range(20_000), range(50_000, 50_003)
    with ledger.transaction():
        ledger.set_desired(checks(many))
        for patch_id in many:
            if patch_id % 2:
                ledger.observe(Sink.CHECK, patch_id, A, 5.0)
            else:
                ledger.set_trouble(check(patch_id, A), TroubleKind.GONE, "gone", 5.0)
        ledger.set_desired(checks(few))
    for projects in (None, [1, 2]):
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 100

        sql = ledger._file.sql
        sql.set_progress_handler(count, 100)
        assert pending(ledger, projects=projects) == list(few)
        sql.set_progress_handler(None, 0)
        assert steps < 2000


@pytest.mark.parametrize(
    ("sink", "text", "value"),
    [
        (
            Sink.CHECK,
            '{"description": "\\u2026", "state": "success", "target_url": ""}',
            CheckValue(state="success", description="…", target_url=""),
        ),
        (Sink.RELATION, "[2, 10]", frozenset({10, 2})),
        (
            Sink.STATE,
            '{"commit_ref": null, "state": "accepted"}',
            StateValue(state="accepted", commit_ref=None),
        ),
        (
            Sink.COMMENT,
            '{"about": ["<1@x>", "<2@x>"], "text": "hello"}',
            CommentValue(text="hello", about=("<1@x>", "<2@x>")),
        ),
        # The first versions did not say what it is about.
        (Sink.COMMENT, '{"text": "hello"}', CommentValue(text="hello")),
    ],
)
def test_a_ledger_of_the_version_before_is_read(
    ledger: Ledger, path: Path, sink: Sink, text: str, value: Value
) -> None:
    """What it desired is no change, and shows once it is observed: nothing is sent twice."""
    with closing(sqlite3.connect(path)) as sql, sql:
        columns = "sink, patch_id, project_id, wanted, remote_id"
        sql.execute(f"INSERT INTO entry ({columns}) VALUES (?, ?, ?, ?, ?)", (sink, 10, 1, text, 0))
        sql.execute("INSERT INTO note VALUES ('confirmed', '1 22')")
    entry = Entry(sink, 10, 1, value, None, True)
    assert ledger.entries(sink, [10]) == {10: entry}
    assert ledger.set_desired([Desired(10, 1, sink, value)]) == 0
    assert pending(ledger) == [10]
    assert isinstance(ledger.claim(entry, 1000.0, ANSWER), Claimed)
    ledger.observe(sink, 10, value, 5.0)
    assert ledger.counts()[sink] == SinkCounts(wanted=1, shown=1, pending=1)
    assert ledger.agreed == {1, 22}


@pytest.mark.parametrize("lacking", [["parted"], ["named", "daily_check", "parted"]])
@pytest.mark.parametrize("writable", [True, False])
def test_what_an_earlier_version_did_not_note_is_empty(
    ledger: Ledger,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacking: list[str],
    writable: bool,
) -> None:
    """Also for who may only read; what is noted is read all the same."""
    ledger.ownership.note_parted([(1, 2)])
    with ledger.draft() as draft:
        draft.add((), [(1, 7)])
        draft.take_over()
    ledger.close()
    with closing(sqlite3.connect(path)) as sql, sql:
        for table in lacking:
            sql.execute(f"DROP TABLE {table}")
    before = path.read_bytes()
    monkeypatch.setattr(sqlite_file, "may_write", lambda path: writable)
    assert ledger.complete
    assert ledger.ownership.parted([1, 2]) == set()
    assert ledger.daily_checks.at_limit(0.0, 0) == set()
    with ledger.draft() as draft:
        assert draft.vanished_with([7]) == (set() if "named" in lacking else {1})
    assert (path.read_bytes() == before) or writable


# --- claims ----------------------------------------------------------------------------------


def test_one_gets_the_claim_and_the_others_wait(ledger: Ledger, path: Path) -> None:
    """The ledger says for how long, and does not offer it meanwhile."""
    ledger.set_desired(checks([1]))
    claimed(ledger)
    with Ledger(path) as other:
        assert claim(other, now=1100.0) == Wait(20.0)
        assert pending(other, now=1119.0) == []
        assert pending(other, now=1121.0) == [1]


def test_a_claim_without_outcome_is_read_back_first(ledger: Ledger) -> None:
    """Shown, it is settled; released, it can be claimed anew."""
    ledger.set_desired(checks([1, 2]))
    first = {n: claimed(ledger, n) for n in (1, 2)}
    for n in (1, 2):
        assert claim(ledger, n, now=1120.0) == Unsure(first[n], A)
    assert ledger.arrived(check(1, A), first[1], A, 1121.0)
    assert ledger.release(check(2), first[2])
    assert pending(ledger) == [2]
    assert claim(ledger, 1, now=1122.0) == Needless()
    assert claimed(ledger, 2, now=1122.0) != first[2]


def test_who_looked_too_early_cannot_end_a_later_claim(ledger: Ledger, path: Path) -> None:
    """Two are unsure of the same claim; while one sends again, the other's finding is void."""
    ledger.set_desired(checks([1]))
    old = claimed(ledger)
    with Ledger(path) as other:
        assert claim(ledger, now=1200.0) == claim(other, now=1200.0) == Unsure(old, A)
        assert ledger.release(check(1), old)
        new = claimed(ledger, now=1200.0)
        assert not other.release(check(1), old)
        assert not other.arrived(check(1, B), old, B, 1200.0)
        other.observe(Sink.CHECK, 1, B, 1200.0)
        assert claim(other, now=1201.0) == Wait(119.0)
        assert ledger.arrived(check(1, A), new, A, 1202.0)


def test_a_claim_without_outcome_stays_pending_whatever_is_desired(ledger: Ledger) -> None:
    """What is desired may be there, but another value is on its way there, perhaps."""
    ledger.set_desired(checks([1]))
    ledger.observe(Sink.CHECK, 1, A, 5.0)
    ledger.set_desired(checks([1], B))
    token = claimed(ledger, value=B)
    ledger.set_desired(checks([1], A))
    assert pending(ledger, now=1200.0) == [1]
    assert claim(ledger, now=1200.0) == Unsure(token, B)
    ledger.arrived(check(1, B), token, B, 1201.0)
    assert claimed(ledger, now=1201.0)


def test_a_late_message_claims_nothing(ledger: Ledger) -> None:
    """Another value is desired by now, or it is there, or held back, or the patch is unknown."""
    ledger.set_desired(checks([1, 2, 3]))
    assert claim(ledger, 1, B) == Needless()
    ledger.observe(Sink.CHECK, 2, A, 5.0)
    assert claim(ledger, 2) == Needless()
    ledger.set_trouble(check(3, A), TroubleKind.NO_RIGHT, "403", 5.0)
    assert claim(ledger, 3) == Needless()
    assert claim(ledger, 4) == Needless()


def test_a_clock_that_is_set_back_neither_sends_early_nor_blocks_for_ever(ledger: Ledger) -> None:
    """The waiting begins anew from what the clock says now."""
    ledger.set_desired(checks([1]))
    token = claimed(ledger, now=1_000_000.0)
    ledger.set_desired(checks([1], B))
    assert pending(ledger, now=50.0) == [1]
    assert claim(ledger, value=B, now=50.0) == Wait(ANSWER)
    assert claim(ledger, value=B, now=60.0) == Wait(ANSWER - 10)
    assert claim(ledger, value=B, now=170.0) == Unsure(token, A)


def test_a_deleted_ledger_grants_nothing_to_who_still_has_it_open(
    ledger: Ledger, path: Path
) -> None:
    """Nobody else would see that claim; the new file is incomplete until it is rebuilt."""
    ledger.set_desired(checks([1]))
    for file in path.parent.iterdir():
        file.unlink()
    assert claim(ledger) == Needless()
    assert not ledger.complete
    assert ledger.counts() == {}


# --- killed ----------------------------------------------------------------------------------


def send_all(path: Path, server: Path, now: float, patches: int, seed: str) -> None:
    """What a send process does, with a file as server: a line for each POST."""
    order = list(range(patches))
    Random(seed).shuffle(order)
    with Ledger(path) as ledger:
        for patch_id in order:
            result = claim(ledger, patch_id, now=now)
            if isinstance(result, Unsure):
                if str(patch_id) in server.read_text().split("\n"):
                    ledger.arrived(check(patch_id, A), result.claim, A, now)
                else:
                    ledger.release(check(patch_id), result.claim)
                    result = claim(ledger, patch_id, now=now)
            if isinstance(result, Claimed):
                with server.open("a") as file:
                    file.write(f"{patch_id}\n")
                ledger.arrived(check(patch_id, A), result.claim, A, now)


def kill_at(point: int) -> None:
    """Kill this process at its `point`th call of a C function from push or from here."""
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        if event == "c_call" and "push" in frame.f_code.co_filename:
            calls += 1
            if calls > point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)


def send_and_die(path: Path, server: Path, patches: int, seed: str) -> None:
    """Three at a time send, each killed somewhere or let go on to its end, until all is sent."""
    chance = Random(seed)
    now, killed = 1000.0, 0
    while pending_in(path, now):
        assert killed < 500
        children = []
        for _ in range(3):
            order, point = str(chance.random()), chance.randrange(20, 200)
            children.append(os.fork())
            if children[-1] == 0:
                kill_at(point)
                send_all(path, server, now, patches, order)
                os._exit(0)
        ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert {*ends} <= {0, -signal.SIGKILL}, ends
        killed += sum(end != 0 for end in ends)
        assert max(Counter(server.read_text().split()).values(), default=1) == 1
        now += ANSWER + 1
    print(killed)


def pending_in(path: Path, now: float) -> list[int]:
    """The patch ids of what is pending; nothing is left open that a child would inherit."""
    with Ledger(path) as ledger:
        return pending(ledger, now=now)


def die_everywhere(path: Path, step: int) -> None:
    """Have a child killed at each `step`th call while it plans; all it wrote, or nothing."""
    died = 0
    while True:
        with Ledger(path) as ledger:
            before = plan_of(ledger)
        child = os.fork()
        if child == 0:
            kill_at(died * step)
            with Ledger(path) as ledger, ledger.transaction():
                ledger.set_desired(checks(range(10), replace(A, description=str(died))))
                ledger.finish_plan(b"%d" % died, {"n": str(died)})
            os._exit(0)
        _, status = os.waitpid(child, 0)
        with Ledger(path) as ledger:
            after = plan_of(ledger)
        assert after in (before, {str(died)}), (before, after)
        if os.WIFEXITED(status):
            break
        died += 1
    print(died)


def plan_of(ledger: Ledger) -> set[str | None]:
    """What the parts of a plan say of its number; one thing only, unless it was torn."""
    entries = ledger.entries(Sink.CHECK, range(10)).values()
    return {
        *({each.desired.description for each in entries} or {None}),
        ledger.lines.decode() or None,
        ledger.note("n"),
    }


def apart(what: str, *arguments: object) -> int:
    """Do this in a process of its own, which may fork since it has no threads; what it counted."""
    done = subprocess.run(
        [sys.executable, __file__, what, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=True,
    )
    return int(done.stdout)


def test_of_processes_that_are_killed_each_value_is_sent_once(
    ledger: Ledger, path: Path, random: Random
) -> None:
    """Three at a time, each killed somewhere or let go on to its end, until nothing is pending."""
    patches = 150
    server = path.with_name("server")
    server.touch()
    ledger.set_desired(checks(range(patches)))
    assert apart("send", path, server, patches, random.random()) > 20
    assert Counter(server.read_text().split()) == {str(n): 1 for n in range(patches)}


def test_of_threads_at_once_each_value_is_claimed_once(ledger: Ledger, path: Path) -> None:
    """All try all patches in the same order, so that they meet."""
    ledger.set_desired(checks(range(100)))
    granted: list[int] = []
    barrier = threading.Barrier(4)

    def try_all() -> None:
        with Ledger(path) as own:
            barrier.wait()
            granted.extend(n for n in range(100) if isinstance(claim(own, n), Claimed))

    threads = [threading.Thread(target=try_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(granted) == list(range(100))


def test_a_plan_may_be_killed_between_any_two_calls(path: Path) -> None:
    """What is desired, the lines and the notes are all of the old plan, or all of the new."""
    assert apart("die", path, 1) > 10


def test_a_plan_that_fails_leaves_the_old_one(ledger: Ledger) -> None:
    """Also when its rows come from something that raises."""

    def rows() -> Iterator[Desired]:
        yield from checks([1], B)
        raise OSError("the index cannot be read")

    ledger.set_desired(checks([1]))
    ledger.finish_plan(b"old", {"offset": "7", "done": "yes"})
    with pytest.raises(OSError, match="index"), ledger.transaction():
        ledger.finish_plan(b"new", {"offset": "8"})
        ledger.set_desired(rows())
    assert (ledger.lines, ledger.note("offset")) == (b"old", "7")
    assert ledger.entries(Sink.CHECK, [1])[1].desired == A
    ledger.finish_plan(b"new", {"done": None})
    assert (ledger.lines, ledger.note("offset"), ledger.note("done")) == (b"new", "7", None)


def test_steps_in_one_transaction_are_kept_together(ledger: Ledger, path: Path) -> None:
    """Or none is."""
    with Ledger(path) as other, suppress(KeyError), ledger.transaction():
        ledger.observe(Sink.RELATION, 1, frozenset({1, 2}), 5.0)
        ledger.ownership.note_placed([1, 2])
        assert other.ownership.placed_by_us() == set()
        raise KeyError
    assert ledger.ownership.placed_by_us() == set()
    assert ledger.entries(Sink.RELATION, [1]) == {}


# --- trouble ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TroubleKind)
def test_trouble_holds_back_only_the_value_it_was_about(ledger: Ledger, kind: TroubleKind) -> None:
    """Until another is desired, or somebody asks to try again; a 409 does not hold back."""
    held = [] if kind != TroubleKind.CHANGED else [1]
    ledger.set_desired(checks([1, 2]))
    ledger.observe(Sink.CHECK, 2, A, 5.0)
    ledger.set_trouble(check(1, A), kind, "why", 6.0, claim=claimed(ledger))
    assert pending(ledger) == held
    ledger.set_desired(checks([1]))
    assert pending(ledger) == held
    respected = kind is TroubleKind.REPORT
    assert ledger.troubles(10, respected=not respected) == []
    (entry,) = ledger.troubles(10, respected=respected)
    assert (entry.patch_id, entry.kind, entry.text, entry.at) == (
        *(1, kind, "why"),
        6.0,
    )
    counts = ledger.counts()[Sink.CHECK]
    assert (counts.trouble, counts.respected) == ((0, 1) if respected else (1, 0))
    ledger.set_desired(checks([1], B))
    assert pending(ledger) == [1]
    assert ledger.troubles(10, respected=respected) == []
    ledger.set_desired(checks([1]))
    assert pending(ledger) == [1]
    for asked in ([1, 2, 3], None):
        ledger.set_trouble(check(1, A), kind, "why", 6.0)
        assert ledger.retry([2]) == 0
        assert ledger.retry(asked) == 1
        assert pending(ledger) == [1]


def test_trouble_with_what_is_desired_no_more_is_not_noted(ledger: Ledger) -> None:
    """But its claim is over; and what is observed as desired is in no trouble any more."""
    ledger.set_desired(checks([1, 2]))
    token = claimed(ledger)
    ledger.set_desired(checks([1], B))
    ledger.set_trouble(check(1, A), TroubleKind.MISTAKE, "400", 5.0, claim=token)
    assert ledger.troubles(9) == []
    assert claimed(ledger, 1, B)
    ledger.set_trouble(check(2, A), TroubleKind.MISTAKE, "400", 5.0)
    ledger.observe(Sink.CHECK, 2, B, 6.0)
    assert Counter(each.kind for each in ledger.troubles(9)) == {TroubleKind.MISTAKE: 1}
    ledger.observe(Sink.CHECK, 2, A, 6.0)
    assert Counter(each.kind for each in ledger.troubles(9)) == {}


def test_troubles_are_told_latest_first(ledger: Ledger) -> None:
    """As many as are asked for."""
    ledger.set_desired(checks(range(5)))
    for n, at in enumerate([3.0, 1.0, 5.0, 4.0, 2.0]):
        ledger.set_trouble(check(n), TroubleKind.GONE, "404", at)
    assert [entry.patch_id for entry in ledger.troubles(3)] == [2, 3, 0]


def test_counts_for_a_table(ledger: Ledger) -> None:
    """By sink, of all projects or of some; what never said anything does not count."""
    ledger.observe(Sink.CHECK, 4, A, 5.0)
    ledger.set_desired([*checks([1, 2, 3]), *checks([4, 6], None), *checks([5], project_id=2)])
    ledger.observe(Sink.CHECK, 1, A, 5.0)
    ledger.set_trouble(check(2, A), TroubleKind.GONE, "404", 5.0)
    ledger.observe(Sink.STATE, 1, StateValue(state="accepted", commit_ref=None), 5.0)
    assert ledger.counts() == {
        Sink.CHECK: SinkCounts(wanted=4, shown=2, pending=3, trouble=1),
        Sink.STATE: SinkCounts(shown=1),
    }
    assert ledger.counts([2]) == {Sink.CHECK: SinkCounts(wanted=1, pending=1)}


# --- ownership -------------------------------------------------------------------------------


def test_it_knows_what_we_placed_and_what_a_person_changed(ledger: Ledger) -> None:
    """Of many patches at once."""
    ownership = ledger.ownership
    ownership.note_placed(range(2000))
    ownership.note_placed([5])
    ownership.forget_placed(range(10, 2000))
    assert ownership.placed_by_us() == set(range(10))
    assert ownership.placed_by_us(range(5, 5000)) == set(range(5, 10))
    ownership.leave_alone([7, 8], 5.0)
    ownership.leave_alone([7], 9.0)
    assert ownership.left_alone() == {7, 8}


# --- the file --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["no database", "damaged", "no tables"])
def test_a_damaged_file_is_named_and_left_to_its_owner(path: Path, how: str) -> None:
    """The message says that it may be deleted; nothing is removed."""
    with Ledger(path) as ledger:
        ledger.set_desired(checks(range(1000)))
    if how == "no tables":
        with sqlite3.connect(path) as sql:
            sql.execute("DROP TABLE entry")
        sql.close()
    else:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(0 if how == "no database" else 4096)
            file.write(b"x" * (size - file.tell()))
    before = path.read_bytes()
    with Ledger(path) as ledger, pytest.raises(StoreDamaged, match="delete it") as raised:
        ledger.set_desired(checks(range(1000), B))
    assert str(path) in str(raised.value)
    assert path.read_bytes() == before


def test_a_ledger_of_another_version_is_not_used(path: Path) -> None:
    """The message names the file and what to do."""
    with Ledger(path) as ledger:
        ledger.set_complete()
    with sqlite3.connect(path) as sql:
        sql.execute("PRAGMA user_version = 99")
    sql.close()
    with Ledger(path) as ledger, pytest.raises(GiveUp, match=r"version 99.*delete it") as raised:
        claim(ledger)
    assert str(path) in str(raised.value)


def test_what_passes_is_told_apart(
    ledger: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that writes for too long, and a folder that cannot be made."""
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.0)
    ledger.set_desired(checks([1]))
    with Ledger(path) as other, ledger.transaction(), pytest.raises(StoreUnavailable, match="lock"):
        claim(other)
    with Ledger(path / "below" / "it") as wrong, pytest.raises(StoreUnavailable):
        wrong.complete  # noqa: B018


def test_a_claim_is_durable_before_anything_is_sent(ledger: Ledger) -> None:
    """SQLite waits for the disk at each commit."""
    assert synchronous(ledger) == FULL
    assert ledger._file.value("PRAGMA journal_mode") == "wal"


def test_what_came_of_it_waits_for_no_disk_and_the_next_claim_does(ledger: Ledger) -> None:
    """Also where the noting failed, or is a part of what must last."""
    ledger.set_desired(checks([1, 2]))
    with ledger.noting():
        assert synchronous(ledger) == NORMAL
        with ledger.noting(), ledger.transaction():
            ledger.write_notes({"noted": "it"})
        assert synchronous(ledger) == NORMAL
    assert synchronous(ledger) == FULL
    with suppress(KeyError), ledger.noting():
        ledger.write_notes({"noted": "something else"})
        raise KeyError
    assert (ledger.note("noted"), synchronous(ledger)) == ("it", FULL)
    with ledger.transaction(), ledger.noting():
        assert synchronous(ledger) == FULL
    entry = ledger.entries(Sink.CHECK, [1])[1]
    claimed = claim(ledger)
    assert isinstance(claimed, Claimed)
    seen: list[int] = []
    trace = ledger._file.sql.set_trace_callback
    trace(lambda text: seen.append(text.startswith("PRAGMA synchronous")))
    assert ledger.arrived(entry, claimed.claim, entry.desired, 1.0)
    trace(None)
    assert sum(seen) == 2, "to note what arrived waits for no disk"
    assert synchronous(ledger) == FULL


FULL, NORMAL = 2, 1


def synchronous(ledger: Ledger) -> int:
    """How far SQLite waits for the disk at the next commit."""
    return int(ledger._file.value("PRAGMA synchronous"))


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send_and_die(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        die_everywhere(Path(sys.argv[2]), int(sys.argv[3]))
