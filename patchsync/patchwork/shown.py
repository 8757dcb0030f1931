"""What Patchwork's REST API says of annotations: states, relations, checks, and who made them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import Field, TypeAdapter

from patchsync.patchwork.records import (
    LARGEST_ID,
    Json,
    ProjectReferenceJson,
    UserJson,
    parse_json,
)


@dataclass(frozen=True)
class User:
    """Somebody with an account."""

    id: int
    username: str


@dataclass(frozen=True, kw_only=True)
class PatchView:
    """What people, and we, made of a patch (`GET patches/`, `GET patches/<id>/`, API >= 1.2)."""

    id: int
    message_id: str
    project_id: int
    project_link_name: str
    state: str
    commit_ref: str | None
    # All others of its relation, over all projects, ascending.
    related: tuple[int, ...]
    list_archive_url: str | None


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check, as `patches/<id>/checks/` tells it."""

    id: int
    user_id: int
    state: str
    context: str
    # "" for none.
    description: str
    target_url: str


@dataclass(frozen=True, kw_only=True)
class CheckEvent:
    """That somebody added a check (`GET events/?category=check-created`): no description there."""

    project_id: int
    project_link_name: str
    # None: unknown, or nobody.
    actor_id: int | None
    patch_id: int
    check_id: int
    state: str
    context: str
    # "" for none.
    target_url: str


@dataclass(frozen=True, kw_only=True)
class StateEvent:
    """That somebody set the state of a patch (`GET events/?category=patch-state-changed`)."""

    id: int
    project_id: int
    project_link_name: str
    patch_id: int
    # None: unknown, or nobody.
    actor_id: int | None
    # The one that was set
    state: str


@dataclass(frozen=True, kw_only=True)
class RelationEvent:
    """That a patch came into or out of a relation (`GET events/?category=patch-relation-changed`).

    Patchwork tells neither which nor how, and the actor only for the patch that was patched, not
    for those that it named.
    """

    id: int
    project_id: int
    project_link_name: str
    patch_id: int
    actor_id: int | None
    # In the server's own zone, which it does not name.
    date: datetime


def parse_view(body: bytes) -> PatchView:
    """The patch in the JSON of `GET patches/<id>/`, and what became of it.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return _view(parse_json(_VIEW, body, "a patch"))


def parse_views(body: bytes) -> tuple[PatchView, ...]:
    """The patches in the JSON of `GET patches/`, and what became of them, in the order listed.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return tuple(_view(patch) for patch in parse_json(_VIEWS, body, "a list of patches"))


def parse_patched(body: bytes) -> int:
    """The id of the patch in the JSON that answers `PATCH patches/<id>/`; the rest may be stale.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    number: int = parse_json(_PATCHED, body, "a patch").id
    return number


def parse_check(body: bytes) -> Check:
    """The check in the JSON that answers `POST patches/<id>/checks/`.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return _check(parse_json(_CHECK, body, "a check"))


def parse_checks(body: bytes) -> tuple[Check, ...]:
    """The checks in the JSON of `GET patches/<id>/checks/`, in the order listed.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return tuple(_check(check) for check in parse_json(_CHECKS, body, "a list of checks"))


def parse_comment_ids(body: bytes) -> set[str]:
    """The message-ids in the JSON of `GET patches/<id>/comments/`.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return {comment.msgid for comment in parse_json(_COMMENTS, body, "a list of comments")}


def parse_check_events(body: bytes) -> tuple[CheckEvent, ...]:
    """The events in the JSON of `GET events/?category=check-created`, in the order listed.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return tuple(
        CheckEvent(
            project_id=event.project.id,
            project_link_name=event.project.link_name,
            actor_id=event.actor.id if event.actor else None,
            patch_id=event.payload.patch.id,
            check_id=event.payload.check.id,
            state=event.payload.check.state,
            context=event.payload.check.context,
            target_url=event.payload.check.target_url or "",
        )
        for event in parse_json(_CHECK_EVENTS, body, "a list of check-created events")
    )


def parse_relation_events(body: bytes) -> tuple[RelationEvent, ...]:
    """The events in the JSON of `GET events/?category=patch-relation-changed`, in order.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return tuple(
        RelationEvent(
            id=event.id,
            project_id=event.project.id,
            project_link_name=event.project.link_name,
            patch_id=event.payload.patch.id,
            actor_id=event.actor.id if event.actor else None,
            date=event.date,
        )
        for event in parse_json(_RELATION_EVENTS, body, "a list of patch-relation-changed events")
    )


