"""PaStA's patch-groups: read as PaStA reads it, and only what changed since."""

from __future__ import annotations

import os
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchsync.analysis.groups import Changes, Group, read_groups
from patchsync.errors import StoreDamaged, TryAgainLater

DATA = Path(
    os.environ.get("PATCHSYNC_SHARED_DATA") or Path(__file__).parents[4] / "shared" / "data"
)
REAL = DATA / "jailhouse" / "patch-groups"
COMMITS = ("1" * 40, "a" * 40)
NONE: array[int] = array("q")


def written(folder: Path, *lines: str, name: str = "patch-groups") -> Path:
    """The file with these lines; where it is a part, the path of the whole."""
    (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder / "patch-groups"


def changed(path: Path, done: array[int] = NONE) -> tuple[list[Group], array[int]]:
    """The groups that are not done, and the hashes of all."""
    changes = Changes(path, done)
    return [group for _, group in changes], changes.hashes


def test_a_line_is_a_group(tmp_path: Path) -> None:
    """Alone, with others, upstream, and commits alone; sorted, as PaStA's sets have no order."""
    path = written(
        tmp_path,
        "<a@x>",
        "<c@x> <b@x>",
        f"<d@x> => {COMMITS[1]} {COMMITS[0]}",
        f"=> {COMMITS[0]}",
    )
    assert list(read_groups(path)) == [
        Group(("<a@x>",), ()),
        Group(("<b@x>", "<c@x>"), ()),
        Group(("<d@x>",), COMMITS),
        Group((), COMMITS[:1]),
    ]


def test_a_message_id_that_looks_like_the_arrow_is_one(tmp_path: Path) -> None:
    """The arrow separates only as a field of its own."""
    path = written(tmp_path, f"<a=> <b=>c> => {COMMITS[0]}", "<d=> <e@x>")
    assert changed(path)[0] == [
        Group(("<a=>", "<b=>c>"), COMMITS[:1]),
        Group(("<d=>", "<e@x>"), ()),
    ]


def test_the_groups_of_real_mail_are_read() -> None:
    """What the real PaStA wrote of 1,533 mails: 1,003 groups, 360 with more than one mail."""
    if not REAL.exists():
        pytest.skip(f"{REAL} is not here; set PATCHSYNC_SHARED_DATA")
    groups = list(read_groups(REAL))
    assert len(groups) == 1003
    assert sum(len(group.message_ids) for group in groups) == 1533
    assert sum(len(group.message_ids) > 1 for group in groups) == 360
    assert changed(REAL)[0] == groups


def test_parts_are_one_file(tmp_path: Path) -> None:
    """Above 50 MiB PaStA writes `.000`, `.001` and so on; other names beside them do not count."""
    for number, line in enumerate(("<a@x>", "<b@x>", "<c@x>")):
        path = written(tmp_path, line, name=f"patch-groups.00{number}")
    written(tmp_path, "<z@x>", name="patch-groups.003.new")
    assert [group.message_ids for group in read_groups(path)] == [
        ("<a@x>",),
        ("<b@x>",),
        ("<c@x>",),
    ]


def test_the_one_file_counts_where_both_forms_are(tmp_path: Path) -> None:
    """As PaStA chooses when it reads."""
    written(tmp_path, "<old@x>", name="patch-groups.000")
    written(tmp_path, "<older@x>", name="patch-groups.001")
    path = written(tmp_path, "<new@x>")
    assert list(read_groups(path)) == [Group(("<new@x>",), ())]


@pytest.mark.parametrize("numbers", [(), (0,), (1, 2), (0, 2)])
def test_missing_parts_are_waited_for(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    """No file, a part alone or a gap: PaStA has not written them all yet."""
    for number in numbers:
        written(tmp_path, f"<{number}@x>", name=f"patch-groups.00{number}")
    with pytest.raises(TryAgainLater, match="patch-groups"):
        list(read_groups(tmp_path / "patch-groups"))


@pytest.mark.parametrize("content", ["", "<a@x>\n<b@"])
def test_a_file_that_is_half_there_is_waited_for(tmp_path: Path, content: str) -> None:
    """Nothing is read of what PaStA has just emptied, or not written to its end."""
    path = tmp_path / "patch-groups"
    path.write_text(content)
    with pytest.raises(TryAgainLater, match=r"patch-groups .*PaStA is writing it"):
        next(iter(read_groups(path)))
    with pytest.raises(TryAgainLater):
        next(iter(Changes(path, NONE)))


def test_a_half_part_is_waited_for_before_the_first_is_read(tmp_path: Path) -> None:
    """The last part too ends with a newline."""
    path = written(tmp_path, "<a@x>", name="patch-groups.000")
    (tmp_path / "patch-groups.001").write_text("<b@x> <c@")
    with pytest.raises(TryAgainLater, match=r"patch-groups\.001 ends within a line"):
        next(iter(read_groups(path)))


def test_what_is_written_while_it_is_read_does_not_count(tmp_path: Path) -> None:
    """At the latest the end of the reading says so; no hashes are told."""
    path = written(tmp_path, "<a@x>", "<b@x>")
    for reading in (read_groups(path), iter(changes := Changes(path, NONE))):
        next(reading)
        written(tmp_path, *(f"<{n}@x>" for n in range(9)))
        os.utime(path, ns=(0, path.stat().st_size))
        with pytest.raises(TryAgainLater, match="written while it was read"):
            list(reading)
        written(tmp_path, "<a@x>", "<b@x>")
    assert not changes.hashes


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"<a@x> <a@x>", "twice"),
        (b"<a@x>\t<b@x>", "white space"),
        (b"<a@x>\r", "white space"),
        (b"<a@x> =>", "no commit follows"),
        (b"<a@x> => <b@x>", "'<b@x>' is no commit"),
        (b"<a@x> => 1111111 => 2222222", "'=>' is no commit"),
        (b"<\xff@x>", "not UTF-8"),
    ],
)
def test_what_is_no_group_is_named(tmp_path: Path, line: bytes, fault: str) -> None:
    """The message has the file, the line and what is wrong with it."""
    path = tmp_path / "patch-groups"
    path.write_bytes(b"<fine@x>\n\n" + line + b"\n")
    for read in (lambda: list(read_groups(path)), lambda: changed(path)):
        with pytest.raises(StoreDamaged, match=rf"{path}, line 3: .*{fault}"):
            read()


