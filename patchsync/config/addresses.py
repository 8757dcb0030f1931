"""Addresses that are made of what a mail calls itself: of a page of ours, and in a list's archive.

Whatever the name holds, it stays one segment of a path.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urlsplit

LONGEST_URL = 200  # characters of a check's target_url; Patchwork refuses the check with a longer
# What the path of a page may end in, behind a dot, to have it in another form
FORMATS = ("json", "txt", "svg")
MESSAGE_ID = "{message_id}"

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_TOP = r"(?:xn--[a-z0-9]{1,59}|[a-z](?:[a-z-]{0,61}[a-z]))"
# A stricter form of what Django takes for an address: no user, no letters beyond ASCII. Compiled at
# its first use: each command reads the configuration.
_URL = (
    rf"https?://(?:(?P<name>(?:{_LABEL}\.)+{_TOP}|localhost)"
    r"|(?P<ipv4>[0-9.]+)|\[(?P<ipv6>[0-9a-f:.]+)\])(?::[0-9]{1,5})?(?:[/?#][!-~]*)?"
)
# What is told from a number, a commit and a format without brackets
_PLAIN_ID = r"<([^<>@]+@[^<>@]+)>"


def quoted_name(name: str) -> str:
    """A name as a segment of a path: a message-id, a number, a hash, a link name of a project.

    A message-id goes without its angle brackets where it cannot be taken for something else then.
    """
    plain = re.fullmatch(_PLAIN_ID, name)
    if plain and not plain[1].endswith(tuple(f".{format_}" for format_ in FORMATS)):
        name = plain[1]
    return quote(name, safe="@", errors="surrogateescape")


def page_address(web_url: str, name: str) -> str:
    """The page of a message-id, a patchwork id or a commit, where `[web] url` is `web_url`."""
    return f"{web_url}/r/{quoted_name(name)}"


def archive_address(archive: str, message_id: str) -> str:
    """A mail in the list's archive, where `[web] archive` is `archive`; "" where that is not set.

    `message_id`: with its angle brackets or without.
    """
    bare = message_id.removeprefix("<").removesuffix(">")
    return archive.replace(MESSAGE_ID, quote(bare, safe="@", errors="surrogateescape"))


def is_target_url(url: str) -> bool:
    """Whether Patchwork takes it as a check's target_url."""
    match = re.fullmatch(_URL, url, re.IGNORECASE) if len(url) <= LONGEST_URL else None
    if match is None:
        return False
    try:
        if match["ipv4"]:
            IPv4Address(match["ipv4"])
        if match["ipv6"]:
            IPv6Address(match["ipv6"])
    except ValueError:
        return False
    return True


def as_web_url(text: str) -> str:
    """What `[web] url` says, without a slash at its end.

    Raises:
        ValueError: a check could not lead there; with what it wants.
    """
    url = text.rstrip("/")
    if url and (not is_target_url(page_address(url, str(2**63 - 1))) or re.search("[?#]", url)):
        raise ValueError(
            "wants an address that a check may have, like https://patches.example.org: http or"
            f" https, a host with a dot, nothing behind its path, at most {LONGEST_URL - 22}"
            " characters"
        )
    return url


def as_archive(text: str) -> str:
    """What `[web] archive` says.

    Raises:
        ValueError: it makes no address; with what it wants.
    """
    if not text:
        return text
    before, found, after = text.partition(MESSAGE_ID)
    try:
        parts = urlsplit(before)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in before
    except ValueError:
        usable = False
    # The host is not for a mail to say.
    usable = usable and bool(found) and bool(parts.path or parts.query)
    if not usable or not re.fullmatch(r"[!#-;=?-z|~]*", before + after):
        raise ValueError(
            "wants an address with {message_id} in its path, once, like"
            " https://lore.kernel.org/r/{message_id}"
        )
    return text
