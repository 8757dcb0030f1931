"""Writers to be killed, paused and raced: run as processes of their own by test_store_killed.py.

`python store_workers.py <what> <MBOX> <arguments>`; each says on its standard output how far it is.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import redis
from store_fakes import batch_of, fake_mail, paths_in, strict_read

from patchsync.errors import LockHeld, PatchsyncError, StaleWriter
from patchsync.store import side_index as side_index_module
from patchsync.store import writer as writer_module
from patchsync.store.container import MboxPatchwork
from patchsync.store.redis_lock import redis_lock
from patchsync.store.writer import StoreWriter


def say(word: str) -> None:
    print(word, flush=True)


def write_and_die(mbox: Path) -> None:
    """For each number that comes a child writes mails from that one on, killed at the next line."""
    for first in sys.stdin:
        child = os.fork()
        if child == 0:
            write_for_ever(mbox, int(first))
        sys.stdin.readline()
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        say("killed" if os.WIFSIGNALED(status) else "ended by itself")


def write_for_ever(mbox: Path, first: int) -> NoReturn:
    """Batches of three new mails and an old one each, until somebody kills us."""
    paths = paths_in(mbox)
    while True:
        with StoreWriter(paths) as writer:
            writer.apply(batch_of(max(1, first - 1), first, first + 1, first + 2))
        first += 3


def die_everywhere(mbox: Path, step: int, offset: int) -> None:
    """Have a child killed at each `step`th call of the writer, and look at the store each time."""
    paths = paths_in(mbox)
    points = died = 0
    while True:
        first = died * 3 + 7
        child = os.fork()
        if child == 0:
            _kill_at(offset + points)
            with StoreWriter(paths) as writer:
                writer.apply(
                    batch_of(
                        *(first, first + 1, first + 2),
                        gone=frozenset({first - 3}),
                        listed=((first - 6, fake_mail(first - 6).message_id),),
                        quarantined=((10**9, "x"),),
                    )
                )
            os._exit(0)
        _, status = os.waitpid(child, 0)
        strict_read(paths)
        if os.WIFEXITED(status):
            break
        died += 1
        points += step
    say(f"{died}")


def _kill_at(point: int) -> None:
    """Kill this process at its `point`th call of a C function from the store's modules."""
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        if event == "c_call" and "patchsync" in frame.f_code.co_filename:
            calls += 1
            if calls > point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)


def die_building(mbox: Path, step: int) -> None:
    """As `die_everywhere`, for who makes the side index beside what is there."""
    side_index_module._LONG = 0
    paths = paths_in(mbox)
    died = 0
    while True:
        paths.side_index.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            _kill_at(died * step)
            MboxPatchwork(paths.listaddr, mbox, 1).close()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        with MboxPatchwork(paths.listaddr, mbox, 1) as container:
            assert list(container.ids()) == strict_read(paths)
        if os.WIFEXITED(status):
            break
        died += 1
    say(f"{died}")


def pause(mbox: Path, socket: Path, point: str) -> None:
    """Stop for a word on standard input while holding the Redis lock, then apply a batch."""

    def wait(*_: object) -> None:
        say("paused")
        sys.stdin.readline()

    paths = paths_in(mbox)
    with redis.Redis(unix_socket_path=str(socket)) as client:
        try:
            with redis_lock(client, "store", ttl=0.2, wait=5), StoreWriter(paths) as writer:
                if point == "before":
                    wait()
                else:
                    writer_module.sync_file_system = wait
                writer.apply(batch_of(1, 2, 3, gone=frozenset({7}), quarantined=((9, "x"),)))
        except PatchsyncError as error:
            say(type(error).__name__)
        else:
            say("stored")


def race(mbox: Path, name: str, long: int) -> None:
    """Store the mails 1 to 60 in batches of four, as often as it takes, beside others who do.

    `long`: how many bytes of the index are not read under the store's lock.
    """
    side_index_module._LONG = long
    if not long:
        side_index_module._SHARE = 1 << 40
    paths = paths_in(mbox)
    overtaken = 0
    for first in range(1, 61, 4):
        while True:
            try:
                with StoreWriter(paths) as writer:
                    writer.apply(batch_of(*range(first, first + 4)))
                break
            except (StaleWriter, LockHeld):
                overtaken += 1
                time.sleep(0.001 * (overtaken % 7) * (1 + len(name)))
    say("done")


if __name__ == "__main__":
    what, mbox, *arguments = sys.argv[1:]
    if what == "write":
        write_and_die(Path(mbox))
    elif what == "die":
        die_everywhere(Path(mbox), int(arguments[0]), int(arguments[1]))
    elif what == "pause":
        pause(Path(mbox), Path(arguments[0]), arguments[1])
    elif what == "race":
        race(Path(mbox), arguments[0], int(arguments[1]))
    elif what == "die building":
        die_building(Path(mbox), int(arguments[0]))
