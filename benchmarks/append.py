"""Appending a batch to a small and to a large store, side by side.

python benchmarks/append.py --large 1000000
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from pathlib import Path

import click

from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import Mail
from patchsync.store.container import MboxPatchwork
from patchsync.store.layout import ContainerPaths
from patchsync.store.writer import StoreWriter

BATCH = 250


@click.command(help=__doc__)
@click.option("--small", default=1_000, show_default=True, help="Lines of the small store.")
@click.option("--large", default=200_000, show_default=True, help="Lines of the large store.")
@click.option("--rounds", default=10, show_default=True, help="Batches for either, in turn.")
def main(small: int, large: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stores = {lines: filled(Path(folder) / str(lines), lines) for lines in (small, large)}
        seconds: dict[int, list[float]] = {small: [], large: []}
        for number in range(rounds):
            for lines, paths in stores.items():
                seconds[lines].append(append(paths, 10_000_000 + number * BATCH))
        medians = {lines: statistics.median(each) for lines, each in seconds.items()}
        for lines, median in medians.items():
            click.echo(f"{lines:>9} lines: {1000 * median:.1f} ms for a batch of {BATCH}")
        click.echo(f"large / small: {medians[large] / medians[small]:.2f}")


def filled(d_mbox: Path, lines: int) -> ContainerPaths:
    """A store of so many lines, with its side index; without the mails, which play no part."""
    paths = ContainerPaths(d_mbox=d_mbox, listaddr="list@example.org", project_id=1)
    paths.index.parent.mkdir(parents=True)
    md5 = hashlib.md5(b"").hexdigest()
    with paths.index.open("w") as index:
        index.writelines(f"2026/11/21 <{n}@example.org> {md5} {n}\n" for n in range(1, lines + 1))
    begin = time.monotonic()
    with MboxPatchwork("list@example.org", d_mbox, 1):
        click.echo(f"{lines:>9} lines: side index built in {time.monotonic() - begin:.1f} s")
    return paths


def append(paths: ContainerPaths, first: int) -> float:
    """Seconds to store a batch of mails, as an index task does."""
    mails = tuple(
        Mail(
            patch_id=number,
            message_id=f"<{number}@example.org>",
            date="2026/11/21",
            content=f"From patchwork ... {number}\n".encode() + b"x" * 10_000,
        )
        for number in range(first, first + BATCH)
    )
    begin = time.monotonic()
    with StoreWriter(paths) as writer:
        writer.apply(FetchResult(mails=mails))
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
