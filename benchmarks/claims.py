"""What a benchmark found: claims, each with its figures.

A benchmark tells it by `report`: in words and, with `--json FILE`, for docs/performance.md.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import TypeAdapter

OURS = "patchsync"
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one of several took, in one case."""

    # patchsync, or what stands beside it: "32 bare threads", "PaStA"
    who: str
    # Those of one case were measured in turn, and are compared: "20 ms", "40,000 mails"
    case: str
    # One for each run
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One thing that is claimed, and what was measured."""

    title: str
    # Of all samples: s, ms, MiB, requests, patches/s
    unit: str
    # What should be true, with its figure: "at least 0.9 of the limit from 20 ms on"
    wanted: str
    # Whether it was; None where this run cannot tell
    holds: bool | None
    measured: tuple[Measured, ...]
    # Who of them shows what is possible at all
    limit: str = ""
    more_is_better: bool = False
    # What a reader must know to read the figures right
    remarks: tuple[str, ...] = ()

    @property
    def cases(self) -> list[str]:
        return list(dict.fromkeys(each.case for each in self.measured))

    def of(self, who: str, case: str) -> Measured | None:
        """What one took in a case."""
        found = (each for each in self.measured if (each.who, each.case) == (who, case))
        return next(found, None)

    def ratio(self, other: Measured) -> float | None:
        """How many times as good as `other` ours is in its case: 2.0 is twice as fast."""
        ours = self.of(OURS, other.case)
        if ours is None or not ours.median or not other.median:
            return None
        ratio = other.median / ours.median
        return 1 / ratio if self.more_is_better else ratio


CLAIMS = TypeAdapter(list[Claim])


def with_json(command: Command) -> Command:
    """Give a click command the option that `report` wants."""
    to_file = click.Path(dir_okay=False, path_type=Path)
    return click.option("--json", "to", type=to_file, help="Write what was found there, too.")(
        command
    )


def report(claims: Sequence[Claim], to: Path | None) -> None:
    """Print what was found; write it to a file as well."""
    for claim in claims:
        click.echo(f"\n{claim.title}: {claim.wanted}{_verdict(claim.holds)}")
        for each in claim.measured:
            took = in_words(each, claim.unit)
            click.echo(f"  {each.case:<18} {each.who:<28} {took:<34} {beside(claim, each)}")
        for remark in claim.remarks:
            click.echo(f"  {remark}")
    if to:
        to.write_bytes(CLAIMS.dump_json(list(claims)))


def read(file: Path) -> list[Claim]:
    """What `report` wrote."""
    return CLAIMS.validate_json(file.read_bytes())


def in_words(measured: Measured, unit: str) -> str:
    """The median, and the least and the most where there were several runs."""
    median = f"{figure(measured.median)} {unit}"
    if len(measured.samples) == 1:
        return median
    return f"{median} ({figure(min(measured.samples))} to {figure(max(measured.samples))})"


def beside(claim: Claim, each: Measured) -> str:
    """What ours is of another's in the same case; nothing of ours itself."""
    ratio = None if each.who == OURS else claim.ratio(each)
    if ratio is None:
        return ""
    of = "of this limit" if each.who == claim.limit else "times as good"
    return f"{ratio:.2f} {of}"


def figure(value: float) -> str:
    """Three digits that count, and all of a whole number."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _verdict(holds: bool | None) -> str:
    return {True: " - holds", False: " - DOES NOT HOLD", None: ""}[holds]
