"""Work on mails in a child process: one that takes too long, or too much memory, ends only that.

Whatever bounds do not catch, in Python or in one call of a C library, the kernel ends: it counts
the child's CPU time for the mail in hand and the memory that it asks for. The parent sees how the
child ended, and with which mail in hand.

The child is a fork: it costs milliseconds, where a new interpreter takes a third of a second to
load what it needs. It goes on in this module, and touches nothing that another thread of the parent
may have held at that moment. Where there is much to do it has children of its own, one for each
processor (`InHand.side_by_side`); a mail ends only the one that works on it, and the update then
goes on without it in a new child.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from mmap import PAGESIZE, mmap
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from patchsync.analysis.diff import FilterdiffTooSlow
from patchsync.analysis.engine import OnProgress
from patchsync.errors import PatchsyncError, TryAgainLater
from patchsync.fleet.parent_death import end_with_parent
from patchsync.fleet.processors import processors

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
# What a child sends: its result, how far it is, that a task is done, or why it ends
_RESULT, _PROGRESS, _DONE, _ERROR = "result", "progress", "done", "error"
# Tasks that a process has before it: it need not wait for the next one.
_AHEAD = 2
_Result = TypeVar("_Result")
_Task = TypeVar("_Task")


class InHand(Protocol):
    """Is told which mail, or commit, is worked on."""

    def take(self, name: str) -> None:
        """This one is worked on from now on, for so long as one may be."""
        ...

    def put_down(self) -> None:
        """None is: what follows takes the time that it takes."""
        ...

    def side_by_side(
        self, work: Callable[[_Task, InHand], Iterable[_Result]], tasks: Iterable[_Task]
    ) -> AbstractContextManager[Iterator[_Result]]:
        """What `work` yields for each of the tasks, in processes of their own, in any order.

        Each has the same bounds, and tells what it has in hand by the second argument. They are
        started when the context is entered, and dead when it is left. Raises as `run_in_child`.
        """
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

    def side_by_side(
        self, work: Callable[[_Task, InHand], Iterable[_Result]], tasks: Iterable[_Task]
    ) -> AbstractContextManager[Iterator[_Result]]:
        """Raises NeedsChild."""
        raise NeedsChild


class Failed(Exception):
    """What a mail did to the process that worked on it."""

    def __init__(self, name: str, reason: str) -> None:
        """`name`: of the mail or commit."""
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def run_in_child(work: Callable[[InHand, OnProgress], _Result], on_progress: OnProgress) -> _Result:
    """What `work` returns in a child process, which is dead when this returns.

    What the child tells of its progress comes to `on_progress` here; meanwhile it is called now and
    then with what it got last, and may raise.

    Raises:
        Failed: a mail in hand ended the child, or had it raise what is no error of ours.
        TryAgainLater: the child was killed with none in hand, or was told to end.
        Exception: what else `work` or `on_progress` raised.
    """
    progress: tuple[str, int, int] | None = None
    child = _Child()
    try:
        child.start(partial(_work_at_once, work))
        while True:
            if wait([child.pipe], _LOOK_SECONDS):
                kind, told = child.receive()
                if kind == _RESULT:
                    return told  # type: ignore[no-any-return]
                progress = told
            child.look()
            if progress is not None:
                on_progress(*progress)
    finally:
        child.end()


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

    @contextmanager
    def side_by_side(
        self, work: Callable[[_Task, InHand], Iterable[_Result]], tasks: Iterable[_Task]
    ) -> Iterator[Iterator[_Result]]:
        """See `InHand`."""
        children = [_Child() for _ in range(processors())]
        try:
            for child in children:
                child.start(partial(_work_on_tasks, work))
            yield _results(children, iter(tasks))
        finally:
            for child in children:
                child.end()

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


class _Child:
    """A forked process, as its parent sees it."""

    def __init__(self) -> None:
        """It is not started yet."""
        self.in_hand = _InHand()
        self._pid = 0
        self._status: int | None = None
        self._taken, self._waited, self._looked = 0, 0, time.monotonic()

    def start(self, work: Callable[[_InHand, Connection], None]) -> None:
        """Have it do this."""
        # Not before: who is forked in between would hold its end open when it has died.
        self.pipe, theirs = Pipe()
        parent = os.getpid()
        with warnings.catch_warnings():
            # From Python 3.12 on, where there are threads; see the module.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            _be_child(work, self.in_hand, theirs, parent)
        theirs.close()

    def receive(self) -> tuple[str, Any]:
        """What it sends next: of which kind it is, and that.

        Raises Failed, TryAgainLater, or the error that it sends: see `run_in_child`.
        """
        try:
            kind, told = self.pipe.recv()
        except (EOFError, OSError):
            self.end()
            status, name = self._status or 0, self.in_hand.name
            if not name or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in _STOPS):
                raise TryAgainLater(
                    f"the analysis' process ended before its end: {_how(status)}"
                ) from None
            raise Failed(name, _how(status)) from None
        if kind != _ERROR:
            return kind, told
        if isinstance(told, Failed):  # It was in a child of this one.
            raise told
        name = self.in_hand.name
        ours_to_tell = isinstance(told, PatchsyncError) and not isinstance(told, FilterdiffTooSlow)
        if ours_to_tell or not name:
            raise told
        raise Failed(name, _told(told)) from told

    def look(self) -> None:
        """Raises Failed where it waits for too long with a mail in hand; to be called often."""
        # Looks are counted, not seconds: this process may have been stopped for a while.
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        if self.in_hand.taken != self._taken:
            self._taken, self._waited = self.in_hand.taken, 0
        elif name := self.in_hand.name:
            self._waited += 1
            if self._waited * _LOOK_SECONDS > WAITING_SECONDS:
                raise Failed(name, f"it waited for more than {WAITING_SECONDS:g} s")

    def end(self) -> None:
        """End it, with all that it started; one that has ended stays so."""
        if not self._pid or self._status is not None:
            return
        ended, status = os.waitpid(self._pid, os.WNOHANG)
        if not ended:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
            with suppress(ProcessLookupError):  # It may have no group of its own yet.
                os.kill(self._pid, signal.SIGKILL)
            _, status = os.waitpid(self._pid, 0)
        self._status = status
        self.pipe.close()


def _results(children: list[_Child], tasks: Iterator[_Task]) -> Iterator[Any]:
    """What children yield that `_work_on_tasks`, as it comes."""
    of_pipe = {child.pipe: child for child in children}
    waiting = 0
    for child in children * _AHEAD:
        waiting += _send_task(child, tasks)
    while waiting:
        for pipe in wait(list(of_pipe), _LOOK_SECONDS):
            child = of_pipe[pipe]  # type: ignore[index]
            kind, told = child.receive()
            if kind == _RESULT:
                yield told
            else:
                waiting += _send_task(child, tasks) - 1
        for child in children:
            child.look()


def _send_task(child: _Child, tasks: Iterator[_Task]) -> int:
    """Send a child the next task; returns how many that were."""
    for task in tasks:
        with suppress(OSError):  # It has ended: why is told when its last message is read.
            child.pipe.send(task)
        return 1
    return 0


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
    work: Callable[[_InHand, Connection], None], in_hand: _InHand, pipe: Connection, parent: int
) -> NoReturn:
    """Do the work, and end, without what the parent does at its own end."""
    try:
        os.setsid()  # with a group of its own, and without the terminal's Ctrl-C
        for number in (*_STOPS, signal.SIGPROF):
            signal.signal(number, signal.SIG_DFL)
        end_with_parent()
        if os.getppid() == parent:
            gc.freeze()  # What is the parent's is not ours to close.
            try:
                work(in_hand, pipe)
            except Exception as error:
                if not isinstance(error, PatchsyncError | Failed):
                    error.add_note(traceback.format_exc())
                pipe.send((_ERROR, error))
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(1)


def _work_at_once(
    work: Callable[[InHand, OnProgress], object], in_hand: _InHand, pipe: Connection
) -> None:
    def on_progress(what: str, done: int, of: int) -> None:
        pipe.send((_PROGRESS, (what, done, of)))

    pipe.send((_RESULT, work(in_hand, on_progress)))


def _work_on_tasks(
    work: Callable[[Any, InHand], Iterable[object]], in_hand: _InHand, pipe: Connection
) -> None:
    while True:
        for result in work(pipe.recv(), in_hand):
            pipe.send((_RESULT, result))
        pipe.send((_DONE, None))
