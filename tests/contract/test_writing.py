"""What a client that writes may rely on: checks, relations, states, and who may do what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.contract.conftest import JsonObject, Server

NO_PERMISSION = {"detail": "You do not have permission to perform this action."}
NOT_AUTHENTICATED = {"detail": "Authentication credentials were not provided."}
CONFLICT = (
    "At least one patch is already part of another relation. You have to explicitly remove a patch "
    "from its existing relation before moving it to this one."
)


@pytest.fixture
def patch_id(server: Server) -> int:
    """The oldest patch of the project."""
    return int(server.patches("order=id&per_page=1")[0]["id"])


def _check(server: Server, patch_id: int, token: str | None, **fields: object) -> requests.Response:
    return server.api(f"patches/{patch_id}/checks/", "POST", token=token, json=fields)


def _relate(server: Server, token: str | None, patch_id: int, related: object) -> requests.Response:
    body = {"related": related}
    return server.api(f"patches/{patch_id}/", "PATCH", token=token, json=body)


def _related(server: Server, patch_id: int) -> list[int]:
    return sorted(entry["id"] for entry in server.patch(patch_id)["related"])


def test_a_check_without_or_with_a_powerless_token_is_refused_alike(
    server: Server, patch_id: int, nobody: str
) -> None:
    """Both are 403 with one text; a bad token has its own."""
    for token in (None, nobody):
        answer = _check(server, patch_id, token, state="success", context="contract")
        assert (answer.status_code, answer.json()) == (403, NO_PERMISSION)
    answer = _check(server, patch_id, "bad", state="success", context="contract")
    assert (answer.status_code, answer.json()) == (403, {"detail": "Invalid token."})


def test_a_new_check_is_a_201_with_its_address(server: Server, patch_id: int, writer: str) -> None:
    """What was sent comes back, with an id and the server's own date."""
    fields = {
        "state": "warning",
        "context": "contract-new",
        "description": "seen",
        "target_url": "https://example.org/run/1",
    }
    answer = _check(server, patch_id, writer, **fields)
    assert answer.status_code == 201
    check = answer.json()
    assert fields.items() <= check.items()
    assert answer.headers["Location"] == check["url"]
    assert server.ask("GET", check["url"]).json() == check


def test_a_check_has_the_context_default_if_none_is_given(
    server: Server, patch_id: int, writer: str
) -> None:
    """Only the state is required."""
    check = _check(server, patch_id, writer, state="success").json()
    assert (check["context"], check["target_url"], check["description"]) == ("default", None, None)


def test_the_same_check_twice_is_two_rows_and_the_newest_is_found_by_one_request(
    server: Server, patch_id: int, writer: str
) -> None:
    """The list is oldest first, so ask for user and context in order=-id."""
    first = _check(server, patch_id, writer, state="fail", context="contract-twice").json()
    second = _check(server, patch_id, writer, state="fail", context="contract-twice").json()
    assert second["id"] > first["id"]
    user = first["user"]["username"]
    query = f"user={user}&context=contract-twice&order=-id&per_page=1"
    newest = server.api(f"patches/{patch_id}/checks/?{query}").json()
    assert [check["id"] for check in newest] == [second["id"]]
    listed = server.api(f"patches/{patch_id}/checks/?context=contract-twice&per_page=250").json()
    ids = [check["id"] for check in listed]
    assert ids == sorted(ids)


def test_a_patch_shows_the_worst_of_its_newest_checks(
    server: Server, patch_id: int, writer: str
) -> None:
    """A later success of the same context makes up for a failure."""
    _check(server, patch_id, writer, state="fail", context="contract-shown")
    assert server.patch(patch_id)["check"] == "fail"
    for context in ("contract-shown", "contract-new", "contract-twice", "default"):
        _check(server, patch_id, writer, state="success", context=context)
    assert server.patch(patch_id)["check"] == "success"
    listed = server.patches("order=id&per_page=1")[0]
    assert listed["check"] == "success"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"context": "x"}, {"state": ["A check must have a state."]}),
        ({"state": ""}, {"state": ["A check must have a state."]}),
        ({"state": None}, {"state": ["This field may not be null."]}),
        ({"state": "bogus"}, {"state": ['"bogus" is not a valid choice.']}),
        ({"state": "success", "context": ""}, {"context": ["This field may not be blank."]}),
        (
            {"state": "success", "context": "x" * 256},
            {"context": ["Ensure this field has no more than 255 characters."]},
        ),
        (
            {"state": "success", "target_url": "http://ci:8080/"},
            {"target_url": ["Enter a valid URL."]},
        ),
        (
            {"state": "success", "target_url": "http://ci.example.org/" + "x" * 200},
            {"target_url": ["Ensure this field has no more than 200 characters."]},
        ),
    ],
)
def test_a_wrong_field_of_a_check_is_a_400_that_names_it(
    server: Server, patch_id: int, token: str, fields: JsonObject, wrong: JsonObject
) -> None:
    """Nothing is added."""
    answer = _check(server, patch_id, token, **fields)
    assert (answer.status_code, answer.json()) == (400, wrong)


