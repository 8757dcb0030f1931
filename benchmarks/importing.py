"""An import of a dumparchive, beside `cp -r` of the store that it makes and a bare Python loop.

python benchmarks/importing.py                                on generated patches
python benchmarks/importing.py --archive dump.tar.gz          on yours, of one project

Then the same for an archive that is --times as long. Everything is on the file system of --folder;
before each timing it is synced, and each timing ends with what makes the result durable. Patchwork
is not asked (--offline): what it takes to answer a few requests is not measured here.

Nothing is removed before the end, for ext4 searches past each inode that was freed in the last
minutes when it makes a file: that needs three times --rounds the room of the mails. A second run
should begin five minutes after the first, or on a file system that was made for it.
"""

from __future__ import annotations

import hashlib
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import click

from patchsync.archive.scan import scan
from patchsync.archive.source import Archive
from patchsync.patchwork.mbox import FIRST_LINE, parse_mail, seconds_since_1970
from standin.records import Project
from standin.sample import Postman
from standin.state import PatchworkState

MIB = 2**20
LOOK_SECONDS = 0.1
DAY = 86_400
CONFIG = """\
[mbox.patchwork]
url = "http://127.0.0.1:9"
projects = [{ id = "1", list_email = "list@example.org" }]
"""
_FROM = b"\nFrom patchwork "
_PATCH_ID = re.compile(rb"(\nX-Patchwork-Id:)[^\n]*", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"(\nMessage-Id:\s*<?)", re.IGNORECASE)


@dataclass
class Runs:
    """Seconds of each round, in the order of the rounds."""

    imports: list[float] = field(default_factory=list)
    copies: list[float] = field(default_factory=list)
    loops: list[float] = field(default_factory=list)


@click.command(help=__doc__)
@click.option(
    "--archive",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A dumparchive of one project; without it, one of generated patches.",
)
@click.option(
    "--folder",
    "parent",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where all is written, in a folder of its own; without it where TMPDIR says.",
)
@click.option("--patches", default=1500, show_default=True, help="That are generated.")
@click.option("--times", default=20, show_default=True, help="How much longer the long one is.")
@click.option("--rounds", default=3, show_default=True, help="Each is one run of all three.")
@click.option(
    "--only-import", is_flag=True, help="Neither cp nor loop, which holds the archive in memory."
)
def main(
    archive: Path | None,
    parent: Path | None,
    patches: int,
    times: int,
    rounds: int,
    only_import: bool,
) -> None:
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        archive = archive or generated(folder / "generated.tar.gz", patches)
        one = pack(folder / "one.tar.gz", "one", islice(repeated(archive, 1), 1))
        starts = [time_import(folder / f"one{n}", one)[0] for n in range(rounds)]
        start = statistics.median(starts)
        click.echo(f"an archive of one mail, which is what the start costs: {start:.2f} s")
        per_mail = [measure(folder / "short", archive, rounds, start, only_import)]
        if times > 1:
            long = pack(folder / "long.tar.gz", "long", repeated(archive, times))
            per_mail.append(measure(folder / "long", long, rounds, start, only_import))
            click.echo(
                f"\n{times} times as long: {per_mail[1][0] / per_mail[0][0]:.2f} times the cost of"
                f" a mail, {per_mail[1][1] / per_mail[0][1]:.2f} times without the start"
            )


def measure(
    folder: Path, archive: Path, rounds: int, start: float, only_import: bool
) -> tuple[float, float]:
    """Run and tell; returns the seconds that a mail takes, with and without the start."""
    runs, peaks = Runs(), Peaks()
    for number in range(1, rounds + 1):
        here = folder / str(number)
        seconds, index = time_import(here, archive, peaks)
        runs.imports.append(seconds)
        told = f"{number}: import {seconds:.2f} s"
        if not only_import:
            runs.copies.append(time_copy(here / "resources/mbox", here / "copy"))
            seconds, lines = time_loop(here / "loop", archive)
            runs.loops.append(seconds)
            if lines != index:
                raise click.ClickException("the loop's index is not the import's")
            told += f", cp and sync {runs.copies[-1]:.2f} s, loop {seconds:.2f} s"
        click.echo(told)
        mails = index.count(b"\n")
        size = sum(file.stat().st_size for file in mails_of(here))
    tell(runs, mails, size)
    click.echo(f"peak memory in MiB: {peaks.text()}")
    median = statistics.median(runs.imports)
    return median / mails, max(median - start, 0.0) / mails


