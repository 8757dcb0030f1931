"""Runs a command so that it and all its children end with the process that started it.

PaStA works in a pool of processes, which outlive a PaStA that is killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

from patchsync.fleet.parent_death import PR_SET_PDEATHSIG


def guarded(command: list[str], folder: Path) -> list[str]:
    """The command that runs `command` in `folder`, to be started in a session of its own.

    It has the exit status of `command`, or ends by the same signal. Its group is killed when the
    process that starts it ends (on Linux), and by SIGTERM.
    """
    return [sys.executable, "-m", __name__, str(os.getpid()), str(folder), *command]


def main() -> None:
    """`PARENT FOLDER COMMAND...`: run COMMAND in FOLDER while PARENT lives."""
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    parent, folder, *command = sys.argv[1:]
    if os.getppid() != int(parent):
        return
    status = subprocess.Popen(command, cwd=folder).wait()
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main()
