"""Which numbered mails were posted as one series, by what they say themselves.

As Patchwork (`find_series` of its `parser.py`) by whom they answer, and where that leads nowhere by
author, version, total and time. Unlike there, the result is the same whatever came first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

# Of what does not answer a part of it, between the first mail of a series and another one: as in
# Patchwork (SERIES_DELAY_INTERVAL).
WINDOW_SECONDS = 20 * 60


class NumberedMail(NamedTuple):
    """A mail that says which part of how many it is."""

    number: int
    message_id: str
    author: str  # address
    date: float
    version: int
    part: int
    total: int
    # The message-ids that it answers, the nearest first
    references: tuple[str, ...]
    change_id: str | None

    @property
    def shape(self) -> tuple[int, int]:
        """What all parts of a series have in common."""
        return self.version, self.total


class FoundSeries(NamedTuple):
    """Mails that are one series."""

    # Their numbers, that of its first part first
    numbers: tuple[int, ...]
    # What they answer, which is not in the store: their cover letter
    cover: str | None


class _Parts(NamedTuple):
    """Mails that belong together."""

    mails: list[NumberedMail]
    # The date of its first part: who is near in time is near this one
    began: float

    @property
    def numbers(self) -> set[int]:
        return {mail.part for mail in self.mails}

    @property
    def author(self) -> str:
        return _first(self.mails).author


def find_series(mails: Sequence[NumberedMail], stored: Collection[str]) -> list[FoundSeries]:
    """The series that these mails are; each mail is in one.

    `mails`: with each one all that answer it, that it answers, that answer the same, and those of
    its author, version and total within the window. `stored`: of the message-ids that they answer,
    those of mails in the store, numbered or not.
    """
    known = {mail.message_id: mail for mail in mails}
    answered: dict[int, str] = {}
    sets = _DisjointSets()
    for mail in mails:
        sets.join(mail.number, mail.number)
        if mail.change_id:
            sets.join(mail.number, ("change", mail.change_id, mail.shape))
        if before := _part_before(mail, known):
            sets.join(mail.number, before.number)
        elif unknown := next((name for name in mail.references if name not in stored), None):
            answered[mail.number] = unknown
            sets.join(mail.number, ("cover", unknown, mail.shape))
    together: dict[object, list[NumberedMail]] = defaultdict(list)
    for mail in mails:
        together[sets.root(mail.number)].append(mail)
    parts = [each for members in together.values() for each in _by_author(members)]
    covered = _covered(mails, answered, stored)
    return _with_covers(_joined_in_time(parts, covered), covered)


def _covered(
    mails: Sequence[NumberedMail], answered: dict[int, str], stored: Collection[str]
) -> dict[int, str]:
    """Of what mails answer that is not in the store: what is a cover letter, as far as it shows.

    A reply by a reader is not: one part of the next version answers it, and it answers a patch.
    """
    times = Counter(
        (answered[mail.number], mail.shape) for mail in mails if mail.number in answered
    )
    return {
        mail.number: name
        for mail in mails
        if (name := answered.get(mail.number))
        and (times[name, mail.shape] > 1 or not any(ref in stored for ref in mail.references))
    }


def _part_before(mail: NumberedMail, known: dict[str, NumberedMail]) -> NumberedMail | None:
    """The nearest earlier part that it answers.

    One that is sent again answers the same part, or a later one of the first time.
    """
    for name in mail.references:
        other = known.get(name)
        if other and other.shape == mail.shape and other.part < mail.part:
            return other
    return None


def _by_author(mails: list[NumberedMail]) -> list[_Parts]:
    """As one, unless two authors posted the same part, both below one mail of somebody else."""
    numbers = [mail.part for mail in mails]
    authors: dict[str, list[NumberedMail]] = defaultdict(list)
    for mail in mails:
        authors[mail.author].append(mail)
    if len(authors) > 1 and len(set(numbers)) < len(numbers):
        return [_parts(of_one) for of_one in authors.values()]
    return [_parts(mails)]


def _parts(mails: list[NumberedMail]) -> _Parts:
    return _Parts(mails, _first(mails).date)


def _joined_in_time(parts: list[_Parts], covers: dict[int, str]) -> list[_Parts]:
    """What was sent without a thread, or whose thread is broken, is joined by author and time.

    Never two of which each has a cover letter of its own.
    """
    shapes: dict[object, list[_Parts]] = defaultdict(list)
    for each in parts:
        shapes[(each.author, each.mails[0].shape)].append(each)
    return [series for alike in shapes.values() for series in _joined(alike, covers)]


def _joined(alike: list[_Parts], covers: dict[int, str]) -> Iterable[_Parts]:
    alike.sort(key=lambda parts: (parts.began, min(mail.number for mail in parts.mails)))
    # The latest last; each with its numbers, and whether it has a cover letter
    done: list[tuple[_Parts, set[int], bool]] = []
    for parts in alike:
        numbers = parts.numbers
        has_cover = any(mail.number in covers for mail in parts.mails)
        for at in range(len(done) - 1, -1, -1):
            series, present, covered = done[at]
            if parts.began - series.began > WINDOW_SECONDS:
                at = -1
                break
            if present.isdisjoint(numbers) and not (covered and has_cover):
                series.mails.extend(parts.mails)
                present |= numbers
                done[at] = series, present, covered or has_cover
                break
        else:
            at = -1
        if at < 0:
            done.append((parts, numbers, has_cover))
    return (series for series, _, _ in done)


def _with_covers(parts: list[_Parts], answered: dict[int, str]) -> list[FoundSeries]:
    # Of what several series answer, it is the cover of the one that came first.
    first: dict[str, tuple[float, int]] = {}
    for series in parts:
        mark = series.began, _first(series.mails).number
        for mail in series.mails:
            for name in mail.references:
                first[name] = min(first.get(name, mark), mark)
    found = []
    for series in parts:
        order = sorted(series.mails, key=lambda mail: (mail.part, mail.date, mail.number))
        covers = Counter(answered[mail.number] for mail in order if mail.number in answered)
        cover = max(covers, key=lambda name: (covers[name], name), default=None)
        if cover and first[cover] != (series.began, _first(series.mails).number):
            cover = None
        found.append(FoundSeries(tuple(mail.number for mail in order), cover))
    return found


def _first(mails: list[NumberedMail]) -> NumberedMail:
    return min(mails, key=lambda mail: (mail.part, mail.date, mail.number))


class _DisjointSets:
    """What was joined is in one set."""

    def __init__(self) -> None:
        self._above: dict[object, object] = {}

    def root(self, each: object) -> object:
        while (above := self._above.get(each, each)) != each:
            # Halving the way keeps it short.
            self._above[each] = self._above.get(above, above)
            each = above
        return each

    def join(self, left: object, right: object) -> None:
        self._above.setdefault(left, left)
        self._above[self.root(right)] = self.root(left)
