"""Why the revisions of a patch are one, by what `patchsync explain` finds of each pair."""

from __future__ import annotations

from collections.abc import Iterator

from patchsync.analysis.explain import explain
from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.model import PatchHistory, Reason

# Pairs that are rated at most, the last ones
MOST_RATED = 20
# Bytes of a mail. Rating two takes time by the product of their lengths.
LARGEST_RATED = 200_000


def reasons_of(
    config: Config,
    catalog: Catalog,
    history: PatchHistory,
    *,
    most: int = MOST_RATED,
    largest: int = LARGEST_RATED,
) -> tuple[Reason, ...]:
    """Each revision with the one before it, and the last one with the commits; the last pairs.

    It reads and rates the mails: of `most` pairs, and mails of up to `largest` bytes.

    Raises:
        ConfigError: the analysis' settings cannot be used.
    """
    pairs = list(_pairs(history))[-most:]
    return tuple(_reason(config, catalog, left, right, largest) for left, right in pairs)


def _pairs(history: PatchHistory) -> Iterator[tuple[str, str]]:
    for mail in history.revisions:
        if before := history.before(mail.message_id):
            yield before.message_id, mail.message_id
    for commit in history.commits if history.revisions else ():
        yield history.revisions[-1].message_id, commit.commit_hash


def _reason(config: Config, catalog: Catalog, left: str, right: str, largest: int) -> Reason:
    sizes = [len(raw) for name in (left, right) for raw in catalog.raws(name)]
    if max(sizes, default=0) > largest:
        told = f"not rated here: a mail has more than {largest // 1000} kB (`patchsync explain`)"
        return Reason(left=left, right=right, verdict=told)
    try:
        found = explain(config, left, right)
    except GiveUp as why:
        return Reason(left=left, right=right, verdict=str(why))
    verdict = found.verdict
    if between := found.between:
        verdict += f"; in one group by way of {', '.join(between)}"
    return Reason(left=left, right=right, verdict=verdict, rating=found.total)
