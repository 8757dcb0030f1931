"""What patchwork.kernel.org whole would take: on paper, from what a small part takes here.

python benchmarks/beyond.py
python benchmarks/beyond.py --sample 50000                     a larger part: some ten minutes

Made-up lists of two sizes are stored, analysed and catalogued here, some patches are synced from
the sample Patchwork, and an archive is imported. What one more patch takes, times all patches, is
what is told: nothing was run at that size. What lists of a million take is in other benchmarks.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from itertools import islice
from pathlib import Path

import click
from claims import OURS, Claim, Measured, report, with_json
from importing import generated, pack, repeated, time_import, timed
from patch_mails import mails

from patchsync.config import Config, load
from patchsync.config.settings import POLITE_REQUESTS_PER_DAY, POLITE_REQUESTS_PER_SECOND
from patchsync.config.tables import ScheduleTable
from patchsync.revisions.catalog_file import catalog_path
from patchsync.revisions.catch_up import catch_up
from patchsync.store.identity import Origin, claim
from patchsync.store.layout import OWN_FOLDER, ContainerPaths, IndexEntry, format_line
from patchsync.sync.projects import find_projects
from standin.process import running_standin

URL = "https://patchwork.example.org"
DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600
GB = 1e9
BLOCK = 4096  # of ext4 and most others
SMALLER = 4  # The smaller list is so many times shorter.
PACES: tuple[tuple[str, float, int | None], ...] = (
    ("by default", POLITE_REQUESTS_PER_SECOND, POLITE_REQUESTS_PER_DAY),
    ("200,000 a day", POLITE_REQUESTS_PER_SECOND, 200_000),
    ("5/s all day", POLITE_REQUESTS_PER_SECOND, None),
    ("20/s all day", 20.0, None),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a list takes, or one more patch of it: seconds, bytes."""

    analyse: float
    analyse_memory: float
    catalog: float
    index: float
    side_index: float
    analysis_cache: float
    catalog_file: float
    groups: float

    def each(self, smaller: Taken, patches: int) -> Taken:
        """One more patch, of so many that the smaller one has not."""
        pairs = zip(astuple(self), astuple(smaller), strict=True)
        return Taken(*((ours - less) / patches for ours, less in pairs))


