"""What a client that reads may rely on, from any Patchwork since 2.2."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from itertools import pairwise

import pytest
import requests

from tests.contract.conftest import JsonObject, Server, page_number

HTML = "text/html; charset=utf-8"
JSON = "application/json"


def test_every_api_version_up_to_the_newest_answers(server: Server) -> None:
    """Probing for a version is GET /api/<version>/."""
    for version in ("1.0", "1.1", "1.2", "1.3", "1.4"):
        answer = server.ask("GET", f"/api/{version}/")
        if version > server.version:
            assert answer.status_code == 404
        else:
            assert answer.status_code == 200
            assert answer.json()["patches"] == f"{server.url}/api/{version}/patches/"


def test_an_unknown_api_version_is_a_404_for_people(server: Server) -> None:
    """There is no JSON where no API view is reached."""
    answer = server.ask("GET", "/api/9.9/patches/")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, HTML)


def test_without_a_version_the_links_have_none_and_every_field_is_there(server: Server) -> None:
    """/api/ is the newest version."""
    entry = server.ask("GET", f"/api/patches/?project={server.project}&per_page=1").json()[0]
    assert entry["url"] == f"{server.url}/api/patches/{entry['id']}/"
    assert "related" in entry


def test_a_project_is_found_by_id_and_by_link_name(server: Server) -> None:
    """Both addresses give the same project, its URL with the id."""
    by_name = server.api(f"projects/{server.project}/").json()
    by_id = server.api(f"projects/{by_name['id']}/").json()
    assert by_name == by_id
    assert by_name["url"] == f"{server.url}/api/{server.version}/projects/{by_name['id']}/"
    assert by_name["link_name"] == server.project


def test_a_project_names_its_maintainers(server: Server) -> None:
    """This is how a token's rights are checked before writing."""
    project = server.api(f"projects/{server.project}/").json()
    assert {"id", "username", "email"} <= set(project["maintainers"][0])


def test_options_of_a_project_name_put_to_its_maintainers_only(server: Server) -> None:
    """So a token's rights show without changing anything."""
    told = {
        token: server.api(f"projects/{server.project}/", "OPTIONS", token=token).json()
        for token in (None, server.nobody_token, server.token)
    }
    assert "actions" not in told[None]
    assert "actions" not in told[server.nobody_token]
    if server.token:
        assert "PUT" in told[server.token]["actions"]


def test_projects_are_listed_with_their_maintainers(server: Server) -> None:
    """GET projects/ shows the same as the single project."""
    listed = server.api("projects/").json()
    wanted = server.api(f"projects/{server.project}/").json()
    assert wanted in listed


def test_an_unknown_project_is_a_404(server: Server) -> None:
    """Unlike in a filter, where it is silently nothing."""
    answer = server.api("projects/nosuchproject/")
    assert _is_not_found(answer, "Project")


def test_one_request_tells_the_highest_id_and_the_count(server: Server) -> None:
    """The body has the highest id, rel="last" the count; page=last by id has both everywhere."""
    listed = f"patches/?project={server.project}"
    answer = server.api(f"{listed}&order=-id&per_page=1")
    ids = _all_ids(server)
    assert answer.json()[0]["id"] == max(ids)
    assert server.count(f"{listed}&order=id") == len(ids)
    if server.links_to_the_ends:
        assert page_number(answer.links["last"]["url"]) == len(ids)
    else:
        assert set(answer.links) == {"next"}
    last = server.api(f"{listed}&order=id&per_page=1&page=last")
    assert [entry["id"] for entry in last.json()] == [max(ids)]
    assert page_number(last.links["prev"]["url"]) == len(ids) - 1


def test_following_next_meets_every_patch_once_in_order(server: Server) -> None:
    """The next link holds all filters; ids ascend over all pages."""
    ids = _all_ids(server)
    assert ids == sorted(set(ids))


def test_a_page_holds_250_at_most(server: Server) -> None:
    """More is cut to 250 in silence."""
    assert len(server.patches("per_page=1000")) == 250


@pytest.mark.parametrize("per_page", ["0", "-1", "abc", ""])
def test_a_page_size_that_makes_no_sense_is_30(server: Server, per_page: str) -> None:
    """Zero is not everything."""
    assert len(server.patches(f"per_page={per_page}")) == 30


