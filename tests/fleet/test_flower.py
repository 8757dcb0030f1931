"""What Flower serves tells a story, without a mail or a secret, to those who may see it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from patchsync.config import FILE_VARIABLE
from patchsync.fleet.redis_server import embedded_redis_server
from patchsync.fleet.services import SYNC_QUEUES, local_url
from patchsync.fleet.supervisor import Supervisor
from patchsync.sync.projects import find_project
from standin.process import StandinProcess
from tests.support.installation import Installation, configured, free_port, wait_until

TOKEN, REDIS_PASSWORD, LOGIN = "hush-the-token", "hush-the-redis", "watcher:hush-the-login"
ALL_TASKS = {
    "draw": 1,
    "start": 0,
    "length": 1000,
    "order[0][column]": 0,
    "columns[0][data]": "received",
    "order[0][dir]": "asc",
}
# As a task does that tries again later: the worker holds the message until its time comes.
SEND_FOR_LATER = """
import sys
from workers.celery import app
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import parse_mail

result = FetchResult(mails=(parse_mail(sys.argv[1].encode()),))
app.send_task(
    "workers.index.index_mails",
    args=["sample", result.to_message()],
    argsrepr=f"(sample: {result.summary()})",
    countdown=600,
)
"""


@dataclass(frozen=True)
class Dashboard:
    """A running Flower, as a browser sees it, and all that it has served."""

    url: str
    login: tuple[str, str] | None
    served: list[str]

    def get(self, path: str, **query: Any) -> requests.Response:
        """What a page or an endpoint answers."""
        answer = requests.get(self.url + path, params=query, auth=self.login, timeout=10)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        self.served.append(answer.text)
        return answer

    def tasks(self) -> list[dict[str, Any]]:
        """What the tasks page shows."""
        return list(self.get("/tasks/datatable", **ALL_TASKS).json()["data"])

    def stories(self, task: str) -> set[str]:
        """The arguments of all tasks of that name."""
        return {each["args"] for each in self.tasks() if each["name"] == f"workers.{task}"}

    def answers(self) -> bool:
        """Whether it listens."""
        try:
            return requests.get(f"{self.url}/healthcheck", timeout=60).status_code == 200
        except requests.ConnectionError:
            return False


def redis_answers(url: str) -> bool:
    """Whether it listens."""
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    """A Redis with a password."""
    port = free_port()
    server = subprocess.Popen(
        [
            *(embedded_redis_server(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""),
            *("--requirepass", REDIS_PASSWORD, "--dir", str(tmp_path), "--loglevel", "warning"),
        ],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{port}/0"
    try:
        wait_until(lambda: redis_answers(url), "Redis answers")
        yield url
    finally:
        server.terminate()
        server.wait(60)


@contextmanager
def watched(
    installation: Installation, login: str | None = None, queues: tuple[str, ...] = SYNC_QUEUES
) -> Iterator[Dashboard]:
    """Flower, Redis and workers of some queues; Flower sees them before anything happens."""
    config = installation.config
    with Supervisor(config) as fleet:
        fleet.ensure_redis()
        fleet.ensure(["flower", *queues])
        user = tuple(login.split(":")) if login else None
        dashboard = Dashboard(local_url(config, "flower"), user, [])  # type: ignore[arg-type]
        wait_until(dashboard.answers, "Flower answers")
        wait_until(lambda: online(dashboard).keys() == set(queues), "it sees the workers")
        yield dashboard
        fleet.kill()


def online(dashboard: Dashboard) -> dict[str, str]:
    """The queues whose workers Flower sees, and the worker's name."""
    workers = dashboard.get("/workers", json=1).json()["data"]
    names = [each["hostname"] for each in workers if each["status"]]
    return {name.split("-")[0]: name for name in names}


def working(dashboard: Dashboard) -> bool:
    """Whether a worker has a task in hand."""
    return any(each["state"] == "STARTED" for each in dashboard.tasks())


