"""The folder of sockets and logs: made for one user alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from patchsync.config.settings import Config
from patchsync.errors import ConfigError


def make_run_dir(config: Config) -> Path:
    """Create `config.run_dir`, for this user alone.

    Raises:
        ConfigError: somebody else's folder is in the way, or its path is too long for a socket.
    """
    run_dir = config.run_dir
    if len(os.fsencode(run_dir / "redis.sock")) > 100:
        raise ConfigError(f"{run_dir}: too long for a socket; set TMPDIR to a shorter folder")
    try:
        run_dir.parent.mkdir(mode=0o700, exist_ok=True)
        info = run_dir.parent.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
            raise ConfigError(
                f"{run_dir.parent}: not a folder of this user alone; remove it or set TMPDIR"
            )
        run_dir.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{run_dir}: {error.strerror}; set TMPDIR to a usable folder") from error
    return run_dir
