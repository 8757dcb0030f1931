"""The stand-in's own switches: faults, changes of state, counts. No real server has them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests

from standin import instance
from standin.process import NEIGHBOUR_TOKEN, TOKEN, StandinProcess, running_standin
from tests.contract.conftest import TIMEOUT, JsonObject
from tests.support.installation import wait_until

LISTED = "/api/1.3/patches/?project=sample&order=-id&per_page=250"


@pytest.fixture
def own(shared_standin: StandinProcess) -> StandinProcess:
    """A small stand-in that a test may change as it likes."""
    shared_standin.control.reset(patches=60, seed=3)
    return shared_standin


def _get(own: StandinProcess, path: str, **settings: float) -> requests.Response:
    timeout = settings.get("timeout", TIMEOUT)
    return requests.get(own.url + path, timeout=timeout, allow_redirects=False)


def _listed(own: StandinProcess, project: str = "sample") -> list[JsonObject]:
    entries: list[JsonObject] = _get(own, LISTED.replace("sample", project)).json()
    return entries


def _patch(own: StandinProcess, patch_id: int) -> JsonObject:
    entry: JsonObject = _get(own, f"/api/1.3/patches/{patch_id}/").json()
    return entry


def _all(process: StandinProcess) -> str:
    """All that it lists of patches, series and events, and their mails; its address left out."""
    address = f"{process.url}/api/1.3"
    lists = [
        requests.get(f"{address}/{kind}/?per_page=250&order=id", timeout=TIMEOUT).json()
        for kind in ("projects", "patches", "series", "events")
    ]
    details = [_patch(process, entry["id"]) for entry in lists[1]]
    mails = [requests.get(entry["mbox"], timeout=TIMEOUT).text for entry in details]
    answers = [process.control.state(), lists, details, mails]
    return json.dumps(answers, sort_keys=True).replace(process.url, "")


def test_the_same_seed_gives_the_same_patches(own: StandinProcess) -> None:
    """A failing test can be run again, on a server that is started or that is reset."""
    with running_standin("--patches", "20", "--seed", "7") as process:
        started = _all(process)
    assert _all(own) != started
    own.control.reset(patches=20, seed=7)
    assert _all(own) == started
    own.control.reset(patches=20, seed=8)
    assert _all(own) != started


def test_a_long_list_is_a_project_like_the_others() -> None:
    """Its mails are written when they are read, in series, and the same each time."""
    with running_standin("--patches", "6", "--long", "7") as process:
        entries = _listed(process, "long")
        assert [entry["id"] for entry in entries] == [13, 12, 11, 10, 9, 8, 7]
        detail = _patch(process, 7)
        mail = requests.get(detail["mbox"], timeout=TIMEOUT).text
        assert detail["name"].startswith("[1/3] ")
        assert detail["name"] == entries[-1]["name"]
        assert "X-Patchwork-Id: 7\n" in mail
        assert detail["diff"] in mail
        together = requests.get(detail["series"][0]["mbox"], timeout=TIMEOUT).text
        assert together.startswith(mail)
        assert together.count("X-Patchwork-Id: ") == 3
        series = _get(process, "/api/1.3/series/?project=long&order=id").json()
        assert [each["received_all"] for each in series] == [True, True, False]
        created = _get(process, "/api/1.3/events/?category=patch-created&project=long").json()
        assert [each["payload"]["patch"]["id"] for each in created] == list(range(13, 6, -1))
        first = _all(process)
    with running_standin("--patches", "6", "--long", "7") as process:
        assert _all(process) == first


def test_what_nobody_reads_of_a_long_list_is_not_written() -> None:
    """So that a million patches are there at once."""
    standin = instance.generated(0, seed=1, long=300)
    assert not any("mbox" in vars(patch) for patch in standin.state.in_order())


def test_a_reset_leaves_nothing_of_what_was_done(own: StandinProcess) -> None:
    """Patches, checks, relations, comments, counts and faults are as just after the start."""
    before = _all(own)
    first, second, third, *_ = own.control.ids("sample")
    address = f"{own.url}/api/1.3/patches/{first}/"
    headers = {"Authorization": f"Token {TOKEN}"}
    check = {"state": "success", "context": "pasta"}
    requests.post(f"{address}checks/", json=check, headers=headers, timeout=TIMEOUT)
    requests.patch(address, json={"related": [second]}, headers=headers, timeout=TIMEOUT)
    requests.patch(address, json={"state": "rfc"}, headers=headers, timeout=TIMEOUT)
    own.control.reply(first, "Acked-by: Ada Brandt <ada.brandt@example.org>")
    own.control.rewrite(second, "Another body.\n")
    own.control.delete([third])
    own.control.move([second], "neighbour")
    own.control.add("sample", 3, visible=False)
    assert _all(own) != before
    own.control.fault("status", times=-1)
    own.control.latency(1)

    own.control.reset(patches=60, seed=3)
    stats = own.control.stats()
    assert (stats["requests"], stats["kinds"], stats["peak_per_second"]) == (0, {}, 0)
    assert _all(own) == before
    assert own.control.state()["relations"] == []
    assert _get(own, f"/api/1.3/patches/{first}/checks/").json() == []
    assert _get(own, f"/api/1.3/patches/{first}/comments/").json() == []
    # A new patch has the id that it would have had.
    assert own.control.add("sample") == [61]


def test_the_ids_of_both_projects_interleave(own: StandinProcess) -> None:
    """As on a real server, where one counter serves all lists."""
    sample, neighbour = own.control.ids("sample"), own.control.ids("neighbour")
    assert min(sample) < max(neighbour)
    assert min(neighbour) < max(sample)


def test_a_later_version_repeats_subject_and_most_of_the_diff(own: StandinProcess) -> None:
    """So that an analysis has revisions to find."""
    own.control.reset(patches=200)
    entries = _listed(own)
    later = next(e for e in entries if e["name"].startswith("[v2]"))
    subject = later["name"].removeprefix("[v2] ")
    first = next(e for e in entries if e["name"] == subject)
    lines = [set(_patch(own, e["id"])["diff"].splitlines()) for e in (first, later)]
    assert lines[0] != lines[1]
    assert len(lines[0] & lines[1]) > len(lines[0]) / 2


def test_a_status_fault_hits_so_many_requests_and_then_ends(own: StandinProcess) -> None:
    """With its Retry-After."""
    own.control.fault("status", status=429, times=2, retry_after="7")
    answers = [_get(own, LISTED) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "7"


def test_a_fault_can_be_kept_to_one_kind_of_request(own: StandinProcess) -> None:
    """By the name of the route."""
    own.control.fault("status", status=502, match="mbox-by-id")
    patch_id = own.control.ids("sample")[0]
    assert _get(own, LISTED).status_code == 200
    assert _get(own, f"/patch/{patch_id}/mbox/").status_code == 502


def test_a_check_may_be_stored_though_its_answer_is_lost(own: StandinProcess) -> None:
    """After such an answer a client cannot know."""
    patch_id = own.control.ids("sample")[0]
    address = f"{own.url}/api/1.3/patches/{patch_id}/checks/"
    headers = {"Authorization": f"Token {TOKEN}"}
    for after in (False, True):
        own.control.fault("status", status=504, match="checks", after=after)
        body = {"state": "success", "context": f"after-{after}"}
        answer = requests.post(address, json=body, headers=headers, timeout=TIMEOUT)
        assert answer.status_code == 504
    assert [check["context"] for check in requests.get(address).json()] == ["after-True"]


def test_a_cut_answer_is_shorter_than_announced(own: StandinProcess) -> None:
    """The connection ends in the middle of the body."""
    own.control.fault("cut", match="patches")
    with pytest.raises(requests.exceptions.RequestException):
        _get(own, LISTED)
    assert _get(own, LISTED).status_code == 200


def test_a_page_for_people_can_come_with_status_200(own: StandinProcess) -> None:
    """As from something in front of the server."""
    own.control.fault("html")
    answer = _get(own, LISTED)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


def test_a_hanging_request_is_never_answered_and_harms_no_other(own: StandinProcess) -> None:
    """The client has to give up by itself."""
    own.control.fault("hang", match="root")
    with pytest.raises(requests.exceptions.ReadTimeout):
        _get(own, "/api/1.3/", timeout=0.2)
    assert _get(own, "/api/1.3/").status_code == 200


def test_an_mbox_can_bear_a_wrong_id(own: StandinProcess) -> None:
    """As if the server had mixed up two patches."""
    entry = _listed(own)[0]
    own.control.fault("wrong-mbox", match="mbox")
    assert f"X-Patchwork-Id: {entry['id']}\n" not in requests.get(entry["mbox"]).text
    assert f"X-Patchwork-Id: {entry['id']}\n" in requests.get(entry["mbox"]).text


def test_a_list_can_hold_a_patch_of_another_project(own: StandinProcess) -> None:
    """As if a filter had failed in silence."""
    own.control.fault("foreign-project", match="patches")
    assert {entry["project"]["link_name"] for entry in _listed(own)} == {"sample", "neighbour"}


def test_an_unknown_fault_is_refused_by_name(own: StandinProcess) -> None:
    """A misspelt fault would let a test pass in vain."""
    with pytest.raises(ValueError, match="unknown fault 'explode'"):
        own.control.fault("explode")
    with pytest.raises(ValueError, match="tims"):
        own.control.fault("cut", tims=3)


def test_latency_delays_every_request(own: StandinProcess) -> None:
    """Concurrent requests wait together, not one after the other."""
    own.control.latency(0.2)
    begin = time.monotonic()
    with _asked(own, "/api/1.3/", 4) as connections:
        assert [connection.getresponse().status for connection in connections] == [200] * 4
    assert time.monotonic() - begin >= 0.2
    assert own.control.stats()["peak_at_once"] > 1


def test_new_patches_get_the_highest_ids_in_whole_series(own: StandinProcess) -> None:
    """As many as asked for."""
    before = own.control.ids("sample")
    new = own.control.add("sample", 12)
    assert own.control.ids("sample") == before + new
    entries = [entry for entry in _listed(own) if entry["id"] in new]
    assert all(entry["series"] for entry in entries)
    series = {entry["series"][0]["url"] for entry in entries}
    assert all(requests.get(url).json()["received_all"] for url in series)


def test_new_patches_can_be_dated_back_and_be_in_no_series(own: StandinProcess) -> None:
    """A mail may come in long after it was written, and before its series is known."""
    (patch_id,) = own.control.add("sample", days_back=3650, in_series=False)
    patch = _patch(own, patch_id)
    assert patch["series"] == []
    assert patch["date"].startswith("2014-")
    (event,) = _get(own, f"/api/1.3/events/?category=patch-created&patch={patch_id}").json()
    assert event["date"].startswith("2024-")  # an event is dated by the server's clock
    assert patch["date"] < min(entry["date"] for entry in _listed(own) if entry["series"])


def test_the_next_version_of_a_patch_comes_on_demand(own: StandinProcess) -> None:
    """With its whole series, as a new one; what is not there has none."""
    entries = {entry["id"]: entry for entry in _listed(own)}
    first = next(number for number, entry in entries.items() if "1/" in entry["name"])
    (series,) = entries[first]["series"]
    new = own.control.revise(first, visible=False)
    assert not set(new) & set(own.control.ids("sample"))
    own.control.commit(new)
    again = own.control.revise(new[0], days_back=1)
    assert len(again) == len(new) == requests.get(series["url"]).json()["total"]
    versions = [_patch(own, patches[0]) for patches in (new, again)]
    assert [each["series"][0]["version"] - series["version"] for each in versions] == [1, 2]
    assert {each["series"][0]["id"] for each in versions}.isdisjoint({series["id"]})
    own.control.delete(again[:1])
    with pytest.raises(ValueError, match="KeyError"):
        own.control.revise(again[0])


def test_a_reserved_id_shows_only_once_committed(own: StandinProcess) -> None:
    """A lower id then comes after a higher one."""
    late = own.control.add("sample", 2, visible=False)
    (later,) = own.control.add("sample")
    assert later > max(late)
    assert _get(own, f"/api/1.3/patches/{late[0]}/").status_code == 404
    assert not set(late) & set(own.control.ids("sample"))
    own.control.commit(late)
    assert own.control.ids("sample")[-3:] == [*late, later]
    assert _get(own, f"/patch/{late[0]}/mbox/").status_code == 302


def test_a_deleted_patch_leaves_no_trace(own: StandinProcess) -> None:
    """Neither in lists nor in events; its id is not given again."""
    (patch_id,) = own.control.add("sample")
    own.control.delete([patch_id])
    assert _get(own, f"/api/1.3/patches/{patch_id}/").status_code == 404
    events = _get(own, "/api/1.3/events/?category=patch-created&per_page=250").json()
    assert patch_id not in [event["payload"]["patch"]["id"] for event in events]
    assert own.control.add("sample") > [patch_id]


def test_a_moved_patch_is_found_in_the_other_project_under_its_old_id(
    own: StandinProcess,
) -> None:
    """Its address has the new project, and no event tells of it."""
    (patch_id,) = own.control.add("sample")
    events = _get(own, "/api/1.3/events/?per_page=250").json()
    own.control.move([patch_id], "neighbour")
    assert patch_id not in [entry["id"] for entry in _listed(own)]
    moved = next(entry for entry in _listed(own, "neighbour") if entry["id"] == patch_id)
    assert urlsplit(moved["mbox"]).path.startswith("/project/neighbour/patch/")
    assert requests.get(moved["mbox"]).status_code == 200
    told = _get(own, "/api/1.3/events/?per_page=250").json()
    assert [event["id"] for event in told] == [event["id"] for event in events]


def test_a_reply_with_a_tag_changes_the_mbox_of_the_same_id(own: StandinProcess) -> None:
    """The tag ends the commit message; the reply is among the comments."""
    (patch_id,) = own.control.add("sample")
    url = _patch(own, patch_id)["mbox"]
    before = requests.get(url).text
    own.control.reply(patch_id, "Acked-by: Ada Brandt <ada.brandt@example.org>")
    after = requests.get(url).text
    tag = "Acked-by: Ada Brandt <ada.brandt@example.org>\n---\n"
    assert after == before.replace("---\n", tag, 1)
    (comment,) = _get(own, f"/api/1.3/patches/{patch_id}/comments/").json()
    assert comment["content"].startswith("Acked-by: ")


def test_an_id_can_be_given_to_another_message(own: StandinProcess) -> None:
    """As after a restore of the server from an old backup."""
    (patch_id,) = own.control.add("sample")
    own.control.replace(patch_id, "<other@example.org>")
    patch = _patch(own, patch_id)
    assert patch["msgid"] == "<other@example.org>"
    assert "Message-Id: <other@example.org>\n" in requests.get(patch["mbox"]).text


def test_a_relation_across_projects_needs_a_maintainer_of_both(own: StandinProcess) -> None:
    """Also to be left again."""
    ours, theirs = own.control.ids("sample")[0], own.control.ids("neighbour")[0]
    address = f"{own.url}/api/1.3/patches/{theirs}/"
    foreign = {"Authorization": f"Token {NEIGHBOUR_TOKEN}"}
    both = {"Authorization": f"Token {TOKEN}"}
    refused = requests.patch(address, json={"related": [ours]}, headers=foreign)
    assert refused.status_code == 403
    assert "not maintaining" in refused.json()["detail"]
    assert requests.patch(address, json={"related": [ours]}, headers=both).status_code == 200
    assert own.control.state()["relations"] == [sorted([ours, theirs])]
    assert requests.patch(address, json={"related": []}, headers=foreign).status_code == 403
    assert requests.patch(address, json={"related": []}, headers=both).status_code == 200
    assert own.control.state()["relations"] == []


def test_the_server_counts_what_its_clients_do(own: StandinProcess) -> None:
    """By kind of address, by client, and who sent a token along; controls do not count."""
    _get(own, "/api/1.3/")
    assert own.control.reset_stats()["kinds"] == {"root": 1}
    own.control.fault("hang", times=3, match="patches")
    headers = {"User-Agent": "polite/1.0 (mail@example.org)", "Authorization": f"Token {TOKEN}"}
    with _asked(own, LISTED, 3):
        wait_until(lambda: own.control.stats()["requests"] == 3, "three are under way")
        for _ in range(2):
            requests.get(f"{own.url}/api/1.3/", headers=headers, timeout=TIMEOUT)
        stats = own.control.stats()
    assert stats["requests"] == 5
    assert stats["kinds"] == {"patches": 3, "root": 2}
    assert stats["methods"] == {"GET": 5}
    assert stats["statuses"] == {"200": 2}
    assert stats["user_agents"]["polite/1.0 (mail@example.org)"] == 2
    assert stats["authorized"] == {"GET": 2}
    assert stats["peak_at_once"] == 4
    assert 2 <= stats["peak_per_second"] <= 5
    # That they were given up is told by no status of HTTP.
    wait_until(lambda: own.control.stats()["statuses"] == {"200": 2, "0": 3}, "all are over")


@contextmanager
def _asked(own: StandinProcess, path: str, times: int) -> Iterator[list[HTTPConnection]]:
    """Connections on each of which `path` was asked for, all at once; no answer was read yet."""
    parts = urlsplit(own.url)
    with ExitStack() as stack:
        connections = []
        for _ in range(times):
            connection = HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT)
            stack.callback(connection.close)
            connection.request("GET", path)
            connections.append(connection)
        yield connections