def tell(runs: Runs, mails: int, size: int) -> None:
    """The medians, and the ratios."""
    click.echo(f"{mails} mails, {size / 1e6:.1f} MB; medians of {len(runs.imports)}:")
    for what, seconds in (
        ("import", runs.imports),
        ("cp, sync", runs.copies),
        ("loop", runs.loops),
    ):
        if seconds:
            median = statistics.median(seconds)
            rates = f"{mails / median:.0f} mails/s, {size / 1e6 / median:.1f} MB/s"
            click.echo(f"  {what:8} {median:.2f} s, {rates}")
    if runs.copies:
        click.echo(
            f"  import / cp {ratio(runs.imports, runs.copies):.2f}, "
            f"loop / cp {ratio(runs.loops, runs.copies):.2f}, "
            f"import / loop {ratio(runs.imports, runs.loops):.2f}"
        )


def ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


# What is timed


def time_import(folder: Path, archive: Path, peaks: Peaks | None = None) -> tuple[float, bytes]:
    """Seconds of the whole command, from starting workers to its end; the index that it made."""
    folder.mkdir(parents=True)
    file = folder / "patchsync.toml"
    file.write_text(CONFIG)
    program = str(Path(sys.executable).with_name("patchsync"))
    sync()
    begin = time.monotonic()
    process = subprocess.Popen(
        [program, "-c", str(file), "import", "--offline", "--project", "1", str(archive)],
        stdout=subprocess.PIPE,
        text=True,
    )
    if peaks:
        threading.Thread(target=peaks.watch, args=(process,), daemon=True).start()
    told = process.communicate()[0]
    seconds = time.monotonic() - begin
    indexes = list((folder / "resources/mbox/index").glob("*"))
    if not indexes:
        raise click.ClickException(f"the import stored nothing: {told}")
    if process.returncode:  # An archive may hold mails that are in doubt.
        click.echo(told)
    return seconds, indexes[0].read_bytes()


def time_copy(store: Path, to: Path) -> float:
    """Seconds of `cp -r` and one `sync`."""
    sync()
    begin = time.monotonic()
    subprocess.run(["cp", "-r", str(store), str(to)], check=True)
    sync()
    return time.monotonic() - begin


def time_loop(folder: Path, archive: Path) -> tuple[float, bytes]:
    """Seconds of the simplest that makes the same files, and its index; holds all in memory."""
    sync()
    begin = time.monotonic()
    folder.mkdir()
    with tarfile.open(archive) as tar, (folder / "index").open("wb") as index:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            for rendered in split(content.read()):
                mail = parse_mail(rendered)
                md5 = hashlib.md5(mail.content).hexdigest()
                day = folder / mail.date
                day.mkdir(parents=True, exist_ok=True)
                (day / md5).write_bytes(mail.content)
                line = f"{mail.date} {mail.message_id} {md5} {mail.patch_id}\n"
                index.write(line.encode())
    sync()
    seconds = time.monotonic() - begin
    lines = (folder / "index").read_bytes()
    return seconds, lines


def split(dump: bytes) -> list[bytes]:
    """The mails of a dump, each without the newline behind it."""
    mails: list[bytes] = []
    for part in dump[len(_FROM) - 1 : -1].split(_FROM):
        rendered = _FROM[1:] + part
        if _PATCH_ID.search(rendered, 0, rendered.find(b"\n\n")):
            mails.append(rendered)
        else:  # a body's line that begins alike
            mails[-1] += b"\n" + rendered
    return mails


