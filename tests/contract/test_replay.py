"""What a real Patchwork 3.2.1 once answered, asked of the stand-in with the same mailing list."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from standin.process import NOBODY_TOKEN, TOKEN, StandinProcess, running_standin
from tests.contract.conftest import TIMEOUT, JsonObject

RECORDED_AT = "http://127.0.0.1:8100"

TOKENS = {"bad": "bad", "yes": TOKEN, "of a user who maintains nothing": NOBODY_TOKEN}

COMPARED_HEADERS = ("Content-Type", "Link", "Allow", "Location")

ONCE_ONLY = re.compile(r"/checks/\d+/")
"""Numbers of checks: the real server had some before."""

NOT_LOADED = {"cover_letter", "Content-Type", "Content-Transfer-Encoding"}
"""What the stand-in cannot know from an mbox: cover letters, the mail's own encoding headers."""

CUT = "…"
"""Where the recorder cut a text short; it also kept the first three entries of a list only."""


@pytest.fixture(scope="module")
def loaded(shared_data: Path) -> Iterator[StandinProcess]:
    """The stand-in with the list that the real server had."""
    archive = shared_data / "jailhouse" / "dumparchive.tar.gz"
    listed = shared_data / "api" / "patches-jailhouse.json.gz"
    with running_standin("--archive", str(archive), "--patches-json", str(listed)) as process:
        yield process


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> list[JsonObject]:
    """The requests and answers, in the order in which they were made."""
    answers: list[JsonObject] = json.loads((shared_data / "api" / "answers.json").read_text())
    return answers


def test_the_recorded_requests_are_answered_alike(
    loaded: StandinProcess, recorded: list[JsonObject]
) -> None:
    """Status, headers and body of all of them, made in the same order."""
    differences = {}
    for exchange in recorded:
        answer = requests.request(
            exchange["method"],
            loaded.url + exchange["path"],
            json=exchange["request"],
            headers=_authorization(exchange["token"]),
            allow_redirects=False,
            timeout=TIMEOUT,
        )
        found = _answer(answer, loaded.url)
        if not _alike(wanted := _recorded_answer(exchange), found):
            differences[exchange["name"]] = (wanted, found)
    assert len(recorded) == 38
    assert differences == {}


def test_the_whole_list_is_listed_alike(loaded: StandinProcess, shared_data: Path) -> None:
    """Every entry of GET patches/, but for the checks that it had."""
    content = gzip.decompress((shared_data / "api" / "patches-jailhouse.json.gz").read_bytes())
    wanted = json.loads(content.replace(RECORDED_AT.encode(), loaded.url.encode()))
    found = _all_entries(loaded.url)
    assert [_without_check(entry) for entry in found] == [_without_check(e) for e in wanted]


def test_every_mail_has_the_bytes_that_the_real_server_sent(
    loaded: StandinProcess, shared_data: Path
) -> None:
    """By the md5 sums of an index that was made from the real one."""
    index = (shared_data / "jailhouse" / "patchwork.1").read_text().splitlines()
    wanted = {int(line.rsplit(" ", 1)[1]): line.rsplit(" ", 2)[1] for line in index}
    with requests.Session() as session:
        session.trust_env = False
        found = {
            entry["id"]: hashlib.md5(session.get(entry["mbox"]).content + b"\n").hexdigest()
            for entry in _all_entries(loaded.url)
        }
    assert found == wanted


def _all_entries(url: str) -> list[JsonObject]:
    page = f"{url}/api/1.3/patches/?project=jailhouse&order=id&per_page=250"
    entries: list[JsonObject] = []
    while page:
        answer = requests.get(page, timeout=TIMEOUT)
        entries += answer.json()
        page = answer.links.get("next", {}).get("url", "")
    return entries


def _authorization(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Token {TOKENS[token]}"}


def _recorded_answer(exchange: JsonObject) -> JsonObject:
    headers = {name: exchange["headers"].get(name) for name in COMPARED_HEADERS}
    return {"status": exchange["status"], "headers": headers, "body": exchange["body"]}


def _answer(answer: requests.Response, url: str) -> JsonObject:
    """The answer as the recorder would have noted it: at the recorded address."""
    text = answer.text.replace(url, RECORDED_AT)
    body = json.loads(text) if answer.headers["Content-Type"] == "application/json" else text
    headers = {name: answer.headers.get(name) for name in COMPARED_HEADERS}
    moved = {name: value and value.replace(url, RECORDED_AT) for name, value in headers.items()}
    return {"status": answer.status_code, "headers": moved, "body": body}


def _alike(wanted: Any, found: Any) -> bool:
    """Whether the answer is the recorded one, as far as the recorder kept it."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return _alike_objects(wanted, found)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) >= len(wanted) and all(map(_alike, wanted, found))
    if isinstance(wanted, str) and isinstance(found, str):
        if wanted.lstrip().startswith("<!DOCTYPE html>"):
            return found.lstrip().startswith("<!DOCTYPE html>")
        if wanted.endswith(CUT):
            return found.startswith(wanted.removesuffix(CUT))
        return ONCE_ONLY.sub("", wanted) == ONCE_ONLY.sub("", found)
    return type(wanted) is type(found) and bool(wanted == found)


def _alike_objects(wanted: JsonObject, found: JsonObject) -> bool:
    # Checks and events have an id and a date of the moment in which they came to be.
    once_only = {"id", "date"} if {"context", "category"} & set(wanted) else set()
    if "Return-Path" not in wanted and set(wanted) != set(found):
        return False  # a mail's headers were recorded in part, everything else in full
    return all(
        name in found and _alike(value, found[name])
        for name, value in wanted.items()
        if name not in once_only | NOT_LOADED
    )


def _without_check(entry: JsonObject) -> JsonObject:
    return {name: value for name, value in entry.items() if name != "check"}
