"""How alike two patches are, as PaStA rates them.

All texts are compared as thefuzz's `token_sort_ratio` does, which PaStA uses: the list of lines in
Python's notation, without characters 128 to 255, folded to lower case and words, and the words
sorted. That is done once for each text (`normalise`); what is left for a pair is rapidfuzz's ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
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
# The time of a comparison grows with the product of the lengths. Characters, normalised, of a
# message and of the lines of one kind in a hunk above which it is only seen whether two are the
# same; and the sum of the products in a pair of diffs, above which that goes for all their hunks.
_LONGEST_MESSAGE = 30_000
_LONGEST_LINES = 200_000
_MOST_WORK = 10**11
# What stands for a text of which only that is seen begins so; no normalised text does.
_ONLY_SAME = "\0"
_DAY = 24 * 60 * 60

_Name = TypeVar("_Name", str, FileKey)
_Key = TypeVar("_Key")


class HunkShape(NamedTuple):
    """The normalised lines of a hunk; None where there are none."""

    deletions: str | None
    insertions: str | None


class FileShape(NamedTuple):
    """What is compared of a file: git's similarity index, and hunks by heading."""

    similarity: int
    hunks: dict[str, HunkShape]


class Shape(NamedTuple):
    """What is compared of a patch: its normalised message, lines changed, and its files."""

    message: str
    lines: int
    files: dict[FileKey, FileShape]


class HunkRating(NamedTuple):
    """How alike two hunks are in one kind of lines; the score is per cent, a whole number."""

    left: str  # the heading
    right: str
    kind: str  # "deletions" or "insertions"
    score: int


class FileRating(NamedTuple):
    """How alike two files are. `scores` are per cent; without any they do not count."""

    left: FileKey
    right: FileKey
    hunks: tuple[HunkRating, ...]
    scores: tuple[float, ...]


class Rating(NamedTuple):
    """How alike two patches are: shares from 0 to 1, as PaStA has them."""

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
    """The words of these lines, folded and sorted: see the module."""
    return _normalised(list(lines))


def shape_of(patch: Patch) -> Shape:
    """What is compared of a patch."""
    return Shape(
        _bounded(patch.message, _LONGEST_MESSAGE),
        patch.lines,
        {key: _file_shape(file) for key, file in patch.files.items()},
    )


def _bounded(lines: Sequence[str], longest: int) -> str:
    """The normalised lines; of longer ones what tells whether two are the same."""
    text = normalise(lines)
    if len(text) <= longest:
        return text
    return _ONLY_SAME + blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


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
    files = tuple(map(_rate_file, _file_pairs(left, right, thresholds)))
    scores = [score for file in files for score in file.scores]
    return Rating(message, mean(scores) / 100 if scores else 0.0, lines, files)


def _rate_file(pair: _FilePair) -> FileRating:
    hunks = tuple(
        HunkRating(hunk.left, hunk.right, hunk.kind, score(hunk.left_text, hunk.right_text))
        for hunk in pair.hunks
    )
    scores: list[float] = [100] if pair.same else []
    if hunks:
        scores.append(mean(hunk.score for hunk in hunks))
    return FileRating(pair.left, pair.right, hunks, tuple(scores))


def reaches(
    left: Shape, right: Shape, message: float, total: float, thresholds: Thresholds
) -> bool:
    """Whether `rate` gives a weighted rating of at least `total`.

    `message`: the rating of the messages. Far cheaper than `rate`: it stops as soon as what is not
    compared yet cannot make up for what was.
    """
    weight = thresholds.message_diff_weight
    pairs = _file_pairs(left, right, thresholds)
    counting = sum(pair.same + bool(pair.hunks) for pair in pairs)
    if not counting or weight >= 1:
        return rate(left, right, thresholds).total(thresholds) >= total
    needed = (total - weight * message) / (1 - weight)
    # Per cent by which all that counts may fall short of 100, together
    slack = counting * 100 * (1 - needed)
    for pair in pairs:
        number = len(pair.hunks)
        for hunk in pair.hunks:
            # Half a per cent is what rounding adds at most.
            least = 100 - slack * number - 0.5 - _ROUNDING
            if least > 100:
                return False
            ratio_found = _ratio(hunk.left_text, hunk.right_text, max(0.0, least))
            slack -= (100 - round(ratio_found)) / number
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


