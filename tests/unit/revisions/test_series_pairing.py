"""The parts of two series are paired by the groups; what moved, split, went and came is told."""

from __future__ import annotations

from itertools import combinations
from random import Random

from patchsync.range_diff.pairing import arrange
from patchsync.range_diff.patch_text import PatchText
from patchsync.revisions.model import PatchMail, Series, SubjectPrefix
from patchsync.revisions.series_pairing import current_parts, pair_parts


def part(version: int, number: int, title: str = "", again: bool = False) -> PatchMail:
    """A part of the version of a series; its message-id is like <v2-3>."""
    return PatchMail(
        message_id=f"<v{version}-{number}{'-again' * again}>",
        date=1000 * version + number,
        author_name="A",
        author_address="a@example.org",
        subject=title,
        title=title or f"title {number} of {version}",
        prefix=SubjectPrefix(version, number, 9),
        series_key=f"<v{version}>",
        files=(),
        patches=(),
    )


def paired(left: list[PatchMail], right: list[PatchMail], *groups: str) -> list[str]:
    """Each pair as `<number on the left> <on the right>: remarks`; groups like "1 2>1"."""
    of_group = {}
    for number, group in enumerate(groups):
        before, _, now = group.partition(">")
        for version, parts in ((1, before), (2, now)):
            of_group |= {f"<v{version}-{each}>": number for each in parts.split()}
    pairing = pair_parts(left, right, of_group)
    pairs = arrange([_text(mail) for mail in left], [_text(mail) for mail in right], pairing.became)
    remarks = [
        pairing.right_remarks.get(pair.right_number - 1, ())
        if pair.right
        else pairing.left_remarks[pair.left_number - 1]
        for pair in pairs
    ]
    return [
        f"{pair.left.name if pair.left else '-'} {pair.right.name if pair.right else '-'}: "
        + "; ".join(told)
        for pair, told in zip(pairs, remarks, strict=True)
    ]


def _text(mail: PatchMail) -> PatchText:
    name = str(mail.prefix.part)
    return PatchText(name=name, title=mail.title, text=b"", diff_at=0, diff_lines=0)


def parts(version: int, count: int) -> list[PatchMail]:
    return [part(version, number) for number in range(1, count + 1)]


def test_in_place() -> None:
    """Each with its own revision."""
    assert paired(parts(1, 2), parts(2, 2), "1>1", "2>2") == ["1 1: ", "2 2: "]


def test_dropped_and_new() -> None:
    """Told where they stood, in the order of git range-diff."""
    assert paired(parts(1, 3), parts(2, 3), "1>1", "3>3", "2>", ">2") == [
        "1 1: ",
        "2 -: dropped",
        "- 2: new",
        "3 3: ",
    ]


def test_reordered() -> None:
    """As few as moved are told; a dropped one comes once all before it are shown."""
    assert paired(parts(1, 5), parts(2, 4), "1>2", "2>3", "3>4", "4>1", "5>") == [
        "4 1: reordered",
        "1 2: ",
        "2 3: ",
        "3 4: ",
        "5 -: dropped",
    ]


def test_as_few_as_can_be_moved(random: Random) -> None:
    """Those that stay are in order, and none of those that moved could stay with them."""
    for _ in range(50):
        order = random.sample(range(1, 8), 7)
        rows = paired(
            parts(1, 7), parts(2, 7), *(f"{was}>{now}" for now, was in enumerate(order, 1))
        )
        stay = [int(row.split()[0]) for row in rows if "reordered" not in row]
        assert stay == sorted(stay)
        longest = max(
            len(some)
            for size in range(1, 8)
            for some in combinations(order, size)
            if list(some) == sorted(some)
        )
        assert len(stay) == longest


def test_split_and_joined() -> None:
    """Where a group has several of one series, one of them is its revision."""
    assert paired(parts(1, 1), parts(2, 2), "1>1 2") == [
        "1 1: ",
        "- 2: split from part 1 before: the groups have them as one patch",
    ]
    assert paired(parts(1, 2), parts(2, 1), "1 2>1") == [
        "1 1: ",
        "2 -: went into part 1 now: the groups have them as one patch",
    ]


def test_alike_parts_by_title() -> None:
    """Two that are alike are one group; the title tells them apart, though they moved."""
    left = [part(1, 1, "a"), part(1, 2, "b")]
    right = [part(2, 1, "b"), part(2, 2, "a")]
    assert paired(left, right, "1 2>1 2") == ["2 1: reordered", "1 2: "]


def test_same_title_but_another_patch() -> None:
    """The groups decide; that the title is the same is told."""
    remark = "has the same title, but is another patch to the groups"
    assert paired([part(1, 1, "a")], [part(2, 1, "a")], "1>", ">1") == [
        f"1 -: dropped; part 1 now {remark}",
        f"- 1: new; part 1 before {remark}",
    ]


def test_nothing_on_a_side() -> None:
    """All are dropped, or new."""
    assert paired(parts(1, 1), [], "1>") == ["1 -: dropped"]
    assert paired([], parts(2, 1), ">1") == ["- 1: new"]


def test_not_grouped_yet() -> None:
    """It is told; the groups do not say that it is another patch."""
    assert paired([part(1, 1, "a")], [part(2, 1, "a")], "1>") == [
        "1 -: dropped",
        "- 1: new; not grouped yet",
    ]


def test_a_part_that_came_twice() -> None:
    """The later one is looked at."""
    mails = (part(1, 1), part(1, 2, again=True), part(1, 2), part(1, 3))
    series = Series(key="<v1>", title="t", author_name="A", version=1, total=4, mails=mails)
    names = [mail.message_id for mail in current_parts(series)]
    assert names == ["<v1-1>", "<v1-2-again>", "<v1-3>"]
