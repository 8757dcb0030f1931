"""From alike pairs to groups: order does not matter, but for marks, where it is PaStA's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from patchsync.analysis.builtin.cache import CachedPatch
from patchsync.analysis.builtin.grouping import CandidateRatings, Links, group
from patchsync.analysis.components import components
from patchsync.analysis.false_positives import FalsePositives

# Orders of pairs: what PaStA sorts by. Those that are not named are less alike.
Alike = Mapping[str, float]


def patch(name: str) -> CachedPatch:
    """One whose name tells all: capitals are commits; author dates ascend by the alphabet."""
    number = ord(name)
    return CachedPatch(number, name, name.isupper(), float(number), False)


def grouped(
    names: str,
    pairs: str,
    false: Mapping[str, str] | None = None,
    false_upstream: Mapping[str, str] | None = None,
    alike: Alike | None = None,
    later: Mapping[str, float] | None = None,
) -> set[str]:
    """The groups of `names`, by pairs such as "ab bc aX"; marks by origin; other author dates."""
    patches = [patch(name) for name in names]
    patches = [each._replace(date=(later or {}).get(each.name, each.date)) for each in patches]
    links = Links([], [])
    for left, right in pairs.split():
        into = links.commits if right.isupper() else links.mails
        into.append((ord(left), ord(right)))

    def rate_candidates(mail: CachedPatch, linked: set[int], upstream: bool) -> CandidateRatings:
        found = {}
        for other in patches:
            pair = "".join(sorted((mail.name, other.name), reverse=other.is_commit))
            if other.is_commit == upstream and other is not mail:
                found[other.number] = (alike or {}).get(pair, 1.0 + (pair in pairs.split()))
        return CandidateRatings(max(found.values()), {each: found[each] for each in linked})

    groups = group(patches, links, marks(false), marks(false_upstream), rate_candidates)
    return {"".join(sorted(map(chr, each), key=str.swapcase)) for each in groups}


def marks(named: Mapping[str, str] | None) -> FalsePositives:
    """Marks by names."""
    return {origin: frozenset(others) for origin, others in (named or {}).items()}


def test_what_is_alike_is_connected() -> None:
    """Over any number of pairs; what is like nothing is a group of its own."""
    assert grouped("abcdef", "ab bc ef") == {"abc", "d", "ef"}
    assert grouped("", "") == set()


mail_pairs = st.lists(
    st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=2, unique=True).map("".join),
    max_size=8,
    unique=True,
)


@given(mail_pairs, st.randoms(use_true_random=False))
def test_without_marks_the_order_is_no_matter(pairs: list[str], random: object) -> None:
    """Of the pairs, of the patches, and of the two sides of a pair."""
    names = list("abcdefg")
    expected = grouped("abcdefg", " ".join(pairs))
    random.shuffle(names)  # type: ignore[attr-defined]
    random.shuffle(pairs)  # type: ignore[attr-defined]
    turned = (pair[::-1] if random.random() < 0.5 else pair for pair in pairs)  # type: ignore[attr-defined]
    assert grouped("".join(names), " ".join(turned)) == expected
    assert {"".join(sorted(each)) for each in components([*names, *pairs])} == expected


BOTH = {"a": "c", "c": "a"}


def test_a_mark_keeps_a_pair_apart() -> None:
    """Noted from both sides; from one alone the other side joins them, as in PaStA."""
    assert grouped("ac", "ac", BOTH) == {"a", "c"}
    assert grouped("ac", "ac", {"a": "c"}) == {"ac"}
    assert grouped("abc", "ab", {"a": "c", "c": "a"}) == {"ab", "c"}


def test_a_mark_keeps_groups_apart() -> None:
    """With A~B, B~C and A marked against C, B joins the one that PaStA comes to first."""
    # All are equally alike: by name a is first, and finds b. Then ab and c are kept apart.
    assert grouped("abc", "ab bc", BOTH) == {"ab", "c"}
    assert grouped("abc", "ab bc ac", BOTH) == {"ab", "c"}
    # The origin whose best candidate is least alike goes first: that is c, which finds b.
    assert grouped("abc", "ab bc", BOTH, alike={"ab": 1.9, "bc": 1.8}) == {"a", "bc"}
    # Each origin takes its best candidate first: b is first by its name here.
    assert grouped("abc", "ab bc", BOTH, alike={"ab": 1.8, "bc": 1.9}) == {"ab", "c"}
    alike = {"bd": 1.7, "bx": 1.9, "dx": 1.9}
    assert grouped("bdx", "bd bx", {"d": "x", "x": "d"}, alike=alike) == {"bx", "d"}


def test_the_best_candidate_counts_though_it_is_not_joined() -> None:
    """PaStA sorts by all it compared: who has a very similar one in vain comes late."""
    apart = {"a": "cd", "c": "ad", "d": "ac"}
    alike = {"ab": 1.8, "ac": 1.95, "bc": 1.9, "ad": 1.0, "bd": 1.0, "cd": 1.0}
    # b, by 1.9, is before a and c, by 1.95, and takes c.
    assert grouped("abcd", "ab bc ac", apart, alike=alike) == {"a", "bc", "d"}


def test_a_mark_from_one_side_holds_for_groups() -> None:
    """Any of the origin's group against any of the other's, whichever pair is looked at."""
    alike = {"ab": 1.5, "cd": 1.6, "bc": 1.7}
    assert grouped("abcd", "ab cd bc", {"a": "d", "d": "a"}, alike=alike) == {"ab", "cd"}
    assert grouped("abcd", "ab cd bc", {"a": "d"}, alike=alike) == {"abcd"}


def test_the_latest_mail_alone_is_compared_with_commits() -> None:
    """By author date; of several the one whose name is last."""
    assert grouped("abX", "ab aX") == {"ab", "X"}
    assert grouped("abX", "ab bX") == {"abX"}
    assert grouped("abX", "ab aX", later={"a": 1e9}) == {"abX"}
    assert grouped("abX", "ab aX", later={"a": 1, "b": 1}) == {"ab", "X"}
    assert grouped("abX", "ab bX", later={"a": 1, "b": 1}) == {"abX"}


def test_two_groups_in_one_commit_are_one() -> None:
    """Commits are joined through mails as well."""
    assert grouped("abcX", "ab bX cX") == {"abcX"}
    assert grouped("aXYZ", "aX aY") == {"aXY", "Z"}


def test_marks_against_commits() -> None:
    """Of any mail of the group; the marks of mails say nothing of commits, nor the other way."""
    assert grouped("abX", "ab bX", None, {"a": "X"}) == {"ab", "X"}
    assert grouped("abX", "ab bX", {"b": "X"}) == {"abX"}
    assert grouped("abX", "ab bX", None, {"a": "b", "b": "a"}) == {"abX"}


def test_marks_against_commits_keep_groups_apart() -> None:
    """In PaStA's order too: the least alike origin first, each with its best commit first."""
    # a takes X, then b may not join it.
    assert grouped("abX", "aX bX", None, {"b": "X"}) == {"aX", "b"}
    # Where b comes first, X and Y are one by then, and a may not join Y.
    # Where a does, b brings Y with it: it is the origin, and has no mark.
    against = {"a": "Y"}
    early, late = {"bY": 1.5, "aX": 1.8, "bX": 1.4}, {"bY": 1.9, "aX": 1.8, "bX": 1.85}
    assert grouped("abXY", "aX bX bY", None, against, alike=early) == {"bXY", "a"}
    assert grouped("abXY", "aX bX bY", None, against, alike=late) == {"abXY"}


def names_of(groups: Iterable[str]) -> set[str]:
    """All of them."""
    return {name for each in groups for name in each}


@given(mail_pairs, st.dictionaries(st.sampled_from("abcdefg"), st.text("abcdefg", min_size=1)))
def test_with_any_marks(pairs: list[str], false: dict[str, str]) -> None:
    """Each patch is in one group, a group is connected, and no order but PaStA's plays a part."""
    forth = grouped("abcdefg", " ".join(pairs), false)
    assert grouped("gfedcba", " ".join(reversed(pairs)), false) == forth
    assert names_of(forth) == set("abcdefg")
    assert sum(map(len, forth)) == 7
    inside = (pair for pair in pairs if any(set(pair) <= set(each) for each in forth))
    assert grouped("abcdefg", " ".join(inside)) == forth
