"""What the client asks of a Patchwork, and what it makes of the answers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from patchwork_fakes import (
    NOT_FOUND,
    Answer,
    FakeProject,
    FakeServer,
    MakeClient,
    as_html,
    as_json,
    mbox,
)

from patchsync.errors import (
    ConfigError,
    ForeignProject,
    NotPatchwork,
    Refused,
    ServerUnavailable,
    UnknownProject,
)
from patchsync.patchwork.client import Client, ProjectRemote
from patchsync.patchwork.http import TooLarge
from patchsync.patchwork.paging import Page

PATCHES = "/api/1.3/patches/"
PROJECT = {
    "id": 1,
    "link_name": "linux",
    "list_email": "linux@example.org",
    "list_id": "linux.example.org",
    "maintainers": [{"id": 4, "username": "ada"}],
}


def patches(*ids: int) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "msgid": f"<{number}@example.org>",
            "date": "2019-04-29T08:54:45",
            "mbox": f"/project/linux/patch/{number}@example.org/mbox/",
            "project": {"id": 1, "link_name": "linux"},
            "series": [],
        }
        for number in ids
    ]


def link(**pages: int) -> str:
    return ", ".join(f'<http://x/api/?page={page}>; rel="{rel}"' for rel, page in pages.items())


@pytest.mark.parametrize("ending", ["", "/", "/api", "/api/", "/api/1.3", "/api/1.2/"])
def test_the_url_may_be_written_in_any_way(
    server: FakeServer, make_client: MakeClient, ending: str
) -> None:
    """With or without /api, a version, a slash: the version is found out."""
    assert make_client(server.url + ending).api_version == "1.3"


def test_a_patchwork_below_a_path_is_asked_there(
    server: FakeServer, make_client: MakeClient
) -> None:
    """Also where its answers name paths without it, because something in front takes it off."""
    server.says("/pw/api/1.2/", as_json({"projects": "", "patches": ""}))
    server.says("/pw/series/3/mbox/", mbox(b"x"))
    client = make_client(f"{server.url}/pw/api/")
    assert client.api_version == "1.2"
    assert client.mbox("linux", "/series/3/mbox/", 10) == b"x"
    assert client.mbox("linux", "/pw/series/3/mbox/", 10) == b"x"


def test_the_version_is_looked_for_downwards_and_once(server: FakeServer, client: Client) -> None:
    """No Patchwork names its version; threads that start together ask together once."""
    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(lambda _: client.api_version, range(8)))
    assert versions == ["1.3"] * 8
    assert [request.path for request in server.requests] == ["/api/1.4/", "/api/1.3/"]


@pytest.mark.parametrize(
    "answer",
    [NOT_FOUND, as_html(200), as_json([]), as_json({"detail": "x"}), as_json({}, 400)],
)
def test_what_is_no_patchwork_is_told_apart(
    server: FakeServer, client: Client, answer: Answer
) -> None:
    """A wrong url ends with a message that names it, not with wrong data."""
    server.says("/api/1.3/", answer)
    with pytest.raises(NotPatchwork, match=server.url):
        _ = client.api_version


@pytest.mark.parametrize(
    "url", ["patchwork.example.org", "ftp://a/", "http://u:p@a/", "http://a/?b"]
)
def test_a_url_that_cannot_be_asked_is_refused(make_client: MakeClient, url: str) -> None:
    """Before anything is sent, and without repeating the password that may be in it."""
    with pytest.raises(ConfigError) as refused:
        make_client(url)
    assert "u:p" not in str(refused.value)


def test_a_project_is_found_by_its_key(server: FakeServer, client: Client) -> None:
    """By id or link name, whatever characters that has."""
    server.says("/api/1.3/projects/a%2Fb%3Fc/", as_json(PROJECT))
    project = client.project("a/b?c")
    assert (project.id, project.link_name) == (1, "linux")
    assert [user.username for user in project.maintainers] == ["ada"]


def test_an_unknown_project_is_not_an_empty_one(server: FakeServer, client: Client) -> None:
    """The API lists an unknown project as an empty one; only this tells them apart."""
    server.says("/api/1.3/projects/nosuch/", as_json({"detail": "No Project matches."}, 404))
    with pytest.raises(UnknownProject, match="nosuch"):
        client.project("nosuch")
    assert not ProjectRemote(client, "nosuch").exists()


@pytest.mark.parametrize("answer", [NOT_FOUND, as_html(200), as_json([]), as_json({"id": 1})])
def test_a_page_that_is_no_project_is_not_read_as_one(
    server: FakeServer, client: Client, answer: Answer
) -> None:
    """A 404 in HTML comes from something in front, and says nothing of the project."""
    server.says("/api/1.3/projects/linux/", answer)
    with pytest.raises(NotPatchwork):
        ProjectRemote(client, "linux").exists()


def test_the_two_numbers_come_from_one_request(server: FakeServer, client: Client) -> None:
    """The highest id is the body, the count the number of the last page."""
    server.says(PATCHES, as_json(patches(3494), Link=link(next=2, first=1, last=1535)))
    assert client.newest("linux") == (3494, 1535)
    assert [request.path for request in server.asked(PATCHES)] == [
        f"{PATCHES}?project=linux&order=-id&per_page=1&page=1"
    ]


def test_a_project_of_one_and_of_no_patch(server: FakeServer, client: Client) -> None:
    """Both have one last page, which is page 1."""
    server.says(PATCHES, as_json(patches(7), Link=link(first=1, last=1)))
    assert client.newest("linux") == (7, 1)
    server.says(PATCHES, as_json([], Link=link(first=1, last=1)))
    assert client.newest("linux") == (None, 0)


def test_an_old_patchwork_tells_its_count_as_well(server: FakeServer, client: Client) -> None:
    """2.2 has no rel="last"; there the page before the last one is asked for."""
    first = "?project=linux&order=-id&per_page=1&page=1"
    server.says(PATCHES + first, as_json(patches(3494), Link=link(next=2)))
    last = "?project=linux&order=id&per_page=1&page=last"
    server.says(PATCHES + last, as_json(patches(3494), Link=link(prev=1534)))
    assert client.newest("linux") == (3494, 1535)
    # The link to the first page has no number.
    server.says(PATCHES + last, as_json(patches(3494), Link='<http://x/api/>; rel="prev"'))
    assert client.newest("linux") == (3494, 2)


def test_an_old_patchwork_with_one_patch(server: FakeServer, client: Client) -> None:
    """It gives no link at all, and the page after it is past the end."""
    past_the_end = as_json({"detail": "Invalid page."}, 404)
    server.says(PATCHES, as_json(patches(7)), past_the_end)
    assert client.newest("linux") == (7, 1)
    server.says(PATCHES, as_json(patches(7)), past_the_end)
    assert client.list_page("linux", Page("id", 250, 1)) is not None


FROM_THE_END = f"{PATCHES}?project=linux&order=id&per_page=1&page=last"


def test_a_small_project_is_asked_for_its_last_page(server: FakeServer, client: Client) -> None:
    """The same two numbers, in one request to any Patchwork; a single patch has no page before."""
    server.says(FROM_THE_END, as_json(patches(3494), Link=link(prev=1534, first=1, last=1535)))
    assert client.newest("linux", few=True) == (3494, 1535)
    server.says(FROM_THE_END, as_json(patches(3494), Link=link(prev=1534)))  # 2.2
    assert client.newest("linux", few=True) == (3494, 1535)
    server.says(FROM_THE_END, as_json(patches(7), Link=link(first=1, last=1)))
    assert client.newest("linux", few=True) == (7, 1)
    assert {request.path for request in server.asked(PATCHES)} == {FROM_THE_END}


@pytest.mark.parametrize("links", [{}, {"Link": link(prev=1534, first=1, last=1535)}])
def test_an_empty_last_page_is_no_empty_project(
    server: FakeServer, client: Client, links: dict[str, str]
) -> None:
    """The last patch was deleted after the server counted: all others would be taken as gone."""
    server.says(FROM_THE_END, as_json([], **links))
    first = f"{PATCHES}?project=linux&order=-id&per_page=1&page=1"
    server.says(first, as_json(patches(3493), Link=link(next=2, first=1, last=1534)))
    assert client.newest("linux", few=True) == (3493, 1534)
    server.says(first, as_json([], Link=link(first=1, last=1)))
    assert client.newest("linux", few=True) == (None, 0)


def test_a_last_page_without_its_links_is_missed(server: FakeServer, client: Client) -> None:
    """Else a project of many would count as one of a single patch."""
    server.says(PATCHES, as_json(patches(7)))
    with pytest.raises(NotPatchwork, match="Link"):
        client.newest("linux", few=True)


def test_links_that_were_taken_off_on_the_way_are_missed(
    server: FakeServer, client: Client
) -> None:
    """Else the first page would be all that there is, and the rest of our patches gone."""
    server.says(PATCHES, as_json(patches(7)))
    with pytest.raises(NotPatchwork, match="Link"):
        client.newest("linux")
    server.says(PATCHES, as_json(patches(6, 7)))
    with pytest.raises(NotPatchwork, match="Link"):
        client.list_page("linux", Page("id", 2, 1))


def test_a_page_lists_what_the_comparison_reads(server: FakeServer, client: Client) -> None:
    """Ids and message-ids in order, and whether it is the last."""
    server.says(PATCHES, as_json(patches(5, 8), Link=link(next=2, first=1, last=2)))
    listing = client.list_page("linux", Page("id", 2, 1))
    assert listing is not None
    assert listing.answer.entries == ((5, "<5@example.org>"), (8, "<8@example.org>"))
    assert not listing.answer.last
    server.says(PATCHES, as_json(patches(9), Link=link(prev=1, first=1, last=2)))
    answer = ProjectRemote(client, "linux").list_page(Page("id", 2, 2))
    assert answer is not None
    assert answer.last


def test_a_page_past_the_end_is_none(server: FakeServer, client: Client) -> None:
    """The list got shorter meanwhile, which is no error."""
    server.says(PATCHES, as_json({"detail": "Invalid page."}, 404))
    assert ProjectRemote(client, "linux").list_page(Page("id", 250, 9)) is None


@pytest.mark.parametrize(
    ("listed", "links", "why"),
    [
        ((8, 5), {"last": 1}, "order"),
        ((5, 5), {"last": 1}, "order"),
        ((5, 6, 7), {"last": 1}, "per_page"),
        ((5,), {"next": 2, "last": 9}, "MAX_REST_RESULTS_PER_PAGE"),
    ],
)
def test_a_page_that_is_not_what_was_asked_for_is_refused(
    server: FakeServer, client: Client, listed: tuple[int, ...], links: dict[str, int], why: str
) -> None:
    """Patchwork ignores in silence what it does not know; the comparison would go astray."""
    server.says(PATCHES, as_json(patches(*listed), Link=link(**links)))
    with pytest.raises(NotPatchwork, match=why):
        client.list_page("linux", Page("id", 2, 1))


def test_a_patch_deleted_while_its_page_was_made_is_no_fault(
    server: FakeServer, client: Client
) -> None:
    """The server counts first and lists later; asked again it lists as many as it should."""
    links = link(next=2, last=2)
    server.says(PATCHES, as_json(patches(5), Link=links), as_json(patches(5, 8), Link=links))
    listing = client.list_page("linux", Page("id", 2, 1))
    assert listing is not None
    assert listing.answer.ids == (5, 8)


@pytest.mark.parametrize("key", ["qemu", "2"])
def test_a_patch_of_another_project_spoils_the_page(
    server: FakeServer, client: Client, key: str
) -> None:
    """A filter that is ignored gives everything; nothing of that is used."""
    server.says(PATCHES, as_json(patches(5), Link=link(last=1)))
    with pytest.raises(ForeignProject, match="linux"):
        client.list_page(key, Page("id", 250, 1))
    with pytest.raises(ForeignProject, match="linux"):
        client.newest(key)


def test_a_patch_that_is_not_in_the_project_is_none(
    client: Client, server: FakeServer, project: FakeProject
) -> None:
    """Deleted or moved, for us that is the same."""
    project.add_series(3, 5)
    server.says("/api/1.3/patches/6/", as_json({"detail": "No Patch matches."}, 404))
    assert (entry := client.patch("linux", 5)) is not None
    assert entry.id == 5
    assert client.patch("qemu", 5) is None
    assert client.patch("linux", 6) is None


def test_what_is_refused_is_said_in_the_servers_words(server: FakeServer, client: Client) -> None:
    """A wrong token or a ban: somebody must do something about it."""
    server.says(PATCHES, as_json({"detail": "You are banned."}, 403))
    with pytest.raises(Refused, match=r"You are banned\."):
        client.newest("linux")


def test_an_mbox_that_is_a_page_is_refused(server: FakeServer, client: Client) -> None:
    """«We are down for maintenance», with status 200, is nobody's mail."""
    server.says("/series/3/mbox/", as_html(200))
    with pytest.raises(NotPatchwork):
        client.mbox("linux", "/series/3/mbox/", 1000)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_mbox_may_have_so_many_bytes(server: FakeServer, client: Client, framing: str) -> None:
    """Announced or not; beyond that it is not read on."""
    server.says("/series/3/mbox/", mbox(b"x" * 1000, framing=framing))
    assert client.mbox("linux", "/series/3/mbox/", 1000) == b"x" * 1000
    with pytest.raises(TooLarge, match="999"):
        client.mbox("linux", "/series/3/mbox/", 999)


