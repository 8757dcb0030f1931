"""One run of PaStA, command after command: its log, its time limit, and why it failed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NoReturn, Self

from patchsync.analysis.pasta.guard import guarded
from patchsync.config import TOKEN_VARIABLE
from patchsync.errors import GiveUp
from patchsync.store.files import make_folder, storing

# So many last lines of its output are shown, and this much of it is looked at.
TAIL_LINES = 6
TAIL_BYTES = 2**14
# What PaStA logs when it ends by itself; by quit() it does not, whatever its exit status is.
THE_END = b"Shutting down"
_OURS = "PATCHSYNC_"

_REMEDIES = (
    (
        r"ModuleNotFoundError: No module named '([^']+)'",
        "Its Python lacks {}: install what PaStA needs there, or set [analysis] pasta_python to a"
        " Python that has it",
    ),
    (
        r"Unable to find shard 0 of list (\S+)",
        "Fetch the public inbox of {}, or take it out of [mbox.pubin] of PaStA's configuration",
    ),
    (
        r"(dubious ownership)",
        "Git says {}: let the user that runs patchsync own the repository, or name it in git's"
        " safe.directory",
    ),
    (r"(No space left on device)", "{}: free some space"),
    (r"(MemoryError|BrokenProcessPool|killed by signal 9)", "{}: it may want more memory"),
)


class PastaRun:
    """PaStA's commands of one run, with one log and one time limit; a context that ends them."""

    def __init__(self, root: Path, log: Path, seconds: float) -> None:
        """Nothing is started yet.

        Args:
            root: PaStA's checkout, in which it has to run.
            log: the file for all its output; that of the run before is kept as `<log>.1`.
            seconds: the time limit, for all commands together.
        """
        self._root = root
        self._path = log
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def __enter__(self) -> Self:
        with storing(self._path):
            make_folder(self._path.parent)
            with suppress(FileNotFoundError):
                self._path.replace(self._path.with_name(self._path.name + ".1"))
            self._log = self._path.open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def run(self, command: list[str], called: str) -> None:
        """Run one command to its end; `called`: what people know it by.

        Raises:
            GiveUp: it failed, or the time is over; the message says why, as far as is known.
        """
        start = self._log.tell()
        process = start_pasta(command, self._root, self._log)
        try:
            status = process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise GiveUp(
                f"PaStA's `{called}` was stopped: the run took longer than {self._seconds:g} s; "
                f"raise [analysis] pasta_seconds; its log: {self._path}"
            ) from None
        finally:
            _kill(process)
        output = self._tail(start)
        if status or THE_END not in output:
            self._report(called, status, output)

    def _tail(self, start: int) -> bytes:
        """The end of what was written from `start` on."""
        with storing(self._path), self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(start, size - TAIL_BYTES))
            return file.read()

    def _report(self, called: str, status: int, output: bytes) -> NoReturn:
        how = f"exit status {status}" if status else "it quit half way"
        if status < 0:
            how = f"killed by signal {-status}"
        raise GiveUp(
            f"PaStA's `{called}` failed ({how}); the old groups stay. "
            f"{explained(output, how)}It ended with:\n{last_lines(output)}\n"
            f"All it said: {self._path}"
        )


def start_pasta(command: list[str], root: Path, output: BinaryIO) -> subprocess.Popen[bytes]:
    """Start a command of PaStA that nobody can answer, in its root; it ends with this process."""
    return subprocess.Popen(
        guarded(command, root),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def environment() -> dict[str, str]:
    """Ours, without what is for us, secrets among it; PaStA opens its files as UTF-8."""
    ours = {
        key: value
        for key, value in os.environ.items()
        if key.upper() != TOKEN_VARIABLE and not key.upper().startswith(_OURS)
    }
    # Which of two mails with the same date represents a group follows the order of sets.
    return ours | {"PYTHONUTF8": "1", "PYTHONHASHSEED": "0"}


def explained(output: bytes, how: str = "") -> str:
    """What to do about a failure, as a sentence; empty where its output says nothing we know."""
    text = f"{output.decode(errors='replace')}\n{how}"
    for pattern, remedy in _REMEDIES:
        if found := re.search(pattern, text):
            return remedy.format(found[1]) + ". "
    return ""


def last_lines(output: bytes) -> str:
    """The last lines of what PaStA wrote, without its progress bars."""
    lines = re.split(r"[\r\n]+", output.decode(errors="replace"))
    told = [line.rstrip() for line in lines if line.strip() and not re.search(r"\d%\|", line)]
    return "\n".join(f"  {line}" for line in told[-TAIL_LINES:])


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End what is left of its group: where it was killed, its pool may go on."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
