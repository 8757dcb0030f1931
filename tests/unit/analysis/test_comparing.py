"""Which pairs the builtin engine links: those that PaStA would, found without comparing all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from analysis_fakes import DAY, FakeMail, Store, code, mail, name, patch_text, run_here, version
from rapidfuzz.fuzz import token_sort_ratio
from rapidfuzz.utils import default_process

from patchsync.analysis.builtin import comparing
from patchsync.analysis.builtin.cache import PatchCache
from patchsync.analysis.builtin.comparing import Comparer
from patchsync.analysis.mail import parse_mail
from patchsync.analysis.patch import Patch
from patchsync.analysis.rating import Shape, lines_ratio, rate, shape_of
from patchsync.analysis.settings import Thresholds, read_settings

MAILS = 16
FILES = ("main.c", "men.c", "dir/main.c", "dir main.c", "lib.h")


def some_mail(random: Random, patch_id: int) -> FakeMail:
    """One that others may be like, in the same or a similar file, at some time, maybe a revert."""
    body = random.choice(("It does a thing.", "It does a thing.", "A revert of a thing."))
    if random.random() < 0.5:
        text = patch_text("A change", some_lines(random), file=random.choice(FILES), body=body)
    else:
        files = random.sample(FILES[:3], random.randrange(1, 3))
        text = f"Subject: [PATCH] A change\n\n{body}\n\n---\n"
        text += "".join(some_file(random, file) for file in files[random.random() < 0.2 :])
        text += "diff --git a/none b/none\n" + no_file(random) * (random.random() < 0.3)
        text += "-- \n2.30"
    return mail(patch_id, text, seconds=random.randrange(5) * DAY + random.choice((0, 1, DAY - 1)))


def some_lines(random: Random) -> list[str]:
    """Of code, more or less of them changed."""
    first = random.randrange(6)
    changed = range(first, first + random.randrange(6))
    return code(0, changed)[: random.choice((24, 20, 12, 6))]


def some_file(random: Random, file: str) -> str:
    """The diff of a file, maybe renamed, with hunks under headings that others have, too."""
    new = random.choice((file, file, "new.c"))
    text = f"diff --git a/{file} b/{new}\n"
    if new != file:
        similarity = random.choice((80, 90, 100))
        text += f"similarity index {similarity}%\nrename from {file}\nrename to {new}\n"
        if similarity == 100:
            return text
    text += f"--- a/{file}\n+++ b/{new}\n"
    for heading in random.sample(("", "main(void)", "other(int)"), random.randrange(1, 4)):
        lines = some_lines(random)
        added = random.choice((0, len(lines) // 2, len(lines)))
        marked = [f"{'+' if at < added else '-'}{line}" for at, line in enumerate(lines)]
        text += f"@@ -1,{len(lines) - added} +1,{added} @@ {heading}\n"
        text += "".join(f"{line}\n" for line in marked)
    return text


def no_file(random: Random) -> str:
    """Nothing that becomes nothing."""
    if random.random() < 0.3:
        name = "/dev/null"
        return f"similarity index 100%\nrename from {name}\nrename to {name}\n"
    added = some_lines(random)
    hunk = "".join(f"+{line}\n" for line in added)
    return f"--- /dev/null\n+++ /dev/null\n@@ -0,0 +1,{len(added)} @@\n{hunk}"


def is_linked(left: Patch, right: Patch, limit: Thresholds) -> bool:
    """By the description, in its words."""
    if limit.filename >= 1:
        near = bool(left.affected & right.affected)
    else:
        near = left.is_revert == right.is_revert and any(
            round(token_sort_ratio(default_process(a), default_process(b))) >= 100 * limit.filename
            for a in left.affected
            for b in right.affected
        )
    apart = abs(left.author_date - right.author_date).total_seconds() / DAY
    if limit.author_date_interval and apart >= limit.author_date_interval:
        return False
    if not near or lines_ratio(left.lines, right.lines) < limit.diff_lines_ratio:
        return False
    return rate(shape_of(left), shape_of(right), limit).total(limit) >= limit.autoaccept


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    "table",
    [
        "",
        "autoaccept = 0.7\ninteractive = 1.1\nauthor_date_interval = 2",
        "autoaccept = 0.9\ninteractive = 0.7\ndiff_lines_ratio = 0.8",
        "autoaccept = 0.6\ndiff_lines_ratio = 0.5",
        "message_diff_weight = 0.0\nautoaccept = 0.8",
        "message_diff_weight = 1.0\nautoaccept = 1.0",
        "autoaccept = 1.1\ninteractive = 1.1",
        "autoaccept = 0.0",
        "filename = 0.9",
        "filename = 0.73\nautoaccept = 0.7",
        "filename = 0.0\nheading = 0.0\nautoaccept = 0.6",
        "author_date_interval = 1",
        "filename = 0.8\nauthor_date_interval = 2\nautoaccept = 0.7",
    ],
)
def test_the_links_are_those_of_all_pairs(
    tmp_path: Path, random: Random, table: str, number: int
) -> None:
    """By any thresholds, whichever mail comes first."""
    store = Store(tmp_path / "store", f"[analysis.thresholds]\n{table}\n")
    mails = [some_mail(random, number) for number in range(MAILS)]
    store.put(*(each for each in mails if each.patch_id))
    store.update()
    limit = read_settings(store.config).thresholds
    patches = {each.patch_id: parse_mail([each.content]) for each in mails if each.patch_id}
    expected = {number: {number} for number in patches}
    for a, b in combinations(patches, 2):
        if is_linked(patches[a], patches[b], limit):
            joined = expected[a] | expected[b]
            expected.update(dict.fromkeys(joined, joined))
    lines = {" ".join(sorted(map(name, group))) for group in expected.values()}
    assert sorted(store.text.splitlines()) == sorted(lines)


def test_what_others_cost_is_not_one_mails_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is compared with many has each of them read in a time of its own."""
    store = Store(tmp_path / "store")
    done: list[int] = []  # 0: a mail is taken in hand; else so many shapes are read

    class InHand:
        def take(self, name: str) -> None:
            done.append(0)

        def put_down(self) -> None:
            pass

    really = PatchCache.shapes

    def shapes(cache: PatchCache, numbers: Iterable[int]) -> Iterator[tuple[int, Shape]]:
        numbers = list(numbers)
        done.append(len(numbers))
        return really(cache, numbers)

    monkeypatch.setattr("analysis_fakes.InHandHere", InHand)
    monkeypatch.setattr("patchsync.analysis.builtin.engine.run_in_child", run_here)
    store.put(*(version(number) for number in range(1, 9)))
    store.update()
    monkeypatch.setattr(PatchCache, "shapes", shapes)
    store.put(version(9))
    store.update()
    # The mail's own, and of the others one at a time
    assert "".join(map(str, done)).count("1") == 9
    assert set(done) == {0, 1}
    assert "111" not in "".join(map(str, done))


def test_shapes_that_are_held_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While they are read one after the other; files and hunks count, also without a text."""
    store = Store(tmp_path / "store")
    diff = "\n".join(f"--- a/{at}\n+++ b/{at}\n@@ -1,0 +1,0 @@" for at in range(50))
    store.put(*(mail(at, f"Subject: [PATCH] x\n\ny\n---\n{diff}") for at in range(1, 9)))
    store.update()
    monkeypatch.setattr(comparing, "_MOST_HELD", 50_000)
    with PatchCache(store.cache) as cache:
        comparer = Comparer(cache, Thresholds())
        patch, *others = cache.after(0, 9)
        most = 0
        for other in others:
            assert comparer.reaches(patch, other.number, 1.0, 0.0)
            most = max(most, len(comparer._shapes))
    assert most == 2