def test_pages_in_either_order_are_the_same_list(server: Server) -> None:
    """order=-id is order=id backwards."""
    ids = _all_ids(server)
    assert [p["id"] for p in server.patches("order=-id&per_page=250")] == ids[:-251:-1]
    assert [p["id"] for p in server.patches("order=id&per_page=50&page=2")] == ids[50:100]


def test_without_an_order_ids_ascend(server: Server) -> None:
    """The default order is by id; an unknown one is ignored."""
    ids = [p["id"] for p in server.patches("order=id")]
    assert [p["id"] for p in server.patches("")] == ids
    assert [p["id"] for p in server.patches("order=bogus")] == ids


def test_links_name_the_neighbouring_pages_with_parameters_in_order_of_name(
    server: Server,
) -> None:
    """Page 2 has all links that there are; its prev, which is the first page, has no number."""
    links = server.api(f"patches/?project={server.project}&page=2&order=id&per_page=5").links
    start = f"{server.url}/api/{server.version}/patches/?order=id"
    end = f"per_page=5&project={server.project}"
    assert links["next"]["url"] == f"{start}&page=3&{end}"
    assert links["prev"]["url"] == f"{start}&{end}"
    if server.links_to_the_ends:
        assert links["first"]["url"] == f"{start}&page=1&{end}"
        assert set(links) == {"next", "prev", "first", "last"}
    else:
        assert set(links) == {"next", "prev"}


def test_only_the_last_page_has_no_next(server: Server) -> None:
    """page=last works, and its links tell its number, or the one of the page before."""
    answer = server.api(f"patches/?project={server.project}&order=id&per_page=7&page=last")
    assert answer.json()[-1]["id"] == _all_ids(server)[-1]
    assert "next" not in answer.links
    assert "prev" in answer.links
    number = page_number(answer.links["prev"]["url"]) + 1
    if server.links_to_the_ends:
        assert page_number(answer.links["last"]["url"]) == number
    same = server.api(f"patches/?project={server.project}&order=id&per_page=7&page={number}")
    assert same.json() == answer.json()


@pytest.mark.parametrize("page", ["0", "-1", "99999", "abc"])
def test_a_page_that_does_not_exist_is_a_404(server: Server, page: str) -> None:
    """An empty page is never sent."""
    answer = server.api(f"patches/?project={server.project}&page={page}")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Invalid page."}


def test_the_first_page_past_the_end_is_a_404_even_if_the_last_one_is_full(
    server: Server,
) -> None:
    """A page after the last full one would be empty, so it does not exist."""
    count = len(_all_ids(server))
    assert len(server.patches(f"order=id&per_page=1&page={count}")) == 1
    past = server.api(f"patches/?project={server.project}&order=id&per_page=1&page={count + 1}")
    assert past.status_code == 404


@pytest.mark.parametrize("query", ["project=nosuch", "state=bogus", "since=bogus", "submitter=0"])
def test_an_unknown_value_of_a_filter_gives_nothing_with_status_200(
    server: Server, query: str
) -> None:
    """Filters fail in silence; the one page of nothing is page 1."""
    answer = server.api(f"patches/?{query}")
    assert (answer.status_code, answer.json()) == (200, [])
    if server.links_to_the_ends:
        only = f"{server.url}/api/{server.version}/patches/?page=1&{query}"
        assert answer.links["last"]["url"] == only
    else:
        assert answer.links == {}


def test_an_unknown_filter_is_ignored_and_gives_everything(server: Server) -> None:
    """A misspelt filter does not fail."""
    assert server.patches("bogus=1") == server.patches("")


def test_a_list_holds_patches_of_its_project_only(server: Server) -> None:
    """By link name in any case, or by id."""
    entries = server.patches("order=id&per_page=250")
    assert {entry["project"]["link_name"] for entry in entries} == {server.project}
    by_id = server.api(f"patches/?project={entries[0]['project']['id']}&per_page=250").json()
    by_upper = server.api(f"patches/?project={server.project.upper()}&per_page=250").json()
    assert by_id == by_upper == entries


