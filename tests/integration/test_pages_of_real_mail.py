"""The pages of a real list: each link on them leads to a page, and none to nowhere."""

from __future__ import annotations

import re
from html import unescape
from random import Random
from urllib.parse import parse_qsl

import pytest

from patchsync.revisions.catalog import Catalog
from patchsync.revisions.catch_up import catch_up
from patchsync.web.routes import find
from patchsync.web.site import Site
from patchsync.web.worker import answer
from tests.support.real_store import real_store

PAGES = 60


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """All of jailhouse-dev, with the groups that PaStA found."""
    config = real_store(tmp_path_factory.mktemp("real"))
    assert catch_up(config)
    return Site(config)


def asked(site: Site, address: str) -> tuple[int, str]:
    """Status and text of one of our addresses."""
    path, _, query = address.partition("?")
    found = find(path)
    assert found, address
    made = answer(
        site,
        {
            "page": found.route.page,
            "names": found.names,
            "format": found.format,
            "query": dict(parse_qsl(query)),
        },
    )
    return made.status, made.body.decode()


def links(page: str) -> set[str]:
    """Our own addresses on a page, but those of static files."""
    found = re.findall(r'(?:href|src)="(/[^"#]*)', page)
    return {unescape(link) for link in found if not link.startswith("/static/")}


def test_each_link_leads_somewhere(site: Site, random: Random) -> None:
    """From the front page on, some pages chosen by chance."""
    with Catalog.open(site.config) as catalog:
        patches = [mail.message_id for mail in catalog.page(1, limit=2000)]
    assert len(patches) > 1500
    waiting = {"/", *(site.links.patch(name) for name in random.sample(patches, 10))}
    seen: set[str] = set()
    kinds: set[str] = set()
    while waiting and len(seen) < PAGES:
        # Kinds that were not seen yet first
        address = min(sorted(waiting), key=lambda each: each.split("/")[1] in kinds)
        waiting.remove(address)
        seen.add(address)
        kinds.add(address.split("/")[1])
        status, page = asked(site, address)
        assert status == 200, (address, page)
        waiting |= links(page) - seen
    assert {"", "p", "r", "diff", "series"} <= kinds