def test_a_message_id_in_two_groups_is_named(tmp_path: Path) -> None:
    """Which of them it belongs to is not ours to say: both lines are told."""
    path = written(tmp_path, "<a@x>", f"<b@x> <c@x> => {COMMITS[0]}", "<c@x>")
    with pytest.raises(StoreDamaged, match=r"line 3: .*<c@x> stands in .*, line 2 too"):
        changed(path)


def test_only_what_is_not_done_comes(tmp_path: Path) -> None:
    """Nothing after nothing changed; else the lines that are new, wherever they are."""
    before = [f"<{number}@x>" for number in range(100)]
    path = written(tmp_path, *before)
    first, done = changed(path)
    assert len(first) == len(done) == 100
    assert list(done) == sorted(done)
    assert changed(path, done) == ([], done)
    written(tmp_path, "<0@x> <new@x>", *before[1:50], *before[51:], f"<50@x> => {COMMITS[0]}")
    second, done = changed(path, done)
    assert second == [Group(("<0@x>", "<new@x>"), ()), Group(("<50@x>",), COMMITS[:1])]
    assert changed(path, done) == ([], done)


def test_what_changed_in_a_part_comes_alone(tmp_path: Path) -> None:
    """Wherever in the parts it is, and however the lines move from one to the other."""
    written(tmp_path, "<a@x>", "<b@x>", "<c@x>", name="patch-groups.000")
    path = written(tmp_path, "<d@x>", "<e@x>", name="patch-groups.001")
    _, done = changed(path)
    written(tmp_path, "<a@x>", "<b@x>", name="patch-groups.000")
    written(tmp_path, "<c@x>", "<d@x> <new@x>", "<e@x>", name="patch-groups.001")
    assert changed(path, done)[0] == [Group(("<d@x>", "<new@x>"), ())]