def test_since_is_inclusive_and_before_exclusive_on_the_mails_date(server: Server) -> None:
    """Dates are naive UTC."""
    date = server.patches("order=-id&per_page=1")[0]["date"]
    assert date in {p["date"] for p in server.patches(f"since={date}")}
    assert date not in {p["date"] for p in server.patches(f"before={date}&order=-date")}


def test_a_patch_is_found_by_its_message_id_without_brackets(server: Server) -> None:
    """The msgid filter of API 1.2 and later."""
    newest = server.patches("order=-id&per_page=1")[0]
    found = server.api("patches/", headers={}).json()
    assert found
    query = {"msgid": newest["msgid"].strip("<>"), "project": server.project}
    answer = server.session.get(
        f"{server.url}/api/{server.version}/patches/", params=query, timeout=60
    )
    assert [entry["id"] for entry in answer.json()] == [newest["id"]]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_missing_slash_is_a_301_that_loses_a_post(server: Server, method: str) -> None:
    """The Location is a path with the query kept."""
    answer = server.api(f"patches?project={server.project}", method)
    assert answer.status_code == 301
    assert answer.headers["Location"] == f"/api/{server.version}/patches/?project={server.project}"


def test_fields_come_with_the_api_version(server: Server) -> None:
    """`related` since 1.2, `web_url` and `comments` since 1.1."""
    fields = {
        version: set(
            server.ask("GET", f"/api/{version}/patches/?project={server.project}").json()[0]
        )
        for version in ("1.0", "1.1", "1.2", server.version)
    }
    assert fields[server.version] == fields["1.2"]
    assert fields["1.2"] - fields["1.1"] == {"related", "list_archive_url"}
    assert fields["1.1"] - fields["1.0"] == {"web_url", "comments"}


def test_a_list_shows_what_became_of_each_patch(server: Server) -> None:
    """State, checks together, delegate, commit and series: in every version, in these types."""
    for version in ("1.0", server.version):
        path = f"/api/{version}/patches/?project={server.project}&order=-id&per_page=250"
        for entry in server.ask("GET", path).json():
            assert re.fullmatch("[a-z0-9_-]+", entry["state"])
            assert entry["archived"] in (True, False)
            assert entry["check"] in ("pending", "success", "warning", "fail")
            assert entry["delegate"] is None or entry["delegate"]["username"]
            assert entry["commit_ref"] is None or isinstance(entry["commit_ref"], str)
            assert len(entry["series"]) <= 1
            for series in entry["series"]:
                assert (type(series["id"]), type(series["version"])) == (int, int)
                assert series["name"] is None or isinstance(series["name"], str)


def test_links_to_checks_and_comments_bear_no_version(server: Server) -> None:
    """Whatever version was asked for."""
    entry = server.patches("per_page=1")[0]
    assert entry["checks"] == f"{server.url}/api/patches/{entry['id']}/checks/"
    assert entry["comments"] == f"{server.url}/api/patches/{entry['id']}/comments/"


def test_the_single_patch_has_all_that_the_list_has_and_its_text(server: Server) -> None:
    """Headers, content, diff and prefixes come on top."""
    entry = server.patches("order=-id&per_page=1")[0]
    detail = server.patch(entry["id"])
    assert {name: detail[name] for name in entry} == entry
    assert set(detail) - set(entry) == {"headers", "content", "diff", "prefixes"}
    assert "@@ " in detail["diff"]
    assert detail["headers"]["Subject"]


def test_comments_have_an_address_since_1_1(server: Server) -> None:
    """In 1.0 it does not exist at all."""
    patch_id = server.patches("per_page=1")[0]["id"]
    for version, status in (("1.0", 404), ("1.1", 200), (server.version, 200)):
        answer = server.ask("GET", f"/api/{version}/patches/{patch_id}/comments/")
        assert answer.status_code == status


def test_an_unknown_patch_is_a_404(server: Server) -> None:
    """In JSON, as everywhere below /api/."""
    answer = server.api("patches/99999999/")
    assert answer.headers["Content-Type"] == JSON
    assert _is_not_found(answer, "Patch")


