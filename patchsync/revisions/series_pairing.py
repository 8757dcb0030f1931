"""Which parts of two series are one patch: by the groups, not by how alike they look."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from patchsync.revisions.model import PatchMail, Series


@dataclass(frozen=True, kw_only=True, slots=True)
class PartPair:
    """Parts of two series that are one patch; or a part of one that the other has not."""

    left: PatchMail | None
    right: PatchMail | None
    # What is to be told of it beside its diff
    remarks: tuple[str, ...] = ()


def current_parts(series: Series) -> list[PatchMail]:
    """The parts of a series in order; of one that came twice the later."""
    parts: dict[int, PatchMail] = {}
    for mail in series.mails:
        parts.setdefault(mail.prefix.part, mail)
    return [parts[part] for part in sorted(parts)]


def pair_parts(
    left: Sequence[PatchMail], right: Sequence[PatchMail], groups: Mapping[str, object]
) -> list[PartPair]:
    """Pair the parts of two series, in the order in which git range-diff shows commits.

    `groups`: by message-id, what is equal for the mails of one group; who is not in it is alone.
    Where a group has several of a series, those of one title belong together, then those of one
    place; who is left over came from a split, or went into another.
    """
    partners = _partners(left, right, groups)
    moved = _moved([(at, partners[at]) for at in range(len(right)) if at in partners])
    left_over = set(range(len(left))).difference(partners.values())
    pairs = []
    shown: set[int] = set()
    at = 0

    def show_dropped() -> None:
        """Those of the left that have no partner, once all before them are shown."""
        nonlocal at
        while at < len(left) and (at in shown or at in left_over):
            if at in left_over:
                remarks = _remarks_on_dropped(left[at], right, groups)
                pairs.append(PartPair(left=left[at], right=None, remarks=remarks))
            at += 1

    for number, mail in enumerate(right):
        show_dropped()
        partner = partners.get(number)
        if partner is None:
            remarks = _remarks_on_new(mail, left, groups)
            pairs.append(PartPair(left=None, right=mail, remarks=remarks))
            continue
        remarks = ("reordered",) if number in moved else ()
        pairs.append(PartPair(left=left[partner], right=mail, remarks=remarks))
        shown.add(partner)
    show_dropped()
    return pairs


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
    wanted = len(ends) - 1
    moved = set()
    following = None
    for (at, before), length in zip(reversed(pairs), reversed(lengths), strict=True):
        if length == wanted and (following is None or before < following):
            following = before
            wanted -= 1
        else:
            moved.add(at)
    return moved


def _remarks_on_new(
    mail: PatchMail, left: Sequence[PatchMail], groups: Mapping[str, object]
) -> tuple[str, ...]:
    if parts := _parts_of_group(mail, left, groups):
        return (f"split from {parts} before: the groups have them as one patch",)
    return ("new", *_alike_by_title(mail, left, "before"))


def _remarks_on_dropped(
    mail: PatchMail, right: Sequence[PatchMail], groups: Mapping[str, object]
) -> tuple[str, ...]:
    if parts := _parts_of_group(mail, right, groups):
        return (f"went into {parts} now: the groups have them as one patch",)
    return ("dropped", *_alike_by_title(mail, right, "now"))


def _parts_of_group(
    mail: PatchMail, others: Sequence[PatchMail], groups: Mapping[str, object]
) -> str:
    """The parts of another series that are of the group of `mail`; empty where none is."""
    own = groups.get(mail.message_id)
    return _named(
        [other for other in others if own is not None and groups.get(other.message_id) == own]
    )


def _alike_by_title(mail: PatchMail, others: Sequence[PatchMail], when: str) -> tuple[str, ...]:
    parts = _named([other for other in others if other.title == mail.title])
    if not parts:
        return ()
    return (f"{parts} {when} has the same title, but is another patch to the groups",)


def _named(mails: Sequence[PatchMail]) -> str:
    numbers = [str(mail.prefix.part) for mail in mails]
    return f"part{'s' * (len(numbers) > 1)} {', '.join(numbers)}" if numbers else ""