def test_an_empty_line_is_no_group(tmp_path: Path) -> None:
    """PaStA skips it."""
    path = written(tmp_path, "", "<a@x>", "")
    assert changed(path)[0] == list(read_groups(path)) == [Group(("<a@x>",), ())]


def test_a_changed_group_that_takes_a_mail_of_another_is_refused(tmp_path: Path) -> None:
    """Also when the line that has it was done before."""
    path = written(tmp_path, "<a@x>", "<b@x>")
    _, done = changed(path)
    written(tmp_path, "<a@x>", "<a@x> <b@x>")
    with pytest.raises(StoreDamaged, match=r"line 2: .*<a@x> stands in"):
        changed(path, done)


LINES = st.lists(
    st.tuples(
        st.sets(st.integers(0, 10**6), min_size=1, max_size=3), st.sampled_from(["", COMMITS[0]])
    ),
    min_size=1,
)


@given(LINES, LINES)
def test_done_and_changed_are_all(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[tuple[set[int], str]],
    after: list[tuple[set[int], str]],
) -> None:
    """Of any two files: what comes of the second is what the first has not."""

    def lines(groups: list[tuple[set[int], str]]) -> list[str]:
        seen: set[int] = set()
        result = []
        for members, commit in groups:
            left = sorted(f"<{member}@x>" for member in members - seen)
            seen |= members
            if left:
                result.append(" ".join(left) + (f" => {commit}" if commit else ""))
        return result

    folder = tmp_path_factory.mktemp("groups")
    _, done = changed(written(folder, *lines(before)))
    path = written(folder, *lines(after))
    missing = [line for line in lines(after) if line not in lines(before)]
    expected = (
        list(read_groups(written(folder, *missing, name="missing").with_name("missing")))
        if missing
        else []
    )
    assert changed(path, done)[0] == expected


def test_a_file_that_nobody_wrote_since_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written just now has no version: it may be written again within a tick."""
    path = written(tmp_path, "<a@x>", "<b@x>")
    changes = Changes(path, NONE)
    assert len(list(changes)) == 2
    assert changes.version is None
    os.utime(path, (1, 1))
    first = Changes(path, changes.hashes)
    assert list(first) == []
    assert first.version
    monkeypatch.setattr("patchsync.analysis.groups.blake2b", None)
    same = Changes(path, first.hashes, first.version)
    assert list(same) == []
    assert (same.hashes, same.version) == (first.hashes, first.version)
    monkeypatch.undo()
    assert len(list(Changes(path, NONE, first.version))) == 2, "all were to come anew"
    for change in (lambda: os.utime(path, (2, 2)), lambda: written(tmp_path, "<a@x>", "<c@x>")):
        change()
        again = Changes(path, first.hashes, first.version)
        list(again)
        assert again.version != first.version
    assert sorted(changed(path, first.hashes)[0]) == [Group(("<c@x>",), ())]


def test_the_hashes_are_those_of_all_lines(tmp_path: Path) -> None:
    """Ascending, each as often as it stands there, whatever was done before."""
    path = written(tmp_path, "<a@x>", "=> 1234567", "=> 1234567", "<b@x> <c@x>", "")
    hashes = changed(path)[1]
    assert len(hashes) == 5
    assert list(hashes) == sorted(hashes)
    for done in (hashes[:2], hashes, array("q", [*hashes[1:], 2**62])):
        changes = Changes(path, done)
        list(changes)
        assert changes.hashes == hashes
        assert changes.gone(array("q", [*hashes[:2], 2**62])) == {2**62}
        assert changes.gone(NONE) == set()
