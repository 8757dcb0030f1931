"""What one new patch costs, in lists of several lengths: the update of patch-groups, as the fleet's
worker does it, and the whole command `patchsync analyse`.

A list is made up: 10,000 mails are read and grouped as ever, and copies of what the engine keeps
of them, each with files of its own, make it as long as it is to be: as if several subsystems of a
kernel had one list. The new patches are for the first one, and half of them revisions of others.

python benchmarks/one_patch.py --large 1000000     some four minutes, and 3 GB of disk
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from statistics import quantiles

import click
from claims import OURS, Claim, Measured, report, with_json
from patch_mails import FILES, mails

from patchsync.analysis.builtin.cache import PatchCache, cache_path
from patchsync.analysis.update import update_groups
from patchsync.config import FILE_VARIABLE, load
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import Mail
from patchsync.revisions.catch_up import catch_up
from patchsync.store.container import MboxPatchwork
from patchsync.store.identity import Origin, claim
from patchsync.store.layout import ContainerPaths, IndexEntry, format_line
from patchsync.store.writer import StoreWriter

LIST, URL = "list@lists.example.org", "http://127.0.0.1:1"
CONFIG = f"""
[mbox.patchwork]
url = "{URL}"
project_ids = [1]
"""
# The mails that all others are copies of, and how many files their patches touch: as many mails a
# file as in one list of 40,000
BASE = 10_000
BASE_FILES = FILES * BASE // 40_000
WORK_MS, COMMAND_S = 50, 0.4


@click.command(help=__doc__)
@click.option("--small", default=1_535, show_default=True, help="Mails of the small list.")
@click.option("--middle", default=40_000, show_default=True, help="Mails of a larger list.")
@click.option("--large", default=0, show_default=True, help="Mails of a third one; 0: none.")
@click.option("--new", default=200, show_default=True, help="Patches that come one by one.")
@click.option("--commands", default=15, show_default=True, help="Others, by the command.")
@with_json
def main(small: int, middle: int, large: int, new: int, commands: int, to: Path | None) -> None:
    work, whole, catalog, remarks = [], [], [], []
    for number in filter(None, (small, middle, large)):
        with tempfile.TemporaryDirectory() as folder:
            made = MadeUp(Path(folder), number, new + 2 * commands)
            case = f"{made.mails:,} mails"
            groups = made.groups_bytes / 2**20
            seconds = [made.update() for _ in range(new)]
            by_command = [made.command() for _ in range(commands)]
            made.catch_up()
            catching_up = [made.catch_up_with_one() for _ in range(commands)]
        work.append(Measured(who=OURS, case=case, samples=tuple(1000 * each for each in seconds)))
        whole.append(Measured(who=OURS, case=case, samples=tuple(by_command)))
        catalog.append(
            Measured(who=OURS, case=case, samples=tuple(1000 * each for each in catching_up))
        )
        percentile = 1000 * quantiles(seconds, n=100, method="inclusive")[98]
        remarks.append(
            f"{case}: 99th percentile {percentile:.0f} ms of {new}; patch-groups: {groups:.1f} MiB"
        )
    report(
        [
            Claim(
                title="One new patch: the work",
                unit="ms",
                wanted=f"under {WORK_MS} ms in the median",
                holds=all(each.median < WORK_MS for each in work),
                measured=tuple(work),
                remarks=tuple(remarks),
            ),
            Claim(
                title="One new patch: the whole command `patchsync analyse`",
                unit="s",
                wanted=f"under {COMMAND_S} s",
                holds=all(each.median < COMMAND_S for each in whole),
                measured=tuple(whole),
            ),
            Claim(
                title="One new patch: the catalog of the pages brought up to date",
                unit="ms",
                wanted="not in proportion to the list",
                holds=catalog[-1].median < 2 * catalog[0].median if catalog[1:] else None,
                measured=tuple(catalog),
            ),
        ],
        to,
    )


class MadeUp:
    """A store, and what the engine keeps of it."""

    def __init__(self, folder: Path, number: int, new: int) -> None:
        """`number`: of mails, or a little less; `new`: patches that are to come."""
        base = min(number, BASE)
        self._copies = number // base
        self.mails = base * self._copies
        self._paths = ContainerPaths(d_mbox=folder / "resources/mbox", listaddr=LIST, project_id=1)
        claim(self._paths, Origin(url=URL, project_id=1, link_name="list", list_email=LIST))
        file = folder / "patchsync.toml"
        file.write_text(CONFIG)
        self._config = load(file)
        stream = mails(base + new, files=max(1, BASE_FILES * base // BASE))
        self._store([moved(mail, 0) for mail in islice(stream, base)])
        self._new = self._to_come(stream)
        update_groups(self._config, on_progress)
        if self._copies > 1:
            self._copy(base)
            update_groups(self._config, on_progress, overwrite=True)

    @property
    def groups_bytes(self) -> int:
        """How large patch-groups is."""
        groups = self._config.patch_groups
        return sum(each.stat().st_size for each in groups.parent.glob(f"{groups.name}*"))

    def update(self) -> float:
        """Seconds that an update takes after one more patch came, in this process."""
        self._store([next(self._new)])
        begin = time.perf_counter()
        updated = update_groups(self._config, on_progress)
        seconds = time.perf_counter() - begin
        assert updated and (updated.mails, updated.groups) == (1, 1), updated
        return seconds

    def command(self) -> float:
        """Seconds of the command from start to end, after one more patch came."""
        self._store([next(self._new)])
        command = [str(Path(sys.executable).with_name("patchsync")), "analyse"]
        environment = os.environ | {FILE_VARIABLE: str(self._config.source)}
        begin = time.perf_counter()
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        seconds = time.perf_counter() - begin
        assert "1 new mail; 1 group changed" in done.stdout, done.stdout
        return seconds

    def catch_up(self) -> float:
        """Seconds that the catalog takes."""
        begin = time.perf_counter()
        assert catch_up(self._config)
        return time.perf_counter() - begin

    def catch_up_with_one(self) -> float:
        """Seconds that the catalog takes after one more patch came, and is grouped."""
        self.update()
        return self.catch_up()

    def _to_come(self, stream: Iterator[Mail]) -> Iterator[Mail]:
        first = self.mails
        for number, mail in enumerate(stream, 1):
            yield moved(mail, first + number - mail.patch_id)

    def _store(self, some: list[Mail]) -> None:
        with StoreWriter(self._paths) as writer:
            for at in range(0, len(some), 1000):
                writer.apply(FetchResult(mails=tuple(some[at : at + 1000])))

    def _copy(self, base: int) -> None:
        """Have copies of what is there, with files of their own; also in the index."""
        with self._paths.index.open("ab") as index, PatchCache(cache_path(self._config)) as cache:
            sources = {}
            for number in range(base + 1, self.mails + 1):
                sources[number] = f"{number:032x}"
                entry = IndexEntry(number, "2020/01/01", name_of(number), sources[number])
                index.write(format_line(entry))
            sql = cache.sql
            sql.create_function("name_of", 1, name_of)
            sql.create_function("number_of", 1, number_of)
            files = cache.value("SELECT max(id) FROM file")
            most = cache.value("SELECT max(number) FROM patch")
            for copy in range(1, self._copies):
                values = {
                    "mails": copy * base,
                    "more": copy * most,
                    "most": most,
                    "files": copy * files,
                    "all": files,
                    "copy": copy,
                }
                with cache.transaction():
                    for statement in COPY.split(";"):
                        sql.execute(statement, values)
        with MboxPatchwork(LIST, self._config.d_mbox, 1) as container:
            mark = container.news(None).mark
        with PatchCache(cache_path(self._config)) as cache:
            cache.set_note(f"index {self._paths.index_name}", mark)
            cache.set_note("compared", json.dumps([most * self._copies, 0, 0]))
            cache.set_note("written", None)
        (self._config.d_mbox / "patchsync/groups.json").unlink()


COPY = """
INSERT INTO patch (number, name, is_commit, date, is_revert, source, component, grp)
    SELECT number + :more, name_of(number_of(name) + :mails), is_commit, date, is_revert,
    printf('%032x', number_of(name) + :mails), component + :more, grp + :more
    FROM patch WHERE number <= :most;
