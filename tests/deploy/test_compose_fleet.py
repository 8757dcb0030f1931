"""docker-compose.yml at work: each service's own command in its own environment, as a process."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import requests
from redis.exceptions import AuthenticationError, NoPermissionError

from patchsync.config import load
from patchsync.fleet.heartbeat import Heartbeats
from patchsync.fleet.services import QUEUES, SERVICES
from standin.process import TOKEN, StandinProcess, running_standin
from tests.deploy.compose import REDIS_ADDRESS, Container, compose
from tests.support.installation import Installation, free_port

PATCHES = 90
START_SECONDS = 120.0
CONFIG = "/etc/patchsync/patchsync.toml"
STATUS = ("patchsync", "status")


@dataclass
class Stack:
    """All services of the compose file, two of fetch, beside a stand-in Patchwork."""

    patchwork: StandinProcess
    folder: Path
    containers: dict[str, Container]
    secrets: dict[str, str]
    redis_port: int
    flower_port: int
    web_port: int
    # The same configuration, as somebody on the host has it
    installation: Installation

    def logs(self) -> str:
        """What all wrote."""
        return "".join(
            f"== {name}\n{container.log.read_text()}" for name, container in self.containers.items()
        )

    def write_groups(self, group: list[int]) -> None:
        """Let PaStA's result be one group of these patches of `sample`, all others alone."""
        name_of = {
            int(number): name
            for _, name, _, number in map(str.split, self.installation.lines("sample"))
        }
        lines = [" ".join(name_of.pop(number) for number in group), *name_of.values()]
        text = "".join(f"{line}\n" for line in lines if line)
        (self.folder / "groups" / "patch-groups").write_text(text)

    def signed_in(self) -> Counter[str]:
        """How many processes of each service say that they are alive."""
        password = self.secrets["redis_password"]
        with redis.Redis(port=self.redis_port, password=password) as client:
            heartbeats = Heartbeats(client, self.installation.config.namespace)
            return Counter(member.service for member in heartbeats.alive())

    def flower_listens(self) -> bool:
        """Whether the dashboard answers at all."""
        with suppress(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{self.flower_port}/", timeout=10)
            return True
        return False

    def eventually(self, what: str, true: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + START_SECONDS
        while not true():
            assert time.monotonic() < deadline, f"not so in time: {what}\n{self.logs()}"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """As `docker compose --profile push up --scale fetch=2` starts it: Redis until it is healthy,
    then all.
    """
    with ExitStack() as exit_stack:
        # Short: a socket's path would have to fit below it.
        folder = Path(exit_stack.enter_context(tempfile.TemporaryDirectory(prefix="ps-")))
        patchwork = exit_stack.enter_context(running_standin("--patches", str(PATCHES)))
        told = {"redis_password": f"%/ '{secrets.token_hex(16)}", "flower_login": ""}
        told["flower_login"] = f"admin:{secrets.token_hex(16)}"
        told["patchwork_token"] = TOKEN
        told["signing_key"] = secrets.token_hex(32)
        for name, text in told.items():
            (folder / name).write_text(f"{text}\n")
        table = f"""
            [mbox.patchwork]
            url = "{patchwork.url}/api/"
            projects = [{{ id = "sample" }}, {{ id = "neighbour" }}]
            token_file = "token"
            [push]
            sinks = ["check"]
            [schedule]
            push_seconds = 2
            """
        (folder / "patchsync.toml").write_text(table)
        (folder / "host.toml").write_text(f"{table}\n[store]\nmbox = 'store'\n")
        (folder / "store" / "patchsync").mkdir(parents=True)
        (folder / "groups").mkdir()
        redis_port, flower_port, web_port = free_port(), free_port(), free_port()

        def started(service: str, name: str) -> Container:
            return exit_stack.enter_context(
                Container(
                    service=compose()["services"][service],
                    folder=folder / name,
                    secrets={name: folder / name for name in told},
                    mounts={
                        CONFIG: folder / "patchsync.toml",
                        "/srv/mbox": folder / "store",
                        "/srv/mbox/patchsync": folder / "store" / "patchsync",
                        "/srv/groups": folder / "groups",
                    },
                    elsewhere={
                        REDIS_ADDRESS: f"127.0.0.1:{redis_port}",
                        "0.0.0.0": "127.0.0.1",
                        "5555": str(flower_port),
                        "5556": str(web_port),
                    },
                    redis_port=redis_port,
                )
            )

        found = Stack(
            patchwork=patchwork,
            folder=folder,
            containers={"redis": started("redis", "redis")},
            secrets=told,
            redis_port=redis_port,
            flower_port=flower_port,
            web_port=web_port,
            installation=Installation(patchwork, load(folder / "host.toml")),
        )
        found.eventually("Redis is healthy", found.containers["redis"].healthy)
        for service in SERVICES:
            found.containers[service] = started(service, service)
        found.containers["fetch-2"] = started("fetch", "fetch-2")
        yield found


def test_every_service_becomes_healthy(stack: Stack) -> None:
    """Each service's own health check succeeds, and does not where nothing of it runs."""
    # A health check costs a second of a processor: it is asked when it is to succeed.
    everybody = Counter(QUEUES) + Counter(["fetch", "beat"])
    stack.eventually("all signed in", lambda: stack.signed_in() == everybody)
    stack.eventually("Flower listens", stack.flower_listens)
    for name, container in stack.containers.items():
        stack.eventually(f"{name} is healthy", container.healthy)
        assert container.process.poll() is None
    assert stack.containers["fetch"].run("patchsync", "status").stdout.count("process ") == 7


def test_the_patches_arrive_in_the_store(stack: Stack) -> None:
    """What Patchwork lists is in the store, which only probe and index are given."""
    for project in ("sample", "neighbour"):
        ids = set(stack.patchwork.control.ids(project))

        def arrived(project: str = project, ids: set[int] = ids) -> bool:
            try:
                return stack.installation.ids(project) == ids
            except (AssertionError, FileNotFoundError):
                return False

        stack.eventually(f"{project} is in step", arrived)
        stack.installation.assert_mirrors(project)


def test_the_groups_are_written_by_analyse(stack: Stack) -> None:
    """Where push reads them; each mail of the store is in one."""

    def written() -> bool:
        try:
            groups = (stack.folder / "groups" / "patch-groups").read_text()
            wanted = {line.split()[1] for line in stack.installation.lines("sample")}
        except (FileNotFoundError, AssertionError):
            return False
        return len(wanted) == len(stack.patchwork.control.ids("sample")) and wanted <= set(
            groups.split()
        )

    stack.eventually("the groups are there", written)


def test_groups_are_pushed_by_the_service_that_has_the_token(stack: Stack) -> None:
    """Once somebody agreed, what PaStA writes shows in Patchwork; no other could do that."""
    ids = stack.patchwork.control.ids("sample")

    def in_step() -> bool:
        return "sample (id 1): in step" in stack.containers["probe"].run(*STATUS).stdout

    stack.eventually("sample is in step", in_step)
    stack.write_groups([])
    agreed = stack.containers["push"].run("patchsync", "push", "--project", "sample", "--yes")
    assert agreed.returncode == 0, agreed.stdout + agreed.stderr
    stack.write_groups(ids[:2])
    url = f"{stack.patchwork.url}/api/1.3/patches/{ids[0]}/checks/"
    stack.eventually("the check is there", lambda: requests.get(url, timeout=10).json() != [])
    (check,) = requests.get(url, timeout=10).json()
    assert check["description"] == f"later revision: {ids[1]}"
    told = stack.containers["probe"].run(*STATUS).stdout
    assert "push        check: 2 wanted, 2 shown, 0 pending, 0 in trouble" in told
    for name in ("probe", "fetch", "index", "beat"):
        refused = stack.containers[name].run("patchsync", "push", "--yes")
        assert "token_file" in refused.stderr


def test_the_dashboard_wants_the_login(stack: Stack) -> None:
    """Flower shows nothing to who has no login, and its page to who has."""
    session = requests.Session()
    session.trust_env = False
    url = f"http://127.0.0.1:{stack.flower_port}/workers"
    user, password = stack.secrets["flower_login"].split(":")
    stack.eventually("Flower is healthy", stack.containers["flower"].healthy)
    with session:
        assert session.get(url, timeout=10).status_code == 401
        assert session.get(url, auth=(user, "guessed"), timeout=10).status_code == 401
        assert session.get(url, auth=(user, password), timeout=10).status_code == 200


def test_the_pages_are_there_without_redis(stack: Stack) -> None:
    """Once the store has patches: each project is on the front page."""
    url = f"http://127.0.0.1:{stack.web_port}/"

    def shown() -> bool:
        with suppress(requests.ConnectionError):
            return "neighbour" in requests.get(url, timeout=60).text
        return False

    stack.eventually("the pages show the projects", shown)
    environment = stack.containers["web"].environment
    assert not [name for name in environment if "REDIS" in name]


def test_redis_wants_the_password_and_lets_nobody_administer_it(stack: Stack) -> None:
    """Without the password nothing; with it neither its settings nor a flush of all."""
    password = stack.secrets["redis_password"]
    with redis.Redis(port=stack.redis_port) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    with redis.Redis(port=stack.redis_port, password=password) as member:
        assert member.ping()
        for refused in (member.flushall, member.config_get, member.acl_list):
            with pytest.raises(NoPermissionError):
                refused()


def test_no_secret_shows_in_the_list_of_processes(stack: Stack) -> None:
    """No command line and no environment on this machine holds a password, none here the token."""
    token = TOKEN.encode()
    hidden = [text.encode() for text in stack.secrets.values() if text != TOKEN]
    seen = 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            seen += b"ps-" in shown
            assert not any(secret in shown for secret in hidden), process
            # Others on this machine may use the stand-in's token too.
            assert token not in shown or os.fsencode(stack.folder) not in shown, process
    assert seen >= len(stack.containers), "these processes were not among what was looked at"


def test_no_secret_is_logged(stack: Stack) -> None:
    """What the services write names no password."""
    logs = stack.logs()
    assert not [name for name, text in stack.secrets.items() if text in logs]


def test_redis_keeps_its_log(stack: Stack) -> None:
    """What is queued survives a restart: it is in the append-only file in /data."""
    data = stack.containers["redis"].folder / "data"
    assert [file for file in data.rglob("appendonly*") if file.is_file() and file.stat().st_size]


def test_redis_does_not_start_without_a_password(stack: Stack, tmp_path: Path) -> None:
    """An empty secret is an error that names it, not an open Redis."""
    empty = tmp_path / "redis_password"
    empty.write_text("\n")
    service = compose()["services"]["redis"]
    container = Container(service, tmp_path / "c", {empty.name: empty}, {}, {}, free_port())
    with container:
        assert container.process.wait(60) != 0
    assert "the secret redis_password is empty" in container.log.read_text()
