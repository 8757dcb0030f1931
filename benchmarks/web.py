"""What a page costs: seconds of work in a small and in a large store, side by side.

python benchmarks/web.py
python benchmarks/web.py --patches 40000 --patches 1000000 --folder /dev/shm/pages

With --folder the stores are kept, and used again.
"""

from __future__ import annotations

import hashlib
import random
import statistics
import tempfile
import time
from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path

import click
from claims import Claim, Measured, report, with_json
from patch_mails import mails

from patchsync.config import Config, load
from patchsync.patchwork.shown_patch import ShownPatch
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.catch_up import catch_up
from patchsync.store.identity import Origin, claim
from patchsync.store.layout import ContainerPaths
from patchsync.store.patch_views import PatchViews
from patchsync.web.links import BadName
from patchsync.web.pages.charts import CHARTS
from patchsync.web.routes import find
from patchsync.web.site import Site
from patchsync.web.worker import answer, warm_up

LIST = "list@example.org"
URL = "https://patchwork.example.org"
STATES = ("new", "under-review", "accepted", "superseded", "changes-requested")
CHECKS = ("pending", "success", "warning")


@click.command(help=__doc__)
@click.option("--patches", multiple=True, default=[4_000, 40_000], show_default=True)
@click.option("--samples", default=100, show_default=True, help="Requests of each kind.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the stores are kept.")
@with_json
def main(patches: tuple[int, ...], samples: int, folder: Path | None, to: Path | None) -> None:
    measured: list[Measured] = []
    remarks = []
    with nullcontext(str(folder)) if folder else tempfile.TemporaryDirectory() as name:
        for number in patches:
            config = filled(Path(name) / str(number), number)
            began = time.process_time()
            assert catch_up(config)
            who = f"{number:,} patches"
            remarks.append(f"{who}: the catalog took {time.process_time() - began:.1f} s of CPU")
            pages, sizes = measure(config, samples)
            measured += [
                Measured(who=who, case=page, samples=tuple(costs)) for page, costs in pages.items()
            ]
    told = ", ".join(f"{page} {size / 1024:.0f}" for page, size in sizes.items())
    claim = Claim(
        title="CPU of a page",
        unit="ms of CPU",
        wanted="of a large list hardly more than of a small one",
        holds=None,
        measured=tuple(measured),
        remarks=(*remarks, f"KiB of an answer: {told}"),
    )
    report([claim], to)


def filled(folder: Path, patches: int) -> Config:
    """A store of so many mails, their groups, and what Patchwork shows of each."""
    file = folder / "patchsync.toml"
    if file.exists():
        return load(file)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'[mbox.patchwork]\nurl = "{URL}/api/"\n'
        f'projects = [{{ id = "sample", list_email = "{LIST}" }}]\n'
    )
    config = load(file)
    paths = ContainerPaths(d_mbox=config.d_mbox, listaddr=LIST, project_id=1)
    groups: dict[bytes, list[str]] = defaultdict(list)
    paths.index.parent.mkdir(parents=True)
    with paths.index.open("w") as index:
        for mail in mails(patches):
            md5 = hashlib.md5(mail.content).hexdigest()
            target = paths.mail(mail.date, md5)
            if not target.parent.exists():
                target.parent.mkdir(parents=True)
            target.write_bytes(mail.content)
            index.write(f"{mail.date} {mail.message_id} {md5} {mail.patch_id}\n")
            # Revisions of one patch keep its subject.
            groups[mail.content.partition(b"Subject: ")[2].partition(b"\n")[0]].append(
                mail.message_id
            )
    config.patch_groups.write_text("".join(f"{' '.join(group)}\n" for group in groups.values()))
    claim(paths, Origin(url=URL, project_id=1, link_name="sample", list_email=LIST))
    chance = random.Random(1)
    with PatchViews(paths) as views:
        for first in range(1, patches + 1, 1000):
            some = range(first, min(first + 1000, patches + 1))
            views.record(
                [
                    ShownPatch(
                        patch_id=number,
                        state=chance.choice(STATES),
                        archived=False,
                        check=chance.choice(CHECKS),
                    )
                    for number in some
                ],
                time.time() - 60,
            )
    return config


def measure(config: Config, samples: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Milliseconds of CPU of each kind of page, and bytes; the site is warm, as one in use."""
    site = Site(config)
    warm_up(site)
    chance = random.Random(2)
    with Catalog.open(config) as catalog:
        newest = [mail.message_id for mail in catalog.page(1, limit=1)]
    most = int(newest[0].strip("<").partition("@")[0])
    kinds = {
        "/": ["/"] * 5,
        "/r/NAME": [f"/r/{chance.randint(1, most)}" for _ in range(samples)],
        "/r/NAME.json": [f"/r/{chance.randint(1, most)}.json" for _ in range(samples)],
        "/diff/LATER": revised(config, chance, most, samples),
        "/series/NAME": [f"/series/{chance.randint(1, most)}" for _ in range(samples)],
        "/p/PROJECT": ["/p/sample"] * samples,
        "/p/PROJECT, a search": [
            f"/p/sample?search={word}" for word in ("remap", "drivers", "unlinked_get", "nosuch")
        ],
        "/p/PROJECT/triage": ["/p/sample/triage", "/p/sample/triage?kind=unanswered"] * 5,
        "/chart/NAME.svg": [f"/chart/{name}.svg" for name in CHARTS],
    }
    costs: dict[str, list[float]] = {}
    sizes: dict[str, float] = {}
    for name, addresses in kinds.items():
        ask(site, addresses[0])
        asked = [ask(site, address) for address in addresses]
        costs[name] = [1000 * cost for cost, _ in asked]
        sizes[name] = statistics.median(size for _, size in asked)
    return costs, sizes


def revised(config: Config, chance: random.Random, most: int, samples: int) -> list[str]:
    """Addresses of differences of patches that have an earlier revision."""
    addresses: list[str] = []
    with Catalog.open(config) as catalog:
        while len(addresses) < samples:
            name = f"<{chance.randint(1, most)}@lists.example.org>"
            if min(catalog.group_of(name).message_ids, key=number_of) != name:
                addresses.append(f"/diff/{name.strip('<>')}")
    return addresses


def number_of(message_id: str) -> int:
    """The patch that a made-up message-id is of."""
    return int(message_id.strip("<").partition("@")[0])


def ask(site: Site, address: str) -> tuple[float, int]:
    """Seconds of CPU of one request's work, and the bytes of its answer."""
    path, _, query = address.partition("?")
    found = find(path)
    if found is None:
        raise BadName(address)
    began = time.process_time()
    made = answer(
        site,
        {
            "page": found.route.page,
            "names": found.names,
            "format": found.format,
            "query": dict([query.split("=")]) if query else {},
        },
    )
    assert made.status == 200, (address, made.body)
    return time.process_time() - began, len(made.body)


if __name__ == "__main__":
    main()
