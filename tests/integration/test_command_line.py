"""What a user meets: `check`, `enqueue`, `status`, and errors that say what to do."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
import redis

from patchsync.fleet.heartbeat import Heartbeats, Member
from standin.process import NOBODY_TOKEN, TOKEN
from tests.support.inprocess import Workers
from tests.support.installation import Installation, free_port, processes_of


def test_check_of_a_good_configuration(installation: Installation) -> None:
    """All lines are ok, each project is found, and PaStA's own setting for it is spelt out."""
    free = {f"PATCHSYNC_{service}__PORT": str(free_port()) for service in ("FLOWER", "WEB")}
    done = installation.patchsync("check", PATCHWORK_TOKEN=TOKEN, **free)
    assert done.returncode == 0, done.stdout
    assert "FAIL" not in done.stdout
    assert '"patchwork.1"' in done.stdout
    assert f"patch-groups: `analyse` writes {installation.config.patch_groups}" in done.stdout
    assert "its user maintains all projects" in done.stdout
    assert TOKEN not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "token", "expected"),
    [
        ('"neighbour"', '"nosuch"', TOKEN, "FAIL  project nosuch: "),
        ("/api/", "/nothing/", TOKEN, "FAIL  [mbox.patchwork] url: "),
        ("http://127.0.0.1", "http://127.0.0.2", TOKEN, "FAIL  [mbox.patchwork] url: "),
        ("", "", "wrong", "FAIL  [mbox.patchwork] token: "),
        ("", "", NOBODY_TOKEN, "does not maintain sample, neighbour"),
        ("[mbox", "[store]\nmbox = 'patchsync.toml'\n[mbox", TOKEN, "FAIL  [store] mbox: "),
        ("[redis]", "[redis]\nsigning_key_file = 'x'", TOKEN, "FAIL  [redis] url: [redis] sign"),
        (
            "[mbox",
            "[push]\ngroups = 'patchsync.toml/patch-groups'\n[mbox",
            TOKEN,
            "FAIL  patch-groups: `analyse` is to write ",
        ),
        ("unix://", "unix:///nowhere", TOKEN, "FAIL  [redis] url: no Redis answers"),
        (
            "[redis]",
            "[flower]\naddress = '0.0.0.0'\n[redis]",
            TOKEN,
            "FAIL  [flower]: [flower] add",
        ),
    ],
)
def test_check_of_a_bad_one(
    installation: Installation, old: str, new: str, token: str, expected: str
) -> None:
    """What does not work is named by its key, and the exit status says so."""
    free = {f"PATCHSYNC_{service}__PORT": str(free_port()) for service in ("FLOWER", "WEB")}
    done = installation.changed(old, new).patchsync("check", PATCHWORK_TOKEN=token, **free)
    assert expected in done.stdout, done.stdout + done.stderr
    assert done.returncode == ("FAIL" in expected)


