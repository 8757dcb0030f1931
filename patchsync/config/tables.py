"""The tables of the configuration file: their keys, defaults and limits, each checked by itself."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from patchsync.config.addresses import as_archive, as_web_url

TOKEN_VARIABLE = "PATCHWORK_TOKEN"  # noqa: S105 - the variable's name, not a token
# However it is spelt: as a key of the file it can stand in the environment, too.
TOKEN_VARIABLES = (TOKEN_VARIABLE, "PATCHSYNC_MBOX__PATCHWORK__TOKEN")


def text_like(pattern: str, words: str) -> AfterValidator:
    """Text that `pattern` fits whole; else an error that says `words`."""

    def fits(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(words)
        return text

    return AfterValidator(fits)


def _number_as_text(value: object) -> object:
    return str(value) if type(value) is int else value


# As long as Patchwork lets a link name be; `name` stands in the names of keys and queues.
Name = Annotated[
    str,
    text_like(
        "[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "wants at most 64 letters, digits and . _ -, a letter or digit first",
    ),
]
ProjectKey = Annotated[
    str,
    BeforeValidator(_number_as_text),
    text_like(
        "[A-Za-z0-9][A-Za-z0-9._+-]{0,254}",
        "wants a project's number or link name: at most 255 letters, digits and . _ + -",
    ),
]


class Table(BaseModel):
    """A table of ours: frozen, and without a key that we do not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False
    )


class ProjectTable(Table):
    """One project to keep in step: its number or link name, and if known the list's address."""

    id: ProjectKey = Field(description="number or link name in Patchwork")
    # As long as Patchwork lets it be; PaStA makes it part of a file name.
    list_email: (
        Annotated[
            str, text_like(r"[^\s/]{0,200}", "wants an address of at most 200 characters, no slash")
        ]
        | None
    ) = None
    initial_archive: str | None = None

    @property
    def called(self) -> str:
        """What people read of it where its link name is not at hand."""
        return f"project {self.id}" if self.id.isdecimal() else self.id


