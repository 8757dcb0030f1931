"""Asks a Patchwork instance for what it has: projects, patches, series, mboxes."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from pydantic import SecretStr

from patchsync.errors import ForeignProject, NotPatchwork, ServerUnavailable, UnknownProject
from patchsync.patchwork import schemas
from patchsync.patchwork.http import HttpClient
from patchsync.patchwork.http_response import HttpResponse
from patchsync.patchwork.paging import Answer, Page
from patchsync.patchwork.rate_limit import RateLimiter
from patchsync.patchwork.schemas import ListedPatch, OfProject, PatchEntry, ProjectEntry

# Newest first. A Patchwork answers under every number up to its own, and names none.
API_VERSIONS = ("1.4", "1.3", "1.2", "1.1", "1.0")
# What an answer may have. 250 patches are 0.4 MB, but each is listed with all that it is related
# to: of 200 others that is 80 kB.
_OBJECT_BYTES = 2**20
_ENTRY_BYTES = 2**17
# What holds whole mails: a byte of one may take six in JSON.
MAIL_JSON_BYTES = 64 * 2**20
# No list has more; what claims to would make us plan its pages.
MOST_PATCHES = 10**8

_API_SUFFIX = re.compile(r"/api(/[0-9]+\.[0-9]+)?/*$")
_Parsed = TypeVar("_Parsed")
# Takes the patches of one project that an answer shows, and when it was asked for, in seconds since
# 1970. It is called from any thread.
OnListed = Callable[[Sequence[ListedPatch], float], None]


@dataclass(frozen=True)
class Listing:
    """A page of `GET patches/`: what the comparison reads, and what a download needs."""

    answer: Answer
    entries: tuple[PatchEntry, ...]


@dataclass(frozen=True)
class _Listed:
    """An answer of `GET patches/`."""

    entries: tuple[PatchEntry, ...]
    response: HttpResponse


class Client:
    """A Patchwork instance. For any number of threads of one process; make it after a fork.

    `key` is always the project that a request is counted for, by id or link name.
    """

    def __init__(
        self,
        url: str,
        limiter: RateLimiter,
        *,
        token: SecretStr | None = None,
        contact: str | None = None,
        timeout: tuple[float, float] = (10.0, 60.0),
        sleep: Callable[[float], None] = time.sleep,
        on_listed: OnListed | None = None,
    ) -> None:
        """Sends nothing yet.

        Args:
            url: of the instance, with or without `/api`, a version and a slash.
            limiter: each request passes it.
            token: of the user who is asked about or writes; reading needs none.
            contact: as for `HttpClient`, like what follows.
            timeout: seconds to connect, seconds between two pieces of an answer.
            sleep: between two attempts.
            on_listed: is shown each patch that an answer shows.

        Raises:
            ConfigError: the url, the token or the contact cannot be used.
        """
        self.limiter = limiter
        self._on_listed = on_listed
        self._http = HttpClient(
            _API_SUFFIX.sub("", url.rstrip("/")),
            limiter,
            token=token,
            contact=contact,
            timeout=timeout,
            sleep=sleep,
        )
        self._version: str | None = None
        self._version_lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections kept; the next request opens one again."""
        self._http.close()

    @property
    def url(self) -> str:
        """Of the instance, without `/api`."""
        return self._http.url

    @property
    def api_version(self) -> str:
        """The highest version that the server and we speak; the first use asks for it.

        Raises:
            NotPatchwork: there is no Patchwork API at the url.
        """
        with self._version_lock:
            if self._version is None:
                self._version = self._find_version()
            return self._version

    def project(self, key: str) -> ProjectEntry:
        """The project with this id or link name (`GET projects/<key>/`).

        Raises:
            UnknownProject: there is none.
        """
        project = self._get_parsed(schemas.PROJECT, f"projects/{quote(key, safe='')}/", key)
        if project is None:
            raise UnknownProject(f"{self.url} has no project {key!r}")
        return project

    def newest(self, key: str, *, few: bool = False) -> tuple[int | None, int]:
        """The highest patch id of a project (None: no patch, or no such project) and their count.

        One request (`GET patches/?order=-id&per_page=1`): the body, and the page of rel="last".
        Before Patchwork 3.1 there is no such link; there it is two. The server walks there through
        all newer patches of other projects, which takes it seconds where a list is silent for long.

        `few`: one request for the last page by ascending id, which costs it as much as the project
        has patches.
        """
        if few and (found := self._newest_from_the_end(key)) is not None:
            return found
        page = Page("-id", 1, 1)
        listed = self._list(key, page)
        if listed is None or not listed.entries:
            return None, 0
        highest, links = listed.entries[0].id, listed.response.links
        if "last" in links:
            return highest, _page_number(links["last"])
        if "next" not in links:
            self._demand_end(key, page)
            return highest, 1
        found = self._newest_from_the_end(key)
        if found is None:
            raise NotPatchwork(f"{self.url}: its list of patches does not tell their count")
        return found

    def list_page(self, key: str, page: Page) -> Listing | None:
        """What a page of a project lists; None if it lies past the end (`GET patches/`).

        Raises:
            ForeignProject: it lists a patch of another project.
            NotPatchwork: the server ignores order or per_page, or gives no Link header.
        """
        # Again, if it lists fewer than asked for and yet goes on: the server counts first and lists
        # later, so that may be a patch that was deleted in between.
        for _ in range(2):
            listed = self._list(key, page)
            if listed is None:
                return None
            entries, response = listed.entries, listed.response
            last = "next" not in response.links
            if last or len(entries) == page.per_page:
                break
        else:
            raise NotPatchwork(
                f"{response.url}: {page.per_page} patches were asked for, {len(entries)} are "
                "listed; the server's MAX_REST_RESULTS_PER_PAGE is too small"
            )
        if entries and not response.links:
            self._demand_end(key, page)
        named = tuple((entry.id, entry.message_id) for entry in entries)
        return Listing(Answer(page, named, last=last), entries)

    def patch(self, key: str, patch_id: int) -> PatchEntry | None:
        """One patch of a project, None if that has none by this id (`GET patches/<id>/`)."""
        asked_at = time.time()
        entry = self._get_parsed(
            schemas.PATCH_ENTRY, f"patches/{patch_id}/", key, max_bytes=MAIL_JSON_BYTES
        )
        self._show([entry] if entry else [], asked_at)
        return entry if entry and entry.belongs_to(key) else None

    def mbox(self, key: str, path: str, max_bytes: int) -> bytes | None:
        """The bytes of a mail's or a series' mbox; None if there is none.

        Args:
            key: the project.
            path: `mbox_path` or `series_mbox_path` of an entry.
            max_bytes: that it may have.

        Raises:
            TooLarge: it has more.
            ServerFailed: the server fails (500) at each attempt.
            NotPatchwork: the answer is no mbox, or nothing tells where it ends.
        """
        response = self._http.read(path, project=key, max_bytes=max_bytes)
        # 400: something in front of the Patchwork dislikes the message-id in the path.
        if response.status in (400, 404, 410):
            return None
        if response.status != 200 or "html" in response.content_type:
            raise response.unexpected("an mbox")
        if not response.whole:
            # Half a mail would be kept for good.
            raise NotPatchwork(
                f"{response.url}: neither Content-Length nor chunks, so a cut mail would look like "
                "a whole one; the proxy in front of the Patchwork must send either"
            )
        return response.body

    def mbox_by_id(self, key: str, patch_id: int, max_bytes: int) -> bytes | None:
        """As `mbox`, for a mail whose message-id does not lead to it."""
        return self.mbox(key, f"/patch/{patch_id}/mbox/", max_bytes)

    def verify_token(self) -> None:
        """Asks for the users, which only a user may see (`GET users/`).

        Raises:
            Refused: the token is wrong, or does not reach the Patchwork, or there is none.
        """
        if self._get_parsed(schemas.USERS, "users/?per_page=1", "", authenticated=True) is None:
            raise NotPatchwork(f"{self.url} has no list of users to try the token on")

    def maintains(self, project: ProjectEntry) -> bool:
        """Whether the token's user maintains a project, and so may annotate all of its patches.

        Asks what may be done with it, and does nothing (`OPTIONS projects/<id>/`).

        Raises:
            Refused: the token is wrong.
            UnknownProject: there is none of this id.
        """
        key = str(project.id)
        allowed = self._get_parsed(
            schemas.ALLOWED_ACTIONS, f"projects/{key}/", key, authenticated=True, method="OPTIONS"
        )
        if allowed is None:
            raise UnknownProject(f"{self.url} has no project {key!r}")
        return "PUT" in allowed.actions

    def _find_version(self) -> str:
        for version in API_VERSIONS:
            response = self._http.read(f"/api/{version}/", project="", max_bytes=_OBJECT_BYTES)
            if response.status == 404:
                continue
            if response.status != 200:
                raise response.unexpected("the root of a Patchwork API")
            self._parse(schemas.API_ROOT, response)
            return version
        raise NotPatchwork(
            f"{self.url} has no Patchwork REST API (no /api/{API_VERSIONS[-1]}/ to "
            f"{API_VERSIONS[0]}/)"
        )

    def _get(
        self,
        path: str,
        key: str,
        *,
        max_bytes: int = _OBJECT_BYTES,
        authenticated: bool = False,
        method: Literal["GET", "OPTIONS"] = "GET",
    ) -> HttpResponse | None:
        """The answer of the API; None where the API itself, not something in front, answers 404."""
        response = self._http.read(
            f"/api/{self.api_version}/{path}",
            project=key,
            max_bytes=max_bytes,
            authenticated=authenticated,
            method=method,
        )
        if response.status == 404 and "json" in response.content_type:
            return None
        if response.status != 200:
            raise response.unexpected("JSON")
        return response

    def _parse(self, body: schemas.JsonBody[_Parsed], response: HttpResponse) -> _Parsed:
        try:
            return body.parse(response.body)
        except NotPatchwork as error:
            if not response.whole:
                raise ServerUnavailable(f"{response.url}: cut, it seems: {error}") from error
            raise NotPatchwork(f"{response.url}: {error}") from error

    def _get_parsed(
        self,
        body: schemas.JsonBody[_Parsed],
        path: str,
        key: str,
        *,
        max_bytes: int = _OBJECT_BYTES,
        authenticated: bool = False,
        method: Literal["GET", "OPTIONS"] = "GET",
    ) -> _Parsed | None:
        """What the answer of the API holds; None as for `_get`."""
        response = self._get(
            path, key, max_bytes=max_bytes, authenticated=authenticated, method=method
        )
        return None if response is None else self._parse(body, response)

    def _list(self, key: str, page: Page, *, number: str | None = None) -> _Listed | None:
        """A page of a project's patches, `number` instead of its own; None past the end."""
        query = {
            "project": key,
            "order": page.order,
            "per_page": page.per_page,
            "page": number or page.page,
        }
        asked_at = time.time()
        response = self._get(
            f"patches/?{urlencode(query)}", key, max_bytes=list_bytes(page.per_page)
        )
        if response is None:
            return None
        entries = self._parse(schemas.PATCH_ENTRIES, response)
        demand_own(key, entries, response)
        if len(entries) > page.per_page:
            raise NotPatchwork(f"{response.url}: the server ignores per_page")
        self._show(entries, asked_at)
        return _Listed(entries, response)

    def _show(self, listed: Sequence[ListedPatch], asked_at: float) -> None:
        if self._on_listed is not None:
            self._on_listed(listed, asked_at)

    def _newest_from_the_end(self, key: str) -> tuple[int, int] | None:
        """As `newest`; None for an empty page: the list got shorter since the server counted it."""
        # The last of the ascending list is the highest; the page before it is the count less one.
        page = Page("id", 1, 1)
        listed = self._list(key, page, number="last")
        if listed is None or not listed.entries:
            return None
        links = listed.response.links
        if "prev" in links:
            return listed.entries[0].id, _page_number(links["prev"]) + 1
        if "last" not in links:
            self._demand_end(key, page)
        return listed.entries[0].id, 1

    def _demand_end(self, key: str, page: Page) -> None:
        """Without links a page may be the only one; or something on the way takes them off."""
        if self._list(key, Page(page.order, page.per_page, page.page + 1)) is not None:
            raise NotPatchwork(
                f"{self.url}: a list of several pages comes without its Link header; "
                "what is in front of the Patchwork must let it pass"
            )


