"""The store with few and with many mails: a batch, the side index, a worker's start, the ids.

python benchmarks/append.py --large 10000000 --runs 1
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import click
from claims import OURS, Claim, Measured, report, with_json

from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import Mail
from patchsync.store.container import MboxPatchwork
from patchsync.store.files import sync_file_system
from patchsync.store.layout import ContainerPaths, parse_plain_lines
from patchsync.store.lock import is_locked
from patchsync.store.writer import StoreWriter
from patchsync.sync.id_set import IdSet

BATCH = 100
MAIL_BYTES = 10_000
FLAT = 1.25
MADE_SECONDS = 3.0
START_SECONDS = 2.0
LOCK_MILLISECONDS = 100.0
MILLION = 1_000_000
MANY = 10 * MILLION


@click.command(help=__doc__)
@click.option("--small", default=1_000, show_default=True, help="Mails of the small store.")
@click.option("--middle", default=100_000, show_default=True, help="Mails of a usual one.")
@click.option("--large", default=1_000_000, show_default=True, help="Mails of the large one.")
@click.option("--batches", default=20, show_default=True, help="Batches for each, in turn.")
@click.option("--runs", default=3, show_default=True, help="Times that the rest is measured.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where, instead of /tmp.")
@with_json
def main(
    small: int,
    middle: int,
    large: int,
    batches: int,
    runs: int,
    folder: Path | None,
    to: Path | None,
) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        base = Path(name)
        stores = {mails: filled(base / f"{mails}", mails) for mails in (small, middle, large)}
        claims = [
            *side_index_claims(base, stores, runs),
            batch_claim(base, stores, batches),
            start_claim(stores, runs),
            memory_claim(stores[large], large, runs),
        ]
    report(claims, to)


# The stores


def filled(d_mbox: Path, mails: int, *, shuffled: bool = False) -> ContainerPaths:
    """A store with the index of so many mails; without the mails, which play no part."""
    paths = ContainerPaths(d_mbox=d_mbox, listaddr="list@example.org", project_id=1)
    paths.index.parent.mkdir(parents=True)
    chance = random.Random(mails)
    ids = list(range(1, mails + 1)) if shuffled else range(1, mails + 1)
    if isinstance(ids, list):
        chance.shuffle(ids)
    with paths.index.open("w") as index:
        for number in ids:
            day = f"{2008 + number % 16}/{1 + number % 12:02}/{1 + number % 28:02}"
            md5 = f"{chance.getrandbits(128):032x}"
            index.write(f"{day} {message_id(number)} {md5} {number}\n")
    return paths


def message_id(number: int) -> str:
    """In no order, as the worst case; some 50 bytes, as those of git."""
    return f"<{number * 2654435761 % 2**32:08x}.{number}-1-name.surname@example.org>"


def opened(paths: ContainerPaths) -> MboxPatchwork:
    """The store as a worker opens it; its side index is made where there is none."""
    return MboxPatchwork(paths.listaddr, paths.d_mbox, paths.project_id)


# A batch


def batch_claim(base: Path, stores: dict[int, ContainerPaths], batches: int) -> Claim:
    """What a batch of mails takes in each store, beside its files alone."""
    bare = "the files alone, synced"
    cases = [(mails, by_time) for mails in stores for by_time in (True, False)]
    ours: dict[tuple[int, bool], list[float]] = {case: [] for case in cases}
    limit: dict[tuple[int, bool], list[float]] = {case: [] for case in cases}
    for number in range(batches):
        for case in cases:
            mails, by_time = case
            first = 10 * MANY + (2 * number + by_time) * BATCH
            paths, results = stores[mails], batch(first, by_time=by_time)
            # What others left unwritten is not to be waited for.
            sync_file_system(base)
            limit[case].append(seconds(lambda: write_bare(base / f"bare{mails}", results)))  # noqa: B023
            sync_file_system(base)
            ours[case].append(seconds(lambda: store(paths, results)))  # noqa: B023
    measured = [
        Measured(
            who=who,
            case=f"{mails:,} mails" if by_time else f"{mails:,} random",
            samples=tuple(1000 * each for each in took[mails, by_time]),
        )
        for mails, by_time in cases
        for who, took in ((OURS, ours), (bare, limit))
    ]
    few, many = min(stores), max(stores)
    grown, grown_random = (
        statistics.median(ours[many, by_time]) / statistics.median(ours[few, by_time])
        for by_time in (True, False)
    )
    return Claim(
        title=f"A batch of {BATCH} mails into a store",
        unit="ms",
        wanted="flat: as long with many mails as with few",
        holds=grown <= FLAT,
        measured=tuple(measured),
        limit=bare,
        remarks=(
            f"{many:,} mails take {grown:.2f} times what {few:,} take; flat: {FLAT:g} at most."
            f" Random: the message-ids begin with chance instead of the time; {grown_random:.2f}"
            f" times. Mails of {MAIL_BYTES:,} bytes, and a writer opened for each batch, as an"
            " index task does.",
        ),
    )


def batch(first: int, *, by_time: bool) -> tuple[Mail, ...]:
    """Mails that no store has; with message-ids as git makes them, or in no order."""
    return tuple(
        Mail(
            patch_id=number,
            message_id=f"<20261121.{number}-1-a@example.org>" if by_time else message_id(number),
            date="2026/11/21",
            content=f"From patchwork {number}\n".encode() + b"x" * MAIL_BYTES,
        )
        for number in range(first, first + BATCH)
    )


def store(paths: ContainerPaths, mails: tuple[Mail, ...]) -> None:
    with StoreWriter(paths) as writer:
        writer.apply(FetchResult(mails=mails))


def write_bare(folder: Path, mails: tuple[Mail, ...]) -> None:
    """The mails as files, and a line for each: durable, and no more than that."""
    folder.mkdir(exist_ok=True)
    for mail in mails:
        (folder / f"{mail.patch_id}").write_bytes(mail.content)
    sync_file_system(folder)
    with (folder / "index").open("a") as index:
        index.writelines(f"{mail.message_id} {mail.patch_id}\n" for mail in mails)
        index.flush()
        os.fsync(index.fileno())


# The side index


def side_index_claims(base: Path, stores: dict[int, ContainerPaths], runs: int) -> list[Claim]:
    """What it takes to open a store that has none, and for how long nobody else may write."""
    mixed = min(MILLION, max(stores))
    cases = {f"{mails:,} lines": paths for mails, paths in stores.items()}
    cases[f"{mixed:,} shuffled"] = filled(base / "shuffled", mixed, shuffled=True)
    reading = "the lines read and checked"
    took: dict[tuple[str, str], list[float]] = {}
    locked: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(runs):
        for case, paths in cases.items():
            shutil.rmtree(paths.own, ignore_errors=True)
            with lock_watched(paths) as held:
                made = seconds(lambda: opened(paths).close())  # noqa: B023
            took.setdefault((OURS, case), []).append(made)
            locked[case].append(1000 * held())
            limit = seconds(lambda: check_lines(paths.index))  # noqa: B023
            took.setdefault((reading, case), []).append(limit)
    sizes = {case: paths.side_index.stat().st_size / 2**20 for case, paths in cases.items()}
    shutil.rmtree(base / "shuffled")
    medians = [
        statistics.median(samples)
        for (who, case), samples in took.items()
        if who == OURS and case.startswith(f"{MILLION:,} ")
    ]
    return [
        Claim(
            title="Making the side index of a store",
            unit="s",
            wanted=f"under {MADE_SECONDS:g} s for {MILLION:,} lines",
            holds=max(medians) < MADE_SECONDS if medians else None,
            measured=tuple(
                Measured(who=who, case=case, samples=tuple(samples))
                for (who, case), samples in took.items()
            ),
            limit=reading,
            remarks=(
                "Shuffled: the lines are in no order of their ids. Sizes: "
                + ", ".join(f"{case} {size:,.1f} MiB" for case, size in sizes.items()),
            ),
        ),
        Claim(
            title="The store's lock while its side index is made",
            unit="ms",
            wanted=f"held for {LOCK_MILLISECONDS:g} ms at most",
            holds=max(map(statistics.median, locked.values())) < LOCK_MILLISECONDS,
            measured=tuple(
                Measured(who=OURS, case=case, samples=tuple(samples))
                for case, samples in locked.items()
            ),
            remarks=(
                "Another process looked each ms. A short index, as the smallest, is read under it.",
            ),
        ),
    ]


def check_lines(index: Path) -> None:
    """The index read once, and each line held against its form; nothing is kept."""
    rest = b""
    with index.open("rb") as file:
        while piece := file.read(1 << 18):
            lines, newline, behind = (rest + piece).rpartition(b"\n")
            if parse_plain_lines(lines + newline) is None:
                raise AssertionError(f"{index} is not plain")
            rest = behind


@contextmanager
def lock_watched(paths: ContainerPaths) -> Iterator[Callable[[], float]]:
    """Within it another process watches the store's lock.

    Hands out what tells, afterwards, the seconds for which it was held.
    """
    ours, theirs = Pipe()
    watcher = get_context("fork").Process(target=watch, args=(paths.lock, theirs), daemon=True)
    watcher.start()
    ours.recv()
    found: list[float] = []
    try:
        yield lambda: found[0]
    finally:
        ours.send("stop")
        found.append(ours.recv())
        watcher.join()


def watch(lock: Path, connection: Connection) -> None:
    held, last = 0.0, time.monotonic()
    connection.send("ready")
    while not connection.poll(0.001):
        now = time.monotonic()
        held += (now - last) * is_locked(lock)
        last = now
    connection.send(held)


# The start of a worker, and its memory


def start_claim(stores: dict[int, ContainerPaths], runs: int) -> Claim:
    """What it takes until a worker knows what it has."""
    measured: dict[tuple[str, str], list[float]] = {}
    for _ in range(runs):
        for mails, paths in stores.items():
            forget(paths)
            for case in (f"{mails:,} from disk", f"{mails:,} mails"):
                measured.setdefault((OURS, case), []).append(seconds(lambda: known_ids(paths)))  # noqa: B023
    large = max(stores)
    slowest = max(max(samples) for samples in measured.values())
    return Claim(
        title="Start of a worker: the ids of a store",
        unit="s",
        wanted=f"under {START_SECONDS:g} s with {MANY:,} mails",
        holds=slowest < START_SECONDS if large >= MANY else None,
        measured=tuple(
            Measured(who=who, case=case, samples=tuple(samples))
            for (who, case), samples in measured.items()
        ),
        remarks=("From disk: the store's files were dropped from the page cache before.",),
    )


def known_ids(paths: ContainerPaths) -> IdSet:
    """What a round begins with."""
    with opened(paths) as container:
        return IdSet(container.held(), container.gone())


def forget(paths: ContainerPaths) -> None:
    """Have the system drop what it has read of the files."""
    for path in (paths.index, paths.side_index):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def memory_claim(paths: ContainerPaths, mails: int, runs: int) -> Claim:
    """What the ids take at most, while they are read and then."""
    a_set, bytes_each = "a set of Python's", "8 bytes an id"
    case = f"{mails:,} ids"
    ours = [peak(known_ids, paths) for _ in range(runs)]
    other = [peak(as_set, paths) for _ in range(runs)]
    limit = mails * 8 / 2**20
    return Claim(
        title="Memory for the ids of a store",
        unit="MiB",
        wanted="less than twice 8 bytes an id",
        holds=statistics.median(ours) < 2 * limit,
        measured=(
            Measured(who=OURS, case=case, samples=tuple(ours)),
            Measured(who=a_set, case=case, samples=tuple(other)),
            Measured(who=bytes_each, case=case, samples=(limit,)),
        ),
        limit=bytes_each,
        remarks=("The most that a process had at once beyond what it had before, SQLite with it.",),
    )


def as_set(paths: ContainerPaths) -> set[int]:
    with opened(paths) as container:
        return set(container.ids())


def peak(work: Callable[[ContainerPaths], object], paths: ContainerPaths) -> float:
    """MiB that `work` takes at most, in a process of its own."""
    ours, theirs = Pipe()
    # One that is forked would use again what this one has freed.
    child = get_context("spawn").Process(target=send_peak, args=(work, paths, theirs))
    child.start()
    found: float = ours.recv()
    child.join()
    return found


def send_peak(
    work: Callable[[ContainerPaths], object], paths: ContainerPaths, to: Connection
) -> None:
    before = most()
    kept = work(paths)
    to.send(most() - before)
    del kept


def most() -> float:
    """The most memory that this process had, in MiB."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def seconds(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