def test_a_story_without_a_mail_or_a_secret(
    tmp_path: Path, patchwork: StandinProcess, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks read as project, page, number of mails, also one that waits to be tried again."""
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    (tmp_path / "login").write_text(LOGIN)
    installation = configured(
        tmp_path,
        patchwork,
        f'[redis]\nurl = "{redis_url}"\n'
        f'[flower]\nport = {free_port()}\nlogin_file = "login"\n'
        "[schedule]\nprobe_seconds = 1\naudit_seconds = 1\n",
    )
    config = installation.config
    count = len(patchwork.control.ids("sample"))
    with watched(installation, LOGIN, (*SYNC_QUEUES, "analyse")) as dashboard:
        index = f"/worker/{online(dashboard)['index']}"
        number = patchwork.control.ids("sample")[0]
        mail = requests.get(f"{patchwork.url}/patch/{number}/mbox/", timeout=10).text
        subprocess.run(
            [sys.executable, "-c", SEND_FOR_LATER, mail],
            env=os.environ | {FILE_VARIABLE: str(installation.file)},
            check=True,
        )
        waits = re.compile(r"Scheduled tasks.*\(sample: 1 mails\).*Reserved tasks", re.S)
        wait_until(lambda: waits.search(dashboard.get(index).text), "one waits for its time")
        installation.patchsync("enqueue", "fetch.probe", "sample")
        page = f"page 1 of {count} by -id"
        handed = re.compile(rf"\(sample: .*\b{count} listed, ends {page}\)")
        wait_until(
            lambda: any(map(handed.fullmatch, dashboard.stories("index.index_mails"))),
            "all is handed over",
        )
        wait_until(lambda: "(sample: new mails)" in dashboard.stories("analyse.update"), "grouped")
        wait_until(lambda: not working(dashboard), "all is in")
        assert f"(sample: {page}, 0 held)" in dashboard.stories("fetch.fetch_page")
        assert "(sample)" in dashboard.stories("fetch.probe")
        for task in dashboard.tasks():
            # Flower may have seen no more of one than its end: then it shows no arguments at all.
            assert task["kwargs"] == "{}" or (task["name"], task["kwargs"]) == (None, None), task
            assert task["result"] in (None, "None"), task

        for task in dashboard.tasks():
            dashboard.get(f"/task/{task['uuid']}")
            dashboard.get(f"/api/task/info/{task['uuid']}")
        for path in ("/", "/tasks", "/broker", "/metrics", "/api/tasks", index):
            dashboard.get(path)
        workers = dashboard.get("/api/workers", refresh=1).text
        assert "broker_url" in workers, "the configuration is among what was searched"
    served = "\n".join(dashboard.served)
    assert "(sample: " in served
    for secret in (TOKEN, REDIS_PASSWORD, LOGIN.split(":")[1]):
        assert secret not in served
    site = find_project(config, "sample")
    assert site is not None
    for mail in (path for path in site.paths.mails.rglob("*") if path.is_file()):
        for line in {line for line in mail.read_text().splitlines() if len(line) > 30}:
            assert line not in served, line


def test_nobody_gets_in_without_the_login(tmp_path: Path, patchwork: StandinProcess) -> None:
    """With a login file each page that tells something answers 401 to others."""
    (tmp_path / "login").write_text(LOGIN)
    installation = configured(
        tmp_path, patchwork, f'[flower]\nport = {free_port()}\nlogin_file = "login"\n'
    )
    with watched(installation, LOGIN, ()) as dashboard:
        for auth in (None, ("watcher", "wrong")):
            for path in ("/", "/workers?json=1", "/tasks", "/broker", "/api/workers", "/api/tasks"):
                answer = requests.get(dashboard.url + path, auth=auth, timeout=10)
                assert answer.status_code == 401, path


def test_without_a_login_one_can_only_look(
    tmp_path: Path, patchwork: StandinProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where Flower's API is open to all, nobody stops a worker or sends a task."""
    monkeypatch.setenv("FLOWER_UNAUTHENTICATED_API", "true")
    installation = configured(tmp_path, patchwork, f"[flower]\nport = {free_port()}\n")
    with watched(installation, queues=("index",)) as dashboard:
        dashboard.get("/api/workers", refresh=1)
        index = online(dashboard)["index"]
        for path in (f"worker/shutdown/{index}", "task/send-task/workers.fetch.probe"):
            answer = requests.post(
                f"{dashboard.url}/api/{path}", json={"args": ["sample"]}, timeout=10
            )
            assert answer.status_code == 403, path
        assert online(dashboard) == {"index": index}
        assert dashboard.tasks() == []
