"""The page of what all benchmarks found: tables, and a plot for each claim."""

from __future__ import annotations

import math
import os
import platform
import sqlite3
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from claims import Claim, Measured, beside, figure
from performance_plot import plot

PLOTS = "pictures/performance"
VERDICTS = {True: "yes", False: "**no**", None: "not decided by this run"}


@dataclass(frozen=True)
class Found:
    """What one script found."""

    script: str
    arguments: list[str]
    claims: list[Claim]
    seconds: float


@dataclass(frozen=True)
class Machine:
    """Where it was measured."""

    lines: tuple[str, ...]

    @classmethod
    def this(cls) -> Machine:
        """This machine, now."""
        cores = len(os.sched_getaffinity(0))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        load = os.getloadavg()[0]
        packages = ", ".join(f"{name} {version(name)}" for name in ("celery", "redis", "rapidfuzz"))
        return cls(
            (
                f"{datetime.now(UTC):%Y-%m-%d}, commit {_commit()}",
                f"{cores} cores of {_processor()}, {memory:.0f} GiB of memory",
                f"{platform.system()} {platform.release()}, {platform.python_implementation()}"
                f" {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}",
                f"load when it began: {load:.1f}",
            )
        )


def write_page(folder: Path, machine: Machine, found: list[Found], command: str) -> None:
    """Write performance.md and its plots into a folder."""
    plots = folder / PLOTS
    plots.mkdir(parents=True, exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    parts = [_head(machine, found, command)]
    for each in found:
        parts.append(_section(each))
        for number, claim in enumerate(each.claims, 1):
            (plots / _plot_name(each, number)).write_bytes(plot(claim))
            parts.append(_claim(claim, f"{PLOTS}/{_plot_name(each, number)}"))
    (folder / "performance.md").write_text("\n".join(parts))


def _plot_name(found: Found, number: int) -> str:
    return f"{found.script}-{number}.svg"


def _head(machine: Machine, found: list[Found], command: str) -> str:
    seconds = sum(each.seconds for each in found)
    claims = [(each, claim) for each in found for claim in each.claims]
    return "\n".join(
        [
            "# Performance: each claim, and its figures",
            "",
            f"Written by `{command}` within {math.ceil(seconds / 60)} min, all in one run. Do the"
            " same on your machine, and compare the ratios, not the seconds: what is compared was"
            " measured in turn. The median is given, and the least and the most of all runs. A"
            " limit is what the same work takes at the very least. What is wanted in seconds is"
            " wanted of two free cores such as these: what is not so on a slower or a busy machine"
            " tells of that machine.",
            "",
            *(f"- {line}" for line in machine.lines),
            "",
            "| claim | wanted | so? |",
            "|---|---|---|",
            *(
                f"| [{claim.title}](#{_anchor(claim.title)}) | {claim.wanted} |"
                f" {VERDICTS[claim.holds]} |"
                for _, claim in claims
            ),
            "",
        ]
    )


def _section(found: Found) -> str:
    command = " ".join(["python", f"benchmarks/{found.script}.py", *found.arguments])
    ended = "" if found.claims else ", which ended with an error"
    return f"## `{command}`\n\n{found.seconds:.0f} s{ended}.\n"


def _claim(claim: Claim, picture: str) -> str:
    several = any(len(each.samples) > 1 for each in claim.measured)
    compared = any(beside(claim, each) for each in claim.measured)
    heads = ["", "", claim.unit, *(["least to most, runs"] if several else [])]
    heads += ["patchsync's is"] if compared else []
    lines = [
        f"### {claim.title}",
        "",
        f"Wanted: {claim.wanted}. So: {VERDICTS[claim.holds]}.",
        "",
        f"![{claim.title}, in {claim.unit}; the table has the figures]({picture})",
        "",
        _row(heads),
        _row(["---"] * len(heads)),
    ]
    for case in claim.cases:
        for number, each in enumerate(one for one in claim.measured if one.case == case):
            cells = ["" if number else case, each.who, figure(each.median)]
            cells += [_spread(each)] if several else []
            cells += [beside(claim, each)] if compared else []
            lines.append(_row(cells))
    lines += ["", *(f"- {remark}" for remark in claim.remarks), *([""] if claim.remarks else [])]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _spread(measured: Measured) -> str:
    if len(measured.samples) == 1:
        return "one run"
    least, most = min(measured.samples), max(measured.samples)
    return f"{figure(least)} to {figure(most)}, {len(measured.samples)}"


def _anchor(title: str) -> str:
    """As GitHub makes one of a heading."""
    kept = (sign for sign in title.lower() if sign.isalnum() or sign in " -_")
    return "".join(kept).replace(" ", "-")


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
