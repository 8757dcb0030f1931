"""Work on mails in a child process: one that takes too long, or too much memory, ends only that.

Whatever bounds do not catch, in Python or in one call of a C library, the kernel ends: it counts
the child's CPU time for the mail in hand and the memory that it asks for. The parent sees how the
child ended, and with which mail in hand.

The child is a fork: it costs milliseconds, where a new interpreter takes a third of a second to
load what it needs. It goes on in this module, and touches nothing that another thread of the parent
may have held at that moment.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import struct
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from mmap import PAGESIZE, mmap
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from patchsync.analysis.diff import FilterdiffTooSlow
from patchsync.analysis.engine import OnProgress
from patchsync.errors import PatchsyncError, TryAgainLater
from patchsync.fleet.parent_death import end_with_parent

# A mail of 10 MiB takes two seconds to read, a pair of the longest texts three to compare.
CPU_SECONDS = 30.0
# And where it waits for what never comes
WAITING_SECONDS = 120
# More than what the child had when it took the first mail in hand. Texts of 500 MB are held.
MEMORY_BYTES = 2 * 2**30

_LOOK_SECONDS = 1.0
_LONGEST_REASON = 200  # characters: it may have words of the mail
_HEAD = struct.Struct("=QI")  # how often something was taken in hand; the length of its name
_LONGEST_NAME = (PAGESIZE - _HEAD.size) // 4  # characters; the store has none of over 998 bytes
# By these somebody ends a process who means no mail: a service that is stopped, a machine
_STOPS = frozenset({signal.SIGTERM, signal.SIGHUP, signal.SIGINT})
_Result = TypeVar("_Result")


class InHand(Protocol):
    """Is told which mail, or commit, is worked on."""

    def take(self, name: str) -> None:
        """This one is worked on from now on, for so long as one may be."""
        ...

    def put_down(self) -> None:
        """None is: what follows takes the time that it takes."""
        ...


class NeedsChild(Exception):
    """There is a mail to work on, which is not to be done in this process."""


class NothingInHand:
    """For work in this process, up to the first mail."""

    def take(self, name: str) -> None:
        """Raises NeedsChild."""
        raise NeedsChild(name)

    def put_down(self) -> None:
        """There is none."""


class Failed(Exception):
    """What a mail did to the process that worked on it."""

    def __init__(self, name: str, reason: str) -> None:
        """`name`: of the mail or commit."""
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


def run_in_child(work: Callable[[InHand, OnProgress], _Result], on_progress: OnProgress) -> _Result:
    """What `work` returns in a child process, which is dead when this returns.

    What the child tells of its progress comes to `on_progress` here; meanwhile it is called now and
    then with what it got last, and may raise.

    Raises:
        Failed: a mail in hand ended the child, or had it raise what is no error of ours.
        TryAgainLater: the child was killed with none in hand, or was told to end.
        Exception: what else `work` or `on_progress` raised.
    """
    in_hand = _InHand()
    ours, theirs = Pipe(duplex=False)
    parent, pid = os.getpid(), 0
    try:
        with warnings.catch_warnings():
            # From Python 3.12 on, where there are threads; see the module.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            _be_child(work, in_hand, theirs, parent)
        with ours:
            theirs.close()
            done = _wait_for_result(ours, in_hand, on_progress)
    finally:
        status = _end(pid) if pid else 0
    name = in_hand.name
    if done is None:
        if not name or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in _STOPS):
            raise TryAgainLater(f"the analysis' process ended before its end: {_how(status)}")
        raise Failed(name, _how(status))
    result, error = done
    if error is None:
        return result  # type: ignore[no-any-return]
    ours_to_tell = isinstance(error, PatchsyncError) and not isinstance(error, FilterdiffTooSlow)
    if ours_to_tell or not name:
        raise error
    raise Failed(name, _told(error)) from error


class _InHand:
    """In memory that parent and child share: it stays when the child is killed."""

    def __init__(self) -> None:
        self._shared = mmap(-1, PAGESIZE)
        self._limited = False

    def take(self, name: str) -> None:
        """See `InHand`; from the first one on, memory is limited."""
        if not self._limited:
            _limit_memory()
            self._limited = True
        self._write(name[:_LONGEST_NAME].encode("utf-8", "surrogatepass"))
        # Its signal ends the process, whatever that is at.
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)

    def put_down(self) -> None:
        """See `InHand`."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._write(b"")

    def _write(self, name: bytes) -> None:
        # Whoever reads between these two finds none in hand.
        _HEAD.pack_into(self._shared, 0, self.taken + 1, 0)
        self._shared[_HEAD.size : _HEAD.size + len(name)] = name
        _HEAD.pack_into(self._shared, 0, self.taken, len(name))

    @property
    def taken(self) -> int:
        """How often something was taken in hand or put down."""
        number: int = _HEAD.unpack_from(self._shared)[0]
        return number

    @property
    def name(self) -> str:
        """What is in hand; empty where nothing is."""
        length: int = _HEAD.unpack_from(self._shared)[1]
        name = self._shared[_HEAD.size : _HEAD.size + length]
        return name.decode("utf-8", "surrogatepass")


