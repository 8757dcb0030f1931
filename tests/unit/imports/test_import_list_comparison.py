"""What an archive claims, held against what the server lists."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from random import Random

import pytest
from import_fakes import FakeRemote, listing

from patchsync.errors import UnknownProject
from patchsync.imports.list_comparison import ListComparison, compare_with_list
from patchsync.patchwork.paging import Answer, Page


def against(
    remote: FakeRemote, claimed: dict[int, str | None], pages: list[int] | None = None
) -> ListComparison:
    """Compare, three pages at once; `pages` gets the number of each page that was seen."""

    def claims(ids: Iterable[int]) -> dict[int, str | None]:
        return {number: claimed[number] for number in ids if number in claimed}

    seen: list[tuple[int, int]] = []
    ids = array("q", sorted(claimed))
    comparison = compare_with_list(remote, ids, claims, lambda *page: seen.append(page), 3)
    assert [page for page, _ in seen] == [*range(1, len(seen) + 1)]
    assert all(page <= of for page, of in seen)
    if pages is not None:
        pages.extend(page for page, _ in seen)
    return comparison


def claim(*numbers: int) -> dict[int, str | None]:
    return {number: f"<{number}@example.org>" for number in numbers}


def test_what_agrees_costs_a_request_for_250_patches() -> None:
    """And one for the count."""
    remote = listing(*range(1, 2001))
    assert against(remote, claim(*range(1, 1501))) == ListComparison(confirmed=1500)
    assert remote.pages == 8


@pytest.mark.parametrize("size", [0, 1, 249, 250, 251, 1000, 3333])
def test_what_the_server_does_not_list_is_found(random: Random, size: int) -> None:
    """Wherever it lies, and whatever the archive lacks: equal numbers hide nothing."""
    for _ in range(5):
        listed = set(random.sample(range(1, 5000), size))
        claimed = {number for number in listed if random.random() < 0.9}
        made_up = set(random.sample(range(1, 6000), 20)) - listed
        compared = against(listing(*listed), claim(*claimed, *made_up))
        assert list(compared.absent) == sorted(made_up)
        assert (list(compared.renamed), compared.confirmed) == ([], len(claimed))


def test_other_message_ids_are_found() -> None:
    """A mail whose headers are at fault has none, and contradicts nothing."""
    claimed = claim(*range(1, 600)) | {9: "<other@example.org>", 10: None}
    compared = against(listing(*range(1, 700)), claimed)
    assert (list(compared.absent), list(compared.renamed)) == ([], [9])
    assert compared.confirmed == 598


def test_a_list_that_grows_meanwhile_is_read_to_its_end() -> None:
    """Though the count told of fewer pages."""

    class Growing(FakeRemote):
        def newest(self, *, few: bool = False) -> tuple[int | None, int]:
            before = super().newest(few=few)
            self.patches |= {n: f"<{n}@example.org>" for n in range(5000, 6000)}
            return before

    pages: list[int] = []
    compared = against(Growing(listing(*range(1, 300)).patches), claim(5999, 7000), pages)
    assert list(compared.absent) == [7000]
    assert len(pages) == 6


def test_a_list_that_shrinks_meanwhile_ends_where_it_ends() -> None:
    """A page past the end is no answer; what is not seen counts as not listed."""

    class Shrinking(FakeRemote):
        def list_page(self, page: Page) -> Answer | None:
            return super().list_page(page) if page.page < 3 else None

    compared = against(Shrinking(listing(*range(1, 1001)).patches), claim(*range(1, 1001)))
    assert list(compared.absent) == list(range(501, 1001))


def test_a_project_that_is_not_there_is_not_taken_for_an_empty_one() -> None:
    """It would list as one."""
    remote = listing()
    remote.there = False
    with pytest.raises(UnknownProject):
        against(remote, claim(1))
