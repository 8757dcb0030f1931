"""Annotates the patches of a Patchwork, and reads back what is there; nothing is written twice."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal, TypeVar
from urllib.parse import urlencode

from patchsync.errors import (
    AnswerLost,
    ChangedThere,
    GiveUp,
    GoneThere,
    Mistake,
    NoRight,
    NotPatchwork,
    NotWritten,
    Refused,
)
from patchsync.patchwork import schemas
from patchsync.patchwork.client import MAIL_JSON_BYTES, Client, demand_own, list_bytes
from patchsync.patchwork.http import TOKEN_TO_CHANGE
from patchsync.patchwork.paging import LARGEST_PAGE
from patchsync.patchwork.schemas import (
    Check,
    Event,
    JsonBody,
    PatchView,
    ProjectEntry,
    RelationEvent,
    StateEvent,
    User,
)

_PAGE_BYTES = list_bytes(LARGEST_PAGE)
# Which of a server's refusals is about the one write.
_REFUSALS: dict[int, type[NotWritten]] = {
    400: Mistake,
    403: NoRight,
    404: GoneThere,
    409: ChangedThere,
    410: GoneThere,
}
# Patchwork says 403 also where the token is at fault; then nothing else can be written either.
_TOKEN_AT_FAULT = ("Invalid token", "User inactive", "Authentication credentials")

_Written = TypeVar("_Written")
_Event = TypeVar("_Event", bound=Event)


class UnsupportedVersion(GiveUp):
    """The Patchwork is too old: its API tells nothing of relations."""


class Annotator(Client):
    """A client that writes, as the user whose token it has.

    All writes raise

        ServerUnavailable: certainly nothing was written.
        AnswerLost: it may have been written; it is not tried again here, whichever it is.
        Mistake, NoRight, GoneThere, ChangedThere: the server says no to this write.
        Refused: it says no to the token.
        NotPatchwork: something else answers there.
    """

    def me(self, project: ProjectEntry) -> User:
        """Whom the token belongs to, if that is a maintainer of the project.

        Asks for each of its maintainers until one is shown in full, as only oneself is
        (`GET users/<id>/`).

        Raises:
            Refused: the token is wrong, or nobody's who maintains the project.
            UnsupportedVersion: the Patchwork does not tell, and has no relations.
        """
        self._demand_relations()
        for user in project.maintainers:
            account = self._get_parsed(
                schemas.ACCOUNT, f"users/{user.id}/", str(project.id), authenticated=True
            )
            if account is not None and account.settings is not None:
                return user
        names = ", ".join(user.username for user in project.maintainers) or "nobody"
        raise Refused(
            f"{self.url}: the token's user does not maintain the project {project.link_name!r}, "
            f"which Patchwork wants for any annotation ({names} does)"
        )

    def post_check(
        self,
        key: str,
        patch_id: int,
        *,
        state: str,
        context: str,
        description: str = "",
        target_url: str = "",
    ) -> Check:
        """Adds a check; each time it is sent it is one more (`POST patches/<id>/checks/`).

        Args:
            key: the project.
            patch_id: the patch.
            state: pending, success, warning or fail.
            context: letters, digits, `_` and `-`, at most 255.
            description: of any length; Patchwork takes off the space around it.
            target_url: at most 200 characters, with a host that has a dot; "" for none.
        """
        content = {"state": state, "context": context}
        content |= {"description": description} if description else {}
        content |= {"target_url": target_url} if target_url else {}
        path = f"patches/{patch_id}/checks/"
        return self._write("POST", key, path, content, 201, schemas.CHECK)

    def relate(self, key: str, patch_id: int, related: Iterable[int]) -> None:
        """Puts a patch and others into one relation, or, with none, takes it out of its own.

        `PATCH patches/<id>/`: whom it is related to already it stays related to. It may be sent
        again after a look: what is so already stays so. The answer says nothing about what is now.
        """
        self._demand_relations()
        self._patch(key, patch_id, {"related": list(related)})

    def set_state(self, key: str, patch_id: int, state: str, commit_ref: str | None = None) -> None:
        """Sets the state of a patch, and the commit if one is given (`PATCH patches/<id>/`).

        It may be sent again, but not without a look: somebody may have set another since.
        """
        commit = {} if commit_ref is None else {"commit_ref": commit_ref}
        self._patch(key, patch_id, {"state": state} | commit)

    def newest_check(self, key: str, patch_id: int, user_id: int, context: str) -> Check | None:
        """The newest check of a user on a patch in a context (`GET patches/<id>/checks/`).

        Raises:
            GoneThere: there is no such patch.
            NotPatchwork: the server ignores the filters.
        """
        query = {"user": user_id, "context": context, "order": "-id", "per_page": 1}
        response = self._get(f"patches/{patch_id}/checks/?{urlencode(query)}", key)
        if response is None:
            raise GoneThere(f"{self.url} has no patch {patch_id}")
        checks = self._parse(schemas.CHECKS, response)
        for check in checks:
            if (check.user_id, check.context) != (user_id, context) or len(checks) > 1:
                raise NotPatchwork(
                    f"{response.url}: asked for one check of user {user_id} in {context!r}, "
                    f"got {len(checks)}, the first of user {check.user_id} in {check.context!r}"
                )
        return checks[0] if checks else None

    def comment_ids(self, key: str, patch_id: int) -> frozenset[str]:
        """The message-ids of the comments on a patch (`GET patches/<id>/comments/`)."""
        message_ids: set[str] = set()
        page = 1
        while True:
            query = urlencode({"per_page": LARGEST_PAGE, "page": page})
            path = f"patches/{patch_id}/comments/?{query}"
            response = self._get(path, key, max_bytes=MAIL_JSON_BYTES)
            if response is None:
                return frozenset(message_ids)
            comments = self._parse(schemas.COMMENTS, response)
            message_ids.update(comment.message_id for comment in comments)
            if "next" not in response.links:
                return frozenset(message_ids)
            page += 1

    def view(self, key: str, patch_id: int) -> PatchView | None:
        """What became of a patch, of whichever project; None if it is gone."""
        self._demand_relations()
        asked_at = time.time()
        view = self._get_parsed(
            schemas.PATCH_VIEW, f"patches/{patch_id}/", key, max_bytes=MAIL_JSON_BYTES
        )
        self._show([view] if view else [], asked_at)
        return view

    def list_views(self, key: str, page: int) -> tuple[PatchView, ...]:
        """What became of a project's patches, 250 a page by id; none past the end.

        Raises:
            ForeignProject: it lists a patch of another project.
        """
        self._demand_relations()
        query = {"project": key, "order": "id", "per_page": LARGEST_PAGE, "page": page}
        asked_at = time.time()
        response = self._get(f"patches/?{urlencode(query)}", key, max_bytes=_PAGE_BYTES)
        if response is None:
            return ()
        views = self._parse(schemas.PATCH_VIEWS, response)
        demand_own(key, views, response)
        self._show(views, asked_at)
        return views

    def own_checks(self, key: str, user: User) -> set[tuple[int, str]]:
        """Which patches of a project a user added checks to, each with the check's context.

        One request for 250 checks (`GET events/?category=check-created&actor=`). What a check says
        is not there: `newest_check` tells.
        """
        events = self._events(schemas.CHECK_EVENTS, key, category="check-created", actor=user.id)
        return {(event.patch_id, event.context) for event in events if event.actor_id == user.id}

    def own_states(self, key: str, user: User, states: Collection[str]) -> dict[int, str]:
        """Which of these states a user last set, by patch, of all that was set in a project.

        One request for 250 (`GET events/?category=patch-state-changed&actor=`).
        """
        events = self._events(
            schemas.STATE_EVENTS, key, category="patch-state-changed", actor=user.id
        )
        newest = _newest_by_patch(
            event for event in events if event.actor_id == user.id and event.state in states
        )
        return {patch_id: event.state for patch_id, event in newest.items()}

    def state_events(self, key: str, patch_id: int) -> tuple[StateEvent, ...]:
        """All changes of a patch's state, the oldest first.

        Mostly one request (`GET events/?category=patch-state-changed&patch=`).
        """
        filters: dict[str, str | int] = {"category": "patch-state-changed", "patch": patch_id}
        events = self._events(schemas.STATE_EVENTS, key, **filters)
        return tuple(event for event in events if event.patch_id == patch_id)

    def relation_events(self, key: str) -> dict[int, RelationEvent]:
        """The last time that each patch of a project came into or out of a relation, by patch.

        Everybody's, one request for 250 (`GET events/?category=patch-relation-changed`): those of
        the patches that a request named have no actor, see `relation_events`.
        """
        return _newest_by_patch(
            self._events(schemas.RELATION_EVENTS, key, category="patch-relation-changed")
        )

    def _events(
        self, body: JsonBody[tuple[_Event, ...]], key: str, **filters: str | int
    ) -> Iterator[_Event]:
        """All events of a project that the filters let through, oldest first."""
        self._demand_relations()
        page = 1
        while True:
            # Oldest first: what happens meanwhile comes last, and moves nothing to another page.
            of_page = {"order": "date", "per_page": LARGEST_PAGE, "page": page}
            query = filters | {"project": key} | of_page
            response = self._get(f"events/?{urlencode(query)}", key, max_bytes=_PAGE_BYTES)
            if response is None:
                if page == 1:
                    raise NotPatchwork(f"{self.url} has no list of events")
                return
            events = self._parse(body, response)
            demand_own(key, events, response, kind="event")
            yield from events
            # Where something takes the links off, only the page past the end ends it.
            if "next" not in response.links and (response.links or not events):
                return
            page += 1

    def _patch(self, key: str, patch_id: int, content: Mapping[str, object]) -> None:
        asked_at = time.time()
        patch = self._write("PATCH", key, f"patches/{patch_id}/", content, 200, schemas.PATCHED)
        self._show([patch], asked_at)

    def _write(
        self,
        method: Literal["POST", "PATCH"],
        key: str,
        path: str,
        content: Mapping[str, object],
        expected: int,
        body: JsonBody[_Written],
    ) -> _Written:
        response = self._http.write(
            method,
            f"/api/{self.api_version}/{path}",
            content,
            project=key,
            max_bytes=MAIL_JSON_BYTES,
        )
        if response.status == expected:
            try:
                return body.parse(response.body)
            except NotPatchwork as error:
                # With the right status: it may be cut.
                raise AnswerLost(f"{response.url}: {error}") from error
        refusal = f"{method} {response.url}: status {response.status}: {response.reason}"
        if response.status == 401 or (
            response.status == 403 and response.reason.startswith(_TOKEN_AT_FAULT)
        ):
            raise Refused(f"{refusal.removesuffix('.')}; {TOKEN_TO_CHANGE}")
        if response.status in _REFUSALS and "json" in response.content_type:
            raise _REFUSALS[response.status](refusal)
        raise response.unexpected("JSON")

    def _demand_relations(self) -> None:
        if self.api_version in ("1.0", "1.1"):
            raise UnsupportedVersion(
                f"{self.url} has API {self.api_version}; to push, 1.2 or later is needed"
            )


def _newest_by_patch(events: Iterable[_Event]) -> dict[int, _Event]:
    newest: dict[int, _Event] = {}
    for event in events:
        known = newest.get(event.patch_id)
        if known is None or known.id < event.id:
            newest[event.patch_id] = event
    return newest