def test_an_mbox_begins_with_patchworks_own_lines(server: Server) -> None:
    """The From line has the date in UTC; submitter and id follow the encoding headers."""
    entry = server.patches("order=-id&per_page=1")[0]
    answer = server.ask("GET", entry["mbox"])
    # Patchwork 2.2 tells no charset.
    assert answer.headers["Content-Type"] in ("text/plain; charset=utf-8", "text/plain")
    lines = answer.content.split(b"\n")
    assert re.fullmatch(rb"From patchwork \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}", lines[0])
    assert lines[1] == b'Content-Type: text/plain; charset="utf-8"'
    assert lines[2] == b"MIME-Version: 1.0"
    assert lines[3] in (b"Content-Transfer-Encoding: 7bit", b"Content-Transfer-Encoding: 8bit")
    assert lines[4].startswith(b"X-Patchwork-Submitter: ")
    assert b"X-Patchwork-Id: %d" % entry["id"] in lines[5:7]
    shown = parsedate_to_datetime(f"{lines[0][15:18].decode()}, 1 Jan 2000 00:00:00 +0000")
    assert shown is not None
    assert lines[0].endswith(entry["date"][:4].encode())


def test_an_mbox_has_the_message_id_of_its_patch(server: Server) -> None:
    """The id is found again in the mail itself."""
    for entry in server.patches("order=-id&per_page=5"):
        head = server.ask("GET", entry["mbox"]).content.partition(b"\n\n")[0]
        assert entry["msgid"].encode() in head


def test_an_mbox_by_id_is_a_redirect_to_the_one_by_message_id(server: Server) -> None:
    """The Location is a path."""
    entry = server.patches("order=-id&per_page=1")[0]
    answer = server.ask("GET", f"/patch/{entry['id']}/mbox/")
    assert answer.status_code == 302
    assert server.url + answer.headers["Location"] == entry["mbox"]


def test_a_slash_in_a_message_id_is_escaped_twice(server: Server) -> None:
    """%252F in the link, or as it is in Patchwork 2.2 and 3.0; the link works as it is."""
    entries = server.patches("order=-id&per_page=250")
    slashed = [entry for entry in entries if "/" in entry["msgid"]]
    if not slashed:
        pytest.skip("the project has no message-id with a slash")
    assert ("%252F" in slashed[0]["mbox"]) == (server.version >= "1.3")
    answer = server.ask("GET", slashed[0]["mbox"])
    assert b"X-Patchwork-Id: %d\n" % slashed[0]["id"] in answer.content


@pytest.mark.parametrize(
    "path", ["/patch/99999999/mbox/", "/series/99999999/mbox/", "/project/{}/patch/no@x/mbox/"]
)
def test_an_mbox_that_does_not_exist_is_a_404_for_people(server: Server, path: str) -> None:
    """HTML, as these addresses do not belong to the API."""
    answer = server.ask("GET", path.format(server.project))
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, HTML)


def test_an_mbox_cannot_be_asked_for_conditionally(server: Server) -> None:
    """No ETag, no Last-Modified; the whole body comes each time."""
    url = server.patches("order=-id&per_page=1")[0]["mbox"]
    first = server.ask("GET", url)
    assert "ETag" not in first.headers
    assert "Last-Modified" not in first.headers
    conditions = {"If-None-Match": "*", "If-Modified-Since": "Fri, 31 Dec 2100 23:59:59 GMT"}
    again = server.ask("GET", url, headers=conditions)
    assert (again.status_code, again.content) == (200, first.content)


