"""`patchsync demo`: what it tells is what the sample Patchwork then shows."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from patchsync.analysis.groups import read_groups
from patchsync.config import load
from patchsync.fleet.services import local_url
from standin.process import Control, StandinProcess
from tests.support.installation import Installation, processes_of, wait_until

PATCHES = 30
# As the demo, but somebody forgot to start one service; and it waits for nothing of that long.
WITHOUT_PUSH = """
from patchsync.cli import demo
from patchsync.cli.demo_scenario import Scenario
from patchsync.cli.main import main

wanted, first_push = demo.wanted_services, Scenario.first_push

def impatient(self):
    demo.PATIENCE_SECONDS = 2
    first_push(self)

demo.wanted_services = lambda config: tuple(each for each in wanted(config) if each != "push")
Scenario.first_push = impatient
main()
"""


@dataclass(frozen=True)
class Demo:
    """A demo at work, in its folder."""

    folder: Path
    process: subprocess.Popen[str]

    @property
    def said(self) -> str:
        """What it told so far."""
        return (self.folder / "said").read_text()

    @property
    def url(self) -> str:
        """Of its sample Patchwork."""
        (url,) = re.findall(r"answers on (http://\S+)", self.said)
        return str(url)

    @property
    def installation(self) -> Installation:
        """What it has set up."""
        sample = StandinProcess(url=self.url, control=Control(self.url), process=self.process)
        return Installation(sample, load(self.folder / "demo" / "patchsync.toml"))

    def wait_for(self, text: str) -> None:
        """Until it tells this."""
        wait_until(lambda: text in self.said or self.process.poll() is not None, text, 240)
        assert text in self.said, self.said

    def assert_nothing_runs(self) -> None:
        """Neither a process of the fleet nor the sample Patchwork."""
        assert processes_of(self.installation) == {}
        with pytest.raises(requests.ConnectionError):
            requests.get(self.url, timeout=10)


@contextmanager
def running(folder: Path, *program: str, **environment: str) -> Iterator[Demo]:
    """The demo with few patches; `program` takes the command line's arguments."""
    arguments = [*program, "--patches", str(PATCHES), "--folder", str(folder / "demo")]
    with (
        (folder / "said").open("w") as said,
        subprocess.Popen(
            arguments, text=True, stdout=said, stderr=said, env=os.environ | environment
        ) as process,
    ):
        try:
            yield Demo(folder, process)
        finally:
            if process.poll() is None:
                process.terminate()


def command(*arguments: str) -> list[str]:
    """The installed one."""
    return [str(Path(sys.executable).with_name("patchsync")), "demo", *arguments]


def test_what_it_tells_stands_there(tmp_path: Path) -> None:
    """Each relation and check it told of shows in Patchwork; what is set for others is not used."""
    others = {"PATCHSYNC_MBOX__PATCHWORK__URL": "http://127.0.0.1:9/", "PATCHWORK_TOKEN": "wrong"}
    with running(tmp_path, *command("--stay"), **others) as demo:
        demo.wait_for("until Ctrl-C")
        installation, api = demo.installation, f"{demo.url}/api/1.3/patches"
        (gone,) = re.findall(r"^Patch (\d+) is deleted", demo.said, re.MULTILINE)
        assert requests.get(f"{api}/{gone}/", timeout=10).status_code == 404
        told = relations_told(demo.said)
        assert len(told) == 3
        for number, others_of_it in told.items():
            patch = requests.get(f"{api}/{number}/", timeout=10).json()
            assert f"\n  {patch['name']}\n" in demo.said
            assert {str(each["id"]) for each in patch["related"]} == others_of_it - {gone}
        first, newest, _ = told
        for number in (first, newest):
            checks = f"{api}/{number}/checks/?order=-id&per_page=1"
            (check,) = requests.get(checks, timeout=10).json()
            assert f"'{check['state']}: {check['description']}'\n" in demo.said, number

        ids = {line.split(" ")[1]: int(line.split(" ")[3]) for line in all_lines(installation)}
        groups = [
            {ids[name] for name in group.message_ids} - {int(gone)}
            for group in read_groups(installation.config.patch_groups)
        ]
        relations = installation.patchwork.control.state()["relations"]
        assert sorted(relations) == sorted(sorted(each) for each in groups if len(each) > 1)
        assert requests.get(local_url(installation.config, "flower"), timeout=10).status_code == 200
        assert_clicked_through(demo)

        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(120) == 0, demo.said
        demo.assert_nothing_runs()
        assert not installation.config.run_dir.exists()


def assert_clicked_through(demo: Demo) -> None:
    """From the check in Patchwork by the patch's page to what changed: two clicks."""
    (page,) = re.findall(r"to click through: +(\S+)", demo.said)
    newest = page.rpartition("/")[2]
    checks = f"{demo.url}/api/1.3/patches/{newest}/checks/?order=-id&per_page=1"
    (check,) = requests.get(checks, timeout=10).json()
    for address in (page, check["target_url"]):
        revisions = requests.get(address, timeout=60)
        assert revisions.status_code == 200
        (change, *_) = re.findall(r'href="(/diff/[^"]+)">What changed', revisions.text)
        difference = requests.get(page.partition("/r/")[0] + change, timeout=60)
        assert difference.status_code == 200
        assert '<pre class="diff' in difference.text


def relations_told(said: str) -> dict[str, set[str]]:
    """Of each patch that arrived, what it is related to by the last that was told of it."""
    told = {}
    pieces = re.split(r"^Patch (\d+) ", said, flags=re.MULTILINE)
    for number, text in zip(pieces[1::2], pieces[2::2], strict=True):
        for other, related in re.findall(
            r"Patchwork(?:: (\d+) is| shows it) related to (.+)", text
        ):
            told[other or number] = set(related.split(", "))
    return told


def all_lines(installation: Installation) -> list[str]:
    """Of the indexes of both projects."""
    return [*installation.lines("sample"), *installation.lines("neighbour")]


def test_when_nothing_is_pushed_it_fails(tmp_path: Path) -> None:
    """It tells nothing that did not happen: exit status 1, and what was waited for."""
    with running(tmp_path, sys.executable, "-c", WITHOUT_PUSH, "demo") as demo:
        demo.wait_for("The first push")
        assert demo.process.wait(120) == 1
        assert "waited 2 s in vain: Patchwork shows" in demo.said
        assert "what the fleet said: /" in demo.said
        assert "arrives" not in demo.said
        demo.assert_nothing_runs()


def test_stopped_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """Also while the fleet is just being started."""
    with running(tmp_path, *command()) as demo:
        demo.wait_for("The fleet starts")
        demo.process.terminate()
        assert demo.process.wait(120) == 1, demo.said
        demo.assert_nothing_runs()
        assert not demo.installation.config.run_dir.exists()
