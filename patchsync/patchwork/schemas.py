"""What Patchwork's REST API answers, in the fields that we use: a schema each.

An answer is checked once, while its JSON is parsed; what comes out is frozen and handed on as it
is. Other fields of an answer are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasPath,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic.dataclasses import dataclass

from patchsync.errors import NotPatchwork
from patchsync.patchwork.paging import LARGEST_PAGE
from patchsync.patchwork.shown_patch import (
    LARGEST_VERSION,
    LONGEST_NAME,
    LONGEST_TEXT,
    ShownPatch,
    bounded_number,
    bounded_text,
)

# While JSON is parsed, an object of a few bytes takes a kilobyte of memory, a number 32 bytes. A
# page of 250 patches, each of them related to 200, has so many.
_MOST_CONTAINERS = 50_000
_MOST_VALUES = 500_000
# A string, which need not end, or the beginning of an object or a list, or what parts two values.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[,\[{]', re.DOTALL)

_Parsed = TypeVar("_Parsed")


def path_of(url: str) -> str:
    """Path and query of a url found in an answer: where it points to is not for the answer to say.

    Raises:
        NotPatchwork: it is no url.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise NotPatchwork(f"an answer holds {url[:200]!r} where a url was expected") from error
    path = "/" + parts.path.lstrip("/")
    return f"{path}?{parts.query}" if parts.query else path


def _id_of(reference: object, info: ValidationInfo) -> object:
    """The id of what an answer names by an object with its id and more."""
    if info.mode != "json":
        return reference
    if not isinstance(reference, dict) or "id" not in reference:
        raise ValueError("no object with an id")
    return reference["id"]


def _username_of(user: object) -> object:
    return user.get("username") if isinstance(user, dict) else user


def _first_object(items: object) -> object:
    first = items[0] if isinstance(items, list) and items else None
    return first if isinstance(first, dict) else {}


def _ascending(ids: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(ids))


# Of each schema; they have slots because a project may have many events. Made by hand, each takes
# the names of its fields.
_FROM_JSON = ConfigDict(
    # A number in quotes, or true for 1, is not what Patchwork sends.
    strict=True,
    extra="ignore",
    validate_by_name=True,
    validate_by_alias=True,
)
# Patchwork's ids are PostgreSQL's.
Id = Annotated[int, Field(gt=0, le=2**63 - 1)]
# {"id": 3, ...}
IdOfObject = Annotated[Id, BeforeValidator(_id_of)]
# Without the host: that is always the configured one, whatever the answer names.
UrlPath = Annotated[str, AfterValidator(path_of)]
# null reads as "".
TextOrNull = Annotated[str, BeforeValidator(lambda text: "" if text is None else text)]
# What is only shown: cut to its bound, and None where it is something else, or not there.
NameIfAny = Annotated[str | None, BeforeValidator(lambda value: bounded_text(value, LONGEST_NAME))]
TextIfAny = Annotated[str | None, BeforeValidator(lambda value: bounded_text(value, LONGEST_TEXT))]
FlagIfAny = Annotated[
    bool | None, BeforeValidator(lambda value: value if isinstance(value, bool) else None)
]


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class ApiRoot:
    """The kinds of things that there are (`GET /api/<version>/`)."""

    projects: str
    patches: str


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class AllowedActions:
    """The methods by which the asking user may change something (`OPTIONS projects/<id>/`)."""

    # By method; left out for who may change nothing.
    actions: dict[str, object] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class User:
    """Somebody with an account."""

    id: Id
    username: str


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class Account(User):
    """A user (`GET users/<id>/`)."""

    # Shown to oneself only.
    settings: dict[str, object] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class ProjectEntry:
    """A project (`GET projects/<id or link_name>/`)."""

    id: Id
    link_name: str
    list_email: str
    list_id: str
    # Who may annotate.
    maintainers: Annotated[tuple[User, ...], FailFast()] = ()
    # With `{}` for a commit's hash, and for a message-id without its brackets (API >= 1.2).
    commit_url_format: TextOrNull = ""
    list_archive_url_format: TextOrNull = ""


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class OfProject:
    """What belongs to a project."""

    id: Id
    project_id: Id = Field(validation_alias=AliasPath("project", "id"))
    project_link_name: str = Field(validation_alias=AliasPath("project", "link_name"))

    def belongs_to(self, key: str) -> bool:
        """Whether it is of the project with the id or link name `key`."""
        # Patchwork's filter ignores the case of a link name.
        return key == str(self.project_id) or key.lower() == self.project_link_name.lower()


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class SeriesReference:
    """A series, as its patches name it."""

    id: Id
    mbox_path: UrlPath = Field(validation_alias="mbox")


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class ListedPatch(OfProject):
    """What a list shows of a patch; an odd Patchwork may lack any of it."""

    state: NameIfAny = None
    archived: FlagIfAny = None
    # Of all checks together
    check: NameIfAny = None
    # Username
    delegate: Annotated[NameIfAny, BeforeValidator(_username_of)] = None
    commit_ref: TextIfAny = None
    # Of a mail in the archive of the project's list, with {} for its message-id (API >= 1.3)
    archive_format: TextIfAny = Field(
        default=None, validation_alias=AliasPath("project", "list_archive_url_format")
    )
    named_series: Annotated[dict[str, Any], BeforeValidator(_first_object)] = Field(
        default_factory=dict, validation_alias="series"
    )

    @property
    def shown(self) -> ShownPatch:
        """As it is kept."""
        return ShownPatch(
            patch_id=self.id,
            state=self.state,
            archived=self.archived,
            check=self.check,
            series_id=bounded_number(self.named_series.get("id")),
            series_name=bounded_text(self.named_series.get("name"), LONGEST_TEXT),
            series_version=bounded_number(self.named_series.get("version"), LARGEST_VERSION),
            delegate=self.delegate,
            commit_ref=self.commit_ref,
        )


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class PatchEntry(ListedPatch):
    """A patch and where its mail is (`GET patches/`, `GET patches/<id>/`)."""

    # With its angle brackets, as long as the mail has them.
    message_id: str = Field(validation_alias="msgid")
    mbox_path: UrlPath = Field(validation_alias="mbox")
    # A list for old times' sake: since Patchwork 2.2 a patch is in one series at most, and in none
    # while Patchwork still receives it, or for ever if that failed.
    series: Annotated[tuple[SeriesReference, ...], FailFast()]

    @property
    def series_id(self) -> int | None:
        """None without series."""
        return self.series[0].id if self.series else None

    @property
    def series_mbox_path(self) -> str | None:
        """None without series."""
        return self.series[0].mbox_path if self.series else None


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class PatchedPatch(ListedPatch):
    """A patch, as `PATCH patches/<id>/` answers it. What it is related to may be stale there."""


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class PatchView(ListedPatch):
    """What people, and we, made of a patch (`GET patches/`, `GET patches/<id>/`, API >= 1.2)."""

    state: str
    commit_ref: str | None
    # All others of its relation, over all projects, ascending.
    related: Annotated[tuple[IdOfObject, ...], FailFast(), AfterValidator(_ascending)]


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class Check:
    """A check (`GET patches/<id>/checks/`, and the answer to a POST there)."""

    id: Id
    user_id: IdOfObject = Field(validation_alias="user")
    state: str
    context: str
    # "" for none.
    description: TextOrNull
    target_url: TextOrNull


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class Comment:
    """A comment on a patch (`GET patches/<id>/comments/`)."""

    message_id: str = Field(validation_alias="msgid")


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class Event(OfProject):
    """Something that happened to a patch (`GET events/`)."""

    # None: unknown, or nobody. Required: a server that leaves it out would make everything look
    # like nobody's.
    actor_id: IdOfObject | None = Field(validation_alias="actor")
    patch_id: Id = Field(validation_alias=AliasPath("payload", "patch", "id"))


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class CheckEvent(Event):
    """That somebody added a check (`category=check-created`): no description there."""

    context: str = Field(validation_alias=AliasPath("payload", "check", "context"))


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class StateEvent(Event):
    """That somebody set the state of a patch (`category=patch-state-changed`)."""

    # The one that was set.
    state: str = Field(validation_alias=AliasPath("payload", "current_state"))


