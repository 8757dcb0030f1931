"""A delivery is the same after it went through a message."""

from __future__ import annotations

import json

import pytest

from patchsync.errors import GiveUp
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import parse_mail
from patchsync.patchwork.shown_patch import ShownPatch

RENDERED = (
    b"From patchwork Mon Apr 29 08:54:45 2019\n"
    b"X-Patchwork-Submitter: J\xc3\xb6rg <j@example.org>\n"
    b"X-Patchwork-Id: 5\nMessage-Id: <a/b@example.org>\n\n"
    b"latin-1 \xe4, no end \xf0\x9f, NUL \0\n\n\n"
)


def test_nothing_changes_on_the_way() -> None:
    """Also bytes that are not UTF-8, and newlines at the end, arrive as they were sent."""
    sent = FetchResult(
        mails=(parse_mail(RENDERED),),
        quarantined=((6, "too large"),),
        gone=(7,),
        listed=((5, "<a/b@example.org>"),),
        shown=(ShownPatch(patch_id=5, state="new", archived=False), ShownPatch(patch_id=6)),
        shown_at=1234.5,
        lease="page 1",
    )
    assert FetchResult.from_message(json.loads(json.dumps(sent.to_message()))) == sent


def test_a_message_of_the_day_before_is_read() -> None:
    """It held the mails alone, and had another word for what is quarantined."""
    text = (RENDERED + b"\n").decode("utf-8", "surrogateescape")
    former = {"mails": [text], "set_aside": [[6, "too large"]], "gone": [], "listed": []}
    read = FetchResult.from_message(former | {"lease": None})
    assert read == FetchResult(mails=(parse_mail(RENDERED),), quarantined=((6, "too large"),))


@pytest.mark.parametrize(
    "message",
    [
        {},
        {**FetchResult().to_message(), "mails": ["no mail"]},
        {**FetchResult().to_message(), "gone": ["x"]},
        {**FetchResult().to_message(), "listed": [[1]]},
        {**FetchResult().to_message(), "mails": 3},
        {**FetchResult().to_message(), "shown": [[1]]},
        {**FetchResult().to_message(), "shown": [[0, *[None] * 8]]},
        {**FetchResult().to_message(), "shown_at": "noon"},
        {**FetchResult().to_message(), "shown_at": float("nan")},
    ],
)
def test_something_else_is_refused(message: dict[str, object]) -> None:
    """A message that no fetch task sent is an error of the family, not a crash in the store."""
    with pytest.raises(GiveUp, match="not what a fetch task delivers"):
        FetchResult.from_message(message)


def test_the_summary_holds_no_mail() -> None:
    """What Flower and logs show are numbers."""
    delivery = FetchResult(mails=(parse_mail(RENDERED),), gone=(1, 2))
    assert delivery.summary() == "1 mails, 2 gone"
    assert FetchResult().summary() == "nothing"
