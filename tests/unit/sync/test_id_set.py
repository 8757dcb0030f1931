"""What one answer of the server proves about the ids that we know."""

from __future__ import annotations

from array import array
from random import Random

import pytest
from model_server import ModelServer, nothing

from patchsync.errors import GiveUp, NotPatchwork
from patchsync.patchwork.paging import Answer, Order, Page
from patchsync.sync.id_set import IdSet


def answer(order: Order, page: int, *ids: int, last: bool = False) -> Answer:
    entries = tuple((patch_id, f"<{patch_id}@list>") for patch_id in ids)
    return Answer(Page(order, 250, page), entries, last)


@pytest.mark.parametrize(
    ("listing", "gone"),
    [
        pytest.param(answer("id", 2, 10, 14), [12], id="between two neighbours"),
        pytest.param(answer("-id", 2, 14, 10), [12], id="between two, newest first"),
        pytest.param(answer("id", 1, 10, 14), [4, 12], id="below the first of all"),
        pytest.param(answer("-id", 1, 14, 10), [12, 20], id="above the newest"),
        pytest.param(answer("id", 2, 10, 14, last=True), [12], id="not beyond the last"),
        pytest.param(answer("-id", 2, 14, 10, last=True), [12], id="not below the last"),
        pytest.param(answer("id", 2, 12), [], id="nothing around a single one"),
        pytest.param(answer("id", 1, last=True), [], id="nothing by an empty list"),
    ],
)
def test_gone_is_only_what_one_answer_should_have_listed(listing: Answer, gone: list[int]) -> None:
    """An id is proved gone between two listed ones and before the first of all, nowhere else."""
    held = [4, 10, 12, 14, 20]

    known = IdSet(held)

    assert listing.proves_gone(held) == gone
    assert known.see(listing).gone == frozenset(gone)


def test_proof_does_not_depend_on_the_order_of_what_is_held() -> None:
    """The ids that a fetch task was given may come in any order."""
    assert answer("id", 1, 10, 14).proves_gone([4, 10, 12, 20]) == [4, 12]


def test_patch_that_arrives_while_the_server_answers_pushes_none_into_gone() -> None:
    """The server counts, then lists: what falls off its last page meanwhile is not gone."""
    # Given two patches, and a third that appears between the count and the list
    server = ModelServer([1, 2])
    queries = iter([nothing, lambda: server.add(3)])
    server.between = lambda: next(queries)()

    # When they are listed
    listing = server.list_page(Page("-id", 250, 1))

    # Then the first one fell off the last page, and is not taken for gone
    assert listing is not None
    assert (listing.ids, listing.last) == ((3, 2), True)
    assert listing.proves_gone([1, 2]) == []


def test_answer_in_another_order_is_refused() -> None:
    """A server that ignores `order` would prove everything gone."""
    with pytest.raises(NotPatchwork, match="order=id"):
        answer("id", 1, 3, 1, 2)
    with pytest.raises(NotPatchwork, match="order=-id"):
        answer("-id", 1, 1, 2)


def test_known_ids_are_those_held_and_not_gone() -> None:
    """Doubled ids count once, gone ones do not count, and what is not held cannot be gone."""
    known = IdSet([5, 1, 9, 5], gone=[9, 7])

    assert len(known) == 2
    assert known.highest == 5
    assert known.gone == {9}
    assert 5 in known
    assert 9 not in known
    assert 7 not in known
    assert known.between(1, 5) == 1
    assert known.slice(-3, 9) == (1, 5)


def test_any_ids_may_be_gone(random: Random) -> None:
    """The first, the last, neighbours, all; in whatever order and form they are given."""
    held = random.sample(range(1, 60), 30)
    for count in range(31):
        gone = random.sample(held, count)
        left = sorted(set(held) - set(gone))
        for given in (held, array("q", held), array("q", sorted(held)), sorted(held * 2)):
            known = IdSet(given, gone)
            assert list(known.slice(0, 99)) == left
            assert known.gone == set(gone)
            known.add(iter(gone[:3]))
            assert list(known.slice(0, 99)) == sorted({*left, *gone[:3]})


def test_listed_id_is_no_longer_gone() -> None:
    """A patch that comes back is known again without being downloaded again."""
    known = IdSet([1, 2, 3], gone=[2])

    seen = known.see(answer("id", 2, 1, 2, 3, 4))

    assert seen.back == {2}
    assert seen.missing == (4,)
    assert known.gone == frozenset()
    assert known.slice(0, 3) == (1, 2, 3)


@pytest.mark.parametrize(
    "message", [{}, {"order": "date", "per_page": 1, "page": 1}, {"order": "id", "page": 0}]
)
def test_a_message_that_is_no_page_is_refused(message: dict[str, object]) -> None:
    """A page asked for by hand is checked, and the error shows how one looks."""
    with pytest.raises(GiveUp, match="'per_page': 250"):
        Page.from_message(message)
