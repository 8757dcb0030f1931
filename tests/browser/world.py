"""What the pages show in the tests of the browser: sample patches, a hostile one in two versions,
all that Patchwork and the repository say of them, and the service itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.header import Header
from pathlib import Path

import requests

from patchsync.config import FILE_VARIABLE
from patchsync.fleet.parent_death import die_with_parent
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import parse_mail
from patchsync.patchwork.shown_patch import ShownPatch
from patchsync.revisions.catch_up import catch_up
from patchsync.store.patch_views import PatchViews
from patchsync.store.writer import StoreWriter
from patchsync.sync.projects import find_project
from standin.process import StandinProcess
from tests.support.inprocess import Workers
from tests.support.installation import Installation, free_port
from tests.support.landing import land
from tests.support.pushing import SINKS, Pushing, placed_store

TABLES = """
[analysis]
repo = "upstream.git"
upstream = "{upstream}"

[web]
port = {port}
url = "http://127.0.0.1:{port}"
archive = "http://127.0.0.1:{port}/nosuch/{{message_id}}"
"""
START_SECONDS = 240

# What would do something, were it not text: run, load, leave its attribute, its element, its line
RUNS = "<script>pwned()</script>"
LOADS = "<img src=//evil.example/x onerror=pwned()>"
LEAVES = "\"'></title></textarea></pre></script>"
ESCAPES = "\x1b[31m\u202egnp.exe"
HOSTILE = f"{RUNS}{LOADS}{LEAVES}"
HOSTILE_IDS = (
    "<a\"'&;/../%2F?#=javascript:pwned()//v1@evil.example>",
    "<a\"'&;/../%2F?#=javascript:pwned()//v2@evil.example>",
)
FIRST_HOSTILE = 900_001
# Of Patchwork's: a state, a user
HOSTILE_NAME = f"under-review{RUNS}"


def hostile_mail(version: int) -> bytes:
    """A patch with something hostile in each field."""
    number, message_id = FIRST_HOSTILE + version - 1, HOSTILE_IDS[version - 1]
    name = Header(f"Mallory {HOSTILE}{ESCAPES}", "utf-8").encode()
    subject = Header(f"[PATCH v{version}] {HOSTILE}{ESCAPES} drivers: do a thing", "utf-8").encode()
    file = f"drivers/{RUNS.replace('/', '_')}.c"
    lines = "".join(f"+\tcall_{line}({line});\n" for line in range(20))
    return (
        f"From patchwork Mon Jan  8 0{version}:00:00 2024\n"
        f"X-Patchwork-Id: {number}\n"
        f"Message-Id: {message_id}\n"
        f"Subject: {subject}\n"
        f"From: {name} <mallory@evil.example>\n"
        f"Date: Wed, 31 Jan 2024 0{version}:00:00 +0000\n"
        "Content-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n"
        "\n"
        f"Say {HOSTILE}{ESCAPES} in version {version}.\n\n"
        f"Signed-off-by: Mallory {LOADS} <mallory@evil.example>\n---\n {file} | 22 +++\n\n"
        f"diff --git a/{file} b/{file}\nindex 1111111..2222222 100644\n--- a/{file}\n+++ b/{file}\n"
        f"@@ -1,2 +1,24 @@ int {HOSTILE}(void)\n int a;\n{lines}"
        f"+\t/* {HOSTILE}{ESCAPES} {version} */\n+\tint version = {version};\n int b;\n"
    ).encode()


@dataclass(frozen=True, kw_only=True)
class World:
    """What there is to look at."""

    url: str
    pushing: Pushing
    # Patchwork ids: three versions of one patch, oldest first
    story: tuple[int, ...]

    @property
    def newest(self) -> int:
        """The newest of the story."""
        return self.story[-1]

    def target_url(self, patch_id: int) -> str:
        """Where the check leads that Patchwork shows on a patch."""
        url = f"{self.pushing.standin.url}/api/1.3/patches/{patch_id}/checks/"
        checks = requests.get(f"{url}?context=pasta&order=-id", timeout=60).json()
        return str(checks[0]["target_url"])


@contextmanager
def running_world(
    folder: Path,
    store: Path,
    standin: StandinProcess,
    workers: Workers,
    *,
    with_hostile: bool = True,
) -> Iterator[World]:
    """Make all of it, and serve it until the block ends; `store`: as `synced_store` made it."""
    port = free_port()
    upstream = land(folder / "upstream.git", _landed(store))
    tables = SINKS + TABLES.format(port=port, upstream=upstream)
    pushing = Pushing(installation=placed_store(store, folder, standin, tables, workers))
    installation = pushing.installation
    _succeed(installation, "analyse")
    pushing.push()
    if with_hostile:
        _receive_hostile(installation)
        _succeed(installation, "analyse")
    assert catch_up(installation.config)
    story = _longest_group(pushing)
    with _serving(installation, port):
        yield World(url=f"http://127.0.0.1:{port}", pushing=pushing, story=story)


def _landed(store: Path) -> list[tuple[bytes, float]]:
    """Some mails of the store, and in how many days they were taken in."""
    mails = [file.read_bytes() for file in sorted(store.glob("raw/*/*/*/*"))]
    last = [mail for mail in mails if b"[PATCH v3" in mail]
    return [(mail, 1.5 * (number * 7 % 23)) for number, mail in enumerate(last[::2])]


def _succeed(installation: Installation, *command: str) -> None:
    done = installation.patchsync(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def _receive_hostile(installation: Installation) -> None:
    project = find_project(installation.config, "sample")
    assert project
    mails = tuple(parse_mail(hostile_mail(version)) for version in (1, 2))
    with StoreWriter(project.paths) as writer:
        assert writer.apply(FetchResult(mails=mails)).stored == 2
    shown = [
        ShownPatch(
            patch_id=mail.patch_id,
            state=HOSTILE_NAME,
            delegate=HOSTILE,
            check=RUNS,
            series_id=1,
            series_name=HOSTILE,
        )
        for mail in mails
    ]
    with PatchViews(project.paths) as views:
        views.record(shown, time.time())


def _longest_group(pushing: Pushing) -> tuple[int, ...]:
    """The patchwork ids, ascending, of a patch that has three versions."""
    ids = {message_id: number for number, message_id in pushing.message_ids.items()}
    groups = [
        line.split(" => ")[0].split() for line in pushing.groups_file.read_text().splitlines()
    ]
    longest = max((group for group in groups if set(group) <= ids.keys()), key=len)
    assert len(longest) == 3
    return tuple(sorted(ids[message_id] for message_id in longest))


@contextmanager
def _serving(installation: Installation, port: int) -> Iterator[None]:
    """`patchsync run web`, until the block ends."""
    log = installation.config.run_dir / "web.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("wb") as output,
        subprocess.Popen(
            die_with_parent(installation.command("run", "web")),
            env=os.environ | {FILE_VARIABLE: str(installation.file)},
            stdout=output,
            stderr=output,
        ) as server,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(port):
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield
        finally:
            server.terminate()
            server.wait(START_SECONDS)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=10).ok
    except requests.RequestException:
        return False
