"""Reading what is new, side by side where it is much, and keeping it as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from patchsync.analysis.builtin.cache import COMMIT_SECONDS, PatchCache
from patchsync.analysis.builtin.child import InHand
from patchsync.analysis.engine import OnProgress

# Below so many mails other processes are not worth their start.
_FEW = 300
# Mails of one task
_AT_ONCE = 16

_Read = TypeVar("_Read")


def read_all(
    what: str,
    names: Sequence[str],
    read: Callable[[str], _Read],
    keep: Callable[[str, _Read], None],
    cache: PatchCache,
    in_hand: InHand,
    on_progress: OnProgress,
) -> None:
    """Read the mails or commits of these names, and keep what was read of each in the cache.

    Args:
        what: is told to `on_progress`.
        names: are read in this order, about.
        read: what is to be kept of one, in whatever process; it does not touch the cache.
        keep: has it in the cache, in this process; called in no order.
        cache: a transaction of which is committed every few seconds.
        in_hand: is told which one is worked on.
        on_progress: see `OnProgress`.
    """

    def work(some: range, in_hand: InHand) -> Iterator[list[tuple[str, _Read]]]:
        found: list[tuple[str, _Read]] = []
        until = time.monotonic() + COMMIT_SECONDS
        for at in some:
            in_hand.take(names[at])
            found.append((names[at], read(names[at])))
            in_hand.put_down()
            if time.monotonic() > until or at == some[-1]:
                yield found
                found, until = [], time.monotonic() + COMMIT_SECONDS

    def keep_all(results: Iterable[list[tuple[str, _Read]]]) -> None:
        left, done = iter(results), 0
        while done < len(names):
            until = time.monotonic() + COMMIT_SECONDS
            with cache.transaction():
                for found in left:
                    for name, was_read in found:
                        in_hand.take(name)
                        keep(name, was_read)
                        in_hand.put_down()
                    done += len(found)
                    if time.monotonic() > until:
                        break
            on_progress(what, done, len(names))

    places = range(len(names))
    if len(names) < _FEW:
        keep_all(chain.from_iterable(work(places[at : at + 1], in_hand) for at in places))
        return
    tasks = (places[at : at + _AT_ONCE] for at in places[::_AT_ONCE])
    with in_hand.side_by_side(work, tasks) as results:
        keep_all(results)
