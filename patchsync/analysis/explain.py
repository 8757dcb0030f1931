"""Why two patches are one, or are not: each step of the rating, and what the groups made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product

from patchsync.analysis.builtin.cache import PatchCache, cache_path
from patchsync.analysis.builtin.mails import Mails
from patchsync.analysis.commits import open_repository, read_commit
from patchsync.analysis.false_positives import (
    OF_COMMITS,
    OF_MAILS,
    FalsePositives,
    is_commit,
    read_false_positives,
)
from patchsync.analysis.patch import NotAPatch, Patch
from patchsync.analysis.quarantine import AnalysisQuarantine
from patchsync.analysis.rating import (
    Rating,
    best_matches,
    near_in_time,
    rate,
    shape_of,
)
from patchsync.analysis.settings import AnalysisSettings, Thresholds, read_settings
from patchsync.config import Config
from patchsync.errors import GiveUp


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A rating with all that it comes from, and what became of it."""

    names: tuple[str, str]
    patches: tuple[Patch, Patch]
    thresholds: Thresholds
    rating: Rating
    # Why PaStA does not look at the pair at all; nothing if it does
    not_compared: tuple[str, ...]
    # Whether the mail says that it was picked from the commit
    picked: bool
    # Whether this pair is a false positive
    marked: bool
    # The false positives between the groups of the two, by name
    false_positives: tuple[tuple[str, str], ...]
    # Whether they are in one group, as of the last update of the builtin engine; None: unknown
    together: bool | None
    # The names of patches, from the one to the other, each alike with the next; empty: none are
    chain: tuple[str, ...]

    @property
    def total(self) -> float:
        """The weighted rating."""
        return self.rating.total(self.thresholds)

    @property
    def between(self) -> tuple[str, ...]:
        """By way of whom they are in one group, where their own rating is not what joins them."""
        return self.chain[1:-1]

    @property
    def verdict(self) -> str:
        """What the rating of this pair alone leads to."""
        limit, total = self.thresholds, f"{self.total:.4f}"
        if self.picked and not self.marked:
            return "one patch: the mail says that it was picked from this commit"
        if self.not_compared:
            return f"not compared: {'; '.join(self.not_compared)}"
        if self.marked:
            return "not joined: the pair is marked as a false positive"
        if self.total >= limit.autoaccept:
            return f"one patch: {total} is at least {limit.autoaccept:g} (AUTOACCEPT_THRESHOLD)"
        if self.total >= limit.interactive:
            return (
                f"left to a person: {total} is at least {limit.interactive:g}"
                f" (INTERACTIVE_THRESHOLD), but below {limit.autoaccept:g} (AUTOACCEPT_THRESHOLD)"
            )
        return f"not one patch: {total} is below {limit.autoaccept:g} (AUTOACCEPT_THRESHOLD)"


def explain(config: Config, left: str, right: str) -> Explanation:
    """Explain the pair of these names (message-ids, or one and a commit's hash).

    Raises:
        GiveUp: they are the same, both are commits, or one is no patch or quarantined.
        ConfigError: as `read_settings`.
    """
    if left == right:
        raise GiveUp(f"both are {left}")
    if is_commit(left):
        left, right = right, left
    if is_commit(left):
        raise GiveUp("both are commits; PaStA compares mails with those")
    for failed in AnalysisQuarantine(config).quarantined():
        if failed.name in (left, right):
            raise GiveUp(
                f"{failed.name} is quarantined: {failed.reason}; `patchsync analyse --rebuild`"
                " tries it again"
            )
    settings = read_settings(config)
    limit = settings.thresholds
    with Mails(config.d_mbox, config.store.layout, settings) as mails:
        patches = mails.patch(left), _patch(mails, settings, right)
    picked = right in patches[0].picked and limit.autoaccept <= 1
    rating = rate(shape_of(patches[0]), shape_of(patches[1]), limit)
    upstream = is_commit(right)
    file = settings.false_positives / (OF_COMMITS if upstream else OF_MAILS)
    false_positives = read_false_positives(file)
    together, chain, groups = _in_cache(config, left, right)
    return Explanation(
        names=(left, right),
        patches=patches,
        thresholds=limit,
        rating=rating,
        not_compared=tuple(_obstacles(*patches, rating, limit, upstream=upstream)),
        picked=picked,
        marked=_between([left], [right], false_positives) != (),
        false_positives=_between(*groups, false_positives),
        together=together,
        chain=chain,
    )


def _patch(mails: Mails, settings: AnalysisSettings, name: str) -> Patch:
    if not is_commit(name):
        return mails.patch(name)
    if settings.repo is None:
        raise GiveUp(f"{name} is a commit, but [analysis] repo is not set")
    try:
        return read_commit(open_repository(settings.repo), name)
    except NotAPatch as reason:
        raise GiveUp(str(reason)) from None


def _obstacles(
    left: Patch, right: Patch, rating: Rating, limit: Thresholds, *, upstream: bool
) -> Iterator[str]:
    """What keeps PaStA from comparing the two."""
    if not best_matches(sorted(left.affected), sorted(right.affected), limit.filename):
        yield f"they touch no file of the same name (FILENAME_THRESHOLD {limit.filename:g})"
    if limit.filename < 1 and left.is_revert != right.is_revert:
        yield "one is a revert"
    dates = left.author_date.timestamp(), right.author_date.timestamp()
    days = limit.author_date_interval
    if not near_in_time(*dates, days, other_is_commit=upstream):
        yield f"their author dates are {days} days or more apart (AUTHOR_DATE_INTERVAL)"
    if rating.lines_ratio < limit.diff_lines_ratio:
        yield (
            f"their diffs have {left.lines} and {right.lines} lines: {rating.lines_ratio:.2f} is"
            f" below {limit.diff_lines_ratio:g} (DIFF_LINES_RATIO)"
        )


def _between(
    left: Iterable[str], right: Iterable[str], false_positives: FalsePositives
) -> tuple[tuple[str, str], ...]:
    """The false positives between two groups, in either direction."""
    pairs = [*product(left, right), *product(right, left)]
    return tuple(pair for pair in pairs if pair[1] in false_positives.get(pair[0], ()))


def _in_cache(
    config: Config, left: str, right: str
) -> tuple[bool | None, tuple[str, ...], tuple[list[str], list[str]]]:
    """Whether the builtin engine has the two in one group, what connects them, and their groups."""
    cache = PatchCache(cache_path(config))
    if not cache.open_to_read():
        return None, (), ([], [])
    with cache:
        groups = cache.group_of(left), cache.group_of(right)
        if not all(groups):
            return None, (), groups
        return left in groups[1], tuple(cache.chain(left, right)), groups
