"""By what one revision supersedes another: its author and its thread, as Patchwork tells them."""

from __future__ import annotations

import pytest

from patchsync.config.push_tables import SupersededBy
from patchsync.push.authorship import (
    LONGEST_HEAD,
    UNKNOWN_ORIGIN,
    Origin,
    are_one_work,
    read_origin,
    superseded,
)

LIST = "list@example.org"
AUTHOR, STRANGER = "author@example.org", "stranger@example.net"


def head(submitter: str = f"An Author <{AUTHOR}>", *headers: str, subject: str = "x") -> bytes:
    """The beginning of a mail as Patchwork renders it."""
    lines = [
        "From patchwork Mon Jan  1 00:00:00 2024",
        'Content-Type: text/plain; charset="utf-8"',
        f"X-Patchwork-Submitter: {submitter}",
        "X-Patchwork-Id: 7",
        *headers,
        f"Subject: {subject}",
    ]
    return "\n".join(lines).encode() + b"\n\nFrom: In The Body <body@example.org>\n"


def origin(content: bytes, message_id: str = "<1@x>") -> Origin:
    return read_origin(content, message_id, {LIST})


def sent(author: str, *thread: str, title: str = "fix") -> Origin:
    return Origin(
        authors=frozenset({author} if author else ()), thread=frozenset(thread), title=title
    )


# What a mail says


@pytest.mark.parametrize(
    ("submitter", "author"),
    [
        ("An Author <Author@Example.org>", AUTHOR),
        (AUTHOR, AUTHOR),
        (f'"<{STRANGER}>, a name" <{AUTHOR}>', AUTHOR),
        (f"=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M=C3=BCller_of_a_long_name?=\n <{AUTHOR}>", AUTHOR),
        (f"An Author via Sample <{LIST.upper()}>", None),
        ("", None),
    ],
)
def test_the_author_is_whom_patchwork_took_for_the_sender(
    submitter: str, author: str | None
) -> None:
    """Whatever case; the list's own address is nobody's, since it may stand for anybody."""
    assert origin(head(submitter)).authors == ({author} if author else set())


def test_neither_from_nor_a_later_submitter_nor_the_body_counts() -> None:
    """Lists put their own address into From; all else is the sender's to write."""
    content = head(
        f"A <{AUTHOR}>", f"From: B <{STRANGER}>", f"X-Patchwork-Submitter: C <{STRANGER}>"
    )
    assert origin(content).authors == {AUTHOR}


def test_the_thread_is_the_mail_and_all_that_it_refers_to() -> None:
    """Folded as they may be."""
    content = head("a@b", "In-Reply-To: <2@x> (a word)", "REFERENCES: <4@x>\n <3@x>\n\t<2@x>")
    assert origin(content).thread == {"<1@x>", "<2@x>", "<3@x>", "<4@x>"}


@pytest.mark.parametrize("name", ["In-Reply-To", "References"])
def test_of_many_references_both_ends_count(name: str) -> None:
    """Where the thread began, and whom it answers: a header may name thousands."""
    many = [f"<{n}@y>" for n in range(4000)]
    half = len(many) // 2
    parts = (f"{name}: {' '.join(some)}" for some in (many[:half], many[half:]))
    thread = origin(head("a@b", "In-Reply-To: <2@x>", *parts)).thread
    assert len(thread) <= 102
    assert {"<1@x>", "<2@x>", many[0], many[-1]} < thread
    shorter = [f"<{n}@y>" for n in range(60)]
    assert origin(head("a@b", f"{name}: {' '.join(shorter)}")).thread == {"<1@x>", *shorter}


@pytest.mark.parametrize(
    ("subject", "title"),
    [
        ("[PATCH v2 1/3] Fix  the\n leak", "fix the leak"),
        ("Re: [PATCH] [RFC] Fix the leak", "fix the leak"),
        ("=?utf-8?q?=5BPATCH=5D_Fix_the_leak?=", "fix the leak"),
        ("[PATCH", "[patch"),
    ],
)
def test_the_title_is_without_version_and_number(subject: str, title: str) -> None:
    """As a person would call the patch."""
    assert origin(head(subject=subject)).title == title


