"""Whatever comes in whatever order, and is stopped wherever: the groups are those from scratch."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import pytest
from analysis_fakes import FakeMail, Store, code, mail, name, patch_text, run_here, version
from upstream_fakes import Upstream, tables

MAILS = 40
TABLES = (
    "",
    "[analysis.thresholds]\nautoaccept = 0.9\n",
    "[analysis.thresholds]\nfilename = 0.7\nheading = 0.5\nauthor_date_interval = 3\n",
    "[analysis.thresholds]\nmessage_diff_weight = 0.9\ndiff_lines_ratio = 0.0\n",
)
DAYS = ("1990-01-01", "2020-01-02", "2020-01-03")


class Stopped(BaseException):
    """As if the process was killed."""


@contextmanager
def stopped_at(call: int) -> Iterator[None]:
    """Stop before the nth call of a C function, of SQLite's for example, from the engine."""
    calls = 0
    connect = sqlite3.connect
    opened = []

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        # Not in the store's: a lock that a process holds goes only with the process.
        if event == "c_call" and "/patchsync/analysis/" in frame.f_code.co_filename:
            calls += 1
            if calls > call:
                raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", connected)
        patch.setattr("patchsync.analysis.builtin.engine.run_in_child", run_here)
        sys.setprofile(count)
        try:
            yield
        except Stopped:
            pass
        finally:
            sys.setprofile(None)
    for connection in opened:  # As they are when a process ends.
        connection.close()


def some_mail(random: Random, patch_id: int, commits: list[str]) -> FakeMail:
    """Mostly a version of one of three patches, somewhere between those that are too different."""
    others = {
        "date": f"2020/01/0{random.randint(1, 4)}",
        "seconds": random.randrange(6) * 86_000,
        "message_id": name(patch_id if random.random() < 0.8 else random.randrange(1, MAILS)),
    }
    if random.random() < 0.1 and commits:
        said = f"Picked from {random.choice(commits)}."
        return mail(patch_id, patch_text("Some pick", code(patch_id), body=said), **others)
    if random.random() < 0.1:
        return mail(patch_id, "Subject: a question\n\nWhy?", **others)
    first = random.randrange(12)
    changed = range(first, first + random.randrange(5))
    return version(patch_id, random.randrange(3), changed, **others)


class History:
    """Things that happen to a store."""

    def __init__(self, store: Store, upstream: Upstream, random: Random) -> None:
        self._store = store
        self._upstream = upstream
        self._random = random
        self._coming = random.sample(range(1, MAILS), MAILS - 1)
        self._commits: list[str] = []
        self._tables, self._day, self._repository = "", DAYS[0], ""

    @property
    def over(self) -> bool:
        """Whether all mails have come."""
        return not self._coming

    def go_on(self) -> None:
        """One thing more."""
        for happens, how_often in (
            (self.mails_come, 0.8),
            (self.mails_go, 0.2),
            (self.commits_come, 0.4),
            (self.the_branch_is_moved, 0.1),
            (self.somebody_marks, 0.3),
            (self.mails_are_invalid, 0.1),
            (self.somebody_configures, 0.25),
            (self.the_cache_goes, 0.05),
        ):
            if self._random.random() < how_often:
                happens()

    def mails_come(self) -> None:
        """Some, of one project or the other."""
        number = self._random.choice((1, 1, 2, 5, 12))
        some, self._coming = self._coming[:number], self._coming[number:]
        mails = [some_mail(self._random, number, self._commits) for number in some]
        self._store.put(*mails, project=self._random.choice((1, 1, 2)))

    def mails_go(self) -> None:
        """From one of the indexes."""
        project = self._random.choice((1, 2))
        if self._store.paths(project).index.exists():
            self._store.take_out(*map(name, self._some(3)), project=project)

    def commits_come(self) -> None:
        """Versions of the same patches."""
        for _ in range(self._random.randrange(1, 4)):
            first = self._random.randrange(12)
            self._commits.append(self._upstream.commit(self._random.randrange(3), first, first + 2))

    def the_branch_is_moved(self) -> None:
        """To any commit of before; or some are barred, or none."""
        if self._commits and self._random.random() < 0.5:
            self._upstream.rewind(self._random.choice(self._commits))
        barred = (each for each in self._commits if self._random.random() < 0.2)
        self._blacklist.write_text("".join(f"{each}\n" for each in barred))

    @property
    def _blacklist(self) -> Path:
        return self._upstream.folder.with_name("blacklist")

    def somebody_marks(self) -> None:
        """Other false positives than before, maybe none."""
        lines = (
            f"{name(origin)} {' '.join(map(name, self._some(4)))}\n" for origin in self._some(8)
        )
        self._store.mark("".join(lines if self._random.random() < 0.7 else ()))
        if self._commits:
            pairs = ((name(mail), self._random.choice(self._commits)) for mail in self._some(3))
            self._store.mark("".join(f"{a} {b}\n" for a, b in pairs), "mbox-upstream")

    def mails_are_invalid(self) -> None:
        """Others than before."""
        self._store.config.d_mbox.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"{name(each)}\n" for each in self._some(2))
        (self._store.config.d_mbox / "invalid").write_text(lines)

    def somebody_configures(self) -> None:
        """Other thresholds, another window, or the repository, or none."""
        what = self._random.randrange(3)
        if what == 0:
            self._tables = self._random.choice(TABLES)
        elif what == 1:
            self._day = self._random.choice(DAYS)
        else:
            barring = f'upstream_blacklist = "{self._blacklist}"'
            self._repository = self._random.choice(("", tables(self._upstream, barring)))
        self.configure()

    def configure(self) -> None:
        """As it is to be now."""
        window = f"{PASTA}MINDATE = {self._day}\n"
        self._store.configure(f"{window}{self._repository}\n{self._tables}")

    def the_cache_goes(self) -> None:
        """Somebody removes it."""
        self._store.cache.unlink(missing_ok=True)

    def _some(self, number: int) -> list[int]:
        return [self._random.randrange(1, MAILS) for _ in range(number)]


PASTA = """
[PaStA]
AUTOACCEPT_THRESHOLD = 0.82
INTERACTIVE_THRESHOLD = 1.1
DIFF_LINES_RATIO = 0.4
MESSAGE_DIFF_WEIGHT = 0.3
[mbox]
"""


FEW, MANY = range(4), range(4, 100)


@pytest.mark.parametrize(
    "number", [*FEW, *(pytest.param(number, marks=pytest.mark.long) for number in MANY)]
)
def test_any_history_ends_as_from_scratch(tmp_path: Path, random: Random, number: int) -> None:
    """Mails in any order and in any batches, marks, windows and thresholds, and being stopped."""
    store = Store(tmp_path / "store")
    upstream = Upstream(tmp_path / "upstream.git")
    tmp_path.joinpath("blacklist").touch()
    history = History(store, upstream, random)
    grouped = False
    while not history.over:
        history.go_on()
        for _ in range(random.choice((0, 0, 1, 3))):
            with stopped_at(int(10 ** random.uniform(1, 4.3))):
                store.update()
        if random.random() < 0.5:
            store.update()
            assert store.text == store.from_scratch()
            grouped = grouped or any(" " in line for line in store.groups)
    store.update()
    assert store.text == store.from_scratch()
    assert grouped