INSERT INTO shape SELECT number + :more, message, files FROM shape
    WHERE number <= :most;
INSERT INTO file SELECT id + :files, CAST(replace(CAST(name AS TEXT), 'drivers/',
    'drivers/' || :copy || '/') AS BLOB) FROM file WHERE id <= :all;
INSERT INTO touch SELECT file + :files, number + :more, is_commit, lines FROM touch
    WHERE file <= :all;
INSERT INTO part SELECT part / 2 + :copy * 1000003, number + :more,
    is_commit, lines, message, file, deletions, insertions FROM part WHERE number <= :most;
INSERT INTO link SELECT low + :more, high + :more, alike FROM link WHERE high <= :most
"""


def name_of(number: int) -> str:
    """A message-id of usual length. They do not ascend with the numbers."""
    tail = blake2b(b"%d" % number, digest_size=10).hexdigest()
    return f"<{tail}.{number:08d}.git.author@lists.example.org>"


def number_of(name: str) -> int:
    """Of the mail that `name_of` named."""
    return int(name.split(".")[1])


def moved(mail: Mail, by: int) -> Mail:
    """With a number that is so much higher, and its name."""
    number = mail.patch_id + by
    name = name_of(number)
    content = mail.content.replace(mail.message_id.encode(), name.encode())
    return Mail(patch_id=number, message_id=name, date=mail.date, content=content)


def on_progress(what: str, done: int, of: int) -> None:
    """Nobody looks."""


if __name__ == "__main__":
    main()