def test_an_mbox_that_is_announced_as_too_large_is_not_waited_for(
    server: FakeServer, client: Client
) -> None:
    """Its length comes before the rest."""
    server.says("/series/3/mbox/", mbox(b"x" * 1000, cut_at=0))
    with pytest.raises(TooLarge, match="1000"):
        client.mbox("linux", "/series/3/mbox/", 999)


def test_an_mbox_whose_end_nothing_announces_is_refused(server: FakeServer, client: Client) -> None:
    """Half a mail would look like a whole one, and be kept for good."""
    server.says("/series/3/mbox/", mbox(b"x", framing="close"))
    with pytest.raises(NotPatchwork, match="Content-Length"):
        client.mbox("linux", "/series/3/mbox/", 1000)


def test_json_whose_end_nothing_announces_ends_by_itself(
    server: FakeServer, client: Client
) -> None:
    """Its last bracket shows that it is whole; without that it is taken as cut."""
    whole = as_json(PROJECT)
    server.says(
        "/api/1.3/projects/linux/",
        Answer(200, whole.body, whole.headers, framing="close"),
        Answer(200, whole.body, whole.headers, framing="close", cut_at=50),
    )
    assert client.project("linux").id == 1
    with pytest.raises(ServerUnavailable, match="cut"):
        client.project("linux")


