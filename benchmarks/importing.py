"""An import of a dumparchive, beside `cp -r` of the store that it makes and one `sync`.

python benchmarks/importing.py                                30,000 generated patches
python benchmarks/importing.py --archive dump.tar.gz          yours, of one project, 20 times
python benchmarks/importing.py --times 20 --times 400         30,000, and 600,000

Each round runs both on the same file system, which is named: the whole command, from starting
Python and Redis to its end, then `cp -r` of what it made, and `sync`. Before each the disk is
synced, and each ends with what makes the result durable. Patchwork is not asked (--offline): what
it takes to answer a few requests is not measured here.

In memory (--folder /dev/shm) nothing is made durable, which is most of what cp and sync do: there
the ratio is another one.

Nothing is removed before the end, for ext4 searches past each inode that was freed in the last
minutes when it makes a file: that needs twice --rounds the room of the mails. A second run should
begin five minutes after the first, or on a file system that was made for it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import click
from claims import OURS, Claim, Measured, report, with_json

from patchsync.imports.archive import Archive
from patchsync.imports.scan import scan
from patchsync.patchwork.mbox import FIRST_LINE, seconds_since_1970
from standin.records import Project
from standin.sample import Postman
from standin.state import PatchworkState

MIB = 2**20
COPY = "cp -r, sync"
DAY = 86_400
CONFIG = """\
[mbox.patchwork]
url = "http://127.0.0.1:9"
projects = [{ id = "1", list_email = "list@example.org" }]
"""
_PATCH_ID = re.compile(rb"(\nX-Patchwork-Id:)[^\n]*", re.IGNORECASE)
_MESSAGE_ID = re.compile(rb"(\nMessage-Id:\s*<?)", re.IGNORECASE)


@dataclass(frozen=True)
class Run:
    """A command that ended, children included: seconds, seconds of CPU, most memory in bytes."""

    seconds: float
    cpu: float
    peak: int = 0


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
@click.option(
    "--times",
    multiple=True,
    default=[20],
    show_default=True,
    help="So many times as long the archive is made; may be given again.",
)
@click.option("--rounds", default=3, show_default=True, help="Each is one run of both.")
@with_json
def main(
    archive: Path | None,
    parent: Path | None,
    patches: int,
    times: tuple[int, ...],
    rounds: int,
    to: Path | None,
) -> None:
    measured: list[Measured] = []
    remarks: list[str] = []
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        remarks.append(f"on {file_system_of(folder)}")
        archive = archive or generated(folder / "generated.tar.gz", patches)
        one = pack(folder / "one.tar.gz", "one", islice(repeated(archive, 1), 1))
        starts = [time_import(folder / f"one{n}", one).seconds for n in range(rounds)]
        measured.append(Measured(who=OURS, case="1 mail", samples=tuple(starts)))
        for number in times:
            long = pack(folder / f"{number}.tar.gz", "long", repeated(archive, number))
            both, remark = measure(folder / f"{number}", long, rounds)
            measured += both
            remarks.append(remark)
    claim = Claim(
        title="An import",
        unit="s",
        wanted="the whole command at least 0.4 of the limit, which only copies its result",
        holds=None,
        measured=tuple(measured),
        limit=COPY,
        remarks=tuple(remarks),
    )
    ratios = [ratio for each in measured if each.who == COPY and (ratio := claim.ratio(each))]
    report([replace(claim, holds=min(ratios) >= 0.4)], to)


def measure(folder: Path, archive: Path, rounds: int) -> tuple[list[Measured], str]:
    """Run both, in each round one after the other; returns what they took, and what to know."""
    imports: list[Run] = []
    copies: list[Run] = []
    for number in range(rounds):
        here = folder / str(number)
        imports.append(time_import(here, archive))
        copies.append(time_copy(here / "resources/mbox", here / "copy"))
    mails = index_of(here).count(b"\n")
    size = sum(file.stat().st_size for file in mails_of(here))
    case = f"{mails:,} mails"
    measured = [
        Measured(who=who, case=case, samples=tuple(run.seconds for run in runs))
        for who, runs in ((OURS, imports), (COPY, copies))
    ]
    cpu, peak = (min(run.cpu for run in imports), max(run.peak for run in imports))
    return measured, (
        f"{case}, {size / 1e6:.1f} MB: {1e6 * measured[0].median / mails:.0f} us a mail,"
        f" {cpu:.2f} s of CPU, {peak / MIB:.0f} MiB of memory at most"
    )


# What is timed


def time_import(folder: Path, archive: Path) -> Run:
    """The whole command, on a store that is not there yet."""
    folder.mkdir(parents=True)
    file = folder / "patchsync.toml"
    file.write_text(CONFIG)
    program = str(Path(sys.executable).with_name("patchsync"))
    run = timed([program, "-c", str(file), "import", "--offline", "-p", "1", str(archive)])
    if not index_of(folder):
        raise click.ClickException("the import stored nothing")
    return run


def time_copy(store: Path, to: Path) -> Run:
    """`cp -r` and one `sync`."""
    return timed(["cp", "-r", str(store), str(to)], ["sync"])


def timed(*commands: list[str]) -> Run:
    """Run them one after the other; what they say is shown only where one fails."""
    os.sync()
    begin = time.monotonic()
    cpu, peak = 0.0, 0
    for command in commands:
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
            if status:  # An archive may hold mails that are in doubt.
                output.seek(0)
                click.echo(output.read().decode())
        cpu += usage.ru_utime + usage.ru_stime
        peak = max(peak, usage.ru_maxrss * 1024)
    return Run(time.monotonic() - begin, cpu, peak)


def index_of(folder: Path) -> bytes:
    """The index that an import made there."""
    return b"".join(file.read_bytes() for file in (folder / "resources/mbox/index").glob("*"))


def mails_of(folder: Path) -> Iterator[Path]:
    """The files of its mails."""
    years = (folder / "resources/mbox/raw").iterdir()
    return (file for year in years for file in year.glob("*/*/*"))


def file_system_of(folder: Path) -> str:
    """Its type and where it is mounted."""
    told = subprocess.run(
        ["df", "--output=fstype,target", str(folder)], capture_output=True, text=True, check=True
    )
    kind, target = told.stdout.splitlines()[1].split(maxsplit=1)
    return f"{kind} at {target}" + (", in memory: nothing is durable" if kind == "tmpfs" else "")


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
    scanned = [mail for member in Archive(archive).members() for mail in scan(member.read)]
    span = max(mail.seconds for mail in scanned) - min(mail.seconds for mail in scanned) + DAY
    ids = max(mail.patch_id for mail in scanned)
    for turn in range(times):
        places = iter(scanned)
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