def sync() -> None:
    """All of the machine's disks."""
    subprocess.run(["sync"], check=True)


def mails_of(folder: Path) -> Iterator[Path]:
    years = (folder / "resources/mbox/raw").iterdir()
    return (file for year in years for file in year.glob("*/*/*"))


class Peaks:
    """The most memory that each process under a command ever had, in bytes (VmHWM), by its name."""

    def __init__(self) -> None:
        self._peaks: dict[str, int] = {}

    def watch(self, process: subprocess.Popen[str]) -> None:
        """Look again and again until the command has ended."""
        while process.poll() is None:
            for pid in [process.pid, *_descendants(process.pid)]:
                with suppress(OSError, IndexError):
                    name = _name(Path(f"/proc/{pid}/cmdline").read_bytes())
                    status = Path(f"/proc/{pid}/status").read_text()
                    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
                    self._peaks[name] = max(peak, self._peaks.get(name, 0))
            time.sleep(LOOK_SECONDS)

    def text(self) -> str:
        return ", ".join(f"{name} {peak / MIB:.0f}" for name, peak in sorted(self._peaks.items()))


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _name(command_line: bytes) -> str:
    for name in (b"import", b"celery", b"redis"):
        if name in command_line:
            return name.decode()
    return command_line.split(b"\0")[0].decode(errors="replace")


# Archives


def generated(file: Path, patches: int) -> Path:
    """A dumparchive of generated patches."""
    state = PatchworkState()
    project = Project(
        id=1,
        name="sample",
        link_name="sample",
        list_id="sample.lists.example.org",
        list_email="sample@lists.example.org",
    )
    delivered = Postman(state).deliver(state.add_project(project), patches)
    in_order_of_date = sorted(delivered, key=lambda patch: (patch.date, patch.id))
    return pack(file, "sample", (patch.mbox + b"\n" for patch in in_order_of_date))


def pack(file: Path, link_name: str, mails: Iterable[bytes]) -> Path:
    """What `manage.py dumparchive` makes of these mails."""
    mbox = file.with_suffix(".mbox")
    with mbox.open("wb") as output:
        output.writelines(mails)
    with tarfile.open(file, "w:gz", compresslevel=6) as tar:
        tar.add(mbox, f"{link_name}.mbox")
    mbox.unlink()
    return file


def repeated(archive: Path, times: int) -> Iterator[bytes]:
    """The mails of an archive one after the other, so many times, each time later and under new
    ids and message-ids: as of a list that went on for so much longer."""
    found = [mail for member in Archive(archive).members() for mail in scan(member.read)]
    span = max(mail.when for mail in found) - min(mail.when for mail in found) + DAY
    ids = max(mail.patch_id for mail in found)
    for turn in range(times):
        places = iter(found)
        for member in Archive(archive).members():
            content = _Reader(member.read)
            for place in places:
                mail = content.read(place.length)
                yield _later(mail, turn * span, place.patch_id + turn * ids, turn)


class _Reader:
    """Reads exactly as much as is asked for."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def read(self, length: int) -> bytes:
        parts = []
        while length > 0 and (part := self._read(length)):
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


def _later(mail: bytes, seconds: int, patch_id: int, turn: int) -> bytes:
    first_line = FIRST_LINE.match(mail)
    assert first_line is not None
    date = datetime.fromtimestamp(seconds_since_1970(first_line) + seconds, UTC)
    head, empty_line, body = mail[first_line.end() :].partition(b"\n\n")
    head = _PATCH_ID.sub(rb"\g<1> %d" % patch_id, head, count=1)
    head = _MESSAGE_ID.sub(rb"\g<1>%d." % turn, head, count=1)
    return f"From patchwork {date.ctime()}".encode() + head + empty_line + body


if __name__ == "__main__":
    main()
