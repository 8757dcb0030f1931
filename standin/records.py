"""What a Patchwork instance holds: projects, people, patches, series, checks, comments, events."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

CheckState = Literal["pending", "success", "warning", "fail"]

CHECK_STATES: tuple[CheckState, ...] = ("pending", "success", "warning", "fail")
"""In the order of the numbers that Patchwork keeps them under."""

PATCH_STATES = (
    "new",
    "under-review",
    "accepted",
    "rejected",
    "rfc",
    "not-applicable",
    "changes-requested",
    "awaiting-upstream",
    "superseded",
    "deferred",
)
"""The states of a fresh Patchwork, in its order."""


@dataclass(eq=False, kw_only=True)
class Project:
    """A project: one mailing list."""

    id: int
    name: str
    link_name: str
    list_id: str
    list_email: str


@dataclass(frozen=True, kw_only=True)
class User:
    """An account; `maintains` holds the ids of its projects."""

    id: int
    username: str
    email: str
    maintains: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Person:
    """Who sends mail. A person is not an account."""

    id: int
    name: str
    email: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """One row of a patch's checks. The newest per user and context is the one that counts."""

    id: int
    user: User
    date: datetime
    state: CheckState
    target_url: str | None
    context: str
    description: str | None


@dataclass(frozen=True, kw_only=True)
class Comment:
    """A reply to a patch."""

    id: int
    msgid: str
    date: datetime
    subject: str
    submitter: Person
    content: str


@dataclass(kw_only=True, eq=False)
class Relation:
    """Patches that belong together. It has no number that the API would show."""

    members: list[Patch] = field(default_factory=list)


@dataclass(kw_only=True, eq=False)
class Series:
    """Patches sent together. `total` is what the subjects announce, not what has come in."""

    id: int
    project: Project
    name: str | None
    date: datetime
    submitter: Person
    version: int
    total: int
    patches: list[Patch] = field(default_factory=list)
    """By date, as the API names them. The series mbox has them by number."""


@dataclass(kw_only=True, eq=False)
class Patch:
    """A patch. `msgid` has its angle brackets, `date` is naive UTC, `mbox` as the API sends it."""

    id: int
    project: Project
    msgid: str
    date: datetime
    name: str
    hash: str
    submitter: Person
    mbox: bytes
    arrival: datetime
    """When the server took it in, naive in the server's zone: the date of its first event."""
    series: Series | None = None
    number: int = 1
    """Its place in the series, as its subject says; the date may say otherwise."""
    state: str = "new"
    archived: bool = False
    commit_ref: str | None = None
    relation: Relation | None = None
    checks: list[Check] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    rendered: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """The patch as an entry of a list, by server address and API version, until it changes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Event:
    """Something that happened. `date` is naive, in the server's zone."""

    id: int
    category: str
    project: Project
    date: datetime
    actor: User | None = None
    patch: Patch | None = None
    series: Series | None = None
    check: Check | None = None
    comment: Comment | None = None
    states: tuple[str, str] | None = None
    """Previous and current, of a patch-state-changed."""