def test_a_context_is_a_slug(server: Server, patch_id: int, token: str) -> None:
    """Letters, digits, underscore, hyphen."""
    answer = _check(server, patch_id, token, state="success", context="pa sta/1.0")
    assert answer.status_code == 400
    assert "slug" in answer.json()["context"][0]


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_a_description_is_text(server: Server, patch_id: int, token: str, text: str) -> None:
    """What no database holds is a 400; of the second Patchwork 2.2 made an error of its own."""
    answer = _check(server, patch_id, token, state="success", description=text)
    if server.version == "1.2" and "\0" not in text and answer.status_code == 500:
        return
    assert (answer.status_code, list(answer.json())) == (400, ["description"])


def test_space_around_a_description_is_lost(server: Server, patch_id: int, writer: str) -> None:
    """What is read back may differ by that from what was sent."""
    answer = _check(
        server, patch_id, writer, state="success", context="contract-new", description=" a\n b \n"
    )
    assert answer.json()["description"] == "a\n b"


def test_a_description_has_no_limit_of_length(server: Server, patch_id: int, writer: str) -> None:
    """A whole report fits."""
    text = "long " * 2000
    answer = _check(
        server, patch_id, writer, state="success", context="contract-long", description=text
    )
    assert answer.status_code == 201
    assert len(answer.json()["description"]) >= len(text) - 1


def test_a_check_of_an_unknown_patch_is_a_404(server: Server, token: str) -> None:
    """Also where the body is wrong."""
    assert _check(server, 99999999, token, state="success").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_check_cannot_be_changed_or_deleted(
    server: Server, patch_id: int, token: str, method: str
) -> None:
    """Checks are only ever added."""
    answer = server.api(f"patches/{patch_id}/checks/", method, token=token, json={})
    assert answer.status_code == 405
    assert answer.json() == {"detail": f'Method "{method}" not allowed.'}


def test_a_comment_cannot_be_made(server: Server, patch_id: int, token: str) -> None:
    """Comments are mails to the list."""
    answer = server.api(f"patches/{patch_id}/comments/", "POST", token=token, json={})
    assert answer.status_code == 405
    assert server.api(f"patches/{patch_id}/comments/").status_code == 200


def test_changing_a_patch_needs_a_maintainer(server: Server, patch_id: int, nobody: str) -> None:
    """Without a token the text differs from the one for a token without rights."""
    answer = _relate(server, None, patch_id, [patch_id])
    assert (answer.status_code, answer.json()) == (403, NOT_AUTHENTICATED)
    answer = _relate(server, nobody, patch_id, [patch_id])
    assert (answer.status_code, answer.json()) == (403, NO_PERMISSION)
    answer = _relate(server, "bad", patch_id, [patch_id])
    assert (answer.status_code, answer.json()) == (403, {"detail": "Invalid token."})


