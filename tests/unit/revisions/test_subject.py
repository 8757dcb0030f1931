"""A subject's brackets, as Patchwork reads them."""

from __future__ import annotations

import pytest

from patchsync.revisions.model import SubjectPrefix
from patchsync.revisions.subject import LONGEST_SUBJECT, read_subject


@pytest.mark.parametrize(
    ("subject", "title", "prefix"),
    [
        ("usb: fix it", "usb: fix it", (1, 1, 1)),
        ("[PATCH] usb: fix it", "usb: fix it", (1, 1, 1)),
        ("[PATCH v2 3/7] fix", "fix", (2, 3, 7)),
        ("[RFC, v3, 02/10] fix", "fix", (3, 2, 10)),
        ("[net-next 1/2] fix", "fix", (1, 1, 2)),
        ("[PATCH net-next V2 1/2] fix", "fix", (2, 1, 2)),
        ("[PATCH 0/5] all", "all", (1, 0, 5)),
        ("[RFC][PATCH  2/3]  fix \t it", "fix it", (1, 2, 3)),
        ("[PATCH1/8] fix", "fix", (1, 1, 8)),
        ("[v2PATCH12/15] fix", "fix", (1, 12, 15)),
        ("[PATCH 1 of 3 V2] fix", "fix", (2, 1, 3)),
        ("[PATCH] fix (v4)", "fix (v4)", (4, 1, 1)),
        ("Re: [PATCH v2] fix", "fix", (2, 1, 1)),
        ("Fwd: [PATCH 1/2] fix", "fix", (1, 1, 2)),
        ("[PATCH 6/5] the one that was forgotten", "the one that was forgotten", (1, 6, 5)),
        ("[PATCH v1.5 1/2] fix", "fix", (1, 1, 2)),
        ("[PATCH] [1/2] is a path", "is a path", (1, 1, 2)),
        ("[PATCH] a [1/2] b", "a [1/2] b", (1, 1, 1)),
        ("[PATCH 1/2", "[PATCH 1/2", (1, 1, 1)),
        ("[PATCH]", "[PATCH]", (1, 1, 1)),
        ("", "", (1, 1, 1)),
        # What nobody counted
        ("[PATCH 1/0] fix", "fix", (1, 1, 1)),
        ("[PATCH 1/99999999999999999999] fix", "fix", (1, 1, 1)),
        ("[PATCH v99999999999999999999 00001/00002] fix", "fix", (1, 1, 2)),
        ("[PATCH v\u0665 \u0661/\u0662] fix", "fix", (1, 1, 1)),
    ],
)
def test_it_is_read_as_patchwork_reads_it(
    subject: str, title: str, prefix: tuple[int, int, int]
) -> None:
    """Version, part and total; numbers that nobody means are none."""
    read = read_subject(subject)
    assert (read.title, read.prefix) == (title, SubjectPrefix(*prefix))


@pytest.mark.parametrize("unit", ["[", "]", "[]", "[1/", "1", "re:", "[v", "/", " of ", "[1/2]"])
def test_no_subject_takes_long(unit: str) -> None:
    """However long, it is bounded before it is read."""
    assert len(read_subject(unit * 1_000_000).title) <= LONGEST_SUBJECT
