"""Runs a command for a limited time, and ends it with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress

from patchsync.fleet.parent_death import group_dies_with_parent


def run_group(
    command: list[str],
    folder: os.PathLike[str],
    seconds: float,
    *,
    text: bytes = b"",
    stderr: int = subprocess.DEVNULL,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in `folder`, with `text` as its input, and return its output.

    It ends with this process, and so does all that it started; likewise where this is interrupted.

    Raises:
        subprocess.TimeoutExpired: it took longer than `seconds`, and was killed.
    """
    with subprocess.Popen(
        group_dies_with_parent(command, folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=env,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(text, timeout=seconds)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output)
