"""How alike two patches are, as PaStA rates them.

All texts are compared as thefuzz's `token_sort_ratio` does, which PaStA uses: the list of lines in
Python's notation, without characters 128 to 255, folded to lower case and words, and the words
sorted. That is done once for each text (`normalise`); what is left for a pair is rapidfuzz's ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from statistics import mean
from typing import NamedTuple, TypeVar

from rapidfuzz.fuzz import ratio
from rapidfuzz.process import extract
from rapidfuzz.utils import default_process

from patchsync.analysis.patch import FileDiff, FileKey, Patch
from patchsync.analysis.settings import Thresholds

_DROPPED = dict.fromkeys(range(128, 256))
# A file that was moved without a change has this similarity index.
_MOVED = 100
# More than what sums of floating point numbers can be wrong by
_ROUNDING = 1e-6
_GIANTS = 10**12  # characters, squared
_DAY = 24 * 60 * 60


Name = TypeVar("Name", str, FileKey)


class Sides(NamedTuple):
    """The normalised lines of a hunk; None where there are none."""

    deletions: str | None
    insertions: str | None


class FileShape(NamedTuple):
    """What is compared of a file: git's similarity index, and hunks by heading."""

    similarity: int
    hunks: dict[str, Sides]


class Shape(NamedTuple):
    """What is compared of a patch."""

    message: str
    lines: int
    files: dict[FileKey, FileShape]


class Side(NamedTuple):
    """A compared pair of hunks, by one kind of lines. Per cent, a whole number."""

    left: str  # the heading
    right: str
    kind: str  # "deletions" or "insertions"
    score: int


class FileRating(NamedTuple):
    """A compared pair of files. `scores` are per cent; without any the file does not count."""

    left: FileKey
    right: FileKey
    sides: tuple[Side, ...]
    scores: tuple[float, ...]


class Rating(NamedTuple):
    """Shares from 0 to 1, as PaStA has them."""

    message: float
    diff: float
    lines_ratio: float
    files: tuple[FileRating, ...]

    def total(self, thresholds: Thresholds) -> float:
        """The weighted rating, 0 where the diffs' lengths differ too much."""
        weight = thresholds.message_diff_weight
        return weight * self.message + (1 - weight) * self.diff

    @property
    def order(self) -> float:
        """By what PaStA sorts the candidates of a patch."""
        return self.message + self.diff


def normalise(lines: Sequence[str]) -> str:
    """What is compared of these lines."""
    return _normalised(list(lines))


def shape_of(patch: Patch) -> Shape:
    """What is compared of a patch."""
    return Shape(
        normalise(patch.message),
        patch.lines,
        {key: _file_shape(file) for key, file in patch.files.items()},
    )


def lines_ratio(left: int, right: int) -> float:
    """The lines of the shorter diff to those of the longer one."""
    longer = max(left, right)
    return min(left, right) / longer if longer else 1.0


def rate(left: Shape, right: Shape, thresholds: Thresholds) -> Rating:
    """Rate a pair, in full."""
    lines = lines_ratio(left.lines, right.lines)
    if lines < thresholds.diff_lines_ratio:
        return Rating(0, 0, lines, ())
    message = score(left.message, right.message) / 100
    files = tuple(_rate_file(pair) for pair in _file_pairs(left, right, thresholds))
    scores = [score for file in files for score in file.scores]
    return Rating(message, mean(scores) / 100 if scores else 0.0, lines, files)


def _rate_file(pair: _FilePair) -> FileRating:
    sides = tuple(
        Side(each.left, each.right, each.kind, score(each.left_text, each.right_text))
        for each in pair.sides
    )
    scores: list[float] = [100] if pair.same else []
    if sides:
        scores.append(mean(side.score for side in sides))
    return FileRating(pair.left, pair.right, sides, tuple(scores))


def reaches(
    left: Shape, right: Shape, message: float, total: float, thresholds: Thresholds
) -> bool:
    """Whether `rate` gives a weighted rating of at least `total`.

    `message`: the rating of the messages. Far cheaper than `rate`: it stops as soon as what is not
    compared yet cannot make up for what was.
    """
    weight = thresholds.message_diff_weight
    pairs = list(_file_pairs(left, right, thresholds))
    counting = sum(pair.same + bool(pair.sides) for pair in pairs)
    if not counting or weight >= 1:
        return rate(left, right, thresholds).total(thresholds) >= total
    needed = (total - weight * message) / (1 - weight)
    # Per cent by which all that counts may fall short of 100, together
    slack = counting * 100 * (1 - needed)
    for pair in pairs:
        number = len(pair.sides)
        for side in pair.sides:
            # Half a per cent is what rounding adds at most.
            least = 100 - slack * number - 0.5 - _ROUNDING
            if least > 100:
                return False
            found = _ratio(side.left_text, side.right_text, max(0.0, least))
            slack -= (100 - round(found)) / number
    if abs(slack) > _ROUNDING:
        return slack > 0
    # So close that only PaStA's own order of calculation tells.
    return rate(left, right, thresholds).total(thresholds) >= total


