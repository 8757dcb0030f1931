"""Annotates the patches of a Patchwork, and reads back what is there; nothing is written twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Literal, Protocol, TypeVar
from urllib.parse import urlencode

from patchsync.errors import (
    AnswerLost,
    ChangedThere,
    ForeignProject,
    GiveUp,
    GoneThere,
    Mistake,
    NoRight,
    NotPatchwork,
    NotWritten,
    Refused,
    UnknownProject,
)
from patchsync.patchwork import shown
from patchsync.patchwork.client import MAX_JSON_BYTES, Client, unexpected
from patchsync.patchwork.records import Project
from patchsync.patchwork.reply import Reply
from patchsync.patchwork.shown import Check, CheckEvent, PatchView, RelationEvent, StateEvent, User

# A page of a list; the server's own limit.
PER_PAGE = 250

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


class _OfProject(Protocol):
    @property
    def project_id(self) -> int: ...

    @property
    def project_link_name(self) -> str: ...


_Written = TypeVar("_Written")
_Event = TypeVar("_Event", CheckEvent, RelationEvent, StateEvent)


class UnsupportedVersion(GiveUp):
    """The Patchwork is too old: its API tells nothing of relations."""


class Annotator(Client):
    """A client that writes, as the user whose token it has.

    `key` is always the project that a request is counted for, by id or link name. All writes raise

        ServerUnavailable: certainly nothing was written.
        AnswerLost: it may have been written; it is not tried again here, whichever it is.
        Mistake, NoRight, GoneThere, ChangedThere: the server says no to this write.
        Refused: it says no to the token.
        NotPatchwork: something else answers there.
    """

    def me(self, project: Project) -> User:
        """Whom the token belongs to, if that is a maintainer of the project.

        Asks for each of its maintainers until one is shown in full, as only oneself is
        (`GET projects/<id>/`, `GET users/<id>/`).

        Raises:
            Refused: the token is wrong, or nobody's who maintains the project.
            UnknownProject: there is none of this id.
            UnsupportedVersion: the Patchwork does not tell, and has no relations.
        """
        self._demand_relations()
        key = str(project.id)
        reply = self._get(f"projects/{key}/", key)
        if reply is None:
            raise UnknownProject(f"{self.url} has no project {key!r}")
        maintainers = self._read(shown.parse_maintainers, reply)
        for user in maintainers:
            reply = self._get(f"users/{user.id}/", key, authenticated=True)
            if reply is not None and self._read(shown.parse_is_oneself, reply):
                return user
        names = ", ".join(user.username for user in maintainers) or "nobody"
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
        reply = self._write("POST", key, f"patches/{patch_id}/checks/", content, 201)
        return self._written(shown.parse_check, reply)

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
        reply = self._get(f"patches/{patch_id}/checks/?{urlencode(query)}", key)
        if reply is None:
            raise GoneThere(f"{self.url} has no patch {patch_id}")
        checks = self._read(shown.parse_checks, reply)
        for check in checks:
            if (check.user_id, check.context) != (user_id, context) or len(checks) > 1:
                raise NotPatchwork(
                    f"{reply.url}: asked for one check of user {user_id} in {context!r}, "
                    f"got {len(checks)}, the first of user {check.user_id} in {check.context!r}"
                )
        return checks[0] if checks else None

    def comment_ids(self, key: str, patch_id: int) -> frozenset[str]:
        """The message-ids of the comments on a patch (`GET patches/<id>/comments/`)."""
        found: set[str] = set()
        page = 1
        while True:
            query = urlencode({"per_page": PER_PAGE, "page": page})
            reply = self._get(f"patches/{patch_id}/comments/?{query}", key)
            if reply is None:
                return frozenset(found)
            found |= self._read(shown.parse_comment_ids, reply)
            if "next" not in reply.links:
                return frozenset(found)
            page += 1

    def view(self, key: str, patch_id: int) -> PatchView | None:
        """What became of a patch, of whichever project; None if it is gone."""
        self._demand_relations()
        reply = self._get(f"patches/{patch_id}/", key)
        return None if reply is None else self._read(shown.parse_view, reply)

    def list_views(self, key: str, page: int) -> tuple[PatchView, ...]:
        """What became of a project's patches, 250 a page by id; none past the end.

        Raises:
            ForeignProject: it lists a patch of another project.
        """
        self._demand_relations()
        query = {"project": key, "order": "id", "per_page": PER_PAGE, "page": page}
        reply = self._get(f"patches/?{urlencode(query)}", key)
        if reply is None:
            return ()
        views = self._read(shown.parse_views, reply)
        _demand_own(key, views, reply)
        return views

    def own_checks(self, key: str, user: User) -> dict[tuple[int, str], CheckEvent]:
        """The newest check of a user by patch and context, of all that was added in a project.

        One request for 250 checks (`GET events/?category=check-created&actor=`). What it says of
        itself is not there: `newest_check` tells.
        """
        newest: dict[tuple[int, str], CheckEvent] = {}
        for event in self._events(
            shown.parse_check_events, key, category="check-created", actor=user.id
        ):
            place = (event.patch_id, event.context)
            known = newest.get(place)
            if event.actor_id == user.id and (known is None or known.check_id < event.check_id):
                newest[place] = event
        return newest

    def own_states(self, key: str, user: User, states: Collection[str]) -> dict[int, str]:
        """Which of these states a user last set, by patch, of all that was set in a project.

        One request for 250 (`GET events/?category=patch-state-changed&actor=`).
        """
        newest: dict[int, StateEvent] = {}
        for event in self._events(
            shown.parse_state_events, key, category="patch-state-changed", actor=user.id
        ):
            known = newest.get(event.patch_id)
            if (
                event.actor_id == user.id
                and event.state in states
                and (known is None or known.id < event.id)
            ):
                newest[event.patch_id] = event
        return {number: event.state for number, event in newest.items()}

    def relation_events(self, key: str) -> dict[int, RelationEvent]:
        """The last time that each patch of a project came into or out of a relation, by patch.

        Everybody's, one request for 250 (`GET events/?category=patch-relation-changed`): those of
        the patches that a request named have no actor, see `authorship`.
        """
        newest: dict[int, RelationEvent] = {}
        for event in self._events(
            shown.parse_relation_events, key, category="patch-relation-changed"
        ):
            known = newest.get(event.patch_id)
            if known is None or known.id < event.id:
                newest[event.patch_id] = event
        return newest

    def _events(
        self,
        parse: Callable[[bytes], tuple[_Event, ...]],
        key: str,
        **filters: str | int,
    ) -> Iterator[_Event]:
        """All events of a project that the filters let through, oldest first."""
        self._demand_relations()
        page = 1
        while True:
            # Oldest first: what happens meanwhile comes last, and moves nothing to another page.
            query = filters | {"project": key, "order": "date", "per_page": PER_PAGE, "page": page}
            reply = self._get(f"events/?{urlencode(query)}", key)
            if reply is None:
                if page == 1:
                    raise NotPatchwork(f"{self.url} has no list of events")
                return
            events = self._read(parse, reply)
            _demand_own(key, events, reply)
            yield from events
            # Where something takes the links off, only the page past the end ends it.
            if "next" not in reply.links and (reply.links or not events):
                return
            page += 1

    def _patch(self, key: str, patch_id: int, content: Mapping[str, object]) -> None:
        reply = self._write("PATCH", key, f"patches/{patch_id}/", content, 200)
        self._written(shown.parse_patched, reply)

    def _write(
        self,
        method: Literal["POST", "PATCH"],
        key: str,
        path: str,
        content: Mapping[str, object],
        expected: int,
    ) -> Reply:
        reply = self._transport.write(
            method,
            f"/api/{self.api_version}/{path}",
            content,
            project=key,
            max_bytes=MAX_JSON_BYTES,
        )
        if reply.status == expected:
            return reply
        said = f"{method} {reply.url}: status {reply.status}: {reply.reason}"
        if reply.status == 401 or (
            reply.status == 403 and reply.reason.startswith(_TOKEN_AT_FAULT)
        ):
            raise Refused(said)
        if reply.status in _REFUSALS and "json" in reply.content_type:
            raise _REFUSALS[reply.status](said)
        raise unexpected(reply, "JSON")

    def _written(self, parse: Callable[[bytes], _Written], reply: Reply) -> _Written:
        """What an answer says that has the right status: if it is not readable it may be cut."""
        try:
            return parse(reply.body)
        except NotPatchwork as error:
            raise AnswerLost(f"{reply.url}: {error}") from error

    def _demand_relations(self) -> None:
        if self.api_version in ("1.0", "1.1"):
            raise UnsupportedVersion(
                f"{self.url} has API {self.api_version}; to push, 1.2 or later is needed"
            )


def _demand_own(key: str, found: Iterable[_OfProject], reply: Reply) -> None:
    for each in found:
        if key != str(each.project_id) and key.lower() != each.project_link_name.lower():
            raise ForeignProject(
                f"{reply.url}: lists what is of project {each.project_link_name!r}, not of {key!r}"
            )
