"""Which of the patches that an archive claims Patchwork lists otherwise, or not at all.

All pages are listed, one request for 250 patches. To compare the numbers, as a sync does first,
would not do: one claim that is made up, and one patch that the archive lacks, leave them equal.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from patchsync.errors import UnknownProject
from patchsync.patchwork.paging import LARGEST_PAGE, Answer, Page
from patchsync.sync.compare import Remote

# Looks up those of some patchwork ids that are claimed, with the claimed message-ids.
Claims = Callable[[Iterable[int]], Mapping[int, str | None]]
# Gets how many pages of the list were seen, and of how many.
OnPage = Callable[[int, int], object]


def _ids() -> array[int]:
    return array("q")


@dataclass
class ListComparison:
    """What Patchwork says of the claimed patches: patchwork ids, ascending."""

    # It does not list them
    absent: array[int] = field(default_factory=_ids)
    # It lists them under another message-id
    renamed: array[int] = field(default_factory=_ids)
    # How many it lists as they are claimed
    confirmed: int = 0


def compare_with_list(
    remote: Remote, claimed: array[int], claims: Claims, on_page: OnPage, at_once: int
) -> ListComparison:
    """Hold what is claimed against the project's list in Patchwork.

    A patch that is deleted meanwhile may let another one slide past the pages: that one counts as
    not listed, and the next sync finds it.

    Args:
        remote: the project in Patchwork.
        claimed: all patchwork ids that are claimed, ascending.
        claims: looks up what is claimed.
        on_page: is called after each page.
        at_once: requests side by side.

    Raises:
        UnknownProject: the server does not have the project.
    """
    _, count = remote.newest()
    if not count and not remote.exists():
        raise UnknownProject
    pages = max(1, -(-count // LARGEST_PAGE))
    comparison = ListComparison()
    highest = 0
    for answer in _pages(remote, pages, at_once):
        listed = dict(answer.entries)
        top = max(listed, default=highest)
        in_range = claimed[bisect_right(claimed, highest) : bisect_right(claimed, top)]
        comparison.absent.extend(number for number in in_range if number not in listed)
        # A mail whose headers are at fault claims no message-id.
        both = claims(number for number in in_range if number in listed)
        renamed = sorted(n for n in both if both[n] not in (None, listed[n]))
        comparison.renamed.extend(renamed)
        comparison.confirmed += len(both) - len(renamed)
        highest = max(highest, top)
        on_page(answer.page.page, max(pages, answer.page.page))
    comparison.absent.extend(claimed[bisect_right(claimed, highest) :])
    return comparison


def _pages(remote: Remote, pages: int, at_once: int) -> Iterator[Answer]:
    """The pages of the list, to its end; `pages` are told of, but it may grow or shrink."""
    first = 1
    with ThreadPoolExecutor(at_once) as pool:
        while True:
            # A few at a time: what they list waits in memory.
            some = min(4 * at_once, max(1, pages - first + 1))
            asked = [Page("id", LARGEST_PAGE, number) for number in range(first, first + some)]
            for answer in pool.map(remote.list_page, asked):
                if answer is None:  # past the end
                    return
                yield answer
                if answer.last:
                    return
            first += some