@click.command(help=__doc__)
@click.option("--patches", default=10_000_000, show_default=True, help="Of the whole Patchwork.")
@click.option("--projects", default=250, show_default=True, help="That it has.")
@click.option("--mail-bytes", default=16_500, show_default=True, help="As on jailhouse-dev.")
@click.option("--sample", default=16_000, show_default=True, help="Patches that are tried here.")
@click.option("--sample-projects", default=25, show_default=True, help="In so many lists.")
@with_json
def main(
    patches: int, projects: int, mail_bytes: int, sample: int, sample_projects: int, to: Path | None
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        requests = requests_per_patch(folder / "sync")
        stored = import_seconds(folder / "import")
        small, large = (
            taken_by(folder / str(size), size, sample_projects)
            for size in (sample // SMALLER, sample)
        )
    each = large.each(small, sample - sample // SMALLER)
    paper = f"on paper, from {sample:,} patches of {sample_projects} lists measured here"
    report(
        [
            first_sync(patches, requests),
            at_rest(projects),
            hours(patches, each, stored, paper),
            disk(patches, mail_bytes, each, paper),
            memory(patches, large, each, sample, paper),
        ],
        to,
    )


# What is told


def paper_claim(title: str, unit: str, wanted: str, figures: dict[str, float]) -> Claim:
    """A claim about what nobody measured."""
    return Claim(
        title=f"patchwork.kernel.org: {title}",
        unit=unit,
        wanted=wanted,
        holds=None,
        measured=tuple(
            Measured(who=OURS, case=case, samples=(figure,)) for case, figure in figures.items()
        ),
    )


def first_sync(patches: int, requests_each: float) -> Claim:
    """How long a first sync asks."""
    requests = patches * requests_each
    days = {
        case: max(requests / per_second / DAY_SECONDS, requests / (per_day or requests))
        for case, per_second, per_day in PACES
    }
    claim = paper_claim(
        "days of a first sync", "days", f"on paper, {patches:,} patches by the rate limit", days
    )
    return replace(
        claim,
        remarks=(
            f"{requests_each:.2f} requests a patch, measured here: {requests:,.0f} requests",
            "So the way is an import of the admin's dumparchive, and then a sync.",
        ),
    )


def at_rest(projects: int) -> Claim:
    """What is asked a day although nothing is new."""
    table = ScheduleTable()
    by_default = projects * DAY_SECONDS * (1 / table.probe_seconds + 1 / table.audit_seconds)
    asked = {"by default": by_default, "10 times as long": by_default / 10}
    claim = paper_claim(
        "requests a day, in step",
        "requests",
        f"on paper, {projects} projects; {POLITE_REQUESTS_PER_DAY:,} a day, 10 times as long",
        asked,
    )
    return replace(
        claim,
        holds=min(asked.values()) <= POLITE_REQUESTS_PER_DAY,
        remarks=(
            "one for each round, and a page for each step of the audit",
            "This breaks first: by default the day's budget is spent after"
            f" {24 * POLITE_REQUESTS_PER_DAY / by_default:.1f} hours. `patchsync check`"
            " says so, and which [schedule] probe_seconds and audit_seconds fit.",
            f"It is {by_default / DAY_SECONDS:.1f} requests a second; by default"
            f" {POLITE_REQUESTS_PER_SECOND:g} are allowed, for what is new as well.",
        ),
    )


def hours(patches: int, each: Taken, import_each: float, paper: str) -> Claim:
    """How long the work on all patches takes."""
    claim = paper_claim(
        "hours of work from nothing",
        "h",
        paper,
        {
            "import": patches * import_each / HOUR_SECONDS,
            "groups": patches * each.analyse / HOUR_SECONDS,
            "catalog": patches * each.catalog / HOUR_SECONDS,
        },
    )
    return replace(
        claim,
        remarks=(
            "As if each patch cost the same, however many there are: for groups that is the least,"
            " since more patches touch the same files.",
        ),
    )


def disk(patches: int, mail_bytes: int, each: Taken, paper: str) -> Claim:
    """What lies on the disk."""
    blocks = -(-mail_bytes // BLOCK) * BLOCK
    claim = paper_claim(
        "on disk",
        "GB",
        paper,
        {
            "mails": patches * blocks / GB,
            "index": patches * each.index / GB,
            "side index": patches * each.side_index / GB,
            "analysis.sqlite": patches * each.analysis_cache / GB,
            "catalog": patches * each.catalog_file / GB,
            "patch-groups": patches * each.groups / GB,
        },
    )
    return replace(
        claim,
        remarks=(
            f"{patches:,} files, so inodes, of {mail_bytes:,} bytes each: make a file system with"
            " `mkfs.ext4 -i 16384`, or XFS, which has no fixed number",
        ),
    )


def memory(patches: int, large: Taken, each: Taken, sample: int, paper: str) -> Claim:
    """What the analysis holds."""
    whole = large.analyse_memory + (patches - sample) * each.analyse_memory
    claim = paper_claim(
        "memory of a build of all groups", "GB", paper, {"analyse, one process": whole / GB}
    )
    return replace(
        claim,
        remarks=(
            "Made-up mails are short: real ones take several times as much.",
            "Breaks next, on a machine with less. Then: a configuration for some of the lists each,"
            ' with a store of its own; or [analysis] engine = "none" and groups by others.',
            "Redis does not grow with patches: what waits in it is bounded by [fleet] queue_bytes.",
        ),
    )


# What is measured


def requests_per_patch(folder: Path, patches: int = 1_500) -> float:
    """Of a sync of the sample Patchwork from nothing."""
    folder.mkdir(parents=True)
    with running_standin("--patches", str(patches)) as patchwork:
        file = folder / "patchsync.toml"
        file.write_text(f'[mbox.patchwork]\nurl = "{patchwork.url}"\nproject_ids = ["sample"]\n')
        run("-c", str(file), "sync")
        requests = int(patchwork.control.stats()["requests"])
        return requests / len(patchwork.control.ids("sample"))


def import_seconds(folder: Path, times: int = 7) -> float:
    """What one more mail of an archive takes."""
    folder.mkdir(parents=True)
    archive = generated(folder / "generated.tar.gz", 1_500)
    one = pack(folder / "one.tar.gz", "one", islice(repeated(archive, 1), 1))
    many = pack(folder / "many.tar.gz", "many", repeated(archive, times))
    start = time_import(folder / "one", one).seconds
    return (time_import(folder / "many", many).seconds - start) / (1_500 * times - 1)


def taken_by(folder: Path, patches: int, projects: int) -> Taken:
    """What so many patches, in so many lists, take."""
    config = filled(folder, patches, projects)
    analysed = timed([str(program()), "-c", str(config.source), "analyse"])
    catalogued = seconds_of_cpu(lambda: catch_up(config))
    found = find_projects(config)
    return Taken(
        analyse=analysed.cpu,
        analyse_memory=analysed.peak,
        catalog=catalogued,
        index=sum(project.paths.index.stat().st_size for project in found),
        side_index=sum(project.paths.side_index.stat().st_size for project in found),
        analysis_cache=(config.d_mbox / OWN_FOLDER / "analysis.sqlite").stat().st_size,
        catalog_file=catalog_path(config).stat().st_size,
        groups=config.patch_groups.stat().st_size,
    )


def filled(folder: Path, patches: int, projects: int) -> Config:
    """A store of made-up mails."""
    folder.mkdir(parents=True)
    file = folder / "patchsync.toml"
    keys = [f"list{number}" for number in range(projects)]
    file.write_text(f'[mbox.patchwork]\nurl = "{URL}"\nproject_ids = {keys}\n')
    config = load(file)
    lines: dict[int, list[bytes]] = {number: [] for number in range(1, projects + 1)}
    for mail in mails(patches):
        project = mail.patch_id % projects + 1
        md5 = hashlib.md5(mail.content).hexdigest()
        path = paths_of(config, project).mail(mail.date, md5)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mail.content)
        entry = IndexEntry(mail.patch_id, mail.date, mail.message_id, md5)
        lines[project].append(format_line(entry))
    for project, written in lines.items():
        paths = paths_of(config, project)
        paths.index.parent.mkdir(parents=True, exist_ok=True)
        paths.index.write_bytes(b"".join(written))
        name = keys[project - 1]
        claim(paths, Origin(url=URL, project_id=project, link_name=name, list_email=f"{name}@x"))
    for found in find_projects(config):
        with found.open():
            pass  # The side index is made, as a sync does.
    return config


def paths_of(config: Config, number: int) -> ContainerPaths:
    """Of a project, by its number."""
    return ContainerPaths(d_mbox=config.d_mbox, listaddr=f"list{number - 1}@x", project_id=number)


def seconds_of_cpu(work: Callable[[], object]) -> float:
    """Of this process."""
    began = sum(os.times()[:2])
    work()
    return sum(os.times()[:2]) - began


def run(*arguments: str) -> None:
    """Run a command of patchsync; what it says is shown only where it fails."""
    done = subprocess.run([program(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stdout + done.stderr)


def program() -> Path:
    """The command `patchsync` of this environment."""
    return Path(sys.executable).with_name("patchsync")


if __name__ == "__main__":
    main()
