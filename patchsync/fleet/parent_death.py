"""Runs a command that ends when its parent does, however that ends.

Without it a fleet whose parent is killed with SIGKILL would go on by itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(command: list[str]) -> list[str]:
    """The command that becomes `command`, and is killed when the process that starts it ends.

    On other systems than Linux it is just that command.
    """
    if sys.platform != "linux":
        return command
    return [sys.executable, "-m", __name__, str(os.getpid()), *command]


def end_with_parent() -> None:
    """Have this process killed when its parent ends; survives an exec. Does nothing but on Linux.

    SIGKILL, since a process may be stopped or busy, and nothing is lost by it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """`PARENT COMMAND...`: become COMMAND, unless PARENT has ended already."""
    end_with_parent()
    parent, *command = sys.argv[1:]
    if os.getppid() == int(parent):
        os.execvp(command[0], command)  # noqa: S606 - an argument list, from `die_with_parent`


if __name__ == "__main__":
    main()
