"""How alike two patches are: as thefuzz and PaStA have it, and the short way as the long one."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from statistics import mean
from typing import TypeVar

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from rapidfuzz.fuzz import token_sort_ratio
from rapidfuzz.utils import default_process

from patchsync.analysis.builtin.kept import kept
from patchsync.analysis.patch import FileDiff, Hunk, Patch
from patchsync.analysis.rating import (
    Shape,
    best_matches,
    lines_ratio,
    near_in_time,
    normalise,
    rate,
    reaches,
    score,
    shape_of,
)
from patchsync.analysis.settings import Thresholds
from patchsync.analysis.upper_bound import SharedPart, may_reach, most_alike, most_alike_diffs

T = TypeVar("T")
DAY = 24 * 60 * 60
WORDS = ("alpha", "beta", "Gamma", "del'ta", "eps\\", "für", "x\udcff", "İ", "7", "-")
lines = st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), max_size=4)
hunks = st.builds(
    Hunk,
    deletions=lines.map(tuple),
    insertions=lines.map(tuple),
)
headings = st.sampled_from(("", "main(void)", "main(int)", "other()", "struct a {"))
files = st.builds(
    FileDiff,
    similarity=st.sampled_from((0, 0, 90, 95, 100)),
    hunks=st.dictionaries(headings, hunks, max_size=3),
)
keys = st.sampled_from(
    (("a.c",), ("b.c",), ("dir/a.c",), ("dir/b.c",), ("a.c", "b.c"), ("/dev/null", "a.c"))
)
patches = st.builds(
    Patch,
    message=lines.map(tuple),
    author_date=st.just(datetime(2020, 1, 1, tzinfo=UTC)),
    is_revert=st.just(False),
    files=st.dictionaries(keys, files, max_size=4),
    lines=st.integers(0, 5),
)
shares = st.one_of(st.sampled_from((0.0, 1.0)), st.integers(0, 20).map(lambda n: n / 20))
thresholds = st.builds(
    Thresholds,
    diff_lines_ratio=st.just(0.0),
    heading=shares,
    filename=shares,
    message_diff_weight=st.one_of(shares, st.floats(0, 1)),
)


def by_thefuzz(left: object, right: object) -> int:
    """Its token_sort_ratio, whole numbers of per cent, as it works with rapidfuzz."""
    texts = ("".join(c for c in str(each) if not 128 <= ord(c) <= 255) for each in (left, right))
    return round(token_sort_ratio(*map(default_process, texts)))


def total_by_hand(left: Patch, right: Patch, limit: Thresholds) -> float:
    """The weighted rating of two patches, by the words of the description."""
    scores: list[float] = []
    for ours, theirs in matches_by_hand(list(left.files), list(right.files), limit.filename):
        a, b = left.files[ours], right.files[theirs]
        if a.similarity == b.similarity == 100:
            scores.append(100)
            continue
        if a.similarity == b.similarity != 0:
            scores.append(100)
        sides = []
        for one, other in matches_by_hand(list(a.hunks), list(b.hunks), limit.heading):
            for kind in (0, 1):
                old, new = list(a.hunks[one][kind]), list(b.hunks[other][kind])
                if old and new:
                    sides.append(by_thefuzz(old, new))
        if sides:
            scores.append(mean(sides))
    diff = mean(scores) / 100 if scores else 0
    message = by_thefuzz(list(left.message), list(right.message)) / 100
    return limit.message_diff_weight * message + (1 - limit.message_diff_weight) * diff


def matches_by_hand(left: list[T], right: list[T], limit: float) -> set[tuple[T, T]]:
    """Equal names, or from both sides the last of the best ones that reach the limit."""
    if limit >= 1:
        return {(name, name) for name in left if name in right}

    def best(name: T, others: list[T]) -> list[T]:
        found = [(by_thefuzz(name, other) / 100, at) for at, other in enumerate(others)]
        reaching = [each for each in found if each[0] >= limit]
        return [others[max(reaching)[1]]] if reaching else []

    pairs = {(name, other) for name in left for other in best(name, right)}
    return pairs | {(name, other) for other in right for name in best(other, left)}


@given(st.lists(st.text()), st.lists(st.text()))
@example(["für"], ["fr"])
@example(["Straße 7", "b"], ["b", "STRAE 7"])
@example([], [])
@example(["\u0100bc"], ["abc"])
def test_two_texts(left: list[str], right: list[str]) -> None:
    """As thefuzz's token_sort_ratio of the two lists, from any text."""
    assert score(normalise(left), normalise(right)) == by_thefuzz(left, right)
    assert normalise(tuple(left)) == normalise(left)


