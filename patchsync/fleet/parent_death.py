"""Runs a command that ends when its parent does, however that ends.

Without it a fleet whose parent is killed with SIGKILL would go on by itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
_GROUP = "--group"
# This file needs nothing that is installed: so it is there a third sooner.
_THIS = [sys.executable, "-PS", __file__]


def die_with_parent(command: list[str]) -> list[str]:
    """The command that becomes `command`, and is killed when the process that starts it ends.

    On other systems than Linux it is just that command.
    """
    if sys.platform != "linux":
        return command
    return [*_THIS, str(os.getpid()), *command]


def group_dies_with_parent(command: list[str], folder: os.PathLike[str]) -> list[str]:
    """The command that runs `command` in `folder`, to be started in a session of its own.

    For a command whose own children outlive it: all of them are killed when the process that
    starts it ends (on Linux), and by SIGTERM. It has the exit status of `command`, or ends by the
    same signal.
    """
    return [*_THIS, _GROUP, str(os.getpid()), str(folder), *command]


def end_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """Have this process killed when its parent ends; survives an exec. Does nothing but on Linux.

    SIGKILL, since a process may be stopped or busy, and nothing is lost by it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, by)


def main() -> None:
    """`PARENT COMMAND...`: become COMMAND, unless PARENT has ended already.

    `--group PARENT FOLDER COMMAND...`: see `group_dies_with_parent`.
    """
    if sys.argv[1] == _GROUP:
        _run_group(*sys.argv[2:])
        return
    end_with_parent()
    parent, *command = sys.argv[1:]
    if os.getppid() == int(parent):
        os.execvp(command[0], command)  # noqa: S606 - an argument list, from `die_with_parent`


def _run_group(parent: str, folder: str, *command: str) -> None:
    import subprocess  # which they do without that only become their command

    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    end_with_parent(signal.SIGTERM)
    if os.getppid() != int(parent):
        return
    status = subprocess.Popen(command, cwd=folder).wait()
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
