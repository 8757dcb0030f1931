"""Names and lines of PaStA's index."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_fakes import LIST, pasta_read, paths_in

from patchsync.errors import ConfigError
from patchsync.store.layout import (
    ContainerPaths,
    IndexEntry,
    format_line,
    is_date,
    message_id_fault,
    parse_line,
    parse_plain_lines,
)

MD5 = "0b8e57d30f1bb12f5bfc0920a9a4af72"
ENTRY = IndexEntry(5, "2019/04/29", "<a@b>", MD5)


def test_the_raw_layout_has_the_names_that_todays_pasta_loads() -> None:
    """`[mbox.raw."<host>"] <list> = ["patchwork.<id>"]` loads index and mails."""
    paths = paths_in(Path("m"), layout="raw", project_id=7)
    assert paths.index == Path(f"m/index/raw.{LIST}.patchwork.7")
    assert paths.mail("2019/04/29", MD5) == Path("m/raw/2019/04/29") / MD5


def test_the_patchwork_layout_has_the_names_of_pastas_former_backend() -> None:
    """The index carries the project's number, the mails lie below `patchwork`."""
    paths = paths_in(Path("m"), layout="patchwork", project_id=7)
    assert paths.index == Path("m/index/patchwork.7")
    assert paths.mail("2019/04/29", MD5) == Path("m/patchwork/2019/04/29") / MD5


def test_our_own_files_lie_apart_from_pastas() -> None:
    """Everything that PaStA does not know is in one folder per index."""
    paths = paths_in(Path("m"), project_id=7)
    own = Path(f"m/patchsync/raw.{LIST}.patchwork.7")
    names = ("side_index", "lock", "fence", "gone", "quarantine", "origin", "round", "halted")
    assert {getattr(paths, name).parent for name in names} == {own}
    assert len({getattr(paths, name) for name in names}) == len(names)


@pytest.mark.parametrize("listaddr", ["", "a/b", "../x", "a b", "a\nb", "a\0b", "a\u00a0b"])
def test_a_list_address_that_is_no_file_name_is_refused(listaddr: str) -> None:
    """It becomes part of one, so it must not lead elsewhere."""
    with pytest.raises(ConfigError, match="list address"):
        ContainerPaths(d_mbox=Path("m"), listaddr=listaddr, project_id=1)


@pytest.mark.parametrize("changes", [{"project_id": 0}, {"layout": "maildir"}])
def test_a_wrong_project_id_or_layout_is_a_fault_of_the_configuration(
    changes: dict[str, Any],
) -> None:
    """It is met at once, not as an odd file name."""
    fields: dict[str, Any] = {"d_mbox": Path("m"), "listaddr": LIST, "project_id": 1, **changes}
    with pytest.raises(ConfigError):
        ContainerPaths(**fields)


def test_a_line_says_what_pasta_expects() -> None:
    """Four fields, one space between them, and a newline."""
    assert format_line(ENTRY) == f"2019/04/29 <a@b> {MD5} 5\n".encode()


def in_a_row(entries: list[IndexEntry]) -> list[object]:
    """As `parse_plain_lines` has them."""
    fields = ((date, message_id, md5, patch_id) for patch_id, date, message_id, md5 in entries)
    return list(chain.from_iterable(fields))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "2019/04/29 <a@b> " + MD5,
        f"2019/04/29 <a@b> {MD5} 5 6",
        f"2019/04/29  <a@b> {MD5} 5",
        f"2019/04/29 <a@b> {MD5} 5 ",
        f" 2019/04/29 <a@b> {MD5} 5",
        f"2019/04/29 <a@b> {MD5} 5\r",
        f"2019/04/29 <a\r@b> {MD5} 5",
        f"2019/04/29 <a\u2028@b> {MD5} 5",
        f"2019/4/29 <a@b> {MD5} 5",
        f"2019/02/29 <a@b> {MD5} 5",
        f"../../../x <a@b> {MD5} 5",
        f"2019/04/29 => {MD5} 5",
        f"2019/04/29 <a@b> {MD5.upper()} 5",
        f"2019/04/29 <a@b> {MD5[1:]} 5",
        f"2019/04/29 <a@b> {MD5} 0",
        f"2019/04/29 <a@b> {MD5} 05",
        f"2019/04/29 <a@b> {MD5} -5",
        f"2019/04/29 <a@b> {MD5} ٥",
        f"2019/04/29 <a@b> {MD5} 9999999999999999999",
        f"\0\0\0\0/04/29 <a@b> {MD5} 5",
    ],
)
def test_a_foreign_line_is_not_guessed_at(line: str) -> None:
    """Only what `format_line` writes is read, one by one and many at once."""
    with pytest.raises(ValueError):
        parse_line(line.encode())
    assert parse_plain_lines(format_line(ENTRY) + line.encode() + b"\n") is None