class ProjectRemote:
    """One project of a Patchwork, as the comparison asks for it (`sync.Remote`)."""

    def __init__(self, client: Client, key: str) -> None:
        """`key`: the project's id or link name."""
        self._client = client
        self._key = key

    def newest(self, *, few: bool = False) -> tuple[int | None, int]:
        """The highest id (None: no patch) and the count; `few`: as for `Client`."""
        return self._client.newest(self._key, few=few)

    def list_page(self, page: Page) -> Answer | None:
        """What a page lists; None if it lies past the end."""
        listing = self._client.list_page(self._key, page)
        return None if listing is None else listing.answer

    def exists(self) -> bool:
        """Whether there is such a project; an unknown one lists as an empty one."""
        try:
            self._client.project(self._key)
        except UnknownProject:
            return False
        return True


def list_bytes(per_page: int) -> int:
    """How many bytes a page of so many entries may have."""
    return _OBJECT_BYTES + per_page * _ENTRY_BYTES


def demand_own(
    key: str, listed: Iterable[OfProject], response: HttpResponse, kind: str = "patch"
) -> None:
    """Raise ForeignProject where a `kind` is listed that is not of the project `key`."""
    for item in listed:
        if not item.belongs_to(key):
            raise ForeignProject(
                f"{response.url}: {kind} {item.id} is of project {item.project_link_name!r}, "
                f"not of {key!r}"
            )


def _page_number(link: str) -> int:
    try:
        # Patchwork's link to the first page has no number.
        (text,) = parse_qs(urlsplit(link).query).get("page", ["1"])
        number = int(text)
        if not 0 < number <= MOST_PATCHES:
            raise ValueError("no such number of patches")
        return number
    except ValueError as error:
        raise NotPatchwork(f"the link {link[:200]!r} has no page number") from error
