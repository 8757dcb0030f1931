"""kill -9 of an update, again and again, while mails arrive: the groups are those from scratch."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from patchsync.analysis.groups import read_groups
from patchsync.errors import TryAgainLater
from tests.unit.analysis.analysis_fakes import FakeMail, Store, name, version

BATCH = 12
# Is killed before its nth call of a C function, a write for example, from files of this name: here
# or in the child that works on mails, which ends with it.
UPDATE = """
import os, signal, sys
from pathlib import Path
from patchsync.analysis.update import open_engine
from patchsync.config import load
config, place, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
main = os.getpid()
def count(frame, event, argument):
    global left
    if event == "c_call" and place in frame.f_code.co_filename:
        left -= 1
        if left < 0:
            os.kill(main, signal.SIGKILL)
            signal.pause()
engine = open_engine(load(config))
sys.setprofile(count)
engine.update(lambda what, done, of: None)
"""
# Where it is killed, and how many calls come from there, about
PLACES = {
    "/patchsync/analysis/builtin/": 3000,
    "/builtin/writing.py": 10,
    "/analysis/group_file.py": 250,
    "/analysis/groups_record.py": 40,
    "/store/sqlite_file.py": 200,
    "/store/files.py": 60,
}
# What may be there afterwards, beside the project's own folder.
OWN_FILES = {"analysis.lock", "groups.json"}
OWN_FILES |= {f"analysis.sqlite{end}" for end in ("", "-wal", "-shm")}


def mails_in(groups: Path) -> int:
    """How many mails are in the groups, which must be whole."""
    if not groups.exists():
        return 0
    assert groups.read_bytes().endswith(b"\n"), "the last line is torn"
    names = [each for group in read_groups(groups) for each in group.message_ids]
    assert len(names) == len(set(names)), "a mail stands twice"
    assert len(names) % BATCH == 0, "a batch is there in part"
    return len(names)


@contextmanager
def read_all_the_time(groups: Path) -> Iterator[set[int]]:
    """Read the groups in a thread, over and over; yields the numbers of mails that were seen."""
    stop = threading.Event()
    seen: set[int] = set()
    faults: list[BaseException] = []

    def read() -> None:
        while not stop.is_set() and not faults:
            try:
                seen.add(mails_in(groups))
            except TryAgainLater:
                pass  # It was replaced while it was read.
            except BaseException as fault:
                faults.append(fault)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        stop.set()
        reader.join()
    assert not faults, faults


def batch_of(random: Random, first: int) -> list[FakeMail]:
    """Some versions of a few patches."""
    found = []
    for number in range(first, first + BATCH):
        start = random.randrange(12)
        changed = range(start, start + random.randrange(5))
        found.append(version(number, random.randrange(4), changed))
    return found


def killed_at(store: Store, place: str, call: int) -> bool:
    """Have an update killed there; returns whether it was, or else was through by then."""
    command = [sys.executable, "-c", UPDATE, str(store.config.source), place, str(call)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("kills", [6, pytest.param(60, marks=pytest.mark.long)])
def test_an_update_may_be_killed_at_any_moment(tmp_path: Path, random: Random, kills: int) -> None:
    """Nothing half there shows, nothing is lost, nothing that is left hinders the next one."""
    store = Store(tmp_path / "store")
    killed, number = 0, 1
    with read_all_the_time(store.config.patch_groups) as seen:
        for _ in range(kills):
            store.put(*batch_of(random, number))
            number += BATCH
            if random.random() < 0.5:
                store.mark(
                    f"{name(random.randrange(1, number))} {name(random.randrange(1, number))}\n"
                )
            place = random.choice(list(PLACES))
            killed += killed_at(store, place, random.randrange(PLACES[place]))
            mails_in(store.config.patch_groups)
        # Something new, so that all files are written once more.
        store.put(*batch_of(random, number))
        number += BATCH
        store.update()
        wanted = store.from_scratch()
        deadline = time.monotonic() + 60
        while number - 1 not in seen:
            assert time.monotonic() < deadline, "the reader sees nothing new"
            time.sleep(0.01)
    assert store.text == wanted
    assert any(" " in line for line in store.groups)
    assert killed > kills / 3
    assert len(seen) > 2
    assert store.update()[:3] == (0, 0, 0)
    left = {file.name for file in store.cache.parent.iterdir() if file.is_file()}
    left |= {file.name for file in store.config.patch_groups.parent.glob("patch-groups*")}
    assert left <= OWN_FILES | {"patch-groups"}
