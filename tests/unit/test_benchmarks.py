"""What benchmarks found, and the page that is made of it. No figure is measured here."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest
import requests

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # Its scripts are no package.

from asking_ways import metered  # noqa: E402
from claims import Claim, Measured, read, report  # noqa: E402
from performance import SCRIPTS, shown  # noqa: E402
from performance_page import Found, Machine, write_page  # noqa: E402

from patchsync.patchwork.client import Client  # noqa: E402
from patchsync.patchwork.rate_limit import LocalRateLimiter  # noqa: E402
from standin.process import StandinProcess  # noqa: E402

CLAIM = Claim(
    title="A sync",
    unit="s",
    wanted="at least 0.9 of the limit",
    holds=True,
    limit="bare threads",
    measured=(
        Measured(who="patchsync", case="20 ms", samples=(2.2, 2.0, 2.0)),
        Measured(who="bare threads", case="20 ms", samples=(1.9,)),
        Measured(who="one thread", case="20 ms", samples=(200.0,)),
    ),
    remarks=("of 2,000 patches",),
)


def test_what_was_found_is_the_same_when_it_is_read(tmp_path: Path) -> None:
    report([CLAIM], tmp_path / "claims.json")
    assert read(tmp_path / "claims.json") == [CLAIM]


def test_a_report_tells_medians_and_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    report([CLAIM], None)
    said = capsys.readouterr().out
    assert "A sync: at least 0.9 of the limit - holds" in said
    assert "2 s (2 to 2.2)" in said
    assert "0.95 of this limit" in said
    assert "100.00 times as good" in said


def test_more_is_better_turns_the_ratio() -> None:
    rates = replace(CLAIM, unit="patches/s", more_is_better=True)
    assert rates.ratio(rates.measured[1]) == pytest.approx(2.0 / 1.9)


def test_the_page_has_each_claim_its_plot_and_what_failed(tmp_path: Path) -> None:
    found = [Found("sync", ["--rounds", "3"], [CLAIM], 12.0), Found("start", [], [], 1.0)]
    write_page(tmp_path, Machine(("2 cores",)), found, "make bench")
    page = (tmp_path / "performance.md").read_text()
    assert "| [A sync](#a-sync) | at least 0.9 of the limit | yes |" in page
    assert "| 20 ms | patchsync | 2 | 2 to 2.2, 3 |  |" in page
    assert "|  | one thread | 200 | one run | 100.00 times as good |" in page
    assert "`python benchmarks/start.py`\n\n1 s, which ended with an error." in page
    plot = (tmp_path / "pictures/performance/sync-1.svg").read_text()
    assert "bare threads" in plot
    assert "<script" not in plot


def test_make_bench_runs_each_benchmark() -> None:
    scripts = {file.stem for file in BENCHMARKS.glob("*.py") if "@with_json" in file.read_text()}
    assert scripts == set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_benchmark_has_the_options_that_it_is_given(name: str) -> None:
    command = importlib.import_module(name).main
    command.make_context(name, list(SCRIPTS[name].full))
    has = {option for each in command.params for option in each.opts}
    assert {f"--{option.replace('_', '-')}" for option in SCRIPTS[name].takes} <= has


def test_requests_are_counted_whoever_sends_them(shared_standin: StandinProcess) -> None:
    """Ours, which are sent past `requests.Session`, and those of the ways beside it."""
    with metered() as ours:
        Client(shared_standin.url, LocalRateLimiter()).newest("sample")
    with metered() as others:
        requests.get(f"{shared_standin.url}/api/1.2/projects/", timeout=10)
    assert min(ours.requests, ours.bytes) > 0
    assert min(others.requests, others.bytes) > 0


def test_that_nothing_was_counted_is_no_figure() -> None:
    with pytest.raises(click.ClickException), metered():
        pass


def test_a_page_names_no_path_of_the_machine() -> None:
    given = ["--full", "--pasta", "/home/me/PaStA", "--pasta-python", "/home/me/python"]
    assert shown(given) == ["--full", "--pasta", "DIR", "--pasta-python", "FILE"]
