"""Asks a Patchwork instance for what it has: projects, patches, series, mboxes."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Literal, Self, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from pydantic import SecretStr

from patchsync.errors import ForeignProject, NotPatchwork, ServerUnavailable, UnknownProject
from patchsync.patchwork import records
from patchsync.patchwork.limits import Gate
from patchsync.patchwork.paging import Answer, Page
from patchsync.patchwork.records import Listing, PatchEntry, Project
from patchsync.patchwork.reply import Reply
from patchsync.patchwork.transport import Transport

# Newest first. A Patchwork answers under every number up to its own, and names none.
API_VERSIONS = ("1.4", "1.3", "1.2", "1.1", "1.0")
# 250 patches are 0.4 MB, but each is listed with all that it is related to.
MAX_JSON_BYTES = 64 * 2**20
# No list has more; what claims to would make us plan its pages.
MOST_PATCHES = 10**8

_API_SUFFIX = re.compile(r"/api(/[0-9]+\.[0-9]+)?/*$")
_Parsed = TypeVar("_Parsed")


class Client:
    """A Patchwork instance. For any number of threads of one process; make it after a fork."""

    def __init__(
        self,
        url: str,
        gate: Gate,
        *,
        token: SecretStr | None = None,
        contact: str | None = None,
        timeout: tuple[float, float] = (10.0, 60.0),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Sends nothing yet.

        Args:
            url: of the instance, with or without `/api`, a version and a slash.
            gate: each request passes it.
            token: of the user who is asked about or writes; reading needs none.
            contact: by which the server's admin finds us, for the User-Agent.
            timeout: seconds to connect, seconds between two pieces of an answer.
            sleep: between two attempts.

        Raises:
            ConfigError: the url, the token or the contact cannot be used.
        """
        self._transport = Transport(
            _API_SUFFIX.sub("", url.rstrip("/")),
            gate,
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
        self._transport.close()

    @property
    def url(self) -> str:
        """Of the instance, without `/api`."""
        return self._transport.url

    @property
    def requests_sent(self) -> int:
        """Requests sent so far, repeated ones too."""
        return self._transport.requests_sent

    @property
    def api_version(self) -> str:
        """The highest version that the server and we speak; the first use asks for it.

        Raises:
            NotPatchwork: there is no Patchwork API at the url.
        """
        with self._version_lock:
            if self._version is None:
                self._version = self._probe()
            return self._version

    def project(self, key: str) -> Project:
        """The project with this id or link name (`GET projects/<key>/`).

        Raises:
            UnknownProject: there is none.
        """
        reply = self._get(f"projects/{quote(key, safe='')}/", key)
        if reply is None:
            raise UnknownProject(f"{self._transport.url} has no project {key!r}")
        return self._read(records.parse_project, reply)

    def newest(self, key: str) -> tuple[int | None, int]:
        """The highest patch id of a project (None: no patch, or no such project) and their count.

        One request (`GET patches/?order=-id&per_page=1`): the body, and the page of rel="last".
        Patchwork 2.2 gives no such link; there it is two.
        """
        page = Page("-id", 1, 1)
        entries, reply = self._list(key, page) or ((), None)
        if not entries or reply is None:
            return None, 0
        if "last" in reply.links:
            return entries[0].id, _page_number(reply.links["last"])
        if "next" not in reply.links:
            self._demand_end(key, page)
            return entries[0].id, 1
        return self._newest_from_the_end(key)

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
            entries, reply = listed
            last = "next" not in reply.links
            if last or len(entries) == page.per_page:
                break
        else:
            raise NotPatchwork(
                f"{reply.url}: {page.per_page} patches were asked for, {len(entries)} are listed; "
                "the server's MAX_REST_RESULTS_PER_PAGE is too small"
            )
        if entries and not reply.links:
            self._demand_end(key, page)
        named = tuple((entry.id, entry.message_id) for entry in entries)
        return Listing(Answer(page, named, last=last), entries)

    def patch(self, key: str, patch_id: int) -> PatchEntry | None:
        """One patch of a project, None if that has none by this id (`GET patches/<id>/`)."""
        reply = self._get(f"patches/{patch_id}/", key)
        if reply is None:
            return None
        entry = self._read(records.parse_patch, reply)
        return entry if entry.belongs_to(key) else None

    def mbox(self, key: str, path: str, max_bytes: int) -> bytes | None:
        """The bytes of a mail's or a series' mbox; None if there is none.

        Args:
            key: the project that the request is counted for.
            path: `mbox_path` or `series_mbox_path` of an entry.
            max_bytes: that it may have.

        Raises:
            TooLarge: it has more.
            ServerFailed: the server fails (500) at each attempt.
            NotPatchwork: the answer is no mbox, or nothing tells where it ends.
        """
        reply = self._transport.ask(path, project=key, max_bytes=max_bytes)
        # 400: something in front of the Patchwork dislikes the message-id in the path.
        if reply.status in (400, 404, 410):
            return None
        if reply.status != 200 or "html" in reply.content_type:
            raise unexpected(reply, "an mbox")
        if not reply.whole:
            # Half a mail would be kept for good.
            raise NotPatchwork(
                f"{reply.url}: neither Content-Length nor chunks, so a cut mail would look like a "
                "whole one; the proxy in front of the Patchwork must send either"
            )
        return reply.body

    def mbox_by_id(self, key: str, patch_id: int, max_bytes: int) -> bytes | None:
        """As `mbox`, for a mail whose message-id does not lead to it."""
        return self.mbox(key, f"/patch/{patch_id}/mbox/", max_bytes)

    def verify_token(self) -> None:
        """Asks for the users, which only a user may see (`GET users/`).

        Raises:
            Refused: the token is wrong, or does not reach the Patchwork, or there is none.
        """
        reply = self._get("users/?per_page=1", "", authenticated=True)
        if reply is None:
            raise NotPatchwork(f"{self._transport.url} has no list of users to try the token on")
        self._read(records.parse_users, reply)

    def maintains(self, project: Project) -> bool:
        """Whether the token's user maintains a project, and so may annotate all of its patches.

        Asks what may be done with it, and does nothing (`OPTIONS projects/<id>/`).

        Raises:
            Refused: the token is wrong.
            UnknownProject: there is none of this id.
        """
        key = str(project.id)
        reply = self._get(f"projects/{key}/", key, authenticated=True, method="OPTIONS")
        if reply is None:
            raise UnknownProject(f"{self._transport.url} has no project {key!r}")
        return "PUT" in self._read(records.parse_actions, reply)

    def _probe(self) -> str:
        for version in API_VERSIONS:
            reply = self._transport.ask(f"/api/{version}/", project="", max_bytes=MAX_JSON_BYTES)
            if reply.status == 404:
                continue
            if reply.status != 200:
                raise unexpected(reply, "the root of a Patchwork API")
            self._read(records.parse_root, reply)
            return version
        raise NotPatchwork(
            f"{self._transport.url} has no Patchwork REST API (no /api/{API_VERSIONS[-1]}/ to "
            f"{API_VERSIONS[0]}/)"
        )

    def _get(
        self,
        path: str,
        key: str,
        *,
        authenticated: bool = False,
        method: Literal["GET", "OPTIONS"] = "GET",
    ) -> Reply | None:
        """The answer of the API; None where the API itself, not something in front, answers 404."""
        reply = self._transport.ask(
            f"/api/{self.api_version}/{path}",
            project=key,
            max_bytes=MAX_JSON_BYTES,
            authenticated=authenticated,
            method=method,
        )
        if reply.status == 404 and "json" in reply.content_type:
            return None
        if reply.status != 200:
            raise unexpected(reply, "JSON")
        return reply

    def _list(
        self, key: str, page: Page, *, number: str | None = None
    ) -> tuple[tuple[PatchEntry, ...], Reply] | None:
        query = {
            "project": key,
            "order": page.order,
            "per_page": page.per_page,
            "page": number or page.page,
        }
        reply = self._get(f"patches/?{urlencode(query)}", key)
        if reply is None:
            return None
        entries = self._read(records.parse_patches, reply)
        _demand_own(key, entries, reply)
        if len(entries) > page.per_page:
            raise NotPatchwork(f"{reply.url}: the server ignores per_page")
        return entries, reply

    def _newest_from_the_end(self, key: str) -> tuple[int | None, int]:
        # The last of the ascending list is the highest; the page before it is the count less one.
        entries, reply = self._list(key, Page("id", 1, 1), number="last") or ((), None)
        if not entries or reply is None or "prev" not in reply.links:
            raise NotPatchwork(
                f"{self._transport.url}: its list of patches does not tell their count"
            )
        return entries[0].id, _page_number(reply.links["prev"]) + 1

    def _demand_end(self, key: str, page: Page) -> None:
        """Without links a page may be the only one; or something on the way takes them off."""
        if self._list(key, Page(page.order, page.per_page, page.page + 1)) is not None:
            raise NotPatchwork(
                f"{self._transport.url}: a list of several pages comes without its Link header; "
                "what is in front of the Patchwork must let it pass"
            )

    def _read(self, parse: Callable[[bytes], _Parsed], reply: Reply) -> _Parsed:
        try:
            return parse(reply.body)
        except NotPatchwork as error:
            if not reply.whole:
                raise ServerUnavailable(f"{reply.url}: cut, it seems: {error}") from error
            raise NotPatchwork(f"{reply.url}: {error}") from error


class ProjectRemote:
    """One project of a Patchwork, as the comparison asks for it (`sync.Remote`)."""

    def __init__(self, client: Client, key: str) -> None:
        """`key`: the project's id or link name."""
        self._client = client
        self._key = key

    def newest(self) -> tuple[int | None, int]:
        """The highest id (None: no patch) and the count."""
        return self._client.newest(self._key)

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


def _demand_own(key: str, entries: tuple[PatchEntry, ...], reply: Reply) -> None:
    for entry in entries:
        if not entry.belongs_to(key):
            raise ForeignProject(
                f"{reply.url}: patch {entry.id} is of project {entry.project_link_name!r}, "
                f"not of {key!r}"
            )


def unexpected(reply: Reply, expected: str) -> NotPatchwork:
    """What to say of an answer that is something else than `expected`."""
    return NotPatchwork(
        f"{reply.url}: expected {expected}, got status {reply.status} with "
        f"{reply.content_type or 'no Content-Type'}: {reply.body[:60]!r}"
    )
