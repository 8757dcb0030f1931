"""The servers that the contract is tried on: the stand-in always, a real Patchwork if one is named.

    PATCHSYNC_CONTRACT_URL      its address, without /api/
    PATCHSYNC_CONTRACT_PROJECT  link name of a project with 300 patches or more, some in series
    PATCHSYNC_CONTRACT_TOKEN    token of a maintainer of the project
    PATCHSYNC_CONTRACT_NOBODY   token of a user who maintains nothing
    PATCHSYNC_CONTRACT_WRITE=1  allow the tests that write (checks that they add stay for ever)

A real server's answers are looked for in PATCHSYNC_SHARED_DATA, else beside the project.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from standin.process import NOBODY_TOKEN, TOKEN, StandinProcess

TIMEOUT = 60.0

JsonObject = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Patchwork to ask; `ask` and the others follow no redirect."""

    url: str
    version: str  # of its API, the newest that it speaks: 1.2 in Patchwork 2.2 and 3.0
    project: str
    token: str | None
    nobody_token: str | None
    may_write: bool
    session: requests.Session

    @property
    def links_to_the_ends(self) -> bool:
        """Whether a list links to its first and its last page: since Patchwork 3.1, as API 1.3."""
        return self.version >= "1.3"

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json: object = None,
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        """One request; `path` from the server's root, or a whole URL."""
        url = path if path.startswith("http") else f"{self.url}{path}"
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Token {token}"
        return self.session.request(
            method, url, json=json, headers=sent, allow_redirects=False, timeout=TIMEOUT
        )

    def api(self, path: str, method: str = "GET", **settings: Any) -> requests.Response:
        """One request below /api/ and the server's own version."""
        return self.ask(method, f"/api/{self.version}/{path}", **settings)

    def patches(self, query: str) -> list[JsonObject]:
        """What GET patches/?project=P&... lists on its first page."""
        answer = self.api(f"patches/?project={self.project}&{query}")
        assert answer.status_code == 200, answer.text
        entries: list[JsonObject] = answer.json()
        return entries

    def count(self, path: str) -> int:
        """How many entries a list has, by the number of its last page; `path` has a query."""
        answer = self.api(f"{path}&per_page=1&page=last")
        if self.links_to_the_ends:
            return page_number(answer.links["last"]["url"])
        return page_number(answer.links["prev"]["url"]) + 1

    def patch(self, patch_id: int) -> JsonObject:
        """GET patches/<id>/."""
        found: JsonObject = self.api(f"patches/{patch_id}/").json()
        return found


@pytest.fixture(scope="module")
def standin(shared_standin: StandinProcess) -> StandinProcess:
    """The stand-in with generated patches that the tests of a module share."""
    shared_standin.control.reset(patches=900)
    return shared_standin


def page_number(url: str) -> int:
    """The page that a link leads to; the first one may go without a number."""
    return int(parse_qs(urlsplit(url).query).get("page", ["1"])[0])


def _newest_version(session: requests.Session, url: str) -> str:
    """The newest version of the API that a server speaks; none is older than 1.2."""
    for version in ("1.4", "1.3"):
        if session.get(f"{url}/api/{version}/", timeout=TIMEOUT).status_code == 200:
            return version
    return "1.2"


def _targets() -> list[str]:
    return ["stand-in", "real"] if os.environ.get("PATCHSYNC_CONTRACT_URL") else ["stand-in"]


@pytest.fixture(scope="module", params=_targets())
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each server that the contract is tried on."""
    with requests.Session() as session:
        session.trust_env = False
        if request.param == "stand-in":
            process: StandinProcess = request.getfixturevalue("standin")
            yield Server(
                url=process.url,
                version=_newest_version(session, process.url),
                project="sample",
                token=TOKEN,
                nobody_token=NOBODY_TOKEN,
                may_write=True,
                session=session,
            )
        else:
            url = os.environ["PATCHSYNC_CONTRACT_URL"].rstrip("/")
            yield Server(
                url=url,
                version=_newest_version(session, url),
                project=os.environ["PATCHSYNC_CONTRACT_PROJECT"],
                token=os.environ.get("PATCHSYNC_CONTRACT_TOKEN"),
                nobody_token=os.environ.get("PATCHSYNC_CONTRACT_NOBODY"),
                may_write=os.environ.get("PATCHSYNC_CONTRACT_WRITE") == "1",
                session=session,
            )


@pytest.fixture
def token(server: Server) -> str:
    """A maintainer's token."""
    if server.token is None:
        pytest.skip("PATCHSYNC_CONTRACT_TOKEN is not set")
    return server.token


@pytest.fixture
def nobody(server: Server) -> str:
    """The token of a user without rights."""
    if server.nobody_token is None:
        pytest.skip("PATCHSYNC_CONTRACT_NOBODY is not set")
    return server.nobody_token


@pytest.fixture
def writer(server: Server, token: str) -> str:
    """A maintainer's token on a server that may be written to."""
    if not server.may_write:
        pytest.skip("PATCHSYNC_CONTRACT_WRITE=1 is not set, so nothing is written there")
    return token


@pytest.fixture
def series_of_three(server: Server) -> list[JsonObject]:
    """The patches of a complete series of at least three, as the series names them.

    One whose patches are not in order of their ids is preferred: it says more.
    """
    listed = server.api(f"series/?project={server.project}&order=id&per_page=250").json()
    complete = [
        [dict(patch) for patch in series["patches"]]
        for series in listed
        if series["received_all"] and len(series["patches"]) >= 3 and series["total"] >= 3
    ]
    if not complete:
        pytest.skip("the project has no complete series of three patches")
    ids = [[patch["id"] for patch in patches] for patches in complete]
    return next((p for p, i in zip(complete, ids, strict=True) if i != sorted(i)), complete[0])


@pytest.fixture
def unrelated(server: Server, writer: str) -> Iterator[list[int]]:
    """The ids of five patches that are in no relation, also not afterwards."""
    ids = [p["id"] for p in server.patches("order=id&per_page=250") if not p["related"]][:5]
    if len(ids) < 5:
        pytest.skip("the project has no five patches without relation")
    yield ids
    for patch_id in ids:
        server.api(f"patches/{patch_id}/", "PATCH", token=writer, json={"related": []})


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with a real server's answers and a real list's mails."""
    beside = Path(__file__).parents[2] / ".." / "shared" / "data"
    folder = Path(os.environ.get("PATCHSYNC_SHARED_DATA", beside))
    if not (folder / "api" / "answers.json").exists():
        pytest.skip(f"no recorded answers in {folder}; PATCHSYNC_SHARED_DATA names their folder")
    return folder