def test_a_redirect_within_the_server_is_followed(server: FakeServer, client: Client) -> None:
    """As from a patch's id to its message-id."""
    server.says("/patch/5/mbox/", Answer(302, headers={"Location": "/project/x/5/"}))
    server.says("/project/x/5/", Answer(301, headers={"Location": f"{server.url}/there/"}))
    server.says("/there/", mbox(b"x"))
    assert client.mbox_by_id("linux", 5, 10) == b"x"


def test_the_case_of_a_host_makes_no_other_server(
    server: FakeServer, make_client: MakeClient
) -> None:
    """A url may be written with capitals; a redirect comes without."""
    client = make_client(f"http://LocalHost:{server.server_port}")
    there = f"http://localhost:{server.server_port}/there/"
    server.says("/patch/5/mbox/", Answer(302, headers={"Location": there}))
    server.says("/there/", mbox(b"x"))
    assert client.mbox_by_id("linux", 5, 10) == b"x"


@pytest.mark.parametrize(
    "location", ["http://evil.example/x", "//evil.example/x", "/patch/5/mbox/", "http://[x"]
)
def test_a_redirect_elsewhere_or_in_a_circle_is_not(
    server: FakeServer, client: Client, location: str
) -> None:
    """The message names where it leads, in case the Patchwork has moved."""
    server.says("/patch/5/mbox/", Answer(302, headers={"Location": location}))
    with pytest.raises(NotPatchwork, match="leads"):
        client.mbox_by_id("linux", 5, 10)
    assert len(server.requests) <= 4


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_page_has_as_many_bytes_as_was_asked_for(
    server: FakeServer, client: Client, framing: str
) -> None:
    """What is longer is not read to its end; a page of one is shorter than one of 250."""
    body = b"[" + b" " * 2 * 2**20 + json.dumps(patches(1)).encode()[1:]
    headers = {"Content-Type": "application/json", "Link": link(last=1)}
    server.says(PATCHES, Answer(200, body, headers, framing=framing))
    with pytest.raises(TooLarge, match="more than"):
        client.newest("linux")
    assert client.list_page("linux", Page("id", 250, 1))