def parse_state_events(body: bytes) -> tuple[StateEvent, ...]:
    """The events in the JSON of `GET events/?category=patch-state-changed`, in the order listed.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return tuple(
        StateEvent(
            id=event.id,
            project_id=event.project.id,
            project_link_name=event.project.link_name,
            patch_id=event.payload.patch.id,
            actor_id=event.actor.id if event.actor else None,
            state=event.payload.current_state,
        )
        for event in parse_json(_STATE_EVENTS, body, "a list of patch-state-changed events")
    )


def parse_maintainers(body: bytes) -> tuple[User, ...]:
    """Who maintains the project in the JSON of `GET projects/<key>/`.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    found = parse_json(_MAINTAINED, body, "a project")
    return tuple(User(person.id, person.username) for person in found.maintainers)


def parse_is_oneself(body: bytes) -> bool:
    """Whether the JSON of `GET users/<id>/` is about who asked: others see no `settings`.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    account: _AccountJson = parse_json(_ACCOUNT, body, "a user")
    return account.settings is not None


class _PersonJson(UserJson):
    id: int = Field(gt=0, le=LARGEST_ID)


class _MaintainedJson(Json):
    maintainers: list[_PersonJson]


class _AccountJson(_PersonJson):
    settings: dict[str, object] | None = None


class _PatchReferenceJson(Json):
    id: int = Field(gt=0, le=LARGEST_ID)


class _ViewJson(Json):
    id: int = Field(gt=0, le=LARGEST_ID)
    msgid: str
    project: ProjectReferenceJson
    state: str
    commit_ref: str | None
    related: list[_PatchReferenceJson]
    list_archive_url: str | None


class _NewCheckJson(Json):
    id: int = Field(gt=0, le=LARGEST_ID)
    state: str
    target_url: str | None
    context: str


class _CheckJson(_NewCheckJson):
    user: _PersonJson
    description: str | None


class _CommentJson(Json):
    msgid: str


class _EventJson(Json):
    id: int
    project: ProjectReferenceJson
    # Required: a server that leaves it out would make everything look like nobody's.
    actor: _PersonJson | None


class _CheckPayloadJson(Json):
    patch: _PatchReferenceJson
    check: _NewCheckJson


class _CheckEventJson(_EventJson):
    payload: _CheckPayloadJson


class _StatePayloadJson(Json):
    patch: _PatchReferenceJson
    current_state: str


class _StateEventJson(_EventJson):
    payload: _StatePayloadJson


class _RelationPayloadJson(Json):
    patch: _PatchReferenceJson


class _RelationEventJson(_EventJson):
    date: datetime
    payload: _RelationPayloadJson


_PATCHED = TypeAdapter(_PatchReferenceJson)
_VIEW = TypeAdapter(_ViewJson)
_VIEWS = TypeAdapter(list[_ViewJson])
_CHECK = TypeAdapter(_CheckJson)
_CHECKS = TypeAdapter(list[_CheckJson])
_STATE_EVENTS = TypeAdapter(list[_StateEventJson])
_COMMENTS = TypeAdapter(list[_CommentJson])
_CHECK_EVENTS = TypeAdapter(list[_CheckEventJson])
_RELATION_EVENTS = TypeAdapter(list[_RelationEventJson])
_MAINTAINED = TypeAdapter(_MaintainedJson)
_ACCOUNT = TypeAdapter(_AccountJson)


def _view(patch: _ViewJson) -> PatchView:
    return PatchView(
        id=patch.id,
        message_id=patch.msgid,
        project_id=patch.project.id,
        project_link_name=patch.project.link_name,
        state=patch.state,
        commit_ref=patch.commit_ref,
        related=tuple(sorted(other.id for other in patch.related)),
        list_archive_url=patch.list_archive_url,
    )


def _check(check: _CheckJson) -> Check:
    return Check(
        id=check.id,
        user_id=check.user.id,
        state=check.state,
        context=check.context,
        description=check.description or "",
        target_url=check.target_url or "",
    )