def _wait_for_result(
    pipe: Connection, in_hand: _InHand, on_progress: OnProgress
) -> tuple[Any, BaseException | None] | None:
    """What the child sends at its end: a result, or an error; None where it ended without.

    Raises Failed where it waits for too long with a mail in hand.
    """
    progress: tuple[str, int, int] | None = None
    taken, waited = in_hand.taken, 0
    with suppress(EOFError):
        while True:
            if pipe.poll(_LOOK_SECONDS):
                told, done = pipe.recv()
                if told is None:
                    return done  # type: ignore[no-any-return]
                progress = told
            if in_hand.taken != taken:
                taken, waited = in_hand.taken, 0
            elif name := in_hand.name:
                # Looks are counted, not seconds: this process may have been stopped for a while.
                waited += 1
                if waited * _LOOK_SECONDS > WAITING_SECONDS:
                    raise Failed(name, f"it waited for more than {WAITING_SECONDS:g} s")
            if progress is not None:
                on_progress(*progress)
    return None


def _end(pid: int) -> int:
    """End the child, with all that it started, and return its wait status."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        with suppress(ProcessLookupError):  # It may have no group of its own yet.
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    return status


def _how(status: int) -> str:
    """Of a child that ended without a result, why that is."""
    if not os.WIFSIGNALED(status):
        return f"its process ended with exit status {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    if number == signal.SIGPROF:
        return f"it took more than {CPU_SECONDS:g} s of CPU time"
    if number == signal.SIGKILL:
        return "its process was killed, maybe for want of memory"
    ended = "was ended" if number in _STOPS else "crashed"
    return f"its process {ended}: {signal.strsignal(number)}"


def _told(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"it took more than {MEMORY_BYTES // 2**20} MiB of memory"
    told = str(error) if isinstance(error, PatchsyncError) else f"{type(error).__name__}: {error}"
    return told[:_LONGEST_REASON]


def _limit_memory() -> None:
    # Where the system does not tell, it has no such limit either.
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = pages * PAGESIZE + MEMORY_BYTES
        if hard == resource.RLIM_INFINITY or limit < hard:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _be_child(
    work: Callable[[InHand, OnProgress], object], in_hand: _InHand, pipe: Connection, parent: int
) -> NoReturn:
    """Do the work, send its result, and end, without what the parent does at its own end."""
    try:
        os.setsid()  # with a group of its own, and without the terminal's Ctrl-C
        for number in (*_STOPS, signal.SIGPROF):
            signal.signal(number, signal.SIG_DFL)
        end_with_parent()
        if os.getppid() == parent:
            gc.freeze()  # What is the parent's is not ours to close.
            pipe.send(_outcome(work, in_hand, pipe))
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(1)


def _outcome(
    work: Callable[[InHand, OnProgress], object], in_hand: _InHand, pipe: Connection
) -> tuple[None, tuple[object, BaseException | None]]:
    def on_progress(what: str, done: int, of: int) -> None:
        pipe.send(((what, done, of), None))

    try:
        return None, (work(in_hand, on_progress), None)
    except Exception as error:
        if not isinstance(error, PatchsyncError):
            error.add_note(traceback.format_exc())
        return None, (None, error)
