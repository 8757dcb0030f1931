"""What a page reads of the catalog, and what keeping it up to date costs, at two sizes.

python benchmarks/pages.py
python benchmarks/pages.py --small 40000 --large 1000000       a first catch-up takes minutes
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from statistics import median

import click
from claims import Claim, Measured, report, with_json

from patchsync.config import load
from patchsync.patchwork.shown_patch import ShownPatch
from patchsync.revisions import catalog_mails
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.catalog_file import catalog_path
from patchsync.revisions.catch_up import catch_up
from patchsync.revisions.history import history_of
from patchsync.revisions.mail_head import read_head
from patchsync.revisions.triage import Kind, triage
from patchsync.store.layout import ContainerPaths, IndexEntry, format_line
from patchsync.store.patch_views import PatchViews
from patchsync.sync.projects import Project, find_project, settle

# Mails in four groups: most patches are alone, as on real lists
SIZES = (3, 1, 1, 1)
PARTS = 3  # of every other series; the others are patches alone
CALLS = 200
BEGAN, SPAN = 1_300_000_000, 400_000_000  # seconds: a list of thirteen years
SEARCHES = ("fix", "scsij usba", "author77", "driv", "zzz")
RECORDED = "what lists show of all"
STATES = {0: "new", 7: "under-review"}
KINDS: tuple[Kind, ...] = ("done", "unanswered")
NEW = 4  # mails that come at once
WORDS = [f"{first}{second}" for first in ("usb", "net", "arm", "scsi") for second in "abcdefghij"]


@click.command(help=__doc__)
@click.option("--small", default=4_000, show_default=True, help="Patches.")
@click.option("--large", default=40_000, show_default=True, help="Patches; 0: none.")
@with_json
def main(small: int, large: int, to: Path | None) -> None:
    kept: list[Measured] = []
    read: list[Measured] = []
    remarks = []
    for patches in filter(None, (small, large)):
        who = f"{patches:,} patches"
        with tempfile.TemporaryDirectory() as folder:
            pages = Pages(Path(folder), patches)
            for what, seconds in pages.measured():
                measured = Measured(who=who, case=what, samples=(1000 * seconds,))
                (kept if what == RECORDED or "catch-up" in what else read).append(measured)
            size = catalog_path(pages.config).stat().st_size
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        remarks.append(f"{who}: the catalog's file {size / 2**20:.0f} MiB, memory {peak:.0f} MiB")
    report(
        [
            Claim(
                title="Keeping the catalog of the pages up to date",
                unit="ms",
                wanted="after the first time by what is new",
                holds=None,
                measured=tuple(kept),
                remarks=(*remarks, "Mails are made up as they are read; groups are read whole."),
            ),
            Claim(
                title="What pages read of the catalog",
                unit="ms",
                wanted="of a large list hardly more than of a small one, but for searches",
                holds=None,
                measured=tuple(read),
                remarks=("the median of many, by the clock",),
            ),
        ],
        to,
    )


class Pages:
    """A store whose mails are made up as they are read, its groups, and its catalog."""

    def __init__(self, folder: Path, patches: int) -> None:
        file = folder / "patchsync.toml"
        file.write_text(
            '[mbox.patchwork]\nurl = "https://patchwork.example.org"\nproject_ids = [1]\n'
        )
        self.config = load(file)
        self._patches = patches
        self._paths = ContainerPaths(
            d_mbox=self.config.d_mbox, listaddr="list@example.org", project_id=1
        )
        settle(self.config, Project(key="1", name="sample", paths=self._paths))
        self._paths.index.parent.mkdir(parents=True)
        self._append(range(1, patches + 1))
        self._write_groups(patches, commits=True)

    def measured(self) -> Iterator[tuple[str, float]]:
        """What was done, and the seconds that it took (median, of what is done often)."""
        catalog_mails.MailRows._read = made_up  # type: ignore[method-assign,assignment]
        yield "a first catch-up", timed(lambda: catch_up(self.config))
        yield "a catch-up with nothing new", often(lambda: catch_up(self.config))
        first = self._patches + 1
        self._append(range(first, first + NEW))
        yield f"a catch-up with {NEW} new mails", timed(lambda: catch_up(self.config))
        self._write_groups(self._patches + NEW, commits=True)
        yield "a catch-up with their groups", timed(lambda: catch_up(self.config))
        random = Random(1)

        def some() -> str:
            return name(random.randint(1, self._patches))

        with Catalog.open(self.config) as catalog:
            assert catalog.mail(some()) and catalog.series(some()) and catalog.page(1, search="fix")
            yield "open", often(lambda: Catalog.open(self.config).close())
            yield "mail", often(lambda: catalog.mail(some()))
            yield (
                "patch id",
                often(lambda: catalog.mails_of_patch(random.randint(1, self._patches))),
            )
            yield "group", often(lambda: catalog.group_of(some()))
            yield "series", often(lambda: catalog.series(some()))
            yield "page, the newest", often(lambda: catalog.page(1))
            last = catalog.page(1, before=(BEGAN + SPAN / 2, ""))[-1]
            before = last.date, last.message_id
            yield "page, in the middle", often(lambda: catalog.page(1, before=before))
            one_file = f"file{self._patches // 2}"
            for search in (*SEARCHES, one_file):
                what = "search, one file" if search == one_file else f"search, {search}"
                yield what, often(partial(catalog.page, 1, search=search), 20)
                yield (
                    f"{what}, in the middle",
                    often(partial(catalog.page, 1, search=search, before=before), 20),
                )
            yield (
                "patches a day, of a year",
                often(lambda: catalog.sums.patches_per_day(1, now=BEGAN + SPAN), 5),
            )
            yield "history", often(lambda: history_of(self.config, catalog, some()))
            project = find_project(self.config, "1")
            assert project
            yield RECORDED, timed(self._record_views)
            for kind in KINDS:
                page = partial(triage, self.config, catalog, project, kind)
                assert len(page().patches) > 1
                yield f"triage, {kind}", often(page, 20)
                yield f"triage, {kind}, in the middle", often(partial(page, before=first // 2), 20)
            yield "revisions of a group", often(catalog.sums.revisions_per_group, 5)
            yield "days to upstream", often(catalog.sums.days_to_upstream, 5)

    def _record_views(self) -> None:
        """One patch in ten is open."""
        with PatchViews(self._paths) as views:
            for first in range(1, self._patches, 250):
                numbers = range(first, first + 250)
                shown = [
                    ShownPatch(patch_id=each, state=STATES.get(each % 20, "accepted"))
                    for each in numbers
                ]
                views.record(shown, time.time())

    def _append(self, numbers: range) -> None:
        with self._paths.index.open("ab") as index:
            for number in numbers:
                date = BEGAN + number * SPAN // self._patches
                day = time.strftime("%Y/%m/%d", time.gmtime(date))
                # In place of a file's md5: what `made_up` makes the mail of
                md5 = f"{date:016x}{number:016x}"
                index.write(format_line(IndexEntry(number, day, name(number), md5)))

    def _write_groups(self, patches: int, *, commits: bool) -> None:
        with self.config.patch_groups.open("w") as output:
            first = group = 1
            while first <= patches:
                size = min(SIZES[group % len(SIZES)], patches - first + 1)
                names = " ".join(name(first + more) for more in range(size))
                commit = f" => {group:040x}" if commits and group % 3 == 0 else ""
                output.write(f"{names}{commit}\n")
                first, group = first + size, group + 1


def made_up(_: catalog_mails.MailRows, patch: catalog_mails.PatchRow) -> catalog_mails.MailRow:
    """In place of reading a file: what a mail of usual length says."""
    date, number = int.from_bytes(patch.md5[:8], "big"), int.from_bytes(patch.md5[8:], "big")
    part = number % (2 * PARTS)
    prefix = f"v{number % 4 + 1} {part + 1}/{PARTS}" if part < PARTS else ""
    cover = f"References: {name(number - part)[:-1]}cover>\n" if part < PARTS else ""
    head = read_head(
        f"From: Author {number % 5000} <author{number % 5000}@example.org>\n"
        f"Subject: [PATCH {prefix}] {WORDS[number % 40]}: fix {WORDS[number % 39]} of {number}\n"
        f"{cover}\n--- a/drivers/{WORDS[number % 38]}/file{number}.c\n"
        f"+++ b/drivers/{WORDS[number % 38]}/file{number}.c\n".encode()
    )
    return catalog_mails.row_of(head, patch.md5, float(date))


def name(number: int) -> str:
    """A message-id."""
    return f"<{number:020d}.of-usual-length@example.org>"


def timed(work: Callable[[], object]) -> float:
    """How many seconds it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def often(work: Callable[[], object], calls: int = CALLS) -> float:
    """The median."""
    return median(timed(work) for _ in range(calls))


if __name__ == "__main__":
    main()
