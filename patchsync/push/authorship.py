"""Whose a mail is, and what it answers: by that one revision supersedes another.

PaStA's groups are by likeness, and a patch on a public list anybody may mail again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from patchsync.config.push_tables import SupersededBy
from patchsync.push.comment.mail import subject_of

# Headers of a mail, in bytes: what lies behind is not looked for.
LONGEST_HEAD = 65536
_LONGEST_SUBJECT = 1000
# The first message-ids of a header and the last that count: where its thread began, and whom it
# answers. All mails of a group are in memory at once.
_ENDS = 50
# The first counts: Patchwork writes its own before the mail's. It is whom Patchwork takes for the
# sender, where a list put its own address into From, too. An author in the body does not count:
# whoever mails another's patch by git has it there.
_SUBMITTER = re.compile(rb"\nX-Patchwork-Submitter:(.*(?:\n[ \t].*)*)", re.IGNORECASE)
_IN_REPLY_TO = re.compile(rb"\nIn-Reply-To:(.*(?:\n[ \t].*)*)", re.IGNORECASE)
_REFERENCES = re.compile(rb"\nReferences:(.*(?:\n[ \t].*)*)", re.IGNORECASE)
_SUBJECT = re.compile(rb"\nSubject:(?:.*(?:\n[ \t].*)*)", re.IGNORECASE)
_MESSAGE_ID = re.compile(r"<[^<>\s]+>")
_ADDRESS = re.compile(r"<([^<>]*)>\s*$")
_PREFIX = re.compile(r"^(?:\[[^\]]*\]|re:|\s)+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a mail comes from; empty where that is not known."""

    # Its sender's addresses: as Patchwork took it, which may differ from list to list
    authors: frozenset[str] = frozenset()
    # Message-ids: its own, and of those that it answers
    thread: frozenset[str] = frozenset()
    # Its subject without version and number
    title: str = ""

    def merged(self, other: Origin) -> Origin:
        """The same mail, as another project has it."""
        return Origin(
            authors=self.authors | other.authors,
            thread=self.thread | other.thread,
            title=self.title or other.title,
        )


UNKNOWN_ORIGIN = Origin()


def read_origin(head: bytes, message_id: str, list_addresses: Collection[str]) -> Origin:
    """What a rendered mail's headers say; `head`: its beginning.

    `list_addresses`: in lower case, which are nobody's.
    """
    headers = head[:LONGEST_HEAD].partition(b"\n\n")[0]
    submitter = _SUBMITTER.search(headers)
    author = _address(_text(submitter[1])) if submitter else ""
    thread = {message_id, *_answered(_IN_REPLY_TO, headers), *_answered(_REFERENCES, headers)}
    subject = _SUBJECT.search(headers)
    return Origin(
        authors=frozenset({author} - {"", *list_addresses}),
        thread=frozenset(thread),
        title=_title(subject[0][1 : _LONGEST_SUBJECT + 1]) if subject else "",
    )


def superseded(origins: Sequence[Origin], by: SupersededBy) -> list[bool]:
    """Of each revision, the oldest first, whether a later one supersedes it.

    Where not all are one author's, the two must have the same title, too: whoever mails one patch
    that is like two others makes one group of them.
    """
    if by == "anyone":
        return [True] * (len(origins) - 1) + [False]
    with_title = not _have_one_author(origins)
    later: set[tuple[str, str]] = set()
    of_each = []
    for origin in reversed(origins):
        names = origin.authors | (origin.thread if by == "author-or-thread" else frozenset())
        marks = {(name, origin.title if with_title else "") for name in names}
        of_each.append(not later.isdisjoint(marks))
        later |= marks
    return of_each[::-1]


def are_one_work(origins: Sequence[Origin]) -> bool:
    """Whether one author sent all of these mails, or all have one title."""
    return _have_one_author(origins) or len({origin.title for origin in origins}) == 1


def _have_one_author(origins: Sequence[Origin]) -> bool:
    return bool(frozenset.intersection(*(origin.authors for origin in origins)))


def _answered(header: re.Pattern[bytes], headers: bytes) -> list[str]:
    """The message-ids that a header names, at most the first and the last `_ENDS`."""
    message_ids = [
        message_id
        for content in header.findall(headers)
        for message_id in _MESSAGE_ID.findall(_text(content))
    ]
    if len(message_ids) <= 2 * _ENDS:
        return message_ids
    return message_ids[:_ENDS] + message_ids[-_ENDS:]


def _text(header: bytes) -> str:
    return header.decode("utf-8", errors="replace")


def _address(header: str) -> str:
    match = _ADDRESS.search(header)
    return (match[1] if match else header).strip().lower()


def _title(header: bytes) -> str:
    words = _PREFIX.sub("", subject_of(header + b"\n\n")).split()
    return " ".join(words).casefold()
