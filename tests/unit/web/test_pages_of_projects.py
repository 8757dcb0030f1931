"""The front page, the list of a project's patches and the charts, of a made-up store."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from patchsync.patchwork.shown_patch import ShownPatch
from patchsync.status import ProjectState, ProjectStatus
from patchsync.store.count_history import CountHistory, Counts
from patchsync.store.halt import halt
from patchsync.store.json_file import write_record
from patchsync.store.patch_views import PatchViews
from patchsync.web.answers import NotFound, PageError, Request
from patchsync.web.pages import charts, front, project, triage
from patchsync.web.site import Site
from tests.unit.revisions.catalog_fakes import BEGAN, DAY, FakeStore, mail, name

HOSTILE = "<script>alert(1)</script>\"'&"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FakeStore]:
    """An empty one; charts of another are not kept."""
    charts._kept.clear()
    yield FakeStore(tmp_path / "store")
    charts._kept.clear()


def listed(store: FakeStore, link: str = "/p/sample") -> tuple[list[str], str]:
    """The subjects on the page that a link leads to, and the link to older ones."""
    parts = urlsplit(html.unescape(link))
    _, _, asked = parts.path.split("/")
    request = Request(names={"project": asked}, query=dict(parse_qsl(parts.query)))
    text = project.page(Site(store.config), request).body.decode()
    found = re.findall(r'<a href="/r/[^"]*"><bdi>(.*?)</bdi></a>', text)
    older = re.search(r'<a rel="next" href="([^"]*)">', text)
    return found, older[1] if older else ""


def shown(store: FakeStore, **query: str) -> str:
    """The page of the project `sample`."""
    request = Request(names={"project": "sample"}, query=query)
    return project.page(Site(store.config), request).body.decode()


# A project's patches


def test_patches_come_by_pages_the_newest_first(store: FakeStore) -> None:
    """Each is on one page, also where several have the same date."""
    number = 2 * project.PAGE + 7
    for each in range(1, number + 1):
        store.put(each, mail(f"[PATCH] change {each:04}", at=each // 3 * 60))
    store.catalog().close()
    found, link = listed(store)
    pages = [found]
    while link:
        found, link = listed(store, link)
        pages.append(found)
    assert [len(page) for page in pages] == [project.PAGE, project.PAGE, 7]
    subjects = [subject for page in pages for subject in page]
    assert sorted(subjects) == [f"[PATCH] change {each:04}" for each in range(1, number + 1)]
    times = [int(subject[-4:]) // 3 for subject in subjects]
    assert all(before >= after for before, after in pairwise(times))


def test_a_link_to_older_patches_stays(store: FakeStore) -> None:
    """It leads to the same patches when others have come since."""
    for each in range(1, project.PAGE + 3):
        store.put(each, mail(f"[PATCH] change {each}", at=each))
    store.catalog().close()
    _, link = listed(store)
    before = listed(store, link)
    assert before[0] == ["[PATCH] change 2", "[PATCH] change 1"]
    store.put(1000, mail("[PATCH] new", at=9999))
    store.catalog().close()
    assert listed(store)[0][0] == "[PATCH] new"
    assert listed(store, link) == before


def test_what_is_known_of_a_patch_stands_beside_it(store: FakeStore) -> None:
    """State, delegate, checks as they were seen; its revisions; whether it is upstream."""
    for each in (1, 2, 3):
        store.put(each, mail(f"[PATCH v{each}] change", at=each))
    store.group("1 2 => 1111111111111111111111111111111111111111")
    with PatchViews(store.paths()) as views:
        seen = ShownPatch(patch_id=2, state="under-review", delegate="mia", check="fail")
        views.record([seen], 1000)
    store.catalog().close()
    facts = [
        " ".join(html.unescape(re.sub(r"<[^>]*>", "", part)).split())
        for part in re.findall(r'<p class="quiet">(.*?)</p>', shown(store), re.DOTALL)
    ][:3]
    assert facts == [
        "2020-09-13 12:26, A",
        "2020-09-13 12:26, A, under-review, for mia, checks: fail, 2 revisions, upstream",
        "2020-09-13 12:26, A, 2 revisions, upstream",
    ]


def test_a_search_finds_subject_author_and_file(store: FakeStore) -> None:
    """All words have to be there; the form keeps them, the links too; what is gone is not there."""
    store.put(1, mail("[PATCH] net: fix it", author="Ada <ada@example.org>", files=["net/a.c"]))
    store.put(2, mail("[PATCH] mm: fix it", author="Bob <bob@example.org>", files=["mm/b.c"], at=1))
    store.put(3, mail("[PATCH] mm: gone", at=2))
    store.set_gone(3)
    store.catalog().close()
    assert listed(store, "/p/sample?search=fix")[0] == ["[PATCH] mm: fix it", "[PATCH] net: fix it"]
    assert listed(store, "/p/sample?search=ada+fix")[0] == ["[PATCH] net: fix it"]
    assert listed(store, "/p/sample?search=mm/b.c")[0] == ["[PATCH] mm: fix it"]
    assert listed(store, "/p/sample?search=ada+bob")[0] == []
    assert 'value="ada bob"' in shown(store, search=" ada bob ")
    assert "No patch has all of these words" in shown(store, search="ada bob")


def test_whatever_is_searched_for_is_text(store: FakeStore) -> None:
    """In the form, and as a query."""
    store.put(1, mail())
    store.catalog().close()
    for search in (HOSTILE, '" OR "', "NEAR(", "*", "\ud800", "a" * project.LONGEST_SEARCH):
        text = shown(store, search=search)
        assert "<script>" not in text
    assert html.escape(HOSTILE).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in shown(
        store, search=HOSTILE
    )


@pytest.mark.parametrize(
    "query",
    [{"search": "a" * 201}, {"before": "x"}, {"before": "nan <a@b>"}, {"before": "inf <a@b>"}],
    ids=str,
)
def test_no_such_place_is_a_bad_request(store: FakeStore, query: dict[str, str]) -> None:
    """Not a fault of ours."""
    with pytest.raises(PageError) as caught:
        shown(store, **query)
    assert caught.value.status == 400


def test_a_place_that_is_nobodys_is_one_in_time(store: FakeStore) -> None:
    """Its mail may have gone since."""
    for each in (1, 2, 3):
        store.put(each, mail(f"[PATCH] change {each}", at=each))
    store.catalog().close()
    assert listed(store, f"/p/sample?before={BEGAN + 2}+<nobody@x>")[0][-1] == "[PATCH] change 1"
    assert listed(store, "/p/sample?before=-1e300+x")[0] == []
    assert len(listed(store, "/p/sample?before=1e300+x")[0]) == 3


def test_a_project_has_its_name_and_its_number(store: FakeStore) -> None:
    """In any case, as in Patchwork; any other is not found."""
    store.put(1, mail("[PATCH] change"))
    store.catalog().close()
    for asked in ("sample", "Sample", "1"):
        assert listed(store, f"/p/{asked}")[0] == ["[PATCH] change"]
    with pytest.raises(NotFound):
        listed(store, "/p/nosuch")


def test_a_store_before_its_catalog_has_no_patches_yet(store: FakeStore) -> None:
    """The page is there all the same."""
    assert "No patches yet." in shown(store)


# The front page


def front_page(store: FakeStore) -> str:
    return front.page(Site(store.config), Request(names={})).body.decode()


def round_of(store: FakeStore, **changes: object) -> None:
    record = {"at": BEGAN, "highest": 7, "count": 5, "known": 5, "in_sync": True}
    record |= {"pages": 0, "requests": 1} | changes
    paths = store.paths()
    write_record(paths, paths.round, record)


def state_of(store: FakeStore) -> tuple[str, str]:
    """The first project's class and words."""
    found = re.search(r'<span class="badge (\w+)">(.*?)</span>', front_page(store))
    assert found
    return found[1], found[2]