def near_in_time(mail: float, other: float, days: int, *, other_is_commit: bool) -> bool:
    """Whether the author dates, in seconds, lie less than `days` apart (AUTHOR_DATE_INTERVAL).

    0 is without limit. PaStA takes whole days, rounded down. Two mails it looks at from either
    side, so that the earlier one counts first; a commit before the mail is a day further off.
    """
    if not days:
        return True
    apart = other - mail if other_is_commit else abs(other - mail)
    return abs(apart // _DAY) < days


class _Compared(NamedTuple):
    """Lines of one kind of a pair of hunks; the texts are normalised."""

    left: str  # the heading
    right: str
    kind: str
    left_text: str
    right_text: str


class _FilePair(NamedTuple):
    left: FileKey
    right: FileKey
    # Whether an equal similarity index scores 100 by itself
    same: bool
    sides: list[_Compared]


def _file_pairs(left: Shape, right: Shape, thresholds: Thresholds) -> Iterator[_FilePair]:
    """What is compared of two diffs."""
    for left_key, right_key in best_matches(left.files, right.files, thresholds.filename):
        a, b = left.files[left_key], right.files[right_key]
        same = a.similarity == b.similarity != 0
        moved = same and a.similarity == _MOVED
        sides = [] if moved else list(_sides(a.hunks, b.hunks, thresholds.heading))
        yield _FilePair(left_key, right_key, same, sides)


def _sides(
    left: Mapping[str, Sides], right: Mapping[str, Sides], heading: float
) -> Iterator[_Compared]:
    for left_heading, right_heading in best_matches(left, right, heading):
        a, b = left[left_heading], right[right_heading]
        if a.deletions is not None and b.deletions is not None:
            yield _Compared(left_heading, right_heading, "deletions", a.deletions, b.deletions)
        if a.insertions is not None and b.insertions is not None:
            yield _Compared(left_heading, right_heading, "insertions", a.insertions, b.insertions)


def best_matches(
    left: Iterable[Name], right: Iterable[Name], threshold: float
) -> list[tuple[Name, Name]]:
    """Pairs of names: equal ones, or each with its best match at or above the threshold.

    From both sides; of equally good matches the last one counts.
    """
    if threshold >= 1:
        there = set(right)
        return [(name, name) for name in left if name in there]
    pairs = list(_each_best(left, right, threshold))
    pairs += [(name, other) for other, name in _each_best(right, left, threshold)]
    return list(dict.fromkeys(pairs))


def _each_best(
    names: Iterable[Name], others: Iterable[Name], threshold: float
) -> Iterator[tuple[Name, Name]]:
    there = list(others)
    texts = [_name_words(other) for other in there]
    for name in names:
        # Half a per cent is what rounding adds at most.
        least = max(0.0, 100 * threshold - 0.51)
        rated = extract(
            _name_words(name), texts, scorer=ratio, processor=None, score_cutoff=least, limit=None
        )
        if not rated:
            continue
        similarity, at = max((round(found), at) for _, found, at in rated)
        if similarity / 100 >= threshold:
            yield name, there[at]


def score(left: str, right: str) -> int:
    """How alike two normalised texts are, per cent."""
    return round(_ratio(left, right, 0.0))


def _ratio(left: str, right: str, least: float) -> float:
    """rapidfuzz's ratio, 0 where it is below `least`; of giants only whether they are the same.

    Its time grows with the product of the lengths: two of a million characters take half a minute.
    """
    if left == right:
        return 100.0
    return 0.0 if too_large(left, right) else ratio(left, right, score_cutoff=least)


def too_large(left: str, right: str) -> bool:
    """Whether two texts are giants, of which it is only seen whether they are the same."""
    return len(left) * len(right) > _GIANTS and left != right


def _file_shape(file: FileDiff) -> FileShape:
    return FileShape(
        file.similarity,
        {
            heading: Sides(*(normalise(lines) if lines else None for lines in hunk))
            for heading, hunk in file.hunks.items()
        },
    )


@lru_cache(maxsize=1 << 16)
def _name_words(name: FileKey | str) -> str:
    return _normalised(name)


def _normalised(thing: object) -> str:
    return sorted_words(str(thing).translate(_DROPPED))


def sorted_words(text: str) -> str:
    """The words of a text, folded and sorted."""
    return " ".join(sorted(default_process(text).split()))
