"""Keeping the groups: made anew for what something new, or something gone, is connected with."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping

from patchsync.analysis.builtin.comparing import Comparing
from patchsync.analysis.builtin.grouping import Alike, Links, Marks, group
from patchsync.analysis.builtin.kept import Kept, KeptPatches
from patchsync.analysis.components import components
from patchsync.analysis.engine import Tell

# What PaStA sorts a pick by: as alike as can be, by message and by diff
_PICK = 2.0


def regroup(
    kept: KeptPatches, comparing: Comparing, false: Marks, false_upstream: Marks, tell: Tell
) -> None:
    """Bring the groups up to date with what is linked, and with the false positives."""
    with kept.transaction():
        _note_marks(kept, false, false_upstream)
        patches = _affected(kept)
        if not patches:
            return
        pairs = _links(kept, patches)
        found: list[tuple[set[int], list[set[int]]]] = []
        linked: dict[int, list[tuple[int, int]]] = defaultdict(list)
        connected = components([*((number,) for number in patches), *pairs])
        place = {number: at for at, each in enumerate(connected) for number in each}
        for pair in pairs:
            linked[place[pair[0]]].append(pair)

        def how_alike(patch: Kept, linked: set[int], upstream: bool) -> Alike:
            return _how_alike(kept, comparing, patch, linked, upstream=upstream)

        tell("grouping", 0, len(connected))
        for at, each in enumerate(connected):
            if len(each) == 1:
                groups = [each]
            else:
                links = _by_kind(patches, linked[at])
                members = [patches[number] for number in sorted(each)]
                groups = group(members, links, false, false_upstream, how_alike)
            found.append((each, groups))
        _keep(kept, patches, found)


def _note_marks(kept: KeptPatches, false: Marks, false_upstream: Marks) -> None:
    """Have grouped anew what marks concern that came or went since the last time."""
    now = {
        (origin, destination, upstream)
        for upstream, marks in enumerate((false, false_upstream))
        for origin, destinations in marks.items()
        for destination in destinations
    }
    before = set(kept.sql.execute("SELECT origin, destination, upstream FROM mark"))
    if now == before:
        return
    names = {name for origin, destination, _ in now ^ before for name in (origin, destination)}
    kept.sql.executemany(
        "INSERT OR IGNORE INTO regroup SELECT number FROM patch WHERE name = ?",
        [(name,) for name in names],
    )
    kept.sql.execute("DELETE FROM mark")
    kept.sql.executemany("INSERT INTO mark VALUES (?, ?, ?)", now)


def _affected(kept: KeptPatches) -> dict[int, Kept]:
    """All patches of the components in which something changed."""
    rows = kept.sql.execute(
        "SELECT number FROM regroup UNION SELECT number FROM patch WHERE component IN"
        " (SELECT component FROM regroup CROSS JOIN patch USING (number))"
    )
    numbers = [number for (number,) in rows]
    return {patch.number: patch for patch in kept.kept(numbers)}


def _links(kept: KeptPatches, numbers: Iterable[int]) -> list[tuple[int, int]]:
    query = "SELECT low, high FROM link WHERE low IN (SELECT value FROM json_each(?))"
    return list(kept.sql.execute(query, (json.dumps(list(numbers)),)))


def _by_kind(patches: Mapping[int, Kept], pairs: Iterable[tuple[int, int]]) -> Links:
    links = Links([], [])
    for low, high in pairs:
        if patches[low].is_commit:
            links.commits.append((high, low))
        elif patches[high].is_commit:
            links.commits.append((low, high))
        else:
            links.mails.append((low, high))
    return links


def _how_alike(
    kept: KeptPatches, comparing: Comparing, patch: Kept, linked: set[int], *, upstream: bool
) -> Alike:
    """See `grouping.HowAlike`. The best is kept, and raised when a better candidate comes."""
    picked = set(kept.commits_picked_by(patch)) if upstream else set()
    best = kept.best(patch, upstream=upstream)
    if best is None:
        candidates = kept.kept(comparing.candidates(patch))
        numbers = [each.number for each in candidates if each.is_commit == upstream]
        ratings = comparing.ratings(patch, numbers)
        best = max((rating.order for rating in ratings.values()), default=0.0)
        kept.set_best(patch.number, best, upstream=upstream)
    ratings = comparing.ratings(patch, linked - picked)
    others = {number: rating.order for number, rating in ratings.items()}
    others.update(dict.fromkeys(picked, _PICK))
    return Alike(max(best, *others.values()), others)


def _keep(
    kept: KeptPatches,
    patches: Mapping[int, Kept],
    found: Iterable[tuple[set[int], list[set[int]]]],
) -> None:
    """Note components and groups; each by its lowest number."""
    before: dict[int | None, set[int]] = defaultdict(set)
    query = "SELECT number, grp FROM patch WHERE number IN (SELECT value FROM json_each(?))"
    for number, grp in kept.sql.execute(query, (json.dumps(list(patches)),)):
        before[grp].add(number)
    of_before = {number: each for grp, each in before.items() if grp for number in each}
    rows, unwritten = [], []
    for component, groups in found:
        first = min(component)
        for each in groups:
            lowest = min(each)
            rows += [(first, lowest, number) for number in each]
            if of_before.get(lowest) != each:
                unwritten += [(patches[number].name,) for number in each]
    kept.sql.executemany("UPDATE patch SET component = ?, grp = ? WHERE number = ?", rows)
    kept.sql.executemany("INSERT OR IGNORE INTO unwritten VALUES (?)", unwritten)
    kept.sql.execute("DELETE FROM regroup")