class _HunkPair(NamedTuple):
    """Lines of one kind of two hunks that are compared; the texts are normalised."""

    left: str  # the heading
    right: str
    kind: str
    left_text: str
    right_text: str

    @property
    def work(self) -> int:
        """What grows as the time of the comparison."""
        return len(self.left_text) * len(self.right_text)

    def only_same(self) -> _HunkPair:
        """A pair of which it is only seen whether the two are the same."""
        return self._replace(
            left_text=_ONLY_SAME + self.left_text, right_text=_ONLY_SAME + self.right_text
        )


class _FilePair(NamedTuple):
    """Two files that are compared."""

    left: FileKey
    right: FileKey
    # Whether an equal similarity index scores 100 by itself
    same: bool
    hunks: list[_HunkPair]


def _file_pairs(left: Shape, right: Shape, thresholds: Thresholds) -> list[_FilePair]:
    """What is compared of two diffs."""
    pairs = []
    for left_key, right_key in best_matches(left.files, right.files, thresholds.filename):
        a, b = left.files[left_key], right.files[right_key]
        same = a.similarity == b.similarity != 0
        moved = same and a.similarity == _MOVED
        hunks = [] if moved else list(_hunk_pairs(a.hunks, b.hunks, thresholds.heading))
        pairs.append(_FilePair(left_key, right_key, same, hunks))
    if sum(hunk.work for pair in pairs for hunk in pair.hunks) > _MOST_WORK:
        return [pair._replace(hunks=[hunk.only_same() for hunk in pair.hunks]) for pair in pairs]
    return pairs


def _hunk_pairs(
    left: Mapping[str, HunkShape], right: Mapping[str, HunkShape], heading: float
) -> Iterator[_HunkPair]:
    for left_heading, right_heading in best_matches(left, right, heading):
        a, b = left[left_heading], right[right_heading]
        if a.deletions is not None and b.deletions is not None:
            yield _HunkPair(left_heading, right_heading, "deletions", a.deletions, b.deletions)
        if a.insertions is not None and b.insertions is not None:
            yield _HunkPair(left_heading, right_heading, "insertions", a.insertions, b.insertions)


def best_matches(
    left: Iterable[_Name], right: Iterable[_Name], threshold: float
) -> list[tuple[_Name, _Name]]:
    """Pairs of names: equal ones, or each with its best match at or above the threshold.

    From both sides; of equally good matches the last one counts.
    """
    if threshold >= 1:
        names = set(right)
        return [(name, name) for name in left if name in names]
    pairs = list(_each_best(left, right, threshold))
    pairs += [(name, other) for other, name in _each_best(right, left, threshold)]
    return list(dict.fromkeys(pairs))


def _each_best(
    names: Iterable[_Name], others: Iterable[_Name], threshold: float
) -> Iterator[tuple[_Name, _Name]]:
    candidates = list(others)
    texts = dict(enumerate(map(_name_words, candidates)))
    for name in names:
        if matches := similar(_name_words(name), texts, threshold):
            _, best = max(matches)
            yield name, candidates[best]


def similar(text: str, texts: Mapping[_Key, str], threshold: float) -> list[tuple[int, _Key]]:
    """Score and key of each of the texts that is alike by the threshold, a share, or more.

    All texts are words, folded and sorted; scores are per cent.
    """
    # Half a per cent is what rounding adds at most.
    least = max(0.0, 100 * threshold - 0.51)
    rated = extract(text, texts, scorer=ratio, processor=None, score_cutoff=least, limit=None)
    return [(round(found), key) for _, found, key in rated if round(found) / 100 >= threshold]


def score(left: str, right: str) -> int:
    """How alike two normalised texts are, per cent."""
    return round(_ratio(left, right, 0.0))


def _ratio(left: str, right: str, least: float) -> float:
    """rapidfuzz's ratio, 0 where it is below `least`."""
    if left == right:
        return 100.0
    if is_too_long(left) or is_too_long(right):
        return 0.0
    return ratio(left, right, score_cutoff=least)


def is_too_long(text: str) -> bool:
    """Whether a text of a shape stands for one of which only equality is seen."""
    return text.startswith(_ONLY_SAME)


def _file_shape(file: FileDiff) -> FileShape:
    return FileShape(
        file.similarity,
        {
            heading: HunkShape(
                *(_bounded(lines, _LONGEST_LINES) if lines else None for lines in hunk)
            )
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
