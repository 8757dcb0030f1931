"""Where the pages are, and the archive that they link to: refused where no link could be made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from patchsync.config import load
from patchsync.config.addresses import archive_address, page_address, quoted_name
from patchsync.config.tables import WebTable
from patchsync.errors import ConfigError


def written(folder: Path, key: str, value: str) -> WebTable:
    file = folder / "patchsync.toml"
    file.write_text(
        f'[web]\n{key} = {json.dumps(value)}\n[mbox.patchwork]\nurl = "https://p.example.org"\n'
        "project_ids = [1]\n"
    )
    return load(file).web


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("", ""),
        ("/", ""),
        ("https://patches.example.org", "https://patches.example.org"),
        ("https://patches.example.org/", "https://patches.example.org"),
        ("http://localhost:5556/pasta//", "http://localhost:5556/pasta"),
        ("http://192.0.2.1:8080", "http://192.0.2.1:8080"),
        (f"https://example.org/{'x' * 158}", f"https://example.org/{'x' * 158}"),
    ],
)
def test_where_the_pages_are(tmp_path: Path, url: str, known: str) -> None:
    """An address that a check may have, however it ends."""
    assert written(tmp_path, "url", url).url == known


@pytest.mark.parametrize(
    "url",
    [
        *("patches.example.org", "ftp://example.org", "http://ci:8080", "https://me@example.org"),
        *("https://example.org/?a=b", "https://example.org/#a", "https://exämple.org", "https://"),
        *("https://example.org/a b", "javascript:alert(1)", f"https://example.org/{'x' * 159}"),
    ],
)
def test_pages_that_no_check_could_lead_to_are_refused(tmp_path: Path, url: str) -> None:
    """Patchwork would refuse each check, and say so of each patch."""
    with pytest.raises(ConfigError, match=r"\[web\] url") as raised:
        written(tmp_path, "url", url)
    assert "like https://patches.example.org" in str(raised.value)


@pytest.mark.parametrize(
    "archive",
    [
        "",
        "https://lore.kernel.org/r/{message_id}",
        "http://archive/?id={message_id}&all",
        "https://archive.example.org:8443/list/{message_id}/#top",
    ],
)
def test_an_archive(tmp_path: Path, archive: str) -> None:
    """Wherever the message-id stands in it."""
    assert written(tmp_path, "archive", archive).archive == archive


@pytest.mark.parametrize(
    "archive",
    [
        *("https://lore.kernel.org/r/", "https://lore.kernel.org/{}", "lore/{message_id}"),
        *("https://lore.kernel.org{message_id}", "https://{message_id}.example.org/"),
        *("https://a.example.org/{message_id}/{message_id}", "javascript:a/{message_id}"),
        *("https://me@a.example.org/{message_id}", "https://a.example.org/{message_id}{x}"),
        *('https://a.example.org/"{message_id}', "https://a.example.org/<{message_id}>"),
        *("https://a.example.org/ {message_id}", "http://[a/{message_id}"),
    ],
)
def test_what_makes_no_link_is_refused(tmp_path: Path, archive: str) -> None:
    """With an example of what does."""
    with pytest.raises(ConfigError, match=r"\[web\] archive") as raised:
        written(tmp_path, "archive", archive)
    assert "https://lore.kernel.org/r/{message_id}" in str(raised.value)


def test_a_mail_in_the_archive() -> None:
    """Whatever it calls itself, its name is one part of a path."""
    lore = "https://lore.kernel.org/r/{message_id}"
    for message_id, quoted in (
        ("<a@b>", "a@b"),
        ("a@b", "a@b"),
        ("<a/../b?c#d%e@f>", "a%2F..%2Fb%3Fc%23d%25e@f"),
        ('<"onload=x@y>', "%22onload%3Dx@y"),
        ("<{message_id}@y>", "%7Bmessage_id%7D@y"),
        ("<ä\udc80@y>", "%C3%A4%80@y"),
    ):
        assert archive_address(lore, message_id) == f"https://lore.kernel.org/r/{quoted}"
    assert archive_address("", "<a@b>") == ""


def test_a_page_of_ours() -> None:
    """A message-id without its brackets, where that is nothing else."""
    assert page_address("https://p.example.org/x", "<a/b@c>") == "https://p.example.org/x/r/a%2Fb@c"
    assert page_address("", "17") == "/r/17"
    assert quoted_name("<17>") == "%3C17%3E"
    assert quoted_name("<a@b.json>") == "%3Ca@b.json%3E"
