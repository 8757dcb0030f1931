"""Messages, read as PaStA reads them."""

from __future__ import annotations

import pytest

from patchsync.analysis.patch import picked_from, read_message

HASH = "0123456789abcdef0123456789abcdef01234567"


def message_of(*lines: str) -> tuple[str, ...]:
    """The message of these lines."""
    return read_message(lines)[0]


def test_empty_lines_go_and_spaces_are_stripped() -> None:
    """But for the subject's own; a line of spaces stays, as an empty one."""
    assert message_of(" subject ", "", "  text\t", " \t", "") == (" subject ", "text", "")


@pytest.mark.parametrize(
    "tag",
    [
        "Signed-off-by: A <a@example.org>",
        "  CC : b",
        "fixes:",
        "Commit-ID: 12",
        "commit: 12",
        "Bug\u00a0: 1",
        "\u017figned-off-by: x",
        "Addresses-Coverity-ID: 5",
    ],
)
def test_tags_go(tag: str) -> None:
    """In any case, with spaces before the colon, and with nothing after it."""
    assert message_of("subject", tag, "text") == ("subject", "text")


@pytest.mark.parametrize("text", ["Fixes what", "This Fixes: it", "Nacked-by: A", "Bugs: 1", ": x"])
def test_other_lines_stay(text: str) -> None:
    """A tag is at the line's beginning, and one that PaStA knows."""
    assert message_of("subject", text) == ("subject", text)


def test_the_subject_is_no_tag() -> None:
    """It stays whatever it looks like; without one the first line is taken for it."""
    assert message_of("Fixes: x", "", "text") == ("Fixes: x", "text")
    assert message_of("", "", " From: x ", "text") == (" From: x ", "text")


def test_a_subject_that_is_repeated_counts_once() -> None:
    """Only where the next line that stays is the same."""
    assert message_of("subject", "", "From: a", "subject", "text") == ("subject", "text")
    assert message_of("subject", "text", "subject") == ("subject", "text", "subject")


def test_nothing_is_a_message() -> None:
    """A mail may say nothing at all."""
    assert message_of("", "") == message_of() == ()


@pytest.mark.parametrize("line", ['Revert "x"', "it REVERTs", "Fixes: a reverted one"])
def test_a_revert(line: str) -> None:
    """The word anywhere in the message, also in a tag."""
    assert read_message(["subject", line]) == (message_of("subject", line), True)
    assert read_message(["subject", "rever", "t"])[1] is False


def test_where_a_patch_was_picked() -> None:
    """The first hash of each line that speaks of it, as it is written."""
    message = [
        "subject",
        f"(cherry picked from commit {HASH})",
        "[ Upstream commit DEADBEEF1 and 123456 ]",
        "commit abcdef upstream.",
        "as in abcdef01",
        "picked from nowhere: abcd, deadbeefs",
    ]
    assert picked_from(message) == (HASH, "DEADBEEF1", "abcdef")


def test_a_folded_subject_speaks_in_its_first_line() -> None:
    """The words count there, the hash also after the fold."""
    assert picked_from(["pick\n abcdef"]) == ("abcdef",)
    assert picked_from(["subject\n pick abcdef"]) == ()