def test_check_fails_where_a_sync_would(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room on the disk, or a part of the store that another user owns."""
    installation.sync()
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
        done = installation.patchsync("check")
    assert "FAIL  [store] mbox: " in done.stdout
    assert "5 bytes are free, less than" in done.stdout
    index = installation.config.d_mbox / "index"
    (file,) = index.glob("*.1")
    with monkeypatch.context() as foreign:
        foreign.setattr(os, "access", lambda path, _: path != file)
        done = installation.patchsync("check")
    assert f"FAIL  [store] mbox: {file} cannot be written by this user" in done.stdout


def test_check_of_what_is_asked_though_nothing_is_new(installation: Installation) -> None:
    """More than the day's budget would end each day early; what is said to fit fits."""

    def line(**settings: object) -> str:
        keys = {f"PATCHSYNC_{key}": str(value) for key, value in settings.items()}
        output = installation.patchsync("check", **keys).stdout
        (found,) = (line for line in output.splitlines() if " [schedule]: " in line)
        return found

    day: dict[str, object] = {"SCHEDULE__PROBE_SECONDS": 60, "SCHEDULE__AUDIT_SECONDS": 900}
    asked = len(installation.config.projects) * (1440 + 96)
    assert line(**day) == f"ok    [schedule]: {asked} requests a day though nothing is new"
    day["PATCHWORK__REQUESTS_PER_DAY"] = asked
    assert line(**day).endswith(f", of {asked} that sync has")
    day["PATCHWORK__REQUESTS_PER_DAY"] = asked // 4
    spent = line(**day)
    assert spent.startswith("FAIL  [schedule]: ")
    assert "after 6.0 h nothing is asked until 00:00 UTC" in spent
    assert "Set probe_seconds = 480 and audit_seconds = 7200;" in spent
    day |= {"SCHEDULE__PROBE_SECONDS": 480, "SCHEDULE__AUDIT_SECONDS": 7200}
    assert line(**day).startswith("ok    [schedule]: ")
    # Where the pace is too slow, rounds go in turn, and whatever comes behind them waits.
    day |= {"PATCHWORK__REQUESTS_PER_SECOND": asked / 8 / 86_400, "SCHEDULE__PROBE_SECONDS": 60}
    slow = line(**day)
    assert slow.startswith("FAIL  [schedule]: ")
    assert "[patchwork] requests_per_second leaves" in slow
    assert "rounds take longer, and audits wait" in slow


@pytest.mark.parametrize("service", ["flower", "web"])
def test_check_of_a_port(
    installation: Installation, shared_redis: redis.Redis, service: str
) -> None:
    """Taken it is told, unless it is our own fleet's dashboard, or pages, that listen."""
    with HTTPServer(("127.0.0.1", 0), Alive) as server:
        threading.Thread(target=server.serve_forever).start()
        port = server.server_port
        taken = installation.changed("[redis]", f"[{service}]\nport = {port}\n[redis]")
        try:
            done = taken.patchsync("check")
            line = f"FAIL  [{service}]: [{service}] address, port: 127.0.0.1:{port}: Address "
            assert line in done.stdout
            run = taken.process("run", service)
            Heartbeats(shared_redis, installation.config.namespace).note(Member(service="fetch"))
            assert f"ok    [{service}]: runs at http://127.0.0.1:{port};" in (
                taken.patchsync("check").stdout
            )
        finally:
            server.shutdown()
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "set another port" in run.stderr


class Alive(BaseHTTPRequestHandler):
    """Answers the health check."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_sync_of_an_unknown_project_fails_at_once(installation: Installation) -> None:
    """A project that Patchwork does not have is an error with exit status 1, not "0 patches"."""
    done = installation.changed('"neighbour"', '"nosuch"').patchsync("sync")
    assert done.returncode == 1
    assert "nosuch: not in step: probe: " in done.stdout
    assert "has no project 'nosuch'" in done.stdout
    assert "sample: in step" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fetch.prob", "sample"], "there is no task 'fetch.prob'; there are: analyse.update"),
        (["nosuch"], "there is no task 'nosuch'; there are: analyse.update"),
        (
            ["fetch.probe"],
            "wants a project; there are: sample, neighbour; usage: patchsync enqueue",
        ),
        (["fetch.probe", "nosuch"], "project 'nosuch' is not in"),
        (["fetch.probe", "sample", "1", "2"], "too many positional arguments; usage: patchsync "),
        (["fetch.audit", "sample", "now"], "since: 'now' is no float; usage: "),
        (["fetch.fetch_patches", "sample"], "missing a required argument: 'ids'"),
        (
            ["fetch.fetch_patches", "sample", "17"],
            "ids: 17 is no list[int]; usage: patchsync enqueue fetch.fetch_patches"
            " PROJECT IDS:list[int]\n",
        ),
    ],
)
def test_enqueue_says_what_is_wrong(
    installation: Installation, workers: Workers, arguments: list[str], expected: str
) -> None:
    """A bad task, project or argument is told apart, with exit status 1, and nothing is sent."""
    done = installation.patchsync("enqueue", *arguments)
    assert done.returncode == 1
    assert expected in done.stderr, done.stderr
    assert workers.sent == []


def test_enqueue_without_redis(installation: Installation) -> None:
    """It does not wait for one, and names the setting."""
    alone = installation.changed("unix://", "unix:///nowhere")
    line = ("enqueue", "fetch.probe", "sample")
    done = alone.process(*line)
    assert done.returncode == 1
    assert "no Redis answers at /nowhere/" in done.stderr


def test_enqueue_sends_one_message(
    installation: Installation, workers: Workers, shared_redis: redis.Redis
) -> None:
    """The task with its project, and its other arguments as JSON; it says where nobody takes it."""
    done = installation.patchsync("enqueue", "fetch.fetch_patches", "sample", "[17, 18]")
    assert done.returncode == 0
    assert "it waits: no fetch runs" in done.stderr
    Heartbeats(shared_redis, installation.config.namespace).note(Member(service="fetch"))
    assert installation.patchsync("enqueue", "fetch.fetch_patches", "sample", "[1]").stderr == ""
    assert workers.sent.pop().args == ["sample", [1]]
    assert [(sent.task, sent.args) for sent in workers.sent] == [
        ("fetch.fetch_patches", ["sample", [17, 18]])
    ]


def test_a_mail_that_is_too_large_is_quarantined(installation: Installation) -> None:
    """It is told with its reason and the setting; all else is in, and that counts as in step."""
    installation = installation.changed("[redis]", "[patchwork]\nmax_mail_bytes = 1500\n[redis]")
    installation.sync()
    quarantined = installation.status("sample")["ours"]["quarantined"]
    assert quarantined
    assert all("[patchwork] max_mail_bytes" in entry["reason"] for entry in quarantined)
    assert not {entry["id"] for entry in quarantined} & installation.ids("sample")


@pytest.mark.parametrize("service", ["flower", "web"])
def test_a_port_that_is_taken(installation: Installation, service: str) -> None:
    """The error names the setting, and nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = installation.changed("[redis]", f"[{service}]\nport = {port}\n[redis]")
        done = taken.process("up", service)
    assert done.returncode == 1
    assert f"[{service}] address, port" in done.stderr
    assert processes_of(installation) == {}


def test_status_and_health_without_a_fleet(installation: Installation) -> None:
    """Where nothing runs both say so, with exit status 1."""
    alone = installation.changed("unix://", "unix:///nowhere")
    status = alone.patchsync("status")
    assert status.returncode == 1
    unset = "no Redis answers at /nowhere/"
    assert f"fleet: {unset}" in status.stdout
    health = alone.patchsync("health", "fetch")
    assert health.returncode == 1
    assert unset in health.stdout
    embedded = installation.changed(alone.config.redis.url.get_secret_value(), "")
    status = embedded.patchsync("status")
    assert (
        "fleet: no fleet of this user runs here, and so no Redis; `patchsync up`" in status.stdout
    )


def test_health_where_nothing_of_a_service_runs(installation: Installation) -> None:
    """It says so, with exit status 1, though Redis answers."""
    nobody = installation.patchsync("health", "fetch")
    assert nobody.returncode == 1
    assert "fetch: " in nobody.stdout


def test_a_dashboard_that_all_could_open(installation: Installation) -> None:
    """Open to other machines it wants a login."""
    table = '[flower]\naddress = "0.0.0.0"\nport = 5999\n[redis]'
    done = installation.changed("[redis]", table).patchsync("run", "flower")
    assert done.returncode == 1
    assert "[flower] login_file" in done.stderr
