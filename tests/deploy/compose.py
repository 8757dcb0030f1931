"""docker-compose.yml and the Dockerfile, read as Compose reads them, and run without containers.

A container is a folder here, with what its service is given and nothing else. Its own command runs
in its own environment, as a process whose paths are in that folder and whose Redis is elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from patchsync.fleet.parent_death import die_with_parent
from patchsync.fleet.redis_server import embedded_redis_server

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"
REDIS_ADDRESS = "redis:6379"
SECRETS = "/run/secrets"
# ${NAME:-default}, ${NAME:?message}, ${NAME}, $NAME; or $$, which is a plain dollar
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-?])([^}]*))?\}|(\w+))")


def compose(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The compose file with these variables, else their defaults, put in."""
    found: dict[str, Any] = _interpolated(yaml.safe_load(COMPOSE_FILE.read_text()), variables or {})
    return found


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    def filled(match: re.Match[str]) -> str:
        dollar, name, _, default, bare = match.groups()
        return dollar or variables.get(name or bare) or default

    if isinstance(value, dict):
        return {key: _interpolated(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each, variables) for each in value]
    return VARIABLE.sub(filled, value) if isinstance(value, str) else value


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and their arguments, in order, each in one line."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    return [(each.split(None, 1)[0], each.split(None, 1)[1]) for each in text.splitlines() if each]


def image_environment() -> dict[str, str]:
    """What the Dockerfile sets for every container."""
    words = " ".join(arguments for name, arguments in instructions() if name == "ENV").split()
    return dict(word.split("=", 1) for word in words)


def entrypoint() -> list[str]:
    """The command that a service's `command` is appended to."""
    (found,) = [arguments for name, arguments in instructions() if name == "ENTRYPOINT"]
    return list(json.loads(found))


@dataclass
class Container:
    """A service's process in a folder of its own; a context that ends it."""

    service: dict[str, Any]
    folder: Path
    # Files that the host has: by secret, and by the target of a bind mount
    secrets: Mapping[str, Path]
    mounts: Mapping[str, Path]
    # Texts of commands and environment that mean something else on this machine
    elsewhere: Mapping[str, str]
    redis_port: int
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Container:
        for place in (SECRETS, "/tmp", "/data", "/bin"):
            self._path(place).mkdir(parents=True)
        for secret in self.service.get("secrets", ()):
            shutil.copy(self.secrets[secret], self._path(SECRETS))
        self._install_redis()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                die_with_parent(self.command),
                env=self.environment,
                cwd=self._path("/data"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.folder / "log"

    @property
    def command(self) -> list[str]:
        """What it runs, after the image's entry point."""
        start = entrypoint() if "build" in self.service else []
        return [self._here(word) for word in [*start, *self.service["command"]]]

    @property
    def environment(self) -> dict[str, str]:
        """The image's and the service's own; nothing of this machine's but where programs are."""
        of_image = image_environment() if "build" in self.service else {}
        declared = of_image | self.service["environment"]
        programs = [self._path("/bin"), Path(sys.executable).parent, "/usr/bin", "/bin"]
        return {name: self._here(str(text)) for name, text in declared.items()} | {
            "PATH": os.pathsep.join(map(str, programs)),
            "TMPDIR": str(self._path("/tmp")),
        }

    def healthy(self) -> bool:
        """Whether the service's own health check succeeds."""
        how, *command = self.service["healthcheck"]["test"]
        words = ["sh", "-c", *command] if how == "CMD-SHELL" else command
        return self.run(*words).returncode == 0

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run another command in it, as `docker compose exec` does."""
        return subprocess.run(
            [self._here(word) for word in command],
            env=self.environment,
            cwd=self._path("/data"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _path(self, place: str) -> Path:
        return self.folder / place.removeprefix("/")

    def _here(self, text: str) -> str:
        """`text` with the container's paths and addresses replaced by those of this machine."""
        mounts = {each["target"]: None for each in self.service["volumes"] if "target" in each}
        places = {target: str(self.mounts[target]) for target in mounts}
        places |= {place: str(self._path(place)) for place in (SECRETS, "/tmp")}
        places |= self.elsewhere
        found = re.compile("|".join(rf"(?<!\w){re.escape(place)}(?!\w)" for place in places))
        return found.sub(lambda match: places[match[0]], text)

    def _install_redis(self) -> None:
        """Put Redis' programs first in its PATH, with the port that is free on this machine."""
        server = embedded_redis_server()
        own = {
            "valkey-server": f'{server} "$@" --port {self.redis_port} --bind 127.0.0.1',
            "valkey-cli": f'{server.removesuffix("server")}cli -p {self.redis_port} "$@"',
        }
        for name, command in own.items():
            program = self._path("/bin") / name
            program.write_text(f"#!/bin/sh\nexec {command}\n")
            program.chmod(0o755)
