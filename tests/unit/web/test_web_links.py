"""Addresses: every name comes back from its own, and nothing else does."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchsync.config.addresses import quoted_name
from patchsync.web.links import LONGEST_NAME, BadName, Links, read_name
from patchsync.web.routes import ROUTES, find
from tests.unit.web.conftest import configuration

ODD = [
    "<a/b@x.org>",
    "<100%25+1@x>",
    "<a b@x>",
    "<x.json@x>",
    "<a@b.json>",
    "<a@b.txt>",
    "<a@b.svg>",
    "<..>",
    "<.>",
    "<%2e%2e@x>",
    "<1234>",
    "<deadbeef>",
    '<"><script>@x>',
    "<ä\u202e@x>",
    "<a#b?c&d=e;f@x>",
    "<a\\b@x>",
    "1234",
    "0123456789abcdef",
    "linux.json",
]


def bare(name: str) -> str:
    """Without its angle brackets; who looks for a mail takes it with and without."""
    return name.removeprefix("<").removesuffix(">") if "@" in name else name


# As a page itself `linux.json` is nobody's name.
@pytest.mark.parametrize(
    ("name", "suffix"),
    [(name, suffix) for name in ODD for suffix in ("", ".json") if suffix or name != "linux.json"],
)
def test_an_odd_name_comes_back(tmp_path: Path, name: str, suffix: str) -> None:
    """From the address of its page, in whatever format, and from those of a diff."""
    links = Links(configuration(tmp_path))
    found = find(links.patch(name, suffix))
    assert found and bare(found.names["name"]) == bare(name)
    assert found.format == suffix.removeprefix(".")
    found = find(links.diff(name, "<other@x>", suffix))
    assert found and [bare(each) for each in found.names.values()] == [bare(name), "other@x"]
    found = find(links.diff("x", name, suffix).replace("/x/", "/"))
    assert found and bare(found.names["right"]) == bare(name)
    assert found.format == suffix.removeprefix(".")


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200).map(
        lambda text: f"<{text}>"
    )
)
def test_any_message_id_comes_back(message_id: str) -> None:
    """Quoted it is one segment of printable ASCII, which no browser takes for a way upwards."""
    segment = quoted_name(message_id)
    assert segment.isascii() and segment.isprintable() and not set(segment) & set("/?#\\<>\"' ")
    assert segment.lower().replace("%2e", ".") not in (".", "..")
    assert bare(read_name(segment)) == bare(message_id)


@pytest.mark.parametrize(
    "segment", ["", "%00", "a%0Ab", "%1b", "%7F", "%ff", "a" * (LONGEST_NAME + 1)]
)
def test_what_is_no_name(segment: str) -> None:
    """Control characters, what is no UTF-8, and what is too long."""
    with pytest.raises(BadName):
        read_name(segment)


def test_an_address_pasted_by_hand() -> None:
    """Slashes that are not quoted, and one at the end as archives have it."""
    for path in ("/r/a/b@x", "/r/a/b@x/", "/r/a%2Fb@x/"):
        found = find(path)
        assert found and found.names == {"name": "a/b@x"}


@pytest.mark.parametrize(
    "path", ["", "/nosuch", "/r", "/r/", "/diff/a/b/c", "/p/a/b", "//", "/chart/x", "/p//triage"]
)
def test_what_is_no_page(path: str) -> None:
    """Nothing is found, and nothing raised."""
    assert find(path) is None


def test_each_route_has_a_page() -> None:
    """The function that the table names is there."""
    for route in ROUTES:
        module, _, function = route.page.partition(":")
        assert callable(getattr(import_module(f"patchsync.web.pages.{module}"), function))


def test_pages_below_a_path(tmp_path: Path) -> None:
    """Links have the path of `[web] url`."""
    links = Links(configuration(tmp_path, '[web]\nurl = "https://x.example/sub/"\n'))
    assert links.patch("<a@b>") == "/sub/r/a@b"
    assert links.front() == "/sub/"
    assert links.project("sample", search="a b", before="") == "/sub/p/sample?search=a+b"
