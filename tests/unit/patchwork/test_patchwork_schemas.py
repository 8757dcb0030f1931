"""What is read from Patchwork's JSON, and what is refused."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from patchsync.errors import NotPatchwork
from patchsync.patchwork import schemas
from patchsync.patchwork.schemas import JsonBody, path_of
from patchsync.patchwork.shown_patch import LONGEST_NAME, LONGEST_TEXT, ShownPatch

ROOT = Path(__file__).parents[3]
PATCH: dict[str, Any] = {
    "id": 5,
    "msgid": "<5@example.org>",
    "date": "2019-04-29T08:54:45",
    "mbox": "https://elsewhere.example/project/linux/patch/5@example.org/mbox/",
    "project": {"id": 1, "link_name": "linux", "name": "Linux"},
    "series": [{"id": 3, "mbox": "https://elsewhere.example/series/3/mbox/"}],
    "related": [],
}


def test_a_url_in_an_answer_is_only_a_path() -> None:
    """Which host is asked is not for an answer to say."""
    assert path_of("http://evil.example:81/series/3/mbox/?a=b#c") == "/series/3/mbox/?a=b"
    assert path_of("//evil.example/x/") == "/x/"
    assert path_of("http://evil.example//other.example/x/") == "/other.example/x/"
    with pytest.raises(NotPatchwork, match="url"):
        path_of("http://[broken/x/")


def test_a_patch_without_series_is_one() -> None:
    """Patchwork lists a patch before its series, and for ever if it found none."""
    entry = schemas.PATCH_ENTRY.parse(json.dumps(PATCH | {"series": []}).encode())
    assert entry.series_id is None
    assert entry.series_mbox_path is None


def test_a_patch_belongs_to_the_project_by_id_and_by_name() -> None:
    """A project is configured by either, and Patchwork's filter ignores the case of a name."""
    entry = schemas.PATCH_ENTRY.parse(json.dumps(PATCH).encode())
    assert [entry.belongs_to(key) for key in ("1", "linux", "Linux", "2", "lin")] == [
        True,
        True,
        True,
        False,
        False,
    ]


SHOWN: dict[str, Any] = {
    "state": "rfc",
    "archived": True,
    "check": "fail",
    "delegate": {"id": 4, "username": "ada"},
    "commit_ref": "0123abcd",
}


def test_what_is_shown_of_a_patch() -> None:
    """All that a list says beside where the mail is, of the first series."""
    series = [{"id": 3, "mbox": "/series/3/mbox/", "name": "two", "version": 2}]
    entry = schemas.PATCH_ENTRY.parse(json.dumps(PATCH | SHOWN | {"series": series}).encode())
    assert entry.shown == ShownPatch(
        patch_id=5,
        state="rfc",
        archived=True,
        check="fail",
        series_id=3,
        series_name="two",
        series_version=2,
        delegate="ada",
        commit_ref="0123abcd",
    )


@pytest.mark.parametrize("odd", [None, 7, "", [], {}, False, "https://lore.kernel.org/r/{}"])
def test_the_address_of_the_archive_is_no_error(odd: object) -> None:
    """It is what the project says, if it says any; before API 1.3 it does not."""
    project = PATCH["project"] | {"list_archive_url_format": odd}
    parsed = [
        schemas.PATCH_ENTRY.parse(json.dumps(patch).encode()).archive_format
        for patch in (PATCH, PATCH | {"project": project})
    ]
    assert parsed == [None, odd if odd and isinstance(odd, str) else None]


@pytest.mark.parametrize("odd", [None, 7, "", [], {}, ["x"], {"username": 3}, True, "x" * 10**5])
@pytest.mark.parametrize("field", SHOWN)
def test_what_is_only_shown_is_never_an_error(field: str, odd: object) -> None:
    """An older or an odd Patchwork lacks a field, or has something else there."""
    without = {name: value for name, value in (PATCH | SHOWN).items() if name != field}
    for patch in (without, without | {field: odd}):
        shown = schemas.PATCH_ENTRY.parse(json.dumps(patch).encode()).shown
        value = getattr(shown, field)
        assert value is None or value is odd or value in ("x" * LONGEST_NAME, "x" * LONGEST_TEXT)


