"""The builtin engine follows the store: what came, what went, and what is configured."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from analysis_fakes import FakeMail, Store, code, mail, name, patch_text, run_here, version

from patchsync.analysis.builtin import grouping
from patchsync.analysis.builtin.cache import PatchCache
from patchsync.analysis.engine import Stopped
from patchsync.analysis.explain import explain
from patchsync.analysis.mail import parse_mail
from patchsync.analysis.rating import Rating, rate, shape_of
from patchsync.analysis.settings import Thresholds
from patchsync.config import load
from patchsync.errors import GiveUp

PASTA = '[PaStA]\nMODE = "mbox"\nAUTOACCEPT_THRESHOLD = 0.82\nINTERACTIVE_THRESHOLD = 1.1\n'
PASTA += "DIFF_LINES_RATIO = 0.4\nMESSAGE_DIFF_WEIGHT = 0.3\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty one."""
    return Store(tmp_path / "store")


def updated(store: Store) -> list[str]:
    """The groups after an update; one from scratch finds the same."""
    store.update()
    assert store.text == store.from_scratch()
    return store.groups


def test_versions_are_a_group(store: Store) -> None:
    """Also by a version between two that are too different; a mail alone is a line, too."""
    store.put(version(1), version(2, changed=range(6)), version(3, changed=range(12)))
    store.put(version(4, topic=1), mail(5))
    assert updated(store) == ["1 2 3", "4", "5"]


def test_nothing_new_writes_nothing(store: Store) -> None:
    """Neither patch-groups nor what tells whose it is."""
    store.put(version(1), version(2))
    assert store.update()[:3] == (1, 2, 0)
    files = (store.config.patch_groups, store.cache.with_name("groups.json"))
    before = [file.stat() for file in files]
    assert store.update()[:3] == (0, 0, 0)
    assert [file.stat() for file in files] == before


def test_one_new_mail_changes_one_line(store: Store) -> None:
    """The old line is gone and the new one is there; the others are not touched."""
    store.put(version(1), version(2, topic=1), mail(3))
    store.update()
    before = set(store.text.splitlines())
    store.put(version(4))
    done = store.update()
    assert (done.groups, done.mails) == (1, 1)
    assert set(store.text.splitlines()) ^ before == {
        "<1@example.org>",
        "<1@example.org> <4@example.org>",
    }


def test_what_joins_two_groups(store: Store) -> None:
    """A mail between them, that comes last."""
    store.put(version(1), version(3, changed=range(12)))
    assert updated(store) == ["1", "3"]
    store.put(version(2, changed=range(6)))
    assert updated(store) == ["1 2 3"]


@pytest.mark.parametrize(
    ("gone", "left"),
    [([2], ["1", "3"]), ([1], ["2 3"]), ([3], ["1 2"]), ([1, 2], ["3"]), ([1, 2, 3], [])],
)
def test_a_mail_that_is_removed_from_the_index(
    store: Store, gone: list[int], left: list[str]
) -> None:
    """Its group falls apart, or stays without it."""
    store.put(version(1), version(2, changed=range(6)), version(3, changed=range(12)), mail(4))
    store.update()
    store.take_out(*map(name, gone))
    assert store.update().groups, "there is something to push"
    assert updated(store) == [*left, "4"]


def test_a_mail_that_is_listed_as_invalid(store: Store) -> None:
    """It leaves at once, and comes back when it is not listed any more."""
    store.put(version(1), version(2), mail(3))
    store.update()
    invalid = store.config.d_mbox / "invalid"
    invalid.write_text(f"{name(1)}\n{name(3)}\n")
    assert updated(store) == ["2"]
    store.put(version(4))
    assert updated(store) == ["2 4"]
    invalid.unlink()
    assert updated(store) == ["1 2 4", "3"]