@dataclass(frozen=True, kw_only=True, slots=True, config=_FROM_JSON)
class RelationEvent(Event):
    """That a patch came into or out of a relation (`category=patch-relation-changed`).

    Patchwork tells neither which nor how, and the actor only for the patch that was patched, not
    for those that it named.
    """

    # In the server's own zone, which it does not name.
    date: datetime


# Of one page. The first error ends it: each takes a kilobyte, too.
_Item = TypeVar("_Item")
_List = Annotated[tuple[_Item, ...], FailFast(), Field(max_length=LARGEST_PAGE)]


class JsonBody(Generic[_Parsed]):
    """The body of an answer: JSON that holds a schema."""

    def __init__(self, name: str, schema: type[_Parsed]) -> None:
        """`name`: what an error says was expected."""
        self._name = name
        self._adapter = TypeAdapter(schema)

    def parse(self, body: bytes) -> _Parsed:
        """What is in the body of an answer.

        Raises:
            NotPatchwork: it is not that JSON; the message says what was expected.
        """
        for marks, most in ((b"[{", _MOST_CONTAINERS), (b",", _MOST_VALUES)):
            if _has_more(body, marks, most):
                raise NotPatchwork(
                    f"expected the JSON of {self._name}, but it has more than {most} values; "
                    f"the answer begins {body[:60]!r}"
                )
        try:
            return self._adapter.validate_json(body, by_alias=True, by_name=False)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"]) or "the answer"
            problem = f"{where}: {first['msg']}"
            if first["type"] == "too_long":
                problem = f"it lists more than {LARGEST_PAGE}"
            raise NotPatchwork(
                f"expected the JSON of {self._name}, but {problem}; the answer begins {body[:60]!r}"
            ) from error


def _has_more(body: bytes, marks: bytes, most: int) -> bool:
    """Whether there are more than `most` of these bytes outside of the strings of some JSON."""
    if sum(body.count(mark) for mark in marks) <= most:
        return False
    tokens = (token for token in _TOKEN.finditer(body) if body[token.start()] in marks)
    return next(islice(tokens, most, None), None) is not None


API_ROOT = JsonBody("the root of a Patchwork API", ApiRoot)
ALLOWED_ACTIONS = JsonBody("an answer to OPTIONS", AllowedActions)
USERS = JsonBody("a list of users", _List[User])
ACCOUNT = JsonBody("a user", Account)
PROJECT = JsonBody("a project", ProjectEntry)
PATCH_ENTRY = JsonBody("a patch", PatchEntry)
PATCH_ENTRIES = JsonBody("a list of patches", _List[PatchEntry])
PATCHED = JsonBody("a patch", PatchedPatch)
PATCH_VIEW = JsonBody("a patch", PatchView)
PATCH_VIEWS = JsonBody("a list of patches", _List[PatchView])
CHECK = JsonBody("a check", Check)
CHECKS = JsonBody("a list of checks", _List[Check])
COMMENTS = JsonBody("a list of comments", _List[Comment])
CHECK_EVENTS = JsonBody("a list of check-created events", _List[CheckEvent])
STATE_EVENTS = JsonBody("a list of patch-state-changed events", _List[StateEvent])
RELATION_EVENTS = JsonBody("a list of patch-relation-changed events", _List[RelationEvent])