def test_the_real_list_is_shown(shared_data: Path) -> None:
    """As a Patchwork 3.2.1 answered."""
    content = gzip.decompress((shared_data / "api" / "patches-jailhouse.json.gz").read_bytes())
    answers = json.loads(content)[:250]
    entries = schemas.PATCH_ENTRIES.parse(json.dumps(answers).encode())
    for entry, answer in zip(entries, answers, strict=True):
        (series,) = answer["series"]
        assert entry.shown == ShownPatch(
            patch_id=answer["id"],
            state="new",
            archived=False,
            check=answer["check"],
            series_id=series["id"],
            series_name=series["name"],
            series_version=series["version"],
        )


@pytest.mark.parametrize(
    "change",
    [
        {"id": "5"},
        {"id": True},
        {"id": 0},
        {"id": 2**63},
        {"msgid": None},
        {"project": 1},
        {"project": {"id": "1", "link_name": "linux"}},
        {"series": None},
        {"series": [{"id": 3}]},
        {"mbox": 7},
    ],
)
def test_a_patch_of_another_shape_is_refused(change: dict[str, object]) -> None:
    """The message names the field, so that one can see what answers there."""
    (name,) = change
    with pytest.raises(NotPatchwork, match=rf"a list of patches, but 0\.{name}"):
        schemas.PATCH_ENTRIES.parse(json.dumps([PATCH | change]).encode())


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'"patches"', b"[", b"[1]", b"\xff"])
def test_what_is_no_list_of_patches_is_refused(body: bytes) -> None:
    """Also what is not even JSON."""
    with pytest.raises(NotPatchwork, match="expected the JSON of a list of patches"):
        schemas.PATCH_ENTRIES.parse(body)


def test_an_answer_has_patchworks_names_and_not_ours() -> None:
    """A schema takes ours where it is made by hand only."""
    ours = PATCH | {"message_id": PATCH["msgid"]}
    del ours["msgid"]
    with pytest.raises(NotPatchwork, match="msgid: Field required"):
        schemas.PATCH_ENTRY.parse(json.dumps(ours).encode())


def test_a_project_of_an_old_patchwork_has_no_formats() -> None:
    """Neither those of API 1.2 nor, where they are null, any text."""
    project = {"id": 1, "link_name": "linux", "list_email": "a@b", "list_id": "b"}
    for formats in ({}, {"commit_url_format": None, "list_archive_url_format": None}):
        parsed = schemas.PROJECT.parse(json.dumps(project | formats).encode())
        assert (parsed.commit_url_format, parsed.list_archive_url_format) == ("", "")


VIEW = {"state": "new", "commit_ref": None, "related": [{"id": 9, "name": "x"}, {"id": 8}]}
EVENT = {
    "id": 1,
    "project": PATCH["project"],
    "date": "2026-01-01T00:00:00.000001",
    "actor": {"id": 3, "username": "ada"},
    "payload": {
        "patch": {"id": 5},
        "check": {"id": 2, "state": "success", "context": "pasta", "target_url": None},
        "current_state": "accepted",
    },
}


@pytest.mark.parametrize(
    ("body", "answer", "field"),
    [
        (schemas.PATCH_VIEW, PATCH | VIEW | {"related": None}, "related"),
        (schemas.PATCH_VIEW, PATCH | VIEW | {"related": [9]}, r"related\.0"),
        (schemas.PATCH_VIEW, PATCH | VIEW | {"related": [{"id": "9"}]}, r"related\.0"),
        (schemas.PATCH_VIEW, PATCH | VIEW | {"related": [{}]}, r"related\.0"),
        (schemas.CHECK, EVENT | {"user": None}, "user"),
        (schemas.CHECK_EVENTS, [EVENT | {"actor": {}}], r"0\.actor"),
        (schemas.CHECK_EVENTS, [EVENT | {"actor": 3}], r"0\.actor"),
        (schemas.CHECK_EVENTS, [{**EVENT, "payload": {"patch": {"id": 5}}}], r"0\.payload\.check"),
        (schemas.STATE_EVENTS, [{**EVENT, "payload": {"patch": {"id": 5}}}], r"0\.payload"),
        (schemas.RELATION_EVENTS, [EVENT | {"payload": []}], r"0\.payload\.patch"),
        (schemas.RELATION_EVENTS, [EVENT | {"date": "yesterday"}], r"0\.date"),
        (schemas.USERS, [{"id": 3}], r"0\.username"),
        (schemas.ALLOWED_ACTIONS, {"actions": ["PUT"]}, "actions"),
        (schemas.API_ROOT, {"projects": "x"}, "patches"),
        (schemas.COMMENTS, [{"id": 1}], r"0\.msgid"),
    ],
)
def test_annotations_of_another_shape_are_refused(
    body: JsonBody[Any], answer: object, field: str
) -> None:
    """An object is named by its id, and who did something is always told, if only as nobody."""
    with pytest.raises(NotPatchwork, match=rf"but {field}"):
        body.parse(json.dumps(answer).encode())