def test_stopped_while_mails_leave(store: Store) -> None:
    """And then they are to stay all the same: they are there again."""
    store.put(version(1), version(2))
    store.update()
    store.put(version(3))
    invalid = store.config.d_mbox / "invalid"
    invalid.write_text(f"{name(1)}\n")

    def on_progress(what: str, done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.update(on_progress)
    invalid.unlink()
    assert updated(store) == ["1 2 3"]


def test_a_project_with_a_damaged_index(store: Store) -> None:
    """The others go on; its own mails stay as they were until it is mended."""
    store.put(version(1), version(2))
    store.put(version(3, topic=1), version(9), project=2)
    store.update()
    index = store.paths(2).index
    right = index.read_bytes()
    index.write_bytes(b"no line of PaStA's\n" + right)
    for number in (4, 5):
        store.put(version(number))
        done = store.update()
        assert str(index) in (done.trouble or "")
        assert done.groups == 1
    assert store.groups == ["1 2 4 5 9", "3"]
    with pytest.raises(GiveUp, match="line 1"):
        explain(store.config, name(1), name(9))
    index.write_bytes(right)
    store.take_out(name(9), project=2)
    assert updated(store) == ["1 2 4 5", "3"]
    assert store.update().trouble is None


def test_the_window_of_dates(store: Store) -> None:
    """MINDATE and MAXDATE belong to it; what the index says counts. It may be moved."""
    days = {1: "2019/12/31", 2: "2020/01/01", 3: "2020/06/01", 4: "2020/12/31", 5: "2021/01/01"}
    store.put(*(version(number, date=date) for number, date in days.items()))
    store.configure(f"{PASTA}[mbox]\nMINDATE = 2020-01-01\nMAXDATE = 2020-12-31\n")
    assert updated(store) == ["2 3 4"]
    store.configure(f"{PASTA}[mbox]\nMINDATE = 2020-01-02\nMAXDATE = 2021-01-01\n")
    assert updated(store) == ["3 4 5"]
    store.put(version(6, date="2021/01/02"), version(7, date="2021/01/01"))
    assert updated(store) == ["3 4 5 7"]


def copied(patch_id: int, text: str | None = None, **others: str) -> FakeMail:
    """One with the message-id of mail 1."""
    return mail(patch_id, text, message_id=name(1), **others)


def test_one_message_id_in_two_projects(store: Store) -> None:
    """The first that holds a patch counts, in the order of the indexes, whichever came first."""
    store.put(copied(1, patch_text("Another", ["entirely"])), version(3), project=2)
    assert updated(store) == ["1", "3"]
    store.put(version(1), mail(2))
    assert updated(store) == ["1 3", "2"]
    store.take_out(name(1), name(2))
    assert updated(store) == ["1", "3"]


def test_one_message_id_twice_the_first_without_a_patch(store: Store) -> None:
    """Then the second counts, also if it came later; and one behind a patch changes nothing."""
    store.put(copied(1, "Subject: no patch\n\nHello"), version(2))
    assert updated(store) == ["2"]
    text = version(3).content.decode().partition("X-Patchwork-Id: 3\n")[2]
    store.put(copied(3, text))
    assert updated(store) == ["1 2"]
    store.put(copied(4, patch_text("Another", ["entirely"])))
    assert store.update().groups == 0
    assert updated(store) == ["1 2"]


def test_other_thresholds(store: Store) -> None:
    """All is compared anew; back again it is as before."""
    store.put(*(version(number, changed=range(4 * number)) for number in range(4)[1:]), mail(9))
    before = updated(store)
    assert before == ["1 2 3", "9"]
    for table, groups in {
        "autoaccept = 0.95": ["1", "2", "3", "9"],
        "autoaccept = 0.95\ninteractive = 0.8": ["1", "2", "3", "9"],
        "message_diff_weight = 1.0": ["1 2 3", "9"],
        "autoaccept = 0.0\ndiff_lines_ratio = 0.0": ["1 2 3", "9"],
    }.items():
        store.configure(f"[analysis.thresholds]\n{table}\n")
        assert updated(store) == groups
    store.configure("")
    assert updated(store) == before


def both(left: int, right: int) -> str:
    """The lines of a false positive of two mails."""
    return f"{name(left)} {name(right)}\n{name(right)} {name(left)}\n"


def test_false_positives_come_and_go(store: Store) -> None:
    """A pair that is marked is kept apart from the next update on, until the mark is taken back.

    One direction is not enough, as in PaStA.
    """
    store.put(version(1), version(2), mail(3))
    assert updated(store) == ["1 2", "3"]
    store.mark(both(1, 2))
    assert updated(store) == ["1", "2", "3"]
    store.mark(f"{name(1)} {name(2)}\n")
    assert updated(store) == ["1 2", "3"]


def test_a_mark_for_a_mail_that_is_not_there_yet(store: Store) -> None:
    """It holds when the mail comes."""
    store.mark(both(1, 2))
    store.put(version(1))
    assert updated(store) == ["1"]
    store.put(version(2))
    assert updated(store) == ["1", "2"]
    store.put(version(3))
    # By PaStA's order 3 joins the one that it comes to first, here by name.
    assert updated(store) == ["1 3", "2"]


def test_a_file_that_is_missing_and_comes_back(store: Store) -> None:
    """Its mail is no patch meanwhile, and the others are grouped all the same."""
    lost, *others = (version(number) for number in (1, 2, 3))
    store.put(lost, *others)
    file = next(
        file
        for file in store.paths().mails.rglob("*")
        if file.is_file() and b"<1@" in file.read_bytes()
    )
    content = file.read_bytes()
    file.unlink()
    assert updated(store) == ["2 3"]
    assert store.not_patches()[name(1)] == f"{file}: No such file or directory"
    assert updated(store) == ["2 3"]
    file.write_bytes(content)
    assert updated(store) == ["1 2 3"]
    # What is known needs no file any more.
    file.unlink()
    assert store.update()[:3] == (0, 0, 0)


@pytest.mark.parametrize(
    "head",
    [
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n",
        "Content-Type: text/plain; charset=utf-16\n",
        "Content-Type: text/plain; charset=\udcff\udc80\n",
        "Content-Type: text/plain; charset*=x'\udcff'y\n",
        "Content-Transfer-Encoding: base64\n",
        "Content-Type: multipart/mixed; boundary=\udcff\n",
        "MIME-Version: \udcff\n",
        "",
    ],
)
def test_bytes_that_are_no_characters(store: Store, head: str) -> None:
    """In any place of a mail they are no reason to stop, nor to come out different later."""
    odd = "\udcff\udc80\u00e4\U0001f600\ud800\x00\x1f\u2028".encode("utf-8", "surrogatepass")
    word = odd.decode("utf-8", "surrogateescape")
    text = patch_text("odd", ["some", word], file=f"{word}.c", body=f"odd {word}")
    text = text.replace("@@\n", f"@@ {word}\n")
    store.put(mail(1, head + text), mail(2, head + text), version(3))
    groups = updated(store)
    assert "3" in groups
    store.put(mail(4, head + text))
    after = updated(store)
    assert ("1 2" in groups) == ("1 2 4" in after)
    if not head:
        assert groups == ["1 2", "3"]


def test_message_ids_that_are_none_to_pasta(store: Store) -> None:
    """Without brackets it takes them for commits, and at `=>` it splits; all others count."""
    odd = ("<ä>", "<", "<a'\"%_?>")
    for number, message_id in enumerate(("0" * 40, "=", "=>x", "a@b", "<=>", "<a=>b@x>", *odd), 1):
        store.put(mail(number, message_id=message_id))
        store.update()
    assert store.text == store.from_scratch()
    assert store.text.splitlines() == sorted(odd)


def test_an_empty_store(store: Store) -> None:
    """There is nothing to write; then the first mail comes."""
    assert store.update()[:3] == (0, 0, 0)
    store.put(version(1))
    assert updated(store) == ["1"]


def test_the_configuration_may_stand_in_pastas_file(store: Store) -> None:
    """Its table in our file is the project's."""
    store.configure(PASTA.replace("0.82", "1.5"))
    assert load(store.config.source).source == store.config.source
    store.put(version(1), version(2))
    assert updated(store) == ["1", "2"]


def test_marks_and_a_better_candidate_that_is_not_alike(store: Store) -> None:
    """The order in which PaStA joins follows the best candidate, linked or not.

    1 and 3 are marked, 2 is like both, and more like 3. 4 has 1's message, so that it is the best
    candidate of 1, but another diff: with it the other pair comes first.
    """
    random, limit = Random(3), Thresholds()

    def words(number: int) -> list[str]:
        return ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=8)) for _ in range(number)]

    def written(patch_id: int, changed: int, body: list[str]) -> FakeMail:
        text = patch_text("Change", code(0, range(changed)), body=" ".join(body))
        return mail(patch_id, text)

    def order(left: FakeMail, right: FakeMail) -> tuple[float, bool]:
        shapes = [shape_of(parse_mail([each.content])) for each in (left, right)]
        rating = rate(*shapes, limit)
        return rating.order, rating.total(limit) >= limit.autoaccept

    for _ in range(1000):
        one = words(10)
        two = one[: random.randint(2, 8)] + words(6)
        three = two[: random.randint(3, 10)] + words(6)
        mails = [written(1, 0, one), written(2, 0, two), written(3, 0, three), written(4, 8, one)]
        both = combinations(range(1, 5), 2)
        pairs = {(at, to): order(mails[at - 1], mails[to - 1]) for at, to in both}
        alike = [pair for pair, (_, is_alike) in pairs.items() if is_alike]
        alone = not any(4 in pair for pair in alike)
        ordered = max(pairs[1, 2][0], pairs[1, 3][0]) < pairs[2, 3][0] < pairs[1, 4][0]
        if alone and ordered and {(1, 2), (2, 3)} <= set(alike):
            break
    else:
        pytest.fail("no such patches")
    store.mark(f"{name(1)} {name(3)}\n{name(3)} {name(1)}\n")
    store.put(*mails[:3])
    before = updated(store)
    store.put(mails[3])
    assert updated(store) != [*before, "4"]


