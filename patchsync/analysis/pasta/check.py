"""Whether the engine `pasta` will work: what `patchsync check` says of it."""

from __future__ import annotations

import subprocess
import tempfile

from patchsync.analysis.pasta.install import PastaInstall
from patchsync.analysis.pasta.process import environment, explained, last_lines
from patchsync.analysis.settings import read_settings
from patchsync.config import Config
from patchsync.errors import GiveUp

# It takes two to load what it needs.
_START_SECONDS = 60


def check_start(config: Config) -> str:
    """Start PaStA, which leaves nothing behind, and say so. Raises GiveUp where it fails."""
    install = PastaInstall(config)
    with tempfile.TemporaryDirectory() as folder:
        # It loads all that it needs before it tells that a project's name is missing here.
        try:
            done = subprocess.run(
                install.command(["-c"]),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
                timeout=_START_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GiveUp(f"PaStA does not start: {error}") from error
    if b"usage: " not in done.stdout:
        said = done.stdout
        raise GiveUp(f"PaStA does not start. {explained(said)}It ended with:\n{last_lines(said)}")
    return f"{install.root} is a PaStA that starts"


def check_project(config: Config) -> str:
    """What PaStA will do for the project. Raises ConfigError where it would fail."""
    install, project = PastaInstall(config), read_settings(config)
    install.check(config, project)
    told = [f"{install.project}: its result goes to {project.groups}"]
    if config.analysis.repo:
        told.append(f"upstream commits are those of {project.upstream} in {project.repo}")
    low, high = project.thresholds.interactive, project.thresholds.autoaccept
    if low < high:
        told.append(
            f"pairs rated from {low:g} to below {high:g} are left to a person:"
            " `patchsync pasta -- rate`"
        )
    ours = {"MBOX": config.d_mbox, "PATCH_GROUPS": project.groups}
    others = [
        f'{key} = "{path}"'
        for key, path in ours.items()
        if (theirs := install.path(key)) is None or theirs.resolve() != path.resolve()
    ]
    if others:
        told.append(
            "but `patchsync pasta`, and PaStA by hand, work elsewhere; to have them work here, set"
            f" in [PaStA] of {install.folder / 'config'}: {', '.join(others)}"
        )
    return "; ".join(told)
