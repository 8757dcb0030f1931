"""The mbox of a patch: how Patchwork renders it, and how it is taken apart again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.parser import HeaderParser
from email.utils import formataddr

from standin.records import Patch

OWN_HEADERS = 5
"""Content-Type, MIME-Version, Content-Transfer-Encoding, X-Patchwork-Submitter, X-Patchwork-Id."""

_POSTSCRIPT = re.compile(rb"^-{2,3} ?$", re.MULTILINE)
_DIFF = re.compile(rb"^(?:diff --git |Index: |--- \S[^\n]*\n\+\+\+ [^\n]*\n@@ )", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class MailParts:
    """What the patch detail shows of a mail."""

    headers: dict[str, str | list[str]]
    content: str
    diff: str


def mbox(
    *,
    patch_id: int,
    date: datetime,
    submitter: tuple[str, str],
    headers: Iterable[tuple[str, str]],
    body: str,
) -> bytes:
    """The bytes that `GET .../mbox/` sends; `date` naive UTC, `submitter` name and address."""
    encoding = "7bit" if body.isascii() else "8bit"
    own = [
        ("Content-Type", 'text/plain; charset="utf-8"'),
        ("MIME-Version", "1.0"),
        ("Content-Transfer-Encoding", encoding),
        ("X-Patchwork-Submitter", formataddr(submitter)),
        ("X-Patchwork-Id", str(patch_id)),
    ]
    lines = [f"From patchwork {date.ctime()}"]
    lines += [f"{name}: {value}" for name, value in (*own, *headers)]
    return ("\n".join(lines) + "\n\n" + body).encode()


def series_mbox(patches: Iterable[Patch]) -> bytes:
    """The mboxes of a series' patches as Patchwork joins them: by number, not by date."""
    return b"\n".join(patch.mbox for patch in sorted(patches, key=lambda p: (p.number, p.id)))


def fold_in_tag(mail: bytes, tag: str) -> bytes:
    """The mbox with a reply's tag at the end of the commit message, above `---` or the diff."""
    head, separator, body = mail.partition(b"\n\n")
    found = _POSTSCRIPT.search(body)
    if found is not None:
        at = found.start()
    else:
        diff = _DIFF.search(body)
        at = max(diff.start() - 1, 0) if diff is not None else len(body)
    return head + separator + body[:at] + tag.encode() + b"\n" + body[at:]


def take_apart(mail: bytes) -> MailParts:
    """Headers, message and diff of a rendered mbox; the mail's own encoding headers are lost."""
    head, _, body = mail.partition(b"\n\n")
    fields = HeaderParser().parsestr(head.partition(b"\n")[2].decode(errors="replace"))
    headers: dict[str, str | list[str]] = {}
    for name, value in list(fields.items())[OWN_HEADERS:]:
        earlier = headers.get(name)
        if earlier is None:
            headers[name] = str(value)
        elif isinstance(earlier, list):
            earlier.append(str(value))
        else:
            headers[name] = [earlier, str(value)]
    found = _DIFF.search(body)
    at = found.start() if found is not None else len(body)
    return MailParts(
        headers=headers,
        content=body[:at].decode(errors="replace").rstrip("\n"),
        diff=body[at:].decode(errors="replace"),
    )


def wrong_id(mail: bytes, patch_id: int) -> bytes:
    """The mbox with another patch's X-Patchwork-Id."""
    return re.sub(
        rb"^X-Patchwork-Id: \d+$", b"X-Patchwork-Id: %d" % patch_id, mail, count=1, flags=re.M
    )