def test_a_project_says_how_far_it_is(store: FakeStore) -> None:
    """In the words of `patchsync status`, and in colour."""
    assert state_of(store) == ("warn", "never had a whole round")
    round_of(store)
    assert state_of(store) == ("good", "in step")
    round_of(store, in_sync=False)
    assert state_of(store) == ("bad", "NOT in step")
    halt(store.paths(), "the server was restored")
    assert state_of(store) == ("bad", "HALTED")
    assert set(front.CLASSES) == set(ProjectState)


def test_a_project_that_cannot_be_read_does_not_hide_the_others(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why stands where only its operators read it: it may name files."""
    statuses = [
        ProjectStatus(project="1", link_name="sample", unreadable="/srv/secret is damaged"),
        ProjectStatus(project="2"),
    ]
    monkeypatch.setattr(front, "project_statuses", lambda *_, **__: statuses)
    text = front_page(store)
    assert ">cannot be read<" in text
    assert "/srv/secret" not in text
    assert ">never had a whole round<" in text


def test_what_was_pushed_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page does not show it, and it would read all of the ledger, for which it has no right."""
    store = FakeStore(tmp_path / "pushing", '[push]\nsinks = ["check"]')
    monkeypatch.setattr("patchsync.status._push_status", None)
    assert "never had a whole round" in front_page(store)


def test_the_numbers_of_both_sides_stand_there(store: FakeStore) -> None:
    """As of the last round."""
    store.put(3, mail())
    round_of(store, count=12_345, highest=20_000)
    text = " ".join(re.sub(r"<[^>]*>", " ", front_page(store)).split())
    assert "Last round 2020-09-13 12:26" in text
    assert "Patchwork had 12,345, up to 20000" in text
    assert "The store has 1, up to 3" in text
    assert "Difference +12,344" in text


def test_what_was_imported_is_told_before_the_first_round(store: FakeStore) -> None:
    """The server was not asked yet."""
    store.put(3, mail())
    text = " ".join(re.sub(r"<[^>]*>", " ", front_page(store)).split())
    assert "The store has 1, up to 3" in text
    assert "Patchwork had" not in text


def test_charts_are_of_what_the_catalog_has(store: FakeStore) -> None:
    """Each with its figures in words; they follow what comes."""
    store.put(1, mail("[PATCH] a change"))
    store.put(2, mail("[PATCH v2] a change", at=DAY))
    store.put(3, mail("[PATCH] another", at=DAY), project=2)
    store.group("1 2")
    store.catalog().close()
    paths = store.paths()
    CountHistory(paths).record(Counts(BEGAN, 5, 3))
    told = {chart.name: chart for chart in charts.charts(Site(store.config))}
    assert tuple(told) == charts.CHARTS
    assert told["patches"].summary == (
        "3 patches from 2020-07-17 to 2020-09-14, 0.1 a day, at most 2 on 2020-09-14. "
        "In all: other 1; sample 2."
    )
    assert told["revisions"].summary.startswith("2 patches, 1.50 revisions each; 50% have one")
    assert told["upstream"].summary == "No patch with its commit yet."
    assert told["difference"].summary == "No round yet."  # of this month
    for chart in told.values():
        assert chart.summary in html.unescape(front_page(store))
    store.put(4, mail("[PATCH] a third", at=DAY))
    store.catalog().close()
    assert charts.charts(Site(store.config))[0].summary.startswith("4 patches")


def test_sums_are_made_once(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """They go over all mails: only when the catalog changes, or the day."""
    store.put(1, mail())
    store.catalog().close()
    site = Site(store.config)
    first = charts.charts(site)
    monkeypatch.setattr(charts, "SUMS", dict.fromkeys(charts.SUMS))
    assert charts.charts(site) == first


def test_the_difference_is_that_of_these_days(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each day the most, whichever side had more."""
    monkeypatch.setattr(charts.time, "time", lambda: BEGAN + DAY)
    for at, server, ours in ((BEGAN, 5, 5), (BEGAN + 3600, 3, 7), (BEGAN + DAY, 9, 8)):
        CountHistory(store.paths()).record(Counts(at, server, ours))
    (chart,) = (each for each in charts.charts(Site(store.config)) if each.name == "difference")
    assert chart.labels[-2:] == ("2020-09-13", "2020-09-14")
    assert chart.rows[0].values[-3:] == (None, 4, 1)
    assert "sample by at most 4, on 2020-09-13" in chart.summary


def test_a_mail_of_tomorrow_does_not_end_the_chart(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's clock may be years ahead; an archive may end years ago."""
    monkeypatch.setattr(charts.time, "time", lambda: BEGAN + 400 * DAY)
    store.put(1, mail())
    store.put(2, mail(at=2000 * DAY))
    store.catalog().close()
    assert charts.charts(Site(store.config))[0].labels[-1] == "2020-09-13"


def test_a_chart_is_a_drawing(store: FakeStore) -> None:
    """What is none is not found."""
    for chart in charts.CHARTS:
        answer = charts.page(Site(store.config), Request(names={"name": chart}, format="svg"))
        assert answer.body.startswith(b"<?xml")
        assert answer.content_type.startswith("image/svg+xml")
    with pytest.raises(NotFound):
        charts.page(Site(store.config), Request(names={"name": "nosuch"}, format="svg"))


def test_a_link_name_is_quoted_in_links(store: FakeStore) -> None:
    """And a message-id, whatever it holds."""
    strange = name("a\"'&;/../%2F?#=")
    store.put(1, mail(f"[PATCH] {HOSTILE}"), strange)
    store.catalog().close()
    text = shown(store)
    assert "<script>" not in text
    (link,) = re.findall(r'<a href="(/r/[^"]*)"', text)
    assert link == "/r/a%22%27%26%3B%2F..%2F%252F%3F%23%3D@example.org"


# What waits


def waiting(store: FakeStore, **query: str) -> str:
    request = Request(names={"project": "sample"}, query=query)
    return triage.page(Site(store.config), request).body.decode()


def see(store: FakeStore, *patch_ids: int, state: str = "new") -> None:
    """Have Patchwork show these in a state."""
    with PatchViews(store.paths()) as views:
        views.record([ShownPatch(patch_id=each, state=state) for each in patch_ids], 1000)


def test_what_is_done_but_open_waits(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its age, the later revision, what changed in it, and its commit."""
    monkeypatch.setattr(triage.time, "time", lambda: BEGAN + 3.5 * DAY)
    store.put(1, mail("[PATCH] a change"))
    store.put(2, mail("[PATCH v2] a change", at=DAY))
    store.put(3, mail("[PATCH] taken", at=DAY))
    commit = "1111111111111111111111111111111111111111"
    store.group("1 2", f"3 => {commit}")
    store.catalog().close()
    see(store, 1, 2, 3)
    text = waiting(store)
    assert re.findall(r"<bdi>(\[PATCH.*?)</bdi>", text) == ["[PATCH] taken", "[PATCH] a change"]
    assert "3 days old" in text
    assert "2 days old" in text
    assert '<a href="/r/2@example.org">Later revision<' in text
    assert '<a href="/diff/1@example.org/2@example.org">' in text
    assert f'<a href="/diff/3@example.org/{commit}">Upstream: {commit[:12]}</a>' in text
    see(store, 1, 3, state="accepted")
    assert "None." in waiting(store)


def test_what_nobody_answered_waits(store: FakeStore) -> None:
    """By pages, each link to its kind."""
    number = triage.PAGE + 1
    for each in range(1, number + 1):
        store.put(each, mail(f"[PATCH] {HOSTILE} {each:03}", at=each))
    store.catalog().close()
    see(store, *range(1, number + 1))
    assert "None." in waiting(store)
    first = waiting(store, kind="unanswered")
    assert first.count("<li>") == triage.PAGE
    assert "<script>" not in first
    (older,) = re.findall(r'rel="next" href="([^"]*)"', first)
    query = dict(parse_qsl(urlsplit(html.unescape(older)).query))
    assert query == {"kind": "unanswered", "before": "2"}
    assert re.findall(r"<bdi>\[PATCH.* (\d+)</bdi>", waiting(store, **query)) == ["001"]


def test_a_page_of_few_that_wait_looks_at_some_only(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that there are older ones, and leads to them."""
    monkeypatch.setattr(triage, "LOOKED_AT", 250)
    number = 301  # They are read by the hundred.
    for each in range(1, number + 1):
        store.put(each, mail(f"[PATCH] change {each}", at=each))
    store.put(1000, mail("[PATCH v2] change 1", at=1000))
    store.group("1 1000")
    store.catalog().close()
    see(store, *range(1, number + 1))
    first = waiting(store)
    assert "None among those looked at; there are older ones." in first
    assert 'rel="next" href="/p/sample/triage?kind=done&amp;before=2"' in first
    assert "[PATCH] change 1<" in waiting(store, before="2")


@pytest.mark.parametrize("query", [{"kind": "x"}, {"before": "x"}, {"before": "-1"}], ids=str)
def test_what_is_no_list_is_a_bad_request(store: FakeStore, query: dict[str, str]) -> None:
    """Not a fault of ours; a number that no patch has is just the end."""
    with pytest.raises(PageError) as caught:
        waiting(store, **query)
    assert caught.value.status == 400
    assert "None" in waiting(store, before="9" * 100)