@given(patches, patches, thresholds)
@settings(max_examples=40)
def test_the_rating_of_a_pair(left: Patch, right: Patch, limit: Thresholds) -> None:
    """To the last bit what the description says, from either side."""
    rating = rate(shape_of(left), shape_of(right), limit)
    assert rating.total(limit) == total_by_hand(left, right, limit)
    assert rating.lines_ratio == lines_ratio(left.lines, right.lines)
    assert rating.order == rating.message + rating.diff


@given(patches, patches, thresholds, st.integers(0, 22).map(lambda n: n / 20))
@settings(max_examples=60)
def test_the_short_way(left: Patch, right: Patch, limit: Thresholds, total: float) -> None:
    """It says whether the rating reaches a total; also that itself, or by a hair not."""
    a, b = shape_of(left), shape_of(right)
    rating = rate(a, b, limit)
    exactly = rating.total(limit)
    for wanted in (total, exactly, exactly + 1e-15, exactly - 1e-15, exactly + 1e-9):
        assert reaches(a, b, rating.message, wanted, limit) == (exactly >= wanted)


@pytest.mark.long
@given(patches, patches, thresholds, st.integers(0, 22).map(lambda n: n / 20))
@settings(max_examples=2000)
def test_both_at_length(left: Patch, right: Patch, limit: Thresholds, total: float) -> None:
    """The same for many more."""
    test_the_rating_of_a_pair.hypothesis.inner_test(left, right, limit)
    test_the_short_way.hypothesis.inner_test(left, right, limit, total)


def nearly(text: str) -> Shape:
    """A patch with some lines and this one."""
    hunk = Hunk((), ("one", "two", "three", text))
    files = {("a.c",): FileDiff(0, {"": hunk}), ("b.c",): FileDiff(0, {"x": hunk, "y": hunk})}
    date = datetime(2020, 1, 1, tzinfo=UTC)
    return shape_of(
        Patch(message=("same",), author_date=date, is_revert=False, files=files, lines=9)
    )


@given(st.text("abcdef", max_size=30), st.text("abcdef", max_size=30), shares)
def test_the_short_way_where_it_is_close(left: str, right: str, weight: float) -> None:
    """Whole numbers of per cent on either side of the rating."""
    assume(weight < 1)
    limit = Thresholds(message_diff_weight=weight)
    a, b = nearly(left), nearly(right)
    exactly = rate(a, b, limit).total(limit)
    for near in range(-3, 4):
        wanted = round(exactly, 2) + near / 100
        assert reaches(a, b, 1.0, wanted, limit) == (exactly >= wanted)


def test_weights_and_lines() -> None:
    """The message has its weight, the diff the rest; diffs of too different a length rate 0."""
    a, b = nearly("what"), nearly("what")._replace(message=normalise(["another"]))
    limit = Thresholds(message_diff_weight=0.25)
    rating = rate(a, b, limit)
    assert rating.diff == 1
    assert 0 < rating.message < 1
    assert rating.total(limit) == 0.25 * rating.message + 0.75
    other = b._replace(lines=4)
    assert rate(a, other, limit._replace(diff_lines_ratio=4 / 9)).diff == 1
    assert rate(a, other, limit._replace(diff_lines_ratio=0.45)) == (0, 0, 4 / 9, ())


def test_lines_ratio() -> None:
    """The shorter to the longer; two without lines are equal."""
    found = [lines_ratio(a, b) for a, b in ((0, 0), (0, 3), (3, 0), (2, 4), (4, 2), (5, 5))]
    assert found == [1, 0, 0, 0.5, 0.5, 1]


def test_of_equally_good_matches_the_last_counts() -> None:
    """From both sides, and each pair once."""
    assert best_matches(["ab"], ["ba x", "ab x", "ab y"], 0.3) == [
        ("ab", "ab y"),
        ("ab", "ba x"),
        ("ab", "ab x"),
    ]
    assert best_matches(["same"], ["same"], 0.9) == [("same", "same")]
    assert best_matches(["abcd"], ["wxyz"], 0.1) == []
    assert best_matches(["abcd"], ["wxyz"], 0.0) == [("abcd", "wxyz")]
    assert best_matches(["b", "a", "c"], ["a", "b", "A"], 1.0) == [("b", "b"), ("a", "a")]


@given(*[st.lists(st.text("ab c", max_size=5), max_size=5, unique=True)] * 2, shares)
def test_matches_of_names(left: list[str], right: list[str], limit: float) -> None:
    """Whatever the names."""
    found = best_matches(left, right, limit)
    assert set(found) == matches_by_hand(left, right, limit)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("apart", "as_mail", "as_commit"),
    [
        (0, True, True),
        (2 * DAY - 1, True, True),
        (2 * DAY, False, False),
        (-DAY, True, True),
        (-DAY - 1, True, False),
        (-2 * DAY + 1, True, False),
        (-2 * DAY, False, False),
    ],
)
def test_near_in_time(apart: int, as_mail: bool, as_commit: bool) -> None:
    """Whole days, rounded down: a commit that is a moment before its mail is a day before it."""
    at = 1_600_000_000.0
    assert near_in_time(at, at + apart, 2, other_is_commit=False) == as_mail
    assert near_in_time(at + apart, at, 2, other_is_commit=False) == as_mail
    assert near_in_time(at, at + apart, 2, other_is_commit=True) == as_commit


