"""PaStA's checkout: whether it can work for us, and its commands as processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from patchsync.analysis.commits import open_repository, resolve_range
from patchsync.analysis.pasta_config import PastaConfig
from patchsync.analysis.settings import AnalysisSettings
from patchsync.config import TOKEN_VARIABLE, Config
from patchsync.errors import ConfigError, GiveUp
from patchsync.fleet.parent_death import group_dies_with_parent
from patchsync.store.files import storing
from patchsync.store.identity import list_containers
from patchsync.store.layout import ContainerPaths

# So many last lines of its output are shown, and this much of it is looked at.
_TAIL_LINES = 6
_TAIL_BYTES = 2**14
# What PaStA logs when it ends by itself; by quit() it does not, whatever its exit status is.
_THE_END = b"Shutting down"
# What in its output, or of its end, does not say by itself what to do
_REMEDIES = {
    r"ModuleNotFoundError: No module named '([^']+)'": (
        "Its Python lacks {}: install what PaStA needs there, or set [analysis] pasta_python to a"
        " Python that has it. "
    ),
    r"Unable to find shard 0 of list (\S+)": (
        "Fetch the public inbox of {}, or take it out of [mbox.pubin] of PaStA's configuration. "
    ),
    r"(MemoryError|BrokenProcessPool|killed by signal 9)": "{}: it may want more memory. ",
}


class PastaCheckout:
    """PaStA's program, and its configuration of the project: `resources/<project>/config`."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError, naming the key, where one of them is missing or cannot be used."""
        root = config.absolute(config.analysis.pasta_root)
        python = config.absolute(config.analysis.pasta_python)
        if root is None:
            raise ConfigError(
                f"{config.source}: [analysis] pasta_root and pasta_project are not set: PaStA's"
                " checkout, and what it knows the project by"
            )
        program, log = root / "pasta", root / "log"
        if not program.is_file():
            raise ConfigError(f"[analysis] pasta_root: {root} is no checkout of PaStA's")
        if python and not os.access(python, os.X_OK):
            raise ConfigError(f"[analysis] pasta_python: {python} is no program")
        if not python and not os.access(program, os.X_OK):
            raise ConfigError(f"{program} is not executable; set [analysis] pasta_python")
        if not os.access(log if log.exists() else root, os.W_OK):
            raise ConfigError(
                f"{log} cannot be written by this user: PaStA has its own log there, always"
            )
        self.root = root
        self.project = config.analysis.pasta_project
        self._config = config
        # How it is started, in its root
        self.command = [str(python), str(program)] if python else [str(program)]
        file = root / "resources" / self.project / "config"
        if not file.is_file():
            raise ConfigError(f"[analysis] pasta_project: there is no {file}")
        self.pasta_config = PastaConfig(file)
        if not isinstance(self.pasta_config.tables.get("PaStA"), dict):
            raise ConfigError(f"{file} has no table [PaStA]")
        if not self.pasta_config.defaults.is_file():
            raise ConfigError(f"there is no {self.pasta_config.defaults}; PaStA needs it")
        # What its `analyse` found, for its `rate`
        self.evaluation = self.pasta_config.path(
            "EVALUATION_RESULT", "resources/evaluation-result.pkl"
        )

    def check(self, settings: AnalysisSettings) -> str:
        """The upstream commits at the ends of the range, as hashes; none where none are wanted.

        Raises ConfigError, naming what to change, where PaStA would fail on its settings.
        """
        file = self.pasta_config.file
        if (mode := self.pasta_config.get("PaStA", "MODE", str, "")) != "mbox":
            raise ConfigError(f'{file}: [PaStA] MODE is {mode!r}; for mails it has to be "mbox"')
        for container in list_containers(self._config.d_mbox):
            if container.paths.layout == "raw" and container.paths.index.exists():
                self._check_mails(container.paths)
        # With this engine both are there.
        assert settings.repo and settings.upstream
        ours = self._config.analysis
        repo_key = "[analysis] repo" if ours.repo else f"{file}: [PaStA] REPO"
        range_key = "[analysis] upstream" if ours.upstream else f"{file}: [PaStA] UPSTREAM"
        ends = resolve_range(open_repository(settings.repo, repo_key), settings.upstream, range_key)
        return ends if ours.repo else ""

    def _check_mails(self, paths: ContainerPaths) -> None:
        name, _, host = paths.listaddr.rpartition("@")
        wanted = f"patchwork.{paths.project_id}"
        raw: dict[str, Any] = self.pasta_config.get("mbox", "raw", dict, {})
        lists = raw.get(host, {})
        mailboxes = lists.get(name, []) if isinstance(lists, dict) else []
        if wanted not in [Path(str(mailbox)).name for mailbox in mailboxes]:
            raise ConfigError(
                f"{self.pasta_config.file}: PaStA would not read the mails of {paths.listaddr}; "
                f'add "{wanted}" to them: [mbox.raw."{host}"] {name} = ["{wanted}"]'
            )

    def run(self, step: str, folder: Path, log: Path, deadline: float) -> None:
        """Run a command, given with its arguments, to its end, for the project in `folder`.

        All its output is added to `log`; `deadline`: when it has to be through, by
        `time.monotonic`. Raises GiveUp where it failed, or the time is over; the message says why,
        as far as is known.
        """
        # PaStA knows a project by the name of its folder below `resources`, which can be a path:
        # as PaStA follows it, without the links on the way.
        project = os.path.relpath(folder.resolve(), (self.root / "resources").resolve())
        command = [*self.command, "-c", project, *step.split()]
        with storing(log), log.open("a+b") as output:
            start = output.seek(0, os.SEEK_END)
            process = start_pasta(command, self.root, output)
            try:
                status = process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise GiveUp(
                    f"PaStA's `{step}` was stopped: the run took longer than"
                    f" {self._config.analysis.pasta_seconds} s; raise [analysis] pasta_seconds;"
                    f" its log: {log}"
                ) from None
            finally:
                # What is left of its group: where it was killed, its pool may go on.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(max(start, output.seek(0, os.SEEK_END) - _TAIL_BYTES))
            tail = output.read()
        if status or _THE_END not in tail:
            how = f"exit status {status}" if status else "it quit half way"
            if status < 0:
                how = f"killed by signal {-status}"
            raise GiveUp(
                f"PaStA's `{step}` failed ({how}); the old groups stay. {explain(tail, how)}\n"
                f"All it said: {log}"
            )


def start_pasta(command: list[str], root: Path, output: BinaryIO) -> subprocess.Popen[bytes]:
    """Start a command of PaStA that nobody can answer, in its root; it ends with this process."""
    return subprocess.Popen(
        group_dies_with_parent(command, root),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def environment() -> dict[str, str]:
    """Ours, without what is for us, secrets among it; PaStA opens its files as UTF-8."""
    ours = ("PATCHSYNC_", TOKEN_VARIABLE)
    theirs = {key: text for key, text in os.environ.items() if not key.upper().startswith(ours)}
    # Which of two mails with the same date represents a group follows the order of sets.
    return theirs | {"PYTHONUTF8": "1", "PYTHONHASHSEED": "0"}


def explain(output: bytes, how: str = "") -> str:
    """What to do about a failure, and the last lines of PaStA's output without progress bars.

    `how`: how PaStA ended.
    """
    text = output.decode(errors="replace")
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    last = [f"\n  {line}" for line in lines if not re.search(r"\d%\|", line)][-_TAIL_LINES:]
    told = f"It ended with:{''.join(last)}"
    for pattern, remedy in _REMEDIES.items():
        if match := re.search(pattern, f"{text}\n{how}"):
            return remedy.format(match[1]) + told
    return told
