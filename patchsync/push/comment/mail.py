"""What a comment is: a mail to a list, in reply to a patch, that Patchwork takes for no patch."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import Header, decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import EmailPolicy
from typing import Any

from patchsync.errors import ConfigError

# As many characters of a subject as Patchwork keeps of a patch's name, and its tags.
_LONGEST_SUBJECT = 500
# So many have room for those, encoded in whatever way; to decode more takes quadratic time.
_LONGEST_ENCODED = 8192

# Where a diff may begin, or an mbox's next mail; and the signature, from which on Patchwork drops
# all. None of it counts when it is indented.
_NOT_TEXT = re.compile(r"diff |Index: |---|\+\+\+|@@|GIT binary patch|From |--$|_+$")


class _Ready(str):
    """A header's value as it is to be written: in ASCII, folded where it may be."""

    __slots__ = ()


class _Policy(EmailPolicy):
    """As SMTP wants it, and ready values stay as they are.

    Python's own way encodes a long message-id, which then refers to nothing, and of a long subject
    in another language it loses spaces.
    """

    def header_store_parse(self, name: str, value: object) -> tuple[str, Any]:
        if isinstance(value, _Ready):
            return name, str(value)
        return super().header_store_parse(name, value)


# 7bit: not every server takes more.
_POLICY = _Policy(linesep="\r\n", cte_type="7bit", refold_source="none")


@dataclass(frozen=True, kw_only=True)
class CommentMail:
    """What is said to whom of which patch."""

    # Of the Patchwork, see `Config.instance`
    instance: str
    sender: str
    to: str
    # Of the patch, with its brackets
    in_reply_to: str
    # Of the patch, decoded
    subject: str
    text: str
    # What the text is about, such as commits: other words for the same are no other mail. Empty:
    # the text itself.
    about: tuple[str, ...] = ()

    @property
    def message_id(self) -> str:
        """Derived from what it is about: Patchwork and list archives drop what they have already.

        It does not name the list: what is said on two lists is one mail to two, as the patch was.
        """
        said = "\0".join((self.instance, self.in_reply_to, *(self.about or (self.text,))))
        domain = self.sender.rpartition("@")[2]
        return f"<{hashlib.sha256(said.encode(errors='replace')).hexdigest()}@{domain}>"

    def content(self, now: float) -> bytes:
        """The mail as it is sent, CRLF at the end of each line; `now`: seconds since 1970."""
        mail = EmailMessage(_POLICY)
        mail["From"] = self.sender
        mail["To"] = self.to
        mail["Subject"] = _subject(_one_line(self.subject))
        mail["Date"] = datetime.fromtimestamp(now, UTC)
        mail["Message-ID"] = _reference(self.message_id)
        mail["In-Reply-To"] = _reference(self.in_reply_to)
        mail["References"] = _reference(self.in_reply_to)
        mail["Auto-Submitted"] = "auto-generated"
        mail["Precedence"] = "bulk"
        mail.set_content(_harmless(self.text))
        return mail.as_bytes()


def subject_of(mail: bytes) -> str:
    """The subject of a stored mail, decoded as far as it can be; empty where it has none."""
    raw = BytesHeaderParser().parsebytes(mail).get("Subject", "")
    if len(str(raw)) > _LONGEST_ENCODED:
        raw = str(raw)[:_LONGEST_ENCODED]
    try:
        return str(make_header(decode_header(raw)))
    except (HeaderParseError, LookupError, ValueError):
        return str(raw)


def checked_address(key: str, address: str) -> str:
    """An address that can stand in a mail as it is.

    Raises:
        ConfigError: it cannot; the message names `key`.
    """
    try:
        if address.isascii() and Address(addr_spec=address).addr_spec == address:
            return address
    except (ValueError, IndexError, HeaderParseError):
        pass
    raise ConfigError(f"{key}: {address!r} is no mail address")


def _reference(message_id: str) -> _Ready:
    """Whole in one line, as long as it is."""
    visible = "".join(c for c in message_id if c.isprintable() and not c.isspace())
    return _Ready(visible if visible.isascii() else Header(visible, "utf-8").encode())


def _subject(text: str) -> _Ready:
    # Without Re: a diff that somebody quotes would be taken for a new patch.
    header = Header("Re:", "us-ascii", header_name="Subject")
    if text:
        header.append(text, "us-ascii" if text.isascii() else "utf-8")
    return _Ready(header.encode())


def _one_line(subject: str) -> str:
    """Without what could be taken for another line, or be decoded once more to one."""
    words = "".join(c if c.isprintable() else " " for c in subject).replace("=?", "= ?").split()
    if words and words[0].lower() == "re:":
        del words[0]
    return " ".join(words)[:_LONGEST_SUBJECT]


def _harmless(text: str) -> str:
    """The text with what looks like a diff indented."""
    lines = (
        "".join(c if c.isprintable() or c == "\t" else " " for c in line).rstrip()
        for line in text.splitlines()
    )
    return "\n".join(f"  {line}" if _NOT_TEXT.match(line) else line for line in lines) + "\n"
