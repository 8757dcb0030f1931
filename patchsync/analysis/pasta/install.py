"""The PaStA that `[analysis] pasta_root` and `pasta_project` name, and whether it can work for us.

PaStA's configuration of a project: `resources/<project>/config` below its root, over
`resources/common/default.cfg`; TOML; paths are relative to the project's folder.
"""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pygit2
from pygit2.enums import RepositoryOpenFlag

from patchsync.analysis.settings import AnalysisSettings
from patchsync.config import Config
from patchsync.errors import ConfigError
from patchsync.store.identity import list_containers
from patchsync.store.layout import ContainerPaths


class PastaInstall:
    """A checkout of PaStA and one project of it."""

    def __init__(self, config: Config) -> None:
        """Look for both. Raises ConfigError where they are not there, naming the key."""
        table = config.analysis
        root = config.absolute(table.pasta_root)
        if root is None:
            raise ConfigError(
                f"{config.source}: [analysis] pasta_root and pasta_project are not set: PaStA's"
                " checkout, and what it knows the project by"
            )
        self.root = root
        self.project = table.pasta_project
        self.folder = root / "resources" / self.project
        self._python = config.absolute(table.pasta_python)
        if not (root / "pasta").is_file():
            raise ConfigError(f"[analysis] pasta_root: {root} is no checkout of PaStA's")
        self._check_start()
        self.settings = _merged(self.folder / "config", root / "resources/common/default.cfg")

    def command(self, arguments: Sequence[str], folder: Path | None = None) -> list[str]:
        """PaStA with these arguments, to be run in its root, for the project in `folder` if given.

        PaStA knows a project by the name of its folder below `resources`, which can be a path.
        """
        python = [str(self._python)] if self._python else []
        if folder:
            # As PaStA follows it: without the links on the way.
            name = os.path.relpath(folder.resolve(), (self.root / "resources").resolve())
            arguments = ["-c", name, *arguments]
        return [*python, str(self.root / "pasta"), *arguments]

    def configured(self, key: str) -> Any:
        """A key of PaStA's table `PaStA`, None where it is not set."""
        return self.settings["PaStA"].get(key)

    def path(self, key: str) -> Path | None:
        """A path of PaStA's table `PaStA`, absolute."""
        value = self.configured(key)
        return (self.folder / value).absolute() if isinstance(value, str) else None

    def check(self, config: Config, project: AnalysisSettings) -> str:
        """The upstream commits at the ends of the range, as hashes.

        Raises ConfigError, naming what to change, where PaStA would fail on its settings.
        """
        file = self.folder / "config"
        if (mode := self.configured("MODE")) != "mbox":
            raise ConfigError(f'{file}: [PaStA] MODE is {mode!r}; for mails it has to be "mbox"')
        for container in list_containers(config.d_mbox):
            if container.paths.layout == "raw" and container.paths.index.exists():
                self._check_mails(container.paths)
        if project.repo is None or project.upstream is None:
            raise ConfigError(f"{file}: [PaStA] REPO and UPSTREAM have to be set; PaStA wants both")
        ours = bool(config.analysis.repo)
        _check_repo(project.repo, "[analysis] repo" if ours else f"{file}: [PaStA] REPO")
        ours = bool(config.analysis.upstream)
        where = "[analysis] upstream" if ours else f"{file}: [PaStA] UPSTREAM"
        return _check_upstream(project.repo, project.upstream, where)

    def _check_start(self) -> None:
        if self._python and not os.access(self._python, os.X_OK):
            raise ConfigError(f"[analysis] pasta_python: {self._python} is no program")
        if not self._python and not os.access(self.root / "pasta", os.X_OK):
            raise ConfigError(
                f"{self.root / 'pasta'} is not executable; set [analysis] pasta_python"
            )
        log = self.root / "log"
        if not os.access(log if log.exists() else self.root, os.W_OK):
            raise ConfigError(
                f"{log} cannot be written by this user: PaStA has its own log there, always"
            )

    def _check_mails(self, paths: ContainerPaths) -> None:
        name, _, host = paths.listaddr.rpartition("@")
        wanted = f"patchwork.{paths.project_id}"
        raw = self.settings.get("mbox", {}).get("raw", {})
        listed = raw.get(host, {}).get(name, []) if isinstance(raw.get(host, {}), dict) else []
        if wanted not in [Path(str(each)).name for each in listed]:
            raise ConfigError(
                f"{self.folder / 'config'}: PaStA would not read the mails of {paths.listaddr}; "
                f'add "{wanted}" to them: [mbox.raw."{host}"] {name} = ["{wanted}"]'
            )


def _merged(file: Path, defaults: Path) -> dict[str, Any]:
    """PaStA's configuration over its defaults, table by table."""
    if not file.is_file():
        raise ConfigError(f"[analysis] pasta_project: there is no {file}")
    tables = _read(file)
    if not isinstance(tables.get("PaStA"), dict):
        raise ConfigError(f"{file} has no table [PaStA]")
    return _over(_read(defaults), tables)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}; PaStA needs it") from error


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        both = isinstance(value, dict) and isinstance(under, dict)
        merged[key] = _over(under, value) if both else value  # type: ignore[arg-type]
    return merged


def _check_repo(repo: Path, where: str) -> None:
    try:
        # Not one in a folder above, in which PaStA's git does not look either.
        pygit2.Repository(str(repo), RepositoryOpenFlag.NO_SEARCH)
    except pygit2.GitError as error:
        raise ConfigError(
            f"{where}: {repo} is no git repository that we can read: {error}"
        ) from error


def _check_upstream(repo: Path, upstream: str, where: str) -> str:
    """The ends of the range; resolved by git, as PaStA does."""
    git_dir = pygit2.Repository(str(repo)).path
    asked = ["git", f"--git-dir={git_dir}", "rev-parse", "--revs-only", upstream, "--"]
    try:
        done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise ConfigError(f"git cannot be run, which PaStA needs: {error}") from error
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip()
        raise ConfigError(f"{where}: {upstream!r} is no range of commits in {repo}: {told}")
    return done.stdout.decode()
