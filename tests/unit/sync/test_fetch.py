"""The work of a fetch task, over HTTP with the stand-in."""

from __future__ import annotations

from patchsync.patchwork.client import Client
from patchsync.patchwork.download import Limits
from patchsync.patchwork.paging import Page
from patchsync.patchwork.rate_limit import LocalRateLimiter
from patchsync.sync.fetch import fetch_page, lease_of
from standin.process import StandinProcess


def test_a_page_at_the_end_goes_on_until_it_meets_ours(shared_standin: StandinProcess) -> None:
    """Five new and two gone look like three new; none of the five is left out."""
    page = Page("-id", 4, 1)
    shared_standin.control.reset(patches=30)
    held = shared_standin.control.ids("sample")
    new = set(shared_standin.control.add("sample", 5))
    with Client(shared_standin.url, LocalRateLimiter()) as client:
        found = list(fetch_page(client, "sample", page, held, Limits()))
    assert {mail.patch_id for delivery in found for mail in delivery.mails} == new
    assert [delivery.lease for delivery in found if delivery.lease] == [lease_of(page)]
    assert found[-1].lease == lease_of(page), "it is given back when all is handed over"
