"""From pairs that are alike to groups, as one run of PaStA over all of them would make them.

PaStA joins what is alike. Then it compares each group's latest mail with the upstream commits, and
joins again. Where pairs are marked as false positives the order matters, and is PaStA's.

Only components in which something changed are grouped anew: `regroup`.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from patchsync.analysis.builtin.cache import COMMIT_SECONDS, Best, CachedPatch, PatchCache
from patchsync.analysis.builtin.child import InHand
from patchsync.analysis.builtin.comparing import Comparer
from patchsync.analysis.components import DisjointSets, components
from patchsync.analysis.engine import OnProgress
from patchsync.analysis.false_positives import FalsePositives

# What PaStA sorts a pick by: as alike as can be, by message and by diff
_PICK = 2.0


class CandidateRatings(NamedTuple):
    """How alike a mail and its candidates are (`Rating.order`)."""

    # The best of all that PaStA compares it with, linked or not
    best: float
    # Those that it is linked with, by number
    linked: Mapping[int, float]


# Of a mail, and of the numbers that it is linked with: mails, or (True) upstream commits.
RateCandidates = Callable[[CachedPatch, set[int], bool], CandidateRatings]


class Links(NamedTuple):
    """Pairs of numbers that are alike: two mails, or a mail and then a commit."""

    mails: list[tuple[int, int]]
    commits: list[tuple[int, int]]


def group(
    patches: Iterable[CachedPatch],
    links: Links,
    false_mails: FalsePositives,
    false_commits: FalsePositives,
    rate_candidates: RateCandidates,
) -> list[set[int]]:
    """The groups of what is connected by `links`, with the commits that each is upstream in."""
    by_number = {patch.number: patch for patch in patches}
    mails = [number for number, patch in by_number.items() if not patch.is_commit]
    groups = DisjointSets(by_number)
    _join(groups, links.mails, _Joining(by_number, mails, false_mails, rate_candidates, False))
    latest = {_latest(by_number[mail] for mail in members) for members in groups.sets_of(mails)}
    chosen = [(mail, commit) for mail, commit in links.commits if mail in latest]
    _join(groups, chosen, _Joining(by_number, sorted(latest), false_commits, rate_candidates, True))
    return groups.sets_of(by_number)


def _latest(mails: Iterable[CachedPatch]) -> int:
    """The mail with the latest author date. Of several PaStA takes any; here the name decides."""
    return max(mails, key=lambda mail: (mail.date, mail.name)).number


class _Joining(NamedTuple):
    """One of the two times that PaStA joins: mails with mails, then mails with commits."""

    patches: Mapping[int, CachedPatch]
    # The mails whose candidates are looked at
    origins: list[int]
    false_positives: FalsePositives
    rate_candidates: RateCandidates
    upstream: bool


def _join(groups: DisjointSets[int], pairs: list[tuple[int, int]], joining: _Joining) -> None:
    """Unite the pairs, but for what a false positive keeps apart."""
    false = _false_pairs(joining)
    if not false:
        for left, right in pairs:
            groups.unite(left, right)
        return
    for origin, candidate in _in_pastas_order(pairs, joining):
        theirs = groups.set_of(candidate)
        marked = (false[number] for number in groups.set_of(origin) if number in false)
        if all(theirs.isdisjoint(others) for others in marked):
            groups.unite(origin, candidate)


def _false_pairs(joining: _Joining) -> dict[int, set[int]]:
    """The false positives between these patches, by number."""
    numbers = {patch.name: number for number, patch in joining.patches.items()}
    pairs = {
        number: {
            numbers[other] for other in joining.false_positives.get(name, ()) if other in numbers
        }
        for name, number in numbers.items()
    }
    return {number: others for number, others in pairs.items() if others}


def _in_pastas_order(pairs: list[tuple[int, int]], joining: _Joining) -> list[tuple[int, int]]:
    """Origins from the one whose best candidate is least alike; of each the best candidate first.

    Two mails are looked at from either side. Where PaStA's order is left to chance, names decide.
    """
    linked: dict[int, set[int]] = defaultdict(set)
    for left, right in pairs:
        linked[left].add(right)
        if not joining.upstream:
            linked[right].add(left)

    def name(number: int) -> str:
        return joining.patches[number].name

    ordered = []
    for origin in joining.origins:
        if origin not in linked:
            continue
        ratings = joining.rate_candidates(joining.patches[origin], linked[origin], joining.upstream)
        for candidate in linked[origin]:
            key = (ratings.best, name(origin), -ratings.linked[candidate], name(candidate))
            ordered.append((key, (origin, candidate)))
    return [pair for _, pair in sorted(ordered)]


def regroup(
    cache: PatchCache,
    comparer: Comparer,
    false_mails: FalsePositives,
    false_commits: FalsePositives,
    in_hand: InHand,
    on_progress: OnProgress,
) -> None:
    """Bring the groups of the cache up to date with its links, and with the false positives.

    Ratings are kept as they are found: whatever ends it, the next one goes on from there.
    """

    def rate_candidates(mail: CachedPatch, linked: set[int], upstream: bool) -> CandidateRatings:
        return _rate_candidates(cache, comparer, in_hand, mail, linked, upstream=upstream)

    with cache.transaction():
        _note_false_positives(cache, false_mails, false_commits)
    patches = _affected(cache)
    if not patches:
        return
    links = _links(cache, patches)
    connected = components([*((number,) for number in patches), *links])
    on_progress("grouping", 0, len(connected))
    grouped: list[tuple[int, list[set[int]]]] = []
    for members, inside in zip(connected, _links_of(connected, links), strict=True):
        groups = [members]
        if inside:
            groups = group(
                [patches[number] for number in sorted(members)],
                _by_kind(patches, inside),
                false_mails,
                false_commits,
                rate_candidates,
            )
        grouped.append((min(members), groups))
    with cache.transaction():
        _keep(cache, patches, grouped)


def _note_false_positives(
    cache: PatchCache, false_mails: FalsePositives, false_commits: FalsePositives
) -> None:
    """Have grouped anew what false positives concern that came or went since the last time."""
    now = {
        (origin, other, upstream)
        for upstream, pairs in enumerate((false_mails, false_commits))
        for origin, others in pairs.items()
        for other in others
    }
    before = set(cache.rows("SELECT origin, destination, upstream FROM mark"))
    if now == before:
        return
    names = {name for origin, other, _ in now ^ before for name in (origin, other)}
    cache.sql.executemany(
        "INSERT OR IGNORE INTO regroup SELECT number FROM patch WHERE name = ?",
        [(name,) for name in names],
    )
    cache.sql.execute("DELETE FROM mark")
    cache.sql.executemany("INSERT INTO mark VALUES (?, ?, ?)", now)


def _affected(cache: PatchCache) -> dict[int, CachedPatch]:
    """All patches of the components in which something changed, by number."""
    rows = cache.rows(
        "SELECT number FROM regroup UNION SELECT number FROM patch WHERE component IN"
        " (SELECT component FROM regroup CROSS JOIN patch USING (number))"
    )
    return {patch.number: patch for patch in cache.patches(number for (number,) in rows)}


def _links(cache: PatchCache, numbers: Iterable[int]) -> list[tuple[int, int]]:
    query = "SELECT low, high FROM link WHERE low IN (SELECT value FROM json_each(?))"
    return [(low, high) for low, high in cache.rows(query, json.dumps(list(numbers)))]


def _links_of(
    connected: list[set[int]], links: Iterable[tuple[int, int]]
) -> Iterator[list[tuple[int, int]]]:
    """The links within each of the components."""
    place = {number: at for at, members in enumerate(connected) for number in members}
    inside: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for link in links:
        inside[place[link[0]]].append(link)
    return (inside[at] for at in range(len(connected)))


def _by_kind(patches: Mapping[int, CachedPatch], pairs: Iterable[tuple[int, int]]) -> Links:
    links = Links([], [])
    for low, high in pairs:
        if patches[low].is_commit:
            links.commits.append((high, low))
        elif patches[high].is_commit:
            links.commits.append((low, high))
        else:
            links.mails.append((low, high))
    return links


def _rate_candidates(
    cache: PatchCache,
    comparer: Comparer,
    in_hand: InHand,
    mail: CachedPatch,
    linked: set[int],
    *,
    upstream: bool,
) -> CandidateRatings:
    """See `RateCandidates`. The ratings are kept, the best raised when a better candidate comes."""
    picked = set(cache.commits_picked_by(mail)) if upstream else set()
    rated = cache.link_ratings(mail.number)
    best = cache.best(mail.number, upstream=upstream)
    left = sorted(linked - picked - rated.keys())
    if best.reached is not None:
        reached = best.reached
        candidates = cache.patches(set(comparer.candidates(mail)) - linked)
        left += sorted(
            patch.number
            for patch in candidates
            if patch.is_commit == upstream and patch.number > reached
        )
    at = 0
    while at < len(left) or best.reached is not None:
        until = time.monotonic() + COMMIT_SECONDS
        with cache.transaction():
            while at < len(left):
                number = left[at]
                at += 1
                in_hand.take(mail.name)
                alike = comparer.rating(mail, number).order
                if number in linked:
                    rated[number] = alike
                    cache.set_link_rating(mail.number, number, alike)
                else:
                    if alike > best.alike:
                        best = Best(alike, number)
                    best = best._replace(reached=number)
                if time.monotonic() > until:
                    break
            if at == len(left):
                best = best._replace(reached=None)
            cache.set_best(mail.number, best, upstream=upstream)
    in_hand.put_down()
    orders = {number: rated[number] for number in linked - picked}
    orders.update(dict.fromkeys(picked, _PICK))
    return CandidateRatings(max(best.alike, *orders.values()), orders)


def _keep(
    cache: PatchCache,
    patches: Mapping[int, CachedPatch],
    grouped: Iterable[tuple[int, list[set[int]]]],
) -> None:
    """Keep components, by their lowest number, with their groups; each has its lowest number, too.

    Notes what is not written to patch-groups yet.
    """
    query = "SELECT number, grp FROM patch WHERE number IN (SELECT value FROM json_each(?))"
    before: dict[int | None, set[int]] = defaultdict(set)
    for number, lowest in cache.rows(query, json.dumps(list(patches))):
        before[lowest].add(number)
    rows, unwritten = [], []
    outdated = {lowest for lowest in before if lowest}
    for component, groups in grouped:
        for members in groups:
            lowest = min(members)
            rows += [(component, lowest, number) for number in members]
            if before.get(lowest) == members:
                outdated.discard(lowest)
            else:
                unwritten += [(patches[number].name,) for number in members]
    for group in outdated:
        cache.set_outdated(group)
    cache.sql.executemany("UPDATE patch SET component = ?, grp = ? WHERE number = ?", rows)
    cache.sql.executemany("INSERT OR IGNORE INTO unwritten VALUES (?)", unwritten)
    cache.sql.execute("DELETE FROM regroup")
