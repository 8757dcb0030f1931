"""A store in step with a stand-in Patchwork, groups for it, and what Patchwork then shows."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import requests

from patchsync.push.ledger_file import ledger_path
from patchsync.sync.projects import find_project
from standin.process import TOKEN, StandinProcess
from tests.support.inprocess import Workers, run_command
from tests.support.installation import Installation, configured

# The same mails after each reset, since the seed is the same.
PATCHES = 60
SEED = 5
PROJECTS = ("sample", "neighbour")
COMMIT = "1a2b3c4d5e6f" + "0" * 28
SINKS = """
[push]
answer_seconds = 1
sinks = ["check", "relation"]
"""

Relations = set[frozenset[int]]


@dataclass(kw_only=True)
class Pushing:
    """A synced installation whose groups are written by a test."""

    installation: Installation
    token: str | None = TOKEN
    message_ids: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for project in PROJECTS:
            for line in self.installation.lines(project):
                _, message_id, _, number = line.split(" ")
                self.message_ids[int(number)] = message_id

    @property
    def standin(self) -> StandinProcess:
        return self.installation.patchwork

    @property
    def ledger(self) -> Path:
        return ledger_path(self.installation.config)

    def ids(self, project: str = "sample") -> list[int]:
        """Of the patches of a project, ascending."""
        return sorted(self.installation.ids(project))

    def group(self, *groups: Iterable[int], upstream: dict[int, str] | None = None) -> None:
        """Write patch-groups: these groups by patch ids, and almost each other mail by itself.

        `upstream`: a commit for the group that a patch is in.
        """
        # A mail that is a patch twice stands there once.
        wanted = [sorted({self.message_ids[each] for each in group}) for group in groups]
        placed = {name for group in wanted for name in group}
        # The mail that is a patch twice would have a relation, wherever it stands.
        single = set(self.message_ids.values()) - placed - {self.message_ids[self.ids()[-1]]}
        wanted += [[name] for name in sorted(single)]
        commits = {self.message_ids[each]: commit for each, commit in (upstream or {}).items()}
        lines = []
        for group in wanted:
            found = [commits[name] for name in group if name in commits]
            lines.append(" ".join(group) + (f" => {' '.join(found)}" if found else ""))
        self.groups_file.write_text("".join(f"{line}\n" for line in lines))

    @property
    def groups_file(self) -> Path:
        return self.installation.config.patch_groups

    @property
    def environment(self) -> dict[str, str]:
        """What a command gets the token by."""
        return {"PATCHWORK_TOKEN": self.token} if self.token else {}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`patchsync push` in this process, however it ends; never does it name the token."""
        installation = self.installation
        workers = installation.workers or Workers()
        line = ("push", *arguments)
        return self._told(run_command(installation.config, workers, line, self.environment))

    def process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same as a process of its own, which may run beside others."""
        return self._told(self.installation.process("push", *arguments, **self.environment))

    def _told(self, done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert not self.token or self.token not in said
        return done

    def push(self, *arguments: str) -> str:
        """`patchsync push --yes`, which must succeed; returns what it said."""
        done = self.run("--yes", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def writes(self, *arguments: str) -> dict[str, int]:
        """Push, and count what was written."""
        self.standin.control.reset_stats()
        self.push(*arguments)
        return self.written()

    def written(self) -> dict[str, int]:
        """How many requests since the counts began that change something."""
        methods = self.standin.control.stats()["methods"]
        return {name: count for name, count in methods.items() if name in ("POST", "PATCH")}

    def assert_settled(self) -> None:
        """Another round writes nothing, and reads the API's version and the audit's pages only."""
        self.standin.control.reset_stats()
        done = self.run("--yes")
        assert "wrote: nothing" in done.stdout, done.stdout + done.stderr
        stats = self.standin.control.stats()
        assert stats["methods"].keys() == {"GET"}, stats
        # `other`: a newer version that this Patchwork does not have
        assert stats["kinds"].keys() <= {"other", "root", "patches"}, stats
        assert stats["kinds"].get("other", 0) <= 1, stats
        assert stats["kinds"].get("patches", 0) <= len(PROJECTS), stats

    def relations(self) -> Relations:
        """What the server has."""
        return {frozenset(each) for each in self.standin.control.state()["relations"]}

    def patch(self, patch_id: int) -> dict[str, Any]:
        found: dict[str, Any] = self._get(f"patches/{patch_id}/")
        return found

    def checks(self, patch_id: int) -> list[tuple[str, str]]:
        """State and description of each row of ours, oldest first."""
        rows = self._get(f"patches/{patch_id}/checks/?order=id&per_page=250&context=pasta")
        if isinstance(rows, dict):
            return []  # It was deleted.
        return [(row["state"], row["description"] or "") for row in rows]

    def rows(self) -> dict[int, int]:
        """How many checks each patch has, where it has any."""
        counts = {number: len(self.checks(number)) for number in self.message_ids}
        return {number: count for number, count in counts.items() if count}

    def assert_checks_once(self) -> None:
        """No check stands twice in a row on a patch."""
        for number in self.message_ids:
            rows = self.checks(number)
            assert all(before != after for before, after in pairwise(rows)), (number, rows)

    def by_hand(self, patch_id: int, token: str = TOKEN, **content: object) -> None:
        """A person changes a patch."""
        answer = requests.patch(
            f"{self.standin.url}/api/1.3/patches/{patch_id}/",
            json=content,
            headers={"Authorization": f"Token {token}"},
            timeout=10,
        )
        assert answer.status_code == 200, answer.text

    def lose_ledger(self) -> None:
        for file in self.ledger.parent.glob(f"{self.ledger.name}*"):
            file.unlink()

    def let_claims_expire(self) -> None:
        """As if the time for a lost answer had passed."""
        self.ask_ledger("UPDATE entry SET claimed_at = claimed_at - 100000")
        self.ask_ledger("DELETE FROM note WHERE name = 'relations under way since'")

    def ask_ledger(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.ledger)) as sql, sql:
            return sql.execute(statement).fetchall()

    def troubles(self, sink: str) -> dict[int, str]:
        """By patch id, what kind of trouble the ledger has noted."""
        rows = self.ask_ledger(f"SELECT patch_id, trouble FROM entry WHERE sink = '{sink}'")
        return {number: trouble for number, trouble in rows if trouble}

    @cached_property
    def _session(self) -> requests.Session:
        """One connection for the many looks of a test."""
        return requests.Session()

    def _get(self, path: str) -> Any:
        return self._session.get(f"{self.standin.url}/api/1.3/{path}", timeout=10).json()


def reset(standin: StandinProcess) -> None:
    """Have the stand-in serve the patches that are in the store, and nothing else."""
    standin.control.reset(patches=PATCHES, seed=SEED)
    make_twin(standin)


def make_twin(standin: StandinProcess) -> tuple[int, int]:
    """Have the last patch of each project be the same mail; the ids."""
    first, second = (standin.control.ids(project)[-1] for project in PROJECTS)
    url = f"{standin.url}/api/1.3/patches/{first}/"
    standin.control.replace(second, requests.get(url, timeout=10).json()["msgid"])
    return first, second


def synced_store(folder: Path, standin: StandinProcess, workers: Workers) -> Path:
    """The store that a sync makes of these patches, to be copied: `placed_store`."""
    reset(standin)
    installation = configured(folder, standin, workers=workers)
    installation.sync()
    return installation.config.d_mbox


def placed_store(
    store: Path,
    folder: Path,
    standin: StandinProcess,
    extra: str,
    workers: Workers | None = None,
) -> Installation:
    """An installation with that store, and the stand-in that it was made of as it was then."""
    reset(standin)
    installation = configured(folder, standin, extra, workers=workers)
    shutil.copytree(store, installation.config.d_mbox)
    for project in PROJECTS:
        assert find_project(installation.config, project), "the store is not this Patchwork's"
    return installation
