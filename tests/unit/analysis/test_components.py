"""Connected components: what shares a member is one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from patchsync.analysis.components import components


def test_what_shares_a_member_is_one() -> None:
    """Over any number of sets; in the order in which they come."""
    assert components(["xy", "a", "bc", "cd", "", "db"]) == [set("xy"), set("a"), set("bcd")]
    assert components([]) == []


@given(st.lists(st.frozensets(st.integers(0, 12), max_size=4)))
def test_components_are_apart_and_whole(sets: list[frozenset[int]]) -> None:
    """No set lies in two of them, and none can be split without cutting a set."""
    found = components(sets)
    assert sorted(number for members in found for number in members) == sorted(
        frozenset().union(*sets)
    )
    for members in found:
        inside = [each for each in sets if each & members]
        assert all(each <= members for each in inside)
        reached = {min(members)}
        for _ in members:
            reached = reached.union(*(each for each in inside if each & reached))
        assert reached == members
