"""What an analysis works with: `[analysis]` over PaStA's own configuration of the project."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from patchsync.analysis.pasta_config import PastaConfig, as_text, read_tables
from patchsync.config import Config
from patchsync.errors import ConfigError

_WINDOW = ("1970/01/01", "2030/01/01")
_REPO = "repo/"
_FALSE_POSITIVES = "resources/false-positives"
_ALWAYS = ("0001/01/01", "9999/12/31")
# PaStA's name of each threshold
THRESHOLD_KEYS = {
    "autoaccept": "AUTOACCEPT_THRESHOLD",
    "interactive": "INTERACTIVE_THRESHOLD",
    "diff_lines_ratio": "DIFF_LINES_RATIO",
    "heading": "HEADING_THRESHOLD",
    "filename": "FILENAME_THRESHOLD",
    "message_diff_weight": "MESSAGE_DIFF_WEIGHT",
    "author_date_interval": "AUTHOR_DATE_INTERVAL",
}


class Thresholds(NamedTuple):
    """When two patches are one: PaStA's thresholds, by its names for them.

    Shares are from 0 to 1; the defaults are what PaStA's own projects use for mailing lists.
    """

    # A pair rated at this or above is accepted (AUTOACCEPT_THRESHOLD) ...
    autoaccept: float = 0.82
    # ... and between this and that a person decides (INTERACTIVE_THRESHOLD).
    interactive: float = 1.1
    # Lines of the shorter diff to those of the longer one, at least.
    diff_lines_ratio: float = 0.4
    # Similarity of the headings of two hunks, and of two file names, at least.
    heading: float = 1.0
    filename: float = 1.0
    # The message's share in the rating; the diff has the rest.
    message_diff_weight: float = 0.3
    # Days between the author dates, less than that; 0 is without limit.
    author_date_interval: int = 0


# What PaStA's default.cfg says, where it is not at hand.
_PASTA_THRESHOLDS = Thresholds(
    autoaccept=1.0, interactive=0.95, diff_lines_ratio=0.9, message_diff_weight=0.33333
)


@dataclass(frozen=True, kw_only=True)
class AnalysisSettings:
    """The settings of one analysis; paths are absolute."""

    thresholds: Thresholds
    # YYYY/MM/DD: mails with an index date from the first to the second (MINDATE, MAXDATE)
    since: str
    until: str
    # The file patch-groups
    groups: Path
    # The folder of PaStA's files of false positives
    false_positives: Path
    # Either both or none: the repository, and the range of upstream commits
    repo: Path | None
    upstream: str | None
    # A file with the hashes of commits to leave out
    blacklist: Path | None


def read_settings(config: Config) -> AnalysisSettings:
    """The settings, by PaStA's configuration where there is one; what `[analysis]` sets goes first.

    PaStA's is our own file where that has a table `PaStA`, else that of `pasta_project`.

    Raises:
        ConfigError: one of the files cannot be used; the message names file and key.
    """
    pasta = _find(config)
    thresholds, (since, until) = Thresholds(), _ALWAYS
    false_positives = config.d_mbox.parent / "false-positives"
    if pasta:
        thresholds = _thresholds(pasta)
        since = pasta.get("mbox", "MINDATE", _day, _WINDOW[0])
        until = pasta.get("mbox", "MAXDATE", _day, _WINDOW[1])
        false_positives = pasta.path("FALSE_POSTITIVES", _FALSE_POSITIVES)  # so it is spelt there
    ours = config.analysis.thresholds.model_dump(exclude_none=True)
    repo, upstream = _upstream(config, pasta)
    return AnalysisSettings(
        thresholds=thresholds._replace(**ours),
        since=since,
        until=until,
        groups=config.patch_groups,
        false_positives=config.absolute(config.analysis.false_positives) or false_positives,
        repo=repo,
        upstream=upstream,
        blacklist=_blacklist(config, pasta) if repo else None,
    )


def _find(config: Config) -> PastaConfig | None:
    if config.source.is_file() and "PaStA" in read_tables(config.source):
        return PastaConfig(config.source)
    root, name = config.absolute(config.analysis.pasta_root), config.analysis.pasta_project
    if not root:
        return None
    file = root / "resources" / name / "config"
    if not file.is_file():
        raise ConfigError(
            f"{config.source}: [analysis] pasta_root, pasta_project: {file} is no file"
        )
    return PastaConfig(file)


def _thresholds(pasta: PastaConfig) -> Thresholds:
    values: dict[str, Any] = {}
    for name, default in _PASTA_THRESHOLDS._asdict().items():
        read = _whole if name == "author_date_interval" else _number
        values[name] = pasta.get("PaStA", THRESHOLD_KEYS[name], read, default)
    return Thresholds(**values)


def _upstream(config: Config, pasta: PastaConfig | None) -> tuple[Path | None, str | None]:
    table = config.analysis
    repo, upstream = config.absolute(table.repo), table.upstream
    if pasta and (repo or table.engine == "pasta"):
        repo = repo or pasta.path("REPO", _REPO)
        upstream = upstream or pasta.get("PaStA", "UPSTREAM", as_text, "")
    if not repo:
        return None, None
    if not upstream:
        raise ConfigError(
            f"{config.source}: [analysis] upstream is missing, the range of commits of {repo}; "
            "nor does PaStA's configuration have an UPSTREAM"
        )
    return repo, upstream


def _blacklist(config: Config, pasta: PastaConfig | None) -> Path | None:
    file = config.absolute(config.analysis.upstream_blacklist)
    where = f"{config.source}: [analysis] upstream_blacklist"
    if not file and pasta and (name := pasta.get("PaStA", "UPSTREAM_BLACKLIST", as_text, "")):
        file = (pasta.common / "blacklists" / name).absolute()
        where = f"{pasta.file}: [PaStA] UPSTREAM_BLACKLIST"
    if file and not file.is_file():
        raise ConfigError(f"{where}: {file} is no file")
    return file


# PaStA takes a number in quotes, too.
def _number(value: Any) -> float:
    number = float(_unless_bool(value))
    if not math.isfinite(number):
        raise ValueError
    return number


def _whole(value: Any) -> int:
    return int(_unless_bool(value))


def _unless_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise TypeError
    return value


def _day(value: object) -> str:
    day = value if isinstance(value, date) else datetime.strptime(as_text(value), "%Y-%m-%d")
    return f"{day.year:04}/{day.month:02}/{day.day:02}"