class PatchworkTable(Table):
    """`[mbox.patchwork]`: which Patchwork, which projects."""

    url: str = Field(validation_alias=AliasChoices("url", "uri"))
    token: SecretStr | None = None
    token_file: Path | None = None
    token_over_http: bool = Field(
        default=False, description="true sends the token unencrypted to another machine"
    )
    projects: tuple[ProjectTable, ...] = ()
    project_ids: tuple[ProjectKey, ...] = ()
    initial_archives: tuple[tuple[ProjectKey, str], ...] = ()
    # PaStA's key. We always ask for 250, which is what Patchwork gives at most.
    page_size: int | None = None

    @field_validator("url")
    @classmethod
    def _absolute(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("wants an address like https://patchwork.example.org/api/")
        if parts.username or parts.password:
            raise ValueError(
                f"must not hold a user or password; the token goes to {TOKEN_VARIABLE}"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        keys = [project.id for project in self.all_projects]
        if not keys:
            raise ValueError("names no project: set projects = [{ id = 1 }] or project_ids = [1]")
        twice = {key for key, number in Counter(keys).items() if number > 1}
        if twice:
            raise ValueError(f"names a project twice: {', '.join(sorted(twice))}")
        for key, _ in self.initial_archives:
            if key not in keys:
                raise ValueError(
                    f"has initial_archives for project {key}, which is not configured; "
                    f"there are: {', '.join(keys)}"
                )
        if self.token and self.token_file:
            raise ValueError("has token and token_file; keep one")
        return self

    @cached_property
    def all_projects(self) -> tuple[ProjectTable, ...]:
        """The projects of both spellings."""
        return self.projects + tuple(ProjectTable(id=key) for key in self.project_ids)

    @cached_property
    def by_key(self) -> dict[str, ProjectTable]:
        """The same, by how each is written."""
        return {project.id: project for project in self.all_projects}


class MboxTable(BaseModel):
    """`[mbox]`: PaStA keeps its own keys here too, which are none of our business."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    patchwork: PatchworkTable


class StoreTable(Table):
    """`[store]`: where the mails go, and in which of PaStA's layouts."""

    mbox: Path = Path("resources/mbox")
    layout: Literal["raw", "patchwork"] = "raw"


class RedisTable(Table):
    """`[redis]`: without a url an embedded Redis is started and stopped with us."""

    url: SecretStr = SecretStr("")
    # Goes into the url, which then can stand in a file or an environment that anybody may read.
    password_file: Path | None = None
    signing_key_file: Path | None = Field(
        default=None, description="signs messages, so that Redis' password lets nobody forge them"
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("wants redis://host:6379/0, rediss://... or unix:///path")
        with suppress(ValueError):  # Its text may quote a part of the password.
            _parse_redis_url(url)
            return value
        raise ValueError("is no address; percent-encode its password, or use password_file")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password_file and not self.url.get_secret_value():
            raise ValueError("has password_file but no url: the embedded one needs none")
        if self.password_file and urlsplit(self.url.get_secret_value()).password:
            raise ValueError("has a password in its url and password_file; keep one")
        return self


def _parse_redis_url(url: str) -> None:
    """Raise ValueError where redis-py could not use a url."""
    parts = urlsplit(url)
    if parts.query:
        # Only redis-py knows its options, and takes longer to load than `patchsync health` may.
        from redis.connection import parse_url

        parse_url(url)  # type: ignore[no-untyped-call]
    else:
        _ = parts.port  # ValueError where it is no number


class GuestTable(Table):
    """`[patchwork]`: how we behave as a guest."""

    contact: str | None = None
    requests_per_second: float | None = Field(default=None, ge=0)
    requests_per_day: int | None = Field(default=None, ge=0)
    burst: int = Field(default=10, ge=1)
    connect_timeout: float = Field(default=10, gt=0)
    read_timeout: float = Field(default=60, gt=0)
    max_mail_bytes: int = Field(default=10 * 2**20, ge=1024)
    max_series_bytes: int = Field(default=64 * 2**20, ge=1024)


class FleetTable(Table):
    """`[fleet]`: how much at a time."""

    fetch_processes: int = Field(default=2, ge=1, description="processes of the fetch worker")
    downloads: int = Field(default=4, ge=1, le=32, description="downloads at once in each of them")
    window: int = Field(default=16, ge=3, description="pages of 250 patches in flight per project")
    lease_seconds: float = Field(default=120, ge=1, description="a page in flight is waited for")
    lock_seconds: float = Field(default=60, ge=1, description="a writer that is silent is left")
    batch_bytes: int = Field(default=4 * 2**20, ge=2**16, description="mails in one message")
    queue_bytes: int = Field(
        default=128 * 2**20, ge=2**20, description="in Redis for index; above it fetch waits"
    )

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.queue_bytes < 4 * self.batch_bytes:
            raise ValueError("has queue_bytes for less than four messages of batch_bytes")
        return self


class ImportTable(Table):
    """`[import]`: how archives come in."""

    spool_bytes: int = Field(
        default=128 * 2**20,
        ge=16 * 2**20,
        description="unpacked mails that an import has at a time and that are not stored yet",
    )


class ScheduleTable(Table):
    """`[schedule]`: how often beat enqueues what, per project."""

    probe_seconds: float = Field(default=60, ge=1)
    audit_seconds: float = Field(default=900, ge=1)
    audit_pages: int = Field(default=4, ge=1)
    push_seconds: float = Field(default=300, ge=1)
    analyse_seconds: float = Field(default=300, ge=1)


class FlowerTable(Table):
    """`[flower]`: the dashboard."""

    address: str = "127.0.0.1"
    port: int = Field(default=5555, ge=1, le=65535)
    login_file: Path | None = Field(default=None, description="one line: user:password")


class WebTable(Table):
    """`[web]`: the pages."""

    address: str = "127.0.0.1"
    port: int = Field(default=5556, ge=1, le=65535)
    url: str = Field(default="", description="where others reach the pages; checks lead there")
    archive: str = Field(
        default="", description="of the list's mails, like https://lore.kernel.org/r/{message_id}"
    )

    _url = field_validator("url")(as_web_url)
    _archive = field_validator("archive")(as_archive)
