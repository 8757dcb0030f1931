"""What Patchwork's REST API says of a project and of a patch, in the fields that we use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from patchsync.errors import NotPatchwork
from patchsync.patchwork.paging import Answer

# Patchwork's ids are PostgreSQL's.
LARGEST_ID = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Project:
    """A project, as `GET projects/<id or link_name>/` tells it."""

    id: int
    link_name: str
    list_email: str
    list_id: str
    # User names of those who may annotate.
    maintainers: tuple[str, ...]
    # With `{}` for a commit's hash, and for a message-id without its brackets (API >= 1.2).
    commit_url_format: str = ""
    list_archive_url_format: str = ""


@dataclass(frozen=True, kw_only=True)
class PatchEntry:
    """A patch, as `GET patches/` lists it."""

    id: int
    # With its angle brackets, as long as the mail has them.
    message_id: str
    # `YYYY-MM-DDTHH:MM:SS`, UTC without saying so.
    date: str
    # Path and query only: the host is always the configured one, whatever the answer names.
    mbox_path: str
    # A patch has no series while Patchwork still receives it, or for ever if that failed.
    series_id: int | None
    series_mbox_path: str | None
    project_id: int
    project_link_name: str

    def belongs_to(self, key: str) -> bool:
        """Whether this is a patch of the project with the id or link name `key`."""
        # Patchwork's filter ignores the case of a link name.
        return key == str(self.project_id) or key.lower() == self.project_link_name.lower()


@dataclass(frozen=True)
class Listing:
    """One page of `GET patches/`: what the comparison reads, and what a download needs."""

    answer: Answer
    entries: tuple[PatchEntry, ...]


def parse_project(body: bytes) -> Project:
    """The project in the JSON of `GET projects/<key>/`.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    found = parse_json(_PROJECT, body, "a project")
    return Project(
        id=found.id,
        link_name=found.link_name,
        list_email=found.list_email,
        list_id=found.list_id,
        maintainers=tuple(person.username for person in found.maintainers),
        commit_url_format=found.commit_url_format or "",
        list_archive_url_format=found.list_archive_url_format or "",
    )


def parse_patch(body: bytes) -> PatchEntry:
    """The patch in the JSON of `GET patches/<id>/`.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return _entry(parse_json(_PATCH, body, "a patch"))


def parse_patches(body: bytes) -> tuple[PatchEntry, ...]:
    """The patches in the JSON of `GET patches/`, in the order listed.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return tuple(_entry(patch) for patch in parse_json(_PATCHES, body, "a list of patches"))


def parse_root(body: bytes) -> None:
    """Reads the JSON of `GET /api/<version>/`, which names the kinds of things there are.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    parse_json(_ROOT, body, "the root of a Patchwork API")


def parse_users(body: bytes) -> tuple[str, ...]:
    """The user names in the JSON of `GET users/`.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return tuple(user.username for user in parse_json(_USERS, body, "a list of users"))


def parse_actions(body: bytes) -> frozenset[str]:
    """The methods by which the asking user may change what the JSON of an OPTIONS is about.

    Raises:
        NotPatchwork: it is not that JSON; the message says what was expected.
    """
    return frozenset(parse_json(_OPTIONS, body, "an answer to OPTIONS").actions)


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


class Json(BaseModel):
    """A JSON object that has these fields, and others."""

    # strict: a number in quotes, or true for 1, is not what Patchwork sends.
    model_config = ConfigDict(strict=True, extra="ignore")


class UserJson(Json):
    """Somebody with an account."""

    username: str


class _ProjectJson(Json):
    id: int = Field(gt=0, le=LARGEST_ID)
    link_name: str
    list_email: str
    list_id: str
    maintainers: list[UserJson] = []
    commit_url_format: str | None = None
    list_archive_url_format: str | None = None


class ProjectReferenceJson(Json):
    """A project, as what is of it names it."""

    id: int = Field(gt=0, le=LARGEST_ID)
    link_name: str


class _SeriesReferenceJson(Json):
    id: int = Field(gt=0, le=LARGEST_ID)
    mbox: str


class _PatchJson(Json):
    id: int = Field(gt=0, le=LARGEST_ID)
    msgid: str
    date: str
    mbox: str
    project: ProjectReferenceJson
    series: list[_SeriesReferenceJson]


class _OptionsJson(Json):
    # Left out for who may change nothing.
    actions: dict[str, object] = {}


class _RootJson(Json):
    projects: str
    patches: str


_PROJECT = TypeAdapter(_ProjectJson)
_PATCH = TypeAdapter(_PatchJson)
_PATCHES = TypeAdapter(list[_PatchJson])
_OPTIONS = TypeAdapter(_OptionsJson)
_USERS = TypeAdapter(list[UserJson])
_ROOT = TypeAdapter(_RootJson)


def parse_json(shape: TypeAdapter[Any], body: bytes, expected: str) -> Any:
    """What is in an answer.

    Raises:
        NotPatchwork: it has not this shape; the message says what was `expected`.
    """
    try:
        return shape.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the answer"
        raise NotPatchwork(
            f"expected the JSON of {expected}, but {where}: {first['msg']}; "
            f"the answer begins {body[:60]!r}"
        ) from error


def _entry(patch: _PatchJson) -> PatchEntry:
    # A list for old times' sake: since Patchwork 2.2 a patch is in one series at most.
    series = patch.series[0] if patch.series else None
    return PatchEntry(
        id=patch.id,
        message_id=patch.msgid,
        date=patch.date,
        mbox_path=path_of(patch.mbox),
        series_id=series.id if series else None,
        series_mbox_path=path_of(series.mbox) if series else None,
        project_id=patch.project.id,
        project_link_name=patch.project.link_name,
    )
