"""A mail as Python's `email` takes it apart, but no more of it than a mail has that people send.

`email` takes quadratic time for a Content-Type full of semicolons, an address full of brackets and
parts within parts, and a kilobyte of memory for a part or ten headers of three bytes.
"""

from __future__ import annotations

from email import message_from_string
from email.message import Message
from email.policy import Policy, compat32
from functools import partial

# Of what is parsed further, in characters; a file's name of 255 in any alphabet has room.
LONGEST_HEADER = 4096
# Of all Content-Types together: those of some hundred parts.
LONGEST_CONTENT_TYPES = 32 * 1024
MOST_HEADERS = 10_000
MOST_PARTS = 1000
# Each level costs each line within it once more; PaStA reads the first.
DEEPEST_PART = 8

_WITH_PARTS = ("multipart", "message")
_PARSED = frozenset({"content-type", "content-transfer-encoding", "from", "date"})


class _Read:
    """How much was read of a mail so far, all its parts and attached mails together."""

    headers = 0
    parts = 0
    content_types = 0


class BoundedMessage(Message):
    """A mail or a part of one; ValueError, which says why, while it is read and has too much."""

    _payload: object  # of `Message`

    def __init__(self, read: _Read, policy: Policy = compat32) -> None:
        super().__init__(policy)
        self._read = read
        self._depth = 0
        read.parts += 1
        if read.parts > MOST_PARTS:
            raise ValueError(f"the mail has more than {MOST_PARTS} parts")

    def set_raw(self, name: str, value: str) -> None:
        """Take a header, as the parser hands it over."""
        read, kind = self._read, name.lower()
        read.headers += 1
        if read.headers > MOST_HEADERS:
            raise ValueError(f"the mail has more than {MOST_HEADERS} headers")
        if kind in _PARSED and len(value) > LONGEST_HEADER:
            raise ValueError(f"its {name} is longer than {LONGEST_HEADER} characters")
        if kind == "content-type":
            read.content_types += len(value)
            if read.content_types > LONGEST_CONTENT_TYPES:
                raise ValueError(f"its Content-Types have over {LONGEST_CONTENT_TYPES} characters")
        super().set_raw(name, value)

    def attach(self, payload: BoundedMessage) -> None:  # type: ignore[override]
        """Take a part, which is empty yet."""
        payload._depth = self._depth + 1
        if payload._depth > DEEPEST_PART:
            raise ValueError(f"the mail has parts more than {DEEPEST_PART} deep")
        super().attach(payload)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing behind its head, of any charset: `get_payload` decodes."""
        return not self._payload

    def read_attached(self, text: str) -> BoundedMessage:
        """A mail in a part of this one; what it has counts as this one's."""
        return message_from_string(text, partial(BoundedMessage, self._read))


def read_mail(raw: bytes) -> BoundedMessage:
    """A mail, taken apart; ValueError, which says why, where it has too much.

    As `email` takes it apart, but it need not walk through the lines of a body that is one part.
    """
    text = raw.decode("ascii", "surrogateescape")
    head_ends = text.find("\n\n") + 2
    if head_ends >= 2:
        mail = _parse(text[:head_ends])
        # A line that is no header ends the head before, and begins the body.
        if mail.is_empty and mail.get_content_maintype() not in _WITH_PARTS:
            mail.set_payload(text[head_ends:])
            return mail
    return _parse(text)


def _parse(text: str) -> BoundedMessage:
    return message_from_string(text, partial(BoundedMessage, _Read()))