def test_annotations_are_read() -> None:
    """Flat, with ids for what is named, and those of a relation in order."""
    view = schemas.PATCH_VIEW.parse(json.dumps(PATCH | VIEW).encode())
    assert (view.id, view.project_link_name, view.related) == (5, "linux", (8, 9))
    body = json.dumps([EVENT, EVENT | {"actor": None}]).encode()
    for events in (schemas.CHECK_EVENTS, schemas.STATE_EVENTS, schemas.RELATION_EVENTS):
        told = [(event.patch_id, event.actor_id) for event in events.parse(body)]
        assert told == [(5, 3), (5, None)]
    assert schemas.CHECK_EVENTS.parse(body)[0].context == "pasta"
    assert schemas.STATE_EVENTS.parse(body)[0].state == "accepted"


def test_the_real_answers_are_read(shared_data: Path) -> None:
    """Projects and patches as a real Patchwork 3.2.1 sent them."""
    answers = {
        answer["name"]: json.dumps(answer["body"]).encode()
        for answer in json.loads((shared_data / "api" / "answers.json").read_text())
    }
    project = schemas.PROJECT.parse(answers["project by id"])
    assert project == schemas.PROJECT.parse(answers["project by link name"])
    assert project.link_name == "jailhouse"
    assert [user.username for user in project.maintainers] == ["pasta-bot"]
    assert schemas.PATCH_ENTRY.parse(answers["patch detail"]).id == 3494
    with gzip.open(shared_data / "api" / "patches-jailhouse.json.gz") as file:
        listed = json.load(file)
    pages = [json.dumps(listed[start : start + 250]) for start in range(0, len(listed), 250)]
    entries = [entry for page in pages for entry in schemas.PATCH_ENTRIES.parse(page.encode())]
    assert len(entries) == 1535
    assert entries[0].series_mbox_path == "/series/3/mbox/"


def of_any_size(unit: bytes, size: int = 32 * 2**20) -> bytes:
    """A list of so many bytes."""
    return b"[" + unit * (size // len(unit)) + unit.rstrip(b",") + b"]"


SMALL = {
    "patches": json.dumps(PATCH).encode() + b",",
    "lists": b"[],",
    "objects": b"{},",
    "of one": b'{"a":1},',
    "numbers": b"1,",
    "texts": b'"",',
    "escaped": b'"\\"[{,",',
}


@pytest.mark.parametrize("unit", SMALL.values(), ids=SMALL)
def test_a_page_of_small_entries_takes_little_memory(unit: bytes) -> None:
    """It took forty times its bytes, or a thousand; now it is refused before it is parsed."""
    code = f"""
import resource
from patchsync.errors import NotPatchwork
from patchsync.patchwork.schemas import PATCH_ENTRIES
from tests.unit.patchwork.test_patchwork_schemas import of_any_size
body = of_any_size({unit!r})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    PATCH_ENTRIES.parse(body)
except NotPatchwork as error:
    assert "more than" in str(error), error
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert int(grown) < 100 * 1024  # KiB


def test_a_page_that_is_full_is_read() -> None:
    """250 patches that are related to two hundred others, and subjects full of brackets."""
    other = {"id": 7, "name": "[{," * 80, **{f"key{n}": "a" * 40 for n in range(6)}}
    page = [PATCH | {"state": "new", "commit_ref": None, "related": [other] * 190}] * 250
    assert len(schemas.PATCH_VIEWS.parse(json.dumps(page).encode())) == 250


def test_a_page_has_no_more_than_a_page() -> None:
    """250, which is what Patchwork gives at most."""
    with pytest.raises(NotPatchwork, match="a list of patches, but it lists more than 250"):
        schemas.PATCH_ENTRIES.parse(json.dumps([PATCH] * 251).encode())
