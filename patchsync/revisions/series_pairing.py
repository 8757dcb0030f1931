"""Which parts of two series are one patch: by the groups, not by how alike they look.

What the groups do not have yet is paired as `git range-diff` does it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from patchsync.range_diff.pairing import pair
from patchsync.range_diff.patch_text import PatchText
from patchsync.revisions.model import PatchMail, Series

NOT_GROUPED = "not grouped yet"


class Pairing(NamedTuple):
    """What became of the parts of a series in another; parts by their positions, from 0."""

    # By position on the left that on the right
    became: dict[int, int]
    # What is to be told of a part beside its diff: of those on the left that have no counterpart,
    left_remarks: dict[int, tuple[str, ...]]
    # and of those on the right that have none, or were moved
    right_remarks: dict[int, tuple[str, ...]]


def current_parts(series: Series) -> list[PatchMail]:
    """The parts of a series in order; of one that came twice the later."""
    parts: dict[int, PatchMail] = {}
    for mail in series.mails:
        parts.setdefault(mail.prefix.part, mail)
    return [parts[part] for part in sorted(parts)]


def pair_parts(
    left: Sequence[PatchMail], right: Sequence[PatchMail], groups: Mapping[str, object]
) -> Pairing:
    """Pair the parts of two series.

    `groups`: by message-id, what is equal for the mails of one group; who is not in it is not
    grouped yet.
    Where a group has several of a series, those of one title belong together, then those of one
    place; who is left over came from a split, or went into another.
    """
    came_from = _partners(left, right, groups)
    became = {before: at for at, before in came_from.items()}
    moved = _moved(sorted(came_from.items()))
    left_remarks = {
        at: _remarks(mail, right, groups, "now") for at, mail in enumerate(left) if at not in became
    }
    right_remarks = {
        at: ("reordered",) if at in moved else _remarks(mail, left, groups, "before")
        for at, mail in enumerate(right)
        if at in moved or at not in came_from
    }
    return Pairing(became, left_remarks, right_remarks)


def pair_ungrouped(
    left: Sequence[PatchMail],
    right: Sequence[PatchMail],
    groups: Mapping[str, object],
    texts: Mapping[str, PatchText],
) -> dict[str, str]:
    """Further pairs, by message-ids: of those without a partner of which one is not grouped yet.

    As `git range-diff` finds them, by their `texts`; who has none is left out.

    Raises:
        PatchTooLarge: there is too much to hold each against each.
    """
    came_from = _partners(left, right, groups)
    old = [mail for at, mail in enumerate(left) if at not in came_from.values()]
    new = [mail for at, mail in enumerate(right) if at not in came_from]
    old, new = ([mail for mail in side if mail.message_id in texts] for side in (old, new))
    found: dict[str, str] = {}
    # Two that the groups have are two patches to them: only with what they do not have each side is
    # held against the other.
    for sides in (
        (old, [mail for mail in new if mail.message_id not in groups]),
        ([mail for mail in old if mail.message_id not in groups], new),
    ):
        befores, afters = (
            [mail.message_id for mail in side if mail.message_id not in {*found, *found.values()}]
            for side in sides
        )
        if befores and afters:
            pairs = pair(*([texts[name] for name in names] for names in (befores, afters)))
            found |= {
                befores[each.left_number - 1]: afters[each.right_number - 1]
                for each in pairs
                if each.left and each.right
            }
    return found


def _partners(
    left: Sequence[PatchMail], right: Sequence[PatchMail], groups: Mapping[str, object]
) -> dict[int, int]:
    """By position in `right`, the position in `left` of the same patch."""
    of_group: dict[object, list[int]] = defaultdict(list)
    for at, mail in enumerate(left):
        if mail.message_id in groups:
            of_group[groups[mail.message_id]].append(at)
    candidates = [
        (left[before].title != mail.title, abs(before - at), at, before)
        for at, mail in enumerate(right)
        if mail.message_id in groups
        for before in of_group[groups[mail.message_id]]
    ]
    partners: dict[int, int] = {}
    taken: set[int] = set()
    for *_, at, before in sorted(candidates):
        if at not in partners and before not in taken:
            partners[at] = before
            taken.add(before)
    return partners


def _moved(pairs: Sequence[tuple[int, int]]) -> set[int]:
    """Of pairs (position on the right, on the left), the right ones out of order: as few as do."""
    # The longest run of them that ascends on the left too stays where it is.
    ends: list[int] = []
    lengths = []
    for _, before in pairs:
        length = bisect_left(ends, before)
        ends[length : length + 1] = [before]
        lengths.append(length)
    # Of those of one length the last one before another is the smallest: it goes before that.
    wanted = len(ends) - 1
    moved = set()
    for (at, _), length in zip(reversed(pairs), reversed(lengths), strict=True):
        if length == wanted:
            wanted -= 1
        else:
            moved.add(at)
    return moved


def _remarks(
    mail: PatchMail,
    others: Sequence[PatchMail],
    groups: Mapping[str, object],
    when: Literal["before", "now"],
) -> tuple[str, ...]:
    """Of a part without a counterpart among the parts of the series that was before, or is now."""
    own = groups.get(mail.message_id)
    same = [each for each in others if own is not None and groups.get(each.message_id) == own]
    if same:
        how = "split from" if when == "before" else "went into"
        return (f"{how} {_named(same)} {when}: the groups have them as one patch",)
    what = "new" if when == "before" else "dropped"
    if own is None:
        return what, NOT_GROUPED
    if titled := [
        each for each in others if each.title == mail.title and each.message_id in groups
    ]:
        told = f"{_named(titled)} {when} has the same title, but is another patch to the groups"
        return what, told
    return (what,)


def _named(mails: Sequence[PatchMail]) -> str:
    numbers = [str(mail.prefix.part) for mail in mails]
    return f"part{'s' * (len(numbers) > 1)} {', '.join(numbers)}"