def test_ratings_for_false_positives_are_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ends an update: the next one goes on, and none rates a pair of links twice."""
    monkeypatch.setattr("patchsync.analysis.builtin.engine.run_in_child", run_here)
    monkeypatch.setattr(grouping, "COMMIT_SECONDS", -1)
    # 1 to 4 are alike; 5 is a candidate of each, and like none.
    store.put(*(version(number) for number in range(1, 5)), version(5, 3, message_id="<5@b>"))
    store.update()
    store.mark(both(1, 2))
    rated = stopped = left = 0

    def rate_one(*arguments: Any) -> Rating:
        nonlocal rated, left
        if not left:
            raise Stopped
        left, rated = left - 1, rated + 1
        return rate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("patchsync.analysis.builtin.comparing.rate", rate_one)
        while True:
            left = 1
            try:
                store.update()
            except Stopped:
                stopped += 1
            else:
                break
    # Six links, and of each of the four the one candidate beside them
    assert (rated, stopped) == (10, 9)
    assert store.text == store.from_scratch()


def test_a_candidate_leaves(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only whose best one it was is rated anew."""
    runs = 0

    def run(work: Any, on_progress: Any) -> object:
        nonlocal runs
        runs += 1
        return run_here(work, on_progress)

    store.mark(both(1, 2))
    store.put(version(1), version(2), version(3), version(4, topic=3), mail(5))
    assert updated(store) == ["1 3", "2", "4", "5"]
    monkeypatch.setattr("patchsync.analysis.builtin.engine.run_in_child", run)
    store.take_out(name(5))
    store.update()
    assert (store.groups, runs) == (["1 3", "2", "4"], 0)
    store.take_out(name(4))
    store.update()
    assert (store.groups, runs) == (["1 3", "2"], 0)
    with PatchCache(store.cache) as cache:
        [first, *_] = cache.after(0, 1)
        assert cache.best(first.number, upstream=False).candidate == 0


