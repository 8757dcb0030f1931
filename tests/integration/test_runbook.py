"""docs/runbook.md: each bad day in it is caused, reads as it says, and ends by what it advises."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import redis

from patchsync import status
from patchsync.errors import StoreNotWritable
from patchsync.fleet.heartbeat import Heartbeats, Member
from standin.process import TOKEN, Control, StandinProcess
from tests.support.inprocess import Workers
from tests.support.installation import Installation
from tests.support.pushing import SINKS, Pushing, placed_store

DOCUMENT = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
SECTIONS = dict(re.findall(r"(?ms)^## (.+?)\n(.*?)(?=^## |\Z)", DOCUMENT))


@dataclass
class Day:
    """An installation in step, and what was said on it when something was wrong."""

    installation: Installation
    redis: redis.Redis
    monkeypatch: pytest.MonkeyPatch
    said: str = ""

    @property
    def control(self) -> Control:
        return self.installation.patchwork.control

    @property
    def workers(self) -> Workers:
        assert self.installation.workers
        return self.installation.workers

    def say(self, *arguments: str, status: int, **environment: str) -> str:
        """Run a command, which must end so; what it says is what is wrong."""
        done = self.installation.patchsync(*arguments, **environment)
        assert done.returncode == status, done.stdout + done.stderr
        self.said += done.stdout + done.stderr
        return done.stdout

    def change(self, old: str, new: str) -> None:
        """Another text in the configuration."""
        self.installation = self.installation.changed(old, new)

    def assert_in_step(self, *arguments: str) -> None:
        """The next sync goes through, and `status` is content."""
        assert "in step" in self.installation.sync()
        done = self.installation.patchsync("status", *arguments)
        assert done.returncode == 0, done.stdout


def expired_token(day: Day) -> None:
    pushing = Pushing(installation=day.installation)
    ids = pushing.ids()
    pushing.group(ids[:3])
    pushing.push()
    pushing.group(ids[:3], ids[3:5])
    with day.workers.running("push"):
        day.installation.patchsync("enqueue", "push.plan", "sample", PATCHWORK_TOKEN="expired")
    day.say("status", status=1)
    day.say("check", status=1, PATCHWORK_TOKEN="expired")
    assert "2 " in pushing.push("--retry")
    with day.workers.running("push"):
        day.installation.patchsync("enqueue", "push.plan", "sample", PATCHWORK_TOKEN=TOKEN)


def renamed_project(day: Day) -> None:
    day.control.rename("sample", "new-name")
    day.say("sync", "--patience", "1", status=1)
    day.say("status", status=1)
    day.say("check", status=1)
    day.control.reset_stats()
    day.change('id = "sample"', 'id = "new-name"')
    day.say("sync", "--patience", "1", status=1)
    (origin,) = re.findall(r"remove (\S+/origin\.json)", day.said)
    Path(origin).unlink()
    day.assert_in_step()
    assert "mbox" not in day.control.stats()["kinds"], "nothing is downloaded again"


def halted_project(day: Day) -> None:
    newest = day.control.ids("sample")[-1]
    lines = map(str.split, day.installation.lines("sample"))
    (stored,) = (message_id for _, message_id, _, number in lines if int(number) == newest)
    day.control.replace(newest, "<another@example.org>")
    day.say("sync", "--patience", "1", status=1)
    day.say("status", status=1)
    day.control.replace(newest, stored)
    day.say("resume", "-p", "sample", status=0)
    day.assert_in_step()


def left_alone(day: Day) -> None:
    day.control.fault("status", status=503, retry_after="3000")
    day.say("sync", "--patience", "1", status=1)
    day.say("status", status=0)
    day.say("resume", status=1)
    day.say("resume", "--yes", status=0)
    day.assert_in_step()


def spent_budget(day: Day) -> None:
    day.change("[schedule]", "[patchwork]\nrequests_per_day = 6\n[schedule]")
    day.say("sync", "--patience", "1", status=1)
    day.say("status", status=0)
    day.change("requests_per_day = 6", "requests_per_day = 6000")
    day.assert_in_step()


def clock_set_back(day: Day) -> None:
    for file in day.installation.config.d_mbox.glob("patchsync/*/round.json"):
        record = json.loads(file.read_bytes())
        file.write_text(json.dumps(record | {"at": record["at"] + 86400}))
    day.say("status", status=1)
    day.assert_in_step()


def full_disk(day: Day) -> None:
    day.control.add("sample", 1)
    with day.monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
        day.say("sync", "--patience", "1", status=1)
        day.say("status", status=1)
        day.say("check", status=1)
    day.assert_in_step()


def full_redis(day: Day) -> None:
    day.redis.config_set("maxmemory", 1000)
    day.say("status", status=1)
    day.say("check", status=1)
    day.redis.config_set("maxmemory", 0)
    day.assert_in_step()


def dead_service(day: Day) -> None:
    heartbeats = Heartbeats(day.redis, day.installation.config.namespace)
    for service in ("fetch", "index", "analyse", "beat"):
        heartbeats.note(Member(service=service))
    day.say("status", status=1)
    heartbeats.note(Member(service="probe"))
    assert "WRONG" not in day.say("status", status=0)


def quarantined_mail(day: Day) -> None:
    day.change("[schedule]", "[patchwork]\nmax_mail_bytes = 20000\n[schedule]")
    (large,) = day.control.add("sample", 1)
    day.control.rewrite(large, "x" * 30000)
    day.say("sync", status=0)
    day.say("status", status=0)
    day.change("max_mail_bytes = 20000", "max_mail_bytes = 40000")
    with day.workers.running("probe", "fetch", "index"):
        day.say("enqueue", "fetch.fetch_patches", "sample", f"[{large}]", status=0)
    assert large in day.installation.ids("sample")
    day.assert_in_step()


def tenfold_list(day: Day) -> None:
    day.control.add("sample", 400)
    with day.workers.running("probe"):
        day.say("enqueue", "fetch.probe", "sample", status=0)
    day.say("status", status=1)
    day.redis.flushall()
    day.assert_in_step()


DAYS: dict[str, tuple[Callable[[Day], None], str]] = {
    "The token has expired": (expired_token, SINKS),
    "A project was renamed": (renamed_project, ""),
    "A project is halted": (halted_project, ""),
    "Nobody asks the Patchwork": (left_alone, ""),
    "The day's budget is spent": (spent_budget, ""),
    "A clock was set back": (clock_set_back, ""),
    "The disk is full": (full_disk, ""),
    "Redis is full": (full_redis, ""),
    "A service is dead": (dead_service, ""),
    "A mail is quarantined": (quarantined_mail, ""),
    "A list grows tenfold": (tenfold_list, ""),
}


@pytest.fixture
def day(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    synced: Path,
    shared_standin: StandinProcess,
    workers: Workers,
    shared_redis: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> Day:
    """The last round was a moment ago."""
    extra = f"[schedule]\nprobe_seconds = 60\n{request.param}"
    installation = placed_store(synced, tmp_path, shared_standin, extra, workers)
    installation.sync()
    return Day(installation, shared_redis, monkeypatch)


def masked(text: str, day: Day) -> list[str]:
    """The lines without what differs from day to day: numbers, and where things lie."""
    text = text.replace(day.installation.patchwork.url, "https://patchwork.example.org")
    text = text.replace(str(day.installation.file.parent), "/srv/pasta")
    text = re.sub(r"\d+(\.\d+)?", "0", text)
    return [" ".join(line.split()) for line in text.split("\n")]


@pytest.mark.parametrize(
    ("title", "day"), [(title, extra) for title, (_, extra) in DAYS.items()], indirect=["day"]
)
def test_a_bad_day_reads_as_in_the_runbook(title: str, day: Day) -> None:
    """All that it quotes was said, and what it advises helped."""
    DAYS[title][0](day)
    said = masked(day.said, day)
    print("\n".join(["", "=== " + title, day.said]))
    quoted = [
        line
        for block in re.findall(r"(?s)```text\n(.*?)```", SECTIONS[title])
        for line in masked(block, day)
        if line
    ]
    assert quoted
    assert [line for line in quoted if line not in said] == []


def test_each_bad_day_of_the_runbook_is_caused() -> None:
    """And none is caused that it does not have."""
    assert list(SECTIONS) == list(DAYS)


@pytest.mark.parametrize("day", [""], indirect=True)
def test_status_of_a_disk_without_any_room(day: Day) -> None:
    """What cannot be read is said of its project; the rest is told, for machines, too."""
    full = StoreNotWritable("side-index.sqlite: the disk is full; free some space")
    with day.monkeypatch.context() as patch:
        patch.setattr(status, "holdings", mock.Mock(side_effect=full))
        said = day.say("status", status=1)
        machines = json.loads(day.say("status", "--json", status=1))
    assert f"sample: cannot be read: {full}\n" in said
    assert f"WRONG\n  sample cannot be read: {full}\n" in said
    assert [project["unreadable"] for project in machines["projects"]] == [str(full)] * 2
