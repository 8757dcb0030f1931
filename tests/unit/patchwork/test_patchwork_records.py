"""What is read from Patchwork's JSON, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from patchsync.errors import NotPatchwork
from patchsync.patchwork.records import (
    parse_patch,
    parse_patches,
    parse_project,
    path_of,
)

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
    entry = parse_patch(json.dumps(PATCH | {"series": []}).encode())
    assert entry.series_id is None
    assert entry.series_mbox_path is None


def test_a_patch_belongs_to_the_project_by_id_and_by_name() -> None:
    """A project is configured by either, and Patchwork's filter ignores the case of a name."""
    entry = parse_patch(json.dumps(PATCH).encode())
    assert [entry.belongs_to(key) for key in ("1", "linux", "Linux", "2", "lin")] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "change",
    [{"id": "5"}, {"id": True}, {"id": 0}, {"msgid": None}, {"project": 1}, {"series": None}],
)
def test_a_patch_of_another_shape_is_refused(change: dict[str, object]) -> None:
    """The message names the field, so that one can see what answers there."""
    (name,) = change
    with pytest.raises(NotPatchwork, match=rf"a list of patches, but 0\.{name}"):
        parse_patches(json.dumps([PATCH | change]).encode())


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'"patches"', b"[", b"[1]", b"\xff"])
def test_what_is_no_list_of_patches_is_refused(body: bytes) -> None:
    """Also what is not even JSON."""
    with pytest.raises(NotPatchwork, match="expected the JSON of a list of patches"):
        parse_patches(body)


def test_the_real_answers_are_read(shared_data: Path) -> None:
    """Projects and patches as a real Patchwork 3.2.1 sent them."""
    answers = {
        answer["name"]: json.dumps(answer["body"]).encode()
        for answer in json.loads((shared_data / "api" / "answers.json").read_text())
    }
    project = parse_project(answers["project by id"])
    assert project == parse_project(answers["project by link name"])
    assert (project.link_name, project.maintainers) == ("jailhouse", ("pasta-bot",))
    assert parse_patch(answers["patch detail"]).id == 3494
    with gzip.open(shared_data / "api" / "patches-jailhouse.json.gz") as file:
        entries = parse_patches(file.read())
    assert len(entries) == 1535
    assert entries[0].series_mbox_path == "/series/3/mbox/"