def test_an_mbox_is_not_compressed(server: Server) -> None:
    """Whatever the client accepts."""
    url = server.patches("order=-id&per_page=1")[0]["mbox"]
    answer = server.ask("GET", url, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


def test_an_mbox_asks_for_no_token_and_looks_at_none(server: Server) -> None:
    """A bad token, fatal in the API, is not noticed here."""
    url = server.patches("order=-id&per_page=1")[0]["mbox"]
    assert server.ask("GET", url, token="bad").status_code == 200


def test_a_series_mbox_is_its_mboxes_joined_by_one_newline(
    server: Server, series_of_three: list[JsonObject]
) -> None:
    """By number, while the series names its patches by date; the Content-Type has no charset."""
    series = server.patch(series_of_three[0]["id"])["series"][0]
    answer = server.ask("GET", series["mbox"])
    by_number = sorted(series_of_three, key=lambda patch: _number(patch["name"]))
    singles = [server.ask("GET", patch["mbox"]).content for patch in by_number]
    assert answer.content == b"\n".join(singles)
    assert answer.headers["Content-Type"] == "text/plain"
    dates = [patch["date"] for patch in series_of_three]
    assert dates == sorted(dates)


def test_a_series_names_its_patches_and_how_many_there_should_be(
    server: Server, series_of_three: list[JsonObject]
) -> None:
    """The patch names the series, the series the patch."""
    embedded = server.patch(series_of_three[0]["id"])["series"][0]
    series = server.ask("GET", embedded["url"]).json()
    assert series["patches"] == series_of_three
    assert series["received_total"] == len(series_of_three)
    assert series["received_all"] == (series["total"] <= series["received_total"])
    assert {name: series[name] for name in embedded} == embedded


def test_series_are_listed_by_project(server: Server) -> None:
    """order=-id works there too."""
    listed = server.api(f"series/?project={server.project}&order=-id&per_page=250").json()
    assert {entry["project"]["link_name"] for entry in listed} == {server.project}
    ids = [entry["id"] for entry in listed]
    assert ids == sorted(ids, reverse=True)


def test_an_unknown_series_is_a_404(server: Server) -> None:
    """In JSON."""
    answer = server.api("series/99999999/")
    assert _is_not_found(answer, "Series")


def test_events_come_newest_first_by_date_only(server: Server) -> None:
    """order=date turns them round, order=id is ignored."""
    address = f"events/?category=patch-created&project={server.project}&per_page=100"
    dates = [event["date"] for event in server.api(address).json()]
    assert all(a >= b for a, b in pairwise(dates))
    ignored = [event["date"] for event in server.api(f"{address}&order=id").json()]
    assert ignored == dates
    oldest = [event["date"] for event in server.api(f"{address}&order=date").json()]
    assert all(a <= b for a, b in pairwise(oldest))
    assert oldest[0] < dates[0]


def test_each_patch_has_its_created_event(server: Server) -> None:
    """As many as patches; the payload names the patch as a series does."""
    address = f"events/?category=patch-created&project={server.project}"
    assert server.count(address) == len(_all_ids(server))
    event = server.api(f"{address}&per_page=1").json()[0]
    assert event["actor"] is None
    patch = server.patch(event["payload"]["patch"]["id"])
    assert event["payload"]["patch"].items() <= patch.items()


def test_events_of_an_unknown_category_are_none(server: Server) -> None:
    """In silence, as with every filter."""
    answer = server.api(f"events/?category=bogus&project={server.project}")
    assert (answer.status_code, answer.json()) == (200, [])


def test_a_bad_token_is_a_403_even_on_get(server: Server) -> None:
    """Never a 401."""
    answer = server.api("patches/?per_page=1", token="bad")
    assert answer.status_code == 403
    assert answer.json() == {"detail": "Invalid token."}


def test_a_good_token_changes_nothing_about_reading(server: Server, token: str) -> None:
    """Reading needs none, so it had better be left out."""
    address = f"patches/?project={server.project}&order=id&per_page=5"
    assert server.api(address, token=token).content == server.api(address).content


def test_users_are_shown_to_those_who_have_a_token(server: Server, nobody: str) -> None:
    """Anyone's token will do, which makes it a test of the token."""
    assert server.api("users/").status_code == 403
    assert server.api("users/", token=nobody).status_code == 200


def _is_not_found(answer: requests.Response, kind: str) -> bool:
    """Whether it is a 404 of the API; since Patchwork 3.2 the words say of what."""
    words = ("Not found.", f"No {kind} matches the given query.")
    return answer.status_code == 404 and answer.json() in [{"detail": each} for each in words]


def _number(name: str) -> int:
    """The place in its series that a patch's name announces."""
    found = re.search(r"[\[,](\d+)/\d+[\],]", name)
    assert found is not None
    return int(found.group(1))


def _all_ids(server: Server) -> list[int]:
    url = f"/api/{server.version}/patches/?project={server.project}&order=id&per_page=250"
    ids: list[int] = []
    while url:
        answer = server.ask("GET", url)
        ids += [entry["id"] for entry in answer.json()]
        url = answer.links.get("next", {}).get("url", "")
    return ids
