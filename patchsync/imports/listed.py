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
from patchsync.patchwork.paging import LARGEST_PAGE, Page
from patchsync.sync.compare import Remote

# Those of some patchwork ids that are claimed, with the claimed message-ids
Claims = Callable[[Iterable[int]], Mapping[int, str | None]]


def _ids() -> array[int]:
    return array("q")


@dataclass
class Comparison:
    """What the server says of claimed patches: their ids, ascending."""

    # It does not list them
    absent: array[int] = field(default_factory=_ids)
    # It lists them under another message-id
    renamed: array[int] = field(default_factory=_ids)
    # How many it lists as they are claimed
    confirmed: int = 0


def hold_against(
    remote: Remote, claimed: array[int], claims: Claims, found: Comparison, at_once: int
) -> Iterator[tuple[int, int]]:
    """Hold what is claimed against the server's list.

    A patch that is deleted meanwhile may let another one slide past the pages: that one counts as
    not listed, and the next sync finds it.

    Args:
        remote: the project.
        claimed: all ids that are claimed, ascending.
        claims: looks up what is claimed.
        found: gets what is found.
        at_once: requests side by side.

    Yields:
        How many pages were seen, of how many.

    Raises:
        UnknownProject: the server does not have the project.
    """
    _, count = remote.newest()
    if not count and not remote.exists():
        raise UnknownProject("the server has no such project (it would list as an empty one)")
    pages = max(1, -(-count // LARGEST_PAGE))
    highest = 0
    with ThreadPoolExecutor(at_once) as pool:
        first, last = 1, False
        while not last:
            # A few at a time: what they list waits in memory.
            some = min(4 * at_once, max(1, pages - first + 1))
            asked = [Page("id", LARGEST_PAGE, number) for number in range(first, first + some)]
            for answer in pool.map(remote.list_page, asked):
                last = answer is None or answer.last
                if answer is None:
                    break
                listed = dict(answer.entries)
                top = max(listed, default=highest)
                here = claimed[bisect_right(claimed, highest) : bisect_right(claimed, top)]
                found.absent.extend(each for each in here if each not in listed)
                known = claims(each for each in here if each in listed)
                other = sorted(each for each in known if known[each] not in (None, listed[each]))
                found.renamed.extend(other)
                found.confirmed += len(known) - len(other)
                highest = max(highest, top)
                yield answer.page.page, max(pages, answer.page.page)
                if last:
                    break
            first += some
    found.absent.extend(claimed[bisect_right(claimed, highest) :])