def test_a_line_that_is_not_utf8_is_foreign() -> None:
    """PaStA could not open such an index."""
    line = f"2019/04/29 <\udcff@b> {MD5} 5".encode(errors="surrogateescape")
    with pytest.raises(ValueError):
        parse_line(line)
    assert parse_plain_lines(line + b"\n") is None


@pytest.mark.parametrize(
    "message_id",
    ["<a@b>", "a", "<a/b@c>", "../../x", "/etc/passwd", "<käse@b>", "<" + "x" * 996 + ">", "=>>"],
)
def test_an_odd_message_id_is_usable_if_pasta_can_read_it(message_id: str) -> None:
    """Slashes too: it is never part of a path."""
    assert message_id_fault(message_id) is None


@pytest.mark.parametrize(
    "message_id",
    [
        *("", " ", "<a b>", "<a\tb>", "<a\nb>", "<a\rb>", "<a\0b>", "<a\x1fb>", "<a\x7fb>"),
        *("<a\x85b>", "<a\u00a0b>", "<a\u2028b>", "<a\u2029b>", "<a\x0cb>", "<\ud800>", "=>"),
        *("<" + "x" * 997 + ">", "<" + "ä" * 499 + ">"),
    ],
)
def test_a_message_id_that_would_break_pastas_files_is_named_unusable(message_id: str) -> None:
    """With the reason in words."""
    assert "message-id" in (message_id_fault(message_id) or "")


@given(st.text(max_size=30))
def test_every_usable_message_id_comes_back_from_the_line_as_from_pasta(message_id: str) -> None:
    """What we call usable survives our reader, and text mode and splitting as PaStA does them."""
    if message_id_fault(message_id) is not None:
        return
    entry = ENTRY._replace(message_id=message_id)
    line = format_line(entry)
    assert parse_line(line[:-1]) == entry
    assert parse_plain_lines(line) in (None, in_a_row([entry]))
    assert line.decode().splitlines() == [line.decode()[:-1]]
    assert line.decode().split(" ")[1] == message_id


@pytest.mark.parametrize(
    ("text", "right"),
    [
        *(("2020/02/29", True), ("2019/02/29", False), ("0000/01/01", False)),
        *(("2019-04-29", False), ("2019/04/29\n", False), ("../../../x", False)),
        *(("２０１９/04/29", False), ("", False)),
    ],
)
def test_a_date_is_a_day_of_the_calendar(text: str, right: bool) -> None:
    """PaStA would die on any other; and it is part of a path."""
    assert is_date(text) is right


def test_the_index_of_real_mails_is_read_strictly_and_as_pasta_reads_it(real_index: Path) -> None:
    """All 1,535 lines, one by one and at once, and written again they are the same bytes."""
    content = real_index.read_bytes()
    entries = [parse_line(line) for line in content.splitlines()]
    assert len(entries) == 1535
    assert parse_plain_lines(content) == in_a_row(entries)
    assert b"".join(map(format_line, entries)) == content
    assert {entry.message_id for entry in entries} == pasta_read(real_index).keys()