def test_no_limit_of_time() -> None:
    """0 is none."""
    for other_is_commit, sign in product((False, True), (1, -1)):
        assert near_in_time(0, sign * 10**10, 0, other_is_commit=other_is_commit)


def patch_of(*, message: str = "subject", insertions: tuple[str, ...] = ()) -> Patch:
    """With a hunk for each of the insertions."""
    hunks = {str(number): Hunk((), (text,)) for number, text in enumerate(insertions)}
    return Patch(
        message=(message,),
        author_date=datetime(2020, 1, 1, tzinfo=UTC),
        is_revert=False,
        files={("a.c",): FileDiff(0, hunks)},
        lines=len(insertions),
    )


def test_giants_are_only_seen_to_be_the_same() -> None:
    """To compare two of a million characters takes half a minute; and they are not kept either."""
    text = "word " * 200_001
    short, long = patch_of(), patch_of(message=text, insertions=(text,))
    same, other = (patch_of(message=each, insertions=(each,)) for each in (text, f"{text}x"))
    limit = Thresholds()
    assert rate(shape_of(long), shape_of(same), limit)[:2] == (1.0, 1.0)
    assert rate(shape_of(long), shape_of(other), limit)[:2] == (0.0, 0.0)
    assert rate(shape_of(long), shape_of(short), limit).message == 0
    assert reaches(shape_of(long), shape_of(same), 1.0, 0.9, limit)
    assert not reaches(shape_of(long), shape_of(other), 1.0, 0.9, limit)
    assert len(repr(shape_of(long))) < 1000


def test_many_hunks_are_only_seen_to_be_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pair takes is bounded as a whole: by itself each of these hunks is compared."""
    monkeypatch.setattr("patchsync.analysis.rating._MOST_WORK", 10**5)
    hunks = [f"a{number} " * 80 for number in range(5)]
    left = shape_of(patch_of(insertions=tuple(hunks)))
    right = shape_of(patch_of(insertions=(*hunks[:4], f"{hunks[4]}x")))
    assert rate(left, right, Thresholds()).diff == 0.8
    one, other = (shape_of(patch_of(insertions=(hunk,))) for hunk in (hunks[4], f"{hunks[4]}x"))
    assert rate(one, other, Thresholds()).diff == 1.0


@settings(max_examples=30)
@given(patches, patches, thresholds)
def test_whichever_comes_first(left: Patch, right: Patch, limit: Thresholds) -> None:
    """The builtin engine rates a pair once, where PaStA looks at it from either side."""
    one, two = shape_of(left), shape_of(right)
    assert rate(one, two, limit).order == rate(two, one, limit).order


@given(patches, patches, shares)
@settings(max_examples=300)
def test_no_rating_is_above_what_is_seen_without_texts(
    left: Patch, right: Patch, weight: float
) -> None:
    """By the parts that two patches share; those that share none have no rating of their diffs."""
    limit = Thresholds(diff_lines_ratio=0.0, message_diff_weight=weight)
    ours, theirs = kept(left), kept(right)
    others = {part: (deletions, insertions) for part, _, deletions, insertions in theirs.parts}
    shared = [
        SharedPart(file, deletions, insertions, *others[part])
        for part, file, deletions, insertions in ours.parts
        if part in others
    ]
    rating = rate(shape_of(left), shape_of(right), limit)
    message = most_alike(ours.message_length, theirs.message_length)
    diff = most_alike_diffs(shared)
    assert rating.message <= message
    assert rating.diff <= diff + 1e-9
    assert may_reach(message, diff, limit, rating.total(limit))


def test_what_is_too_different_in_length_is_seen_without_texts() -> None:
    """The longest text of which any part is the other one, and no longer."""
    limit = Thresholds()
    hunk = [SharedPart(0, None, 100, None, 50)]
    assert 0.66 < most_alike_diffs(hunk) < 0.68
    assert not may_reach(1.0, most_alike_diffs(hunk), limit, 0.82)
    assert may_reach(1.0, most_alike_diffs([SharedPart(0, None, 100, None, 75)]), limit, 0.82)
    assert most_alike_diffs([SharedPart(0, None, 100, 50, None)]) == 0
    assert most_alike_diffs([]) == 0