def test_what_is_no_rendered_mail_is_unknown() -> None:
    """A file that is cut or of something else: nothing is superseded by it."""
    for content in (b"", b"\n\n", b"\xff" * 100, head()[:40]):
        assert origin(content).authors == frozenset()


@pytest.mark.parametrize("filler", ["<", "<a", "=?a?q?", "[", "[] ", "re:", "> ", " "])
def test_hostile_headers_are_read_in_no_time(filler: str) -> None:
    """Within what is read of a mail; a pattern that backtracks would run for minutes."""
    text = filler * (LONGEST_HEAD // len(filler))
    for content in (head(text), head("a@b", f"References: {text}"), head(subject=text)):
        origin(content)


# What supersedes what


@pytest.mark.parametrize(
    ("origins", "by", "expected"),
    [
        # A stranger mails the author's patch again, later.
        ([sent(AUTHOR), sent(STRANGER)], "author-or-thread", [False, False]),
        ([sent(AUTHOR), sent(STRANGER)], "author", [False, False]),
        ([sent(AUTHOR), sent(STRANGER)], "anyone", [True, False]),
        # The author's own next version, whatever stands between.
        ([sent(AUTHOR), sent(AUTHOR)], "author", [True, False]),
        ([sent(AUTHOR), sent(STRANGER), sent(AUTHOR)], "author", [True, False, False]),
        # Somebody answers with the next version.
        ([sent(AUTHOR, "1"), sent(STRANGER, "2", "1")], "author-or-thread", [True, False]),
        ([sent(AUTHOR, "1"), sent(STRANGER, "2", "1")], "author", [False, False]),
        ([sent(AUTHOR, "1", "0"), sent(STRANGER, "2", "0")], "author-or-thread", [True, False]),
        ([sent(AUTHOR, "1"), sent(STRANGER, "2", "3")], "author-or-thread", [False, False]),
        # The author's next version has another title.
        ([sent(AUTHOR, title="a"), sent(AUTHOR, title="b")], "author-or-thread", [True, False]),
        # A stranger's mail that is like two patches of the author makes one group of them.
        (
            [sent(AUTHOR, "0", title="a"), sent(AUTHOR, "0", title="b"), sent(STRANGER, title="a")],
            "author-or-thread",
            [False, False, False],
        ),
        # Who sent a mail is not known.
        ([sent(""), sent("")], "author-or-thread", [False, False]),
        ([UNKNOWN_ORIGIN, UNKNOWN_ORIGIN], "author-or-thread", [False, False]),
    ],
)
def test_only_the_same_author_or_thread_supersedes(
    origins: list[Origin], by: SupersededBy, expected: list[bool]
) -> None:
    """The setting narrows it, or gives way to whoever mails a copy."""
    assert superseded(origins, by) == expected


def test_an_author_is_the_same_by_any_of_his_addresses() -> None:
    """A mail on two lists may have two, where one of the lists puts its own into From."""
    both = Origin(authors=frozenset({AUTHOR, "author.other@example.org"}))
    assert superseded([sent(AUTHOR), both], "author") == [True, False]
    merged = sent(AUTHOR, "1").merged(sent(STRANGER, "2", title="y"))
    assert merged == Origin(
        authors=frozenset({AUTHOR, STRANGER}), thread=frozenset({"1", "2"}), title="fix"
    )


@pytest.mark.parametrize(
    ("origins", "one"),
    [
        ([sent(AUTHOR, title="a"), sent(AUTHOR, title="b")], True),
        ([sent(AUTHOR), sent(STRANGER)], True),
        ([sent(AUTHOR, title="a"), sent(STRANGER, title="b")], False),
        ([sent(AUTHOR)], True),
    ],
)
def test_a_group_is_one_work_by_its_author_or_its_title(origins: list[Origin], one: bool) -> None:
    """Else nobody knows which of its patches the commit is."""
    assert are_one_work(origins) is one
