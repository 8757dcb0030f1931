"""Ways to ask a Patchwork for what is new: what each costs, and what it misses.

python benchmarks/asking.py
python benchmarks/asking.py --long 1000000                     it takes 15 s and 1.5 GB to start
python benchmarks/asking.py --url http://127.0.0.1:8000 --project linux --project small

Beside the highest id and the count with bisection: descending pages until one has nothing new,
`since=` a date, and `events/`. That so many patches are new is played by holding so many fewer, so
nothing is written. The mails are left out. What is missed is tried out on the sample Patchwork.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
import requests
from asking_losses import losses
from asking_ways import BISECTION, Spent, all_ways, metered
from claims import Claim, Measured, report, with_json

from patchsync.patchwork.client import Client
from patchsync.patchwork.paging import LARGEST_PAGE, Page
from patchsync.patchwork.rate_limit import LocalRateLimiter
from standin.process import running_standin

LONG = "long"
SERVER = "ms of the server"
Samples = dict[tuple[str, str], list[Spent]]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A project on its server, and its ids, ascending."""

    url: str
    key: str
    ids: list[int]


@click.command(help=__doc__)
@click.option("--url", help="A Patchwork; nothing is written there. Without it, the sample one.")
@click.option("--project", "projects", multiple=True, help="Its projects: number or link name.")
@click.option(
    "--ids",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="All ids of each project, one a line; without it all its pages are listed first.",
)
@click.option(
    "--long", "sizes", multiple=True, type=int, default=(1_000, 100_000), show_default=True
)
@click.option(
    "--new",
    "numbers",
    multiple=True,
    type=int,
    default=(0, 1, 100, 10_000),
    show_default=True,
    help="Patches that are new.",
)
@click.option("--runs", default=3, show_default=True, help="Of each.")
@with_json
def main(
    *,
    url: str | None,
    projects: tuple[str, ...],
    files: tuple[Path, ...],
    sizes: tuple[int, ...],
    numbers: tuple[int, ...],
    runs: int,
    to: Path | None,
) -> None:
    if bool(url) != bool(projects):
        raise click.UsageError("--url and --project need each other.")
    if files and len(files) != len(projects):
        raise click.UsageError("--ids wants a file for each --project.")
    samples: Samples = {}
    if url is not None:
        for number, key in enumerate(projects):
            ids = _read(files[number]) if files else _listed(url, key)
            measure(Asked(url=url, key=key, ids=ids), numbers, runs, samples)
    else:
        for size in sizes:
            with running_standin("--patches=0", f"--long={size}") as standin:
                ids = list(range(1, size + 1))  # It has no other patches.
                measure(Asked(url=standin.url, key=LONG, ids=ids), numbers, runs, samples)
    report([*costs(samples, real=url is not None), losses()], to)


def measure(asked: Asked, numbers: Sequence[int], runs: int, samples: Samples) -> None:
    """Each way in turn, for each number of new patches, so many times."""
    Client(asked.url, LocalRateLimiter()).newest(asked.key)  # Its first answer may take it longer.
    for new in numbers:
        if new >= len(asked.ids):
            continue
        held = asked.ids[: len(asked.ids) - new]
        looked, event = _dates_of(asked, held[-1])
        for _ in range(runs):
            for name, way in all_ways(asked.url, asked.key, held, looked, event).items():
                with metered() as spent:
                    way.look(looked)
                if way.held != set(asked.ids):
                    lacking = len(set(asked.ids) - way.held)
                    click.echo(f"{name}: {lacking} of {new} new were not found", err=True)
                case = f"{new:,} of {len(asked.ids):,}"
                samples.setdefault((name, case), []).append(spent)


def costs(samples: Samples, *, real: bool) -> list[Claim]:
    """What was spent, in three units."""

    def claim(unit: str, most: float, remark: str, of: Callable[[Spent], float]) -> Claim:
        measured = tuple(
            Measured(who=who, case=case, samples=_samples([of(spent) for spent in spents]))
            for (who, case), spents in samples.items()
        )
        quiet = [m for m in measured if m.who == BISECTION and m.case.startswith("0 of ")]
        told = bool(quiet) and (real or unit != SERVER)
        return Claim(
            title=f"Asking for what is new: {unit}",
            unit=unit,
            wanted=f"{most:g} at most where nothing is, in a project of any size",
            holds=all(each.median <= most for each in quiet) if told else None,
            measured=measured,
            remarks=(remark,),
        )

    server = "a real Patchwork" if real else "the sample Patchwork, whose lists are in memory"
    return [
        claim(
            "requests",
            1,
            "so many patches are new, of so many; rounds until one says that all is in step",
            lambda spent: float(spent.requests),
        ),
        claim(
            "kB",
            2,
            "of the lists; the mails cost the same in every way",
            lambda spent: spent.bytes / 1000,
        ),
        claim(
            SERVER,
            100,
            f"until each answer began, one request at a time, from {server}",
            lambda spent: spent.seconds * 1000,
        ),
    ]


def _samples(values: list[float]) -> tuple[float, ...]:
    """One, where all are the same: they are counted, not timed."""
    return tuple(values) if len(set(values)) > 1 else (values[0],)


def _listed(url: str, key: str) -> list[int]:
    """All ids of a project, page by page."""
    client = Client(url, LocalRateLimiter())
    ids: list[int] = []
    number = 1
    while (listing := client.list_page(key, Page("id", LARGEST_PAGE, number))) is not None:
        ids += listing.answer.ids
        if listing.answer.last:
            break
        number += 1
    return sorted(set(ids))


def _read(file: Path) -> list[int]:
    return sorted({int(line) for line in file.read_text().split()})


def _dates_of(asked: Asked, patch_id: int) -> tuple[datetime, datetime]:
    """The date of a patch, and of the event that it was created."""
    api = f"{asked.url}/api/1.2"
    patch = requests.get(f"{api}/patches/{patch_id}/", timeout=60).json()
    query = {"category": "patch-created", "patch": str(patch_id)}
    (event,) = requests.get(f"{api}/events/", params=query, timeout=600).json()
    return datetime.fromisoformat(patch["date"]), datetime.fromisoformat(event["date"])


if __name__ == "__main__":
    main()