def test_a_second_mail_that_cannot_be_read(store: Store) -> None:
    """It spoils the first one, whichever came first."""
    bad = b"Message-Id: <1@example.org>\nContent-Type: multipart/mixed; boundary*=a\0b''x\n\nx\n"
    store.put(version(1), version(2))
    assert updated(store) == ["1 2"]
    store.put(FakeMail(patch_id=9, message_id=name(1), date="2020/01/01", content=bad), project=2)
    assert updated(store) == ["2"]


def test_without_filterdiff_and_then_with_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A context diff is no patch as long as it is missing, and is tried again."""
    context = ["*** a/a.c", "--- b/a.c", "***************", "*** 1,1 ****", "- x", "--- 1,1 ----"]
    store.put(mail(1, "\n".join(["Subject: [PATCH] x", "", "y", "---", "diff -c a b", *context])))
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        store.update()
        assert "filterdiff" in store.not_patches()[name(1)]
    program = tmp_path / "filterdiff"
    program.write_text("#!/bin/sh\nprintf -- '--- a/a.c\\n+++ b/a.c\\n@@ -1 +1 @@\\n-x\\n+z\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    store.update()
    assert store.groups == ["1"]


def test_messages_of_giants(store: Store) -> None:
    """As with hunks it is only seen whether they are the same; so says an explanation, too."""
    giant = "word " * 8000
    text = [patch_text("Giant", code(), body=body) for body in (giant, giant, f"{giant} more")]
    store.put(*(mail(number, each) for number, each in enumerate(text, 1)))
    assert updated(store) == ["1 2", "3"]
    assert "not one patch" in explain(store.config, name(1), name(3)).verdict