def test_relating_is_seen_from_every_side(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """Each patch of a relation names all others, not itself."""
    a, b, c, *_ = unrelated
    assert _relate(server, writer, a, [b, c]).status_code == 200
    assert _related(server, a) == [b, c]
    assert _related(server, b) == [a, c]
    assert _related(server, c) == [a, b]


def test_relating_is_additive_and_its_answer_is_stale(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """Patching a member with a newcomer keeps the others; the answer does not show the newcomer."""
    a, b, c, *_ = unrelated
    _relate(server, writer, a, [b])
    answer = _relate(server, writer, a, [c])
    assert [entry["id"] for entry in answer.json()["related"]] == [b]
    assert _related(server, a) == [b, c]


def test_a_newcomer_joins_by_naming_one_member(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """{a, b}, then c with related=[a], is {a, b, c}; this answer is complete."""
    a, b, c, *_ = unrelated
    _relate(server, writer, a, [b])
    answer = _relate(server, writer, c, [a])
    assert sorted(entry["id"] for entry in answer.json()["related"]) == [a, b]
    assert _related(server, b) == [a, c]


def test_relating_again_is_harmless(server: Server, writer: str, unrelated: list[int]) -> None:
    """A step that may have been done already can be sent again."""
    a, b, c, *_ = unrelated
    for _ in range(2):
        assert _relate(server, writer, a, [b, c]).status_code == 200
    assert _related(server, a) == [b, c]


def test_an_empty_list_takes_out_this_patch_only(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """The answer then leaves `related` out."""
    a, b, c, *_ = unrelated
    _relate(server, writer, a, [b, c])
    answer = _relate(server, writer, b, [])
    assert answer.status_code == 200
    assert "related" not in answer.json()
    assert (_related(server, a), _related(server, b), _related(server, c)) == ([c], [], [a])


def test_a_relation_of_two_is_dissolved_with_one_of_them(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """There is no relation of one; the other is free for another relation."""
    a, b, c, d, _ = unrelated
    _relate(server, writer, a, [b])
    _relate(server, writer, c, [d])
    _relate(server, writer, a, [])
    assert _related(server, b) == []
    assert _relate(server, writer, c, [b]).status_code == 200


def test_taking_out_what_is_in_no_relation_is_harmless(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """It can be sent without looking."""
    assert _relate(server, writer, unrelated[0], []).status_code == 200


def test_two_relations_are_never_joined(server: Server, writer: str, unrelated: list[int]) -> None:
    """409, also from a patch that is in neither; nothing has changed then."""
    a, b, c, d, e = unrelated
    _relate(server, writer, a, [b])
    _relate(server, writer, c, [d])
    for patch_id, related in ((a, [c]), (e, [a, c])):
        answer = _relate(server, writer, patch_id, related)
        assert (answer.status_code, answer.json()) == (409, {"detail": CONFLICT})
    assert [_related(server, i) for i in unrelated] == [[b], [a], [d], [c], []]


def test_a_patch_related_to_itself_is_in_an_invisible_relation(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """It shows nothing, but conflicts later, until it is taken out."""
    a, b, c, *_ = unrelated
    assert _relate(server, writer, a, [a]).status_code == 200
    assert _related(server, a) == []
    _relate(server, writer, b, [c])
    assert _relate(server, writer, a, [b]).status_code == 409
    _relate(server, writer, a, [])
    assert _relate(server, writer, a, [b]).status_code == 200


@pytest.mark.parametrize(
    ("related", "text"),
    [
        ([99999999], 'Invalid pk "99999999" - object does not exist.'),
        (None, "This field may not be null."),
        (["x"], "Incorrect type. Expected pk value, received str."),
        ("x", 'Expected a list of items but got type "str".'),
    ],
)
def test_a_relation_to_what_is_not_there_is_a_400(
    server: Server, patch_id: int, token: str, related: object, text: str
) -> None:
    """Nothing changes."""
    answer = _relate(server, token, patch_id, related)
    assert (answer.status_code, answer.json()) == (400, {"related": [text]})


def test_relations_can_be_written_through_an_older_api(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """1.1 does not show the field, but obeys it."""
    a, b, *_ = unrelated
    answer = server.ask("PATCH", f"/api/1.1/patches/{a}/", token=writer, json={"related": [b]})
    assert answer.status_code == 200
    assert "related" not in answer.json()
    assert _related(server, a) == [b]


@pytest.fixture
def restored(server: Server, patch_id: int, writer: str) -> Iterator[None]:
    """The patch's own fields are put back afterwards."""
    before = server.patch(patch_id)
    yield
    fields = {name: before[name] for name in ("state", "archived", "commit_ref")}
    server.api(f"patches/{patch_id}/", "PATCH", token=writer, json=fields)


@pytest.mark.usefixtures("restored")
def test_state_archived_and_commit_ref_are_set_together(
    server: Server, patch_id: int, writer: str
) -> None:
    """What is set is found by its filter."""
    fields = {"state": "superseded", "archived": True, "commit_ref": "0123abcd"}
    answer = server.api(f"patches/{patch_id}/", "PATCH", token=writer, json=fields)
    assert answer.status_code == 200
    assert fields.items() <= answer.json().items()
    found = server.patches("state=superseded&archived=true&order=id&per_page=250")
    assert patch_id in [entry["id"] for entry in found]
    found = server.patches("archived=false&order=id&per_page=1")
    assert patch_id not in [entry["id"] for entry in found]


def test_an_unknown_state_is_a_400_that_names_all_states(
    server: Server, patch_id: int, token: str
) -> None:
    """The names of the states are the instance's own."""
    body = {"state": "bogus"}
    answer = server.api(f"patches/{patch_id}/", "PATCH", token=token, json=body)
    assert answer.status_code == 400
    assert answer.json()["state"][0].startswith("Invalid state bogus. Expected one of: new, ")


def test_a_body_that_is_no_json_object_is_a_400(server: Server, patch_id: int, token: str) -> None:
    """The text tells why."""
    answer = server.api(f"patches/{patch_id}/", "PATCH", token=token, json=[])
    text = "Invalid data. Expected a dictionary, but got list."
    assert (answer.status_code, answer.json()) == (400, {"detail": [text]})


@pytest.mark.usefixtures("restored")
def test_own_writes_raise_events_with_the_actor(
    server: Server, patch_id: int, writer: str, unrelated: list[int]
) -> None:
    """A client meets its own changes again, and knows them by the actor."""
    check = _check(server, patch_id, writer, state="success", context="contract-event").json()
    server.api(f"patches/{patch_id}/", "PATCH", token=writer, json={"state": "rfc"})
    newest = _newest_event(server, "check-created")
    assert newest["actor"] == check["user"]
    assert newest["payload"]["check"]["id"] == check["id"]
    newest = _newest_event(server, "patch-state-changed")
    assert newest["actor"] == check["user"]
    assert newest["payload"]["current_state"] == "rfc"
    filters = f"project={server.project}&patch={patch_id}&order=date"
    of_patch = server.api(f"events/?category=patch-state-changed&{filters}&per_page=250").json()
    assert of_patch[-1] == newest
    assert {event["payload"]["patch"]["id"] for event in of_patch} == {patch_id}
    _relate(server, writer, unrelated[0], unrelated[1:3])
    newest = _newest_event(server, "patch-relation-changed")
    assert newest["payload"]["patch"]["id"] in unrelated[:3]


def test_only_oneself_is_shown_settings(server: Server, token: str, nobody: str) -> None:
    """So a token's user is found among the maintainers of a project; since 1.2."""
    maintainers = server.api(f"projects/{server.project}/").json()["maintainers"]
    addresses = [f"users/{user['id']}/" for user in maintainers]
    assert any("settings" in server.api(a, token=token).json() for a in addresses)
    for address in addresses:
        assert "settings" not in server.api(address, token=nobody).json()
        older = server.ask("GET", f"/api/1.1/{address}", token=token).json()
        assert "settings" not in older
        assert server.api(address).status_code == 403


def test_own_checks_are_found_by_their_events(server: Server, patch_id: int, writer: str) -> None:
    """By the actor's id, not the name; all but the description is in the event."""
    check = _check(
        server, patch_id, writer, state="fail", context="contract-event", description="why"
    ).json()
    listed = f"events/?category=check-created&project={server.project}&per_page=1&actor="
    (event,) = server.api(f"{listed}{check['user']['id']}").json()
    assert event["actor"] == check["user"]
    assert event["payload"]["patch"]["id"] == patch_id
    told = {name: check[name] for name in ("id", "url", "date", "state", "target_url", "context")}
    assert event["payload"]["check"] == told
    assert server.api(f"{listed}{check['user']['username']}").json() == []
    assert server.api(f"{listed}99999999").json() == []


def test_only_the_patched_patch_has_an_actor_in_the_events_of_a_relation(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """Those it names come right before it, without one; and in a relation it has no event."""
    a, b, c, d, e = unrelated
    user = _check(server, a, writer, state="success", context="contract-event").json()["user"]
    assert sorted(_relation_events(server, writer, a, [b, c])[:2]) == [(b, None), (c, None)]
    assert _newest_event(server, "patch-relation-changed")["actor"] == user
    assert _relation_events(server, writer, a, [b, c]) == []
    assert _relation_events(server, writer, a, [d]) == [(d, None)]
    assert _relation_events(server, writer, e, [a]) == [(e, user["id"])]
    assert _relation_events(server, writer, e, []) == [(e, user["id"])]


def test_a_patch_that_names_itself_has_no_actor_either(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """So it should not."""
    a, b, *_ = unrelated
    assert sorted(_relation_events(server, writer, a, [a, b])) == [(a, None), (b, None)]


def _relation_events(
    server: Server, token: str, patch_id: int, related: list[int]
) -> list[tuple[int, int | None]]:
    """The events that a request raises, in order: patch and actor."""
    address = f"events/?category=patch-relation-changed&project={server.project}&per_page=10"
    before = {event["id"] for event in server.api(address).json()}
    _relate(server, token, patch_id, related)
    return [
        (event["payload"]["patch"]["id"], event["actor"] and event["actor"]["id"])
        for event in reversed(server.api(address).json())
        if event["id"] not in before
    ]


def test_dissolving_a_pair_raises_no_event(
    server: Server, writer: str, unrelated: list[int]
) -> None:
    """Events are no way to follow relations."""
    a, b, *_ = unrelated
    _relate(server, writer, a, [b])
    before = _newest_event(server, "patch-relation-changed")
    _relate(server, writer, a, [])
    assert _newest_event(server, "patch-relation-changed") == before


def _newest_event(server: Server, category: str) -> JsonObject:
    address = f"events/?category={category}&project={server.project}&per_page=1"
    event: JsonObject = server.api(address).json()[0]
    return event
