"""The configuration: one TOML file and the environment become one frozen object.

The file is patchsync's own, or PaStA's project config with its `[mbox.patchwork]` table, in either
spelling that table had: `uri, token, project_ids, initial_archives` and `url, page_size, projects`.
Each key can also stand in the environment: `PATCHSYNC_`, then the tables and the key joined by two
underscores (`PATCHSYNC_REDIS__URL`); the token also as `PATCHWORK_TOKEN`. The environment wins.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import stat
import tempfile
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from redis.connection import parse_url

from patchsync.errors import ConfigError

DEFAULT_FILE = "patchsync.toml"
FILE_VARIABLE = "PATCHSYNC_CONFIG"
TOKEN_VARIABLE = "PATCHWORK_TOKEN"  # noqa: S105 - the variable's name, not a token

# Somebody else's Patchwork is asked at this pace unless the configuration says otherwise.
POLITE_REQUESTS_PER_SECOND = 5.0
POLITE_REQUESTS_PER_DAY = 50_000

# As it was at the start: workers put what they leave behind into the run_dir.
_TEMPORARY = Path(tempfile.gettempdir())

ProjectKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ProjectTable(_Table):
    """One project to keep in step: its number or link name, and if known the list's address."""

    id: ProjectKey = Field(description="number or link name in Patchwork")
    list_email: str | None = None
    initial_archive: str | None = None

    @property
    def called(self) -> str:
        """What people read of it where its link name is not at hand."""
        return f"project {self.id}" if self.id.isdecimal() else self.id

    @field_validator("id", mode="before")
    @classmethod
    def _number_or_name(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value


class PatchworkTable(_Table):
    """`[mbox.patchwork]`: which Patchwork, which projects."""

    url: str = Field(validation_alias=AliasChoices("url", "uri"))
    token: SecretStr | None = None
    token_file: Path | None = None
    projects: tuple[ProjectTable, ...] = ()
    project_ids: tuple[int | ProjectKey, ...] = ()
    initial_archives: tuple[tuple[int | ProjectKey, str], ...] = ()
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
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"names a project twice: {', '.join(sorted(twice))}")
        if self.token and self.token_file:
            raise ValueError("has token and token_file; keep one")
        return self

    @property
    def all_projects(self) -> tuple[ProjectTable, ...]:
        """The projects of both spellings."""
        return self.projects + tuple(ProjectTable(id=str(key)) for key in self.project_ids)


class MboxTable(BaseModel):
    """`[mbox]`: PaStA keeps its own keys here too, which are none of our business."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    patchwork: PatchworkTable


class StoreTable(_Table):
    """`[store]`: where the mails go, and in which of PaStA's layouts."""

    mbox: Path = Path("resources/mbox")
    layout: Literal["raw", "patchwork"] = "raw"


class RedisTable(_Table):
    """`[redis]`: without a url an embedded Redis is started and stopped with us."""

    url: SecretStr = SecretStr("")
    # Goes into the url, which then can stand in a file or an environment that anybody may read.
    password_file: Path | None = None

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and not url.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("wants redis://host:6379/0, rediss://... or unix:///path")
        with suppress(ValueError):  # Its text may quote a part of the password.
            parse_url(url or "redis://")  # type: ignore[no-untyped-call]
            return value
        raise ValueError("is no address; percent-encode its password, or use password_file")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password_file and not self.url.get_secret_value():
            raise ValueError("has password_file but no url: the embedded one needs none")
        if self.password_file and urlsplit(self.url.get_secret_value()).password:
            raise ValueError("has a password in its url and password_file; keep one")
        return self


class AskTable(_Table):
    """`[patchwork]`: how we behave as a guest."""

    contact: str | None = None
    requests_per_second: float | None = Field(default=None, ge=0)
    requests_per_day: int | None = Field(default=None, ge=0)
    burst: int = Field(default=10, ge=1)
    connect_timeout: float = Field(default=10, gt=0)
    read_timeout: float = Field(default=60, gt=0)
    max_mail_bytes: int = Field(default=10 * 2**20, ge=1024)
    max_series_bytes: int = Field(default=64 * 2**20, ge=1024)


class FleetTable(_Table):
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


class ScheduleTable(_Table):
    """`[schedule]`: how often beat enqueues what, per project."""

    probe_seconds: float = Field(default=60, ge=1)
    audit_seconds: float = Field(default=900, ge=1)
    audit_pages: int = Field(default=4, ge=1)


class FlowerTable(_Table):
    """`[flower]`: the dashboard."""

    address: str = "127.0.0.1"
    port: int = Field(default=5555, ge=1, le=65535)
    login_file: Path | None = Field(default=None, description="one line: user:password")


class Config(BaseSettings):
    """Everything that can be set. Built by `load`; frozen."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="PATCHSYNC_", env_nested_delimiter="__"
    )

    source: Path = Field(description="the file this was read from; what it names is relative to it")
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] | None = None
    mbox: MboxTable
    store: StoreTable = StoreTable()
    redis: RedisTable = RedisTable()
    patchwork: AskTable = AskTable()
    fleet: FleetTable = FleetTable()
    schedule: ScheduleTable = ScheduleTable()
    flower: FlowerTable = FlowerTable()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the file; nothing else."""
        return env_settings, init_settings

    @property
    def url(self) -> str:
        """The address of the Patchwork, as it was written."""
        return self.mbox.patchwork.url

    @property
    def base_url(self) -> str:
        """The address of the Patchwork itself, without the API's path, version and slash."""
        return re.sub(r"/api(/[0-9]+\.[0-9]+)?$", "", self.url.rstrip("/"))

    @property
    def projects(self) -> tuple[ProjectTable, ...]:
        """The projects to keep in step."""
        return self.mbox.patchwork.all_projects

    @property
    def namespace(self) -> str:
        """What tells this configuration's queues, locks and keys from another's in one Redis."""
        return self.name or self.instance

    @property
    def instance(self) -> str:
        """What tells this Patchwork from others: the rate limit is one for all that ask it."""
        parts = urlsplit(self.base_url)
        return re.sub(r"[^A-Za-z0-9.]+", "-", parts.netloc + parts.path)

    @property
    def d_mbox(self) -> Path:
        """PaStA's MBOX folder, absolute."""
        return (self.source.parent / self.store.mbox.expanduser()).absolute()

    @property
    def rate(self) -> float | None:
        """Requests a second over the whole fleet; None is without limit.

        Unset means a polite pace, except for a Patchwork on this machine, which is nobody else's.
        """
        asked = self.patchwork.requests_per_second
        if asked is None:
            return None if self._is_ours else POLITE_REQUESTS_PER_SECOND
        return asked or None

    @property
    def _is_ours(self) -> bool:
        """Whether the Patchwork is on this machine."""
        return _is_loopback(urlsplit(self.url).hostname or "")

    @property
    def daily_budget(self) -> int | None:
        """Requests a day (UTC) over the whole fleet; None is without limit. As `rate`, if unset."""
        asked = self.patchwork.requests_per_day
        if asked is None:
            return None if self._is_ours else POLITE_REQUESTS_PER_DAY
        return asked or None

    @property
    def run_dir(self) -> Path:
        """Where the embedded Redis has its socket and the processes that we start their logs.

        Short, because a socket's path may have 107 bytes, and the same for every process of this
        user that reads this configuration. Created by `make_run_dir`.
        """
        digest = hashlib.sha256(f"{self.namespace}\n{self.d_mbox}".encode()).hexdigest()[:10]
        return _TEMPORARY / f"patchsync-{os.getuid()}" / digest

    @property
    def embedded_redis(self) -> bool:
        """Whether Redis is ours to start and stop."""
        return not self.redis.url.get_secret_value()

    @property
    def redis_url(self) -> str:
        """Redis' address as redis-py wants it. It may hold a password: do not show it.

        Raises:
            ConfigError: `password_file` cannot be read or is empty.
        """
        url = self.redis.url.get_secret_value()
        if not url:
            return f"unix://{self.run_dir / 'redis.sock'}"
        if not self.redis.password_file:
            return url
        password = self._secret("[redis] password_file", self.redis.password_file)
        parts = urlsplit(url)
        user, _, host = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()

    def token(self) -> SecretStr | None:
        """The API token, or None where none is set.

        Read when it is needed: what only reads from Patchwork needs none.

        Raises:
            ConfigError: `token_file` cannot be read or is empty.
        """
        given = os.environ.get(TOKEN_VARIABLE, "").strip()
        if given:
            return SecretStr(given)
        table = self.mbox.patchwork
        if not table.token_file:
            return table.token
        return SecretStr(
            self._secret(
                "[mbox.patchwork] token_file", table.token_file, f", or set {TOKEN_VARIABLE}"
            )
        )

    def flower_login(self) -> SecretStr | None:
        """`user:password` for the dashboard, or None where it needs no login.

        Raises:
            ConfigError: `login_file` cannot be read or used; or there is none, and the dashboard
                would be open to other machines.
        """
        file = self.flower.login_file
        if file is None:
            if not _is_loopback(self.flower.address):
                raise ConfigError(
                    f"[flower] address: {self.flower.address} is open to other machines; "
                    "set [flower] login_file to a file that holds user:password"
                )
            return None
        login = self._secret("[flower] login_file", file)
        if not re.fullmatch(r"[^:\s]+:\S+", login):
            raise ConfigError(f"[flower] login_file: {file} wants one line, user:password")
        return SecretStr(login)

    def _secret(self, key: str, file: Path, otherwise: str = "") -> str:
        """The text of a file that holds a secret; read when it is needed."""
        path = self.source.parent / file.expanduser()
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{key}: {path} cannot be read ({error.__class__.__name__}); "
                f"create it{otherwise}, or remove the key"
            ) from error
        if not text:
            raise ConfigError(f"{key}: {path} is empty")
        return text

    def project(self, key: str) -> ProjectTable:
        """The configured project that is written as `key` in the file.

        Raises:
            ConfigError: there is none; the message lists those there are.
        """
        for project in self.projects:
            if project.id == key:
                return project
        raise ConfigError(
            f"project {key!r} is not in {self.source}; it has: "
            + ", ".join(project.id for project in self.projects)
        )


def load(file: str | Path | None = None) -> Config:
    """Read `file` (default: `$PATCHSYNC_CONFIG`, else `patchsync.toml` here) and the environment.

    Raises:
        ConfigError: it cannot be read or used; the message names file, table and key.
    """
    named = file or os.environ.get(FILE_VARIABLE)
    path = Path(named or DEFAULT_FILE).absolute()
    tables: dict[str, Any] | None
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named:
            raise ConfigError(f"{path}: there is no such file") from None
        tables = None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        return Config(source=path, **_ours(tables or {}))
    except ValidationError as error:
        problems = "\n".join(_problem(each) for each in error.errors())
        absent = f"\n  (there is no {path}; name a file by -c or {FILE_VARIABLE})"
        hint = absent if tables is None else ""
        raise ConfigError(f"{path}:\n{problems}{hint}") from None


def make_run_dir(config: Config) -> Path:
    """Create `config.run_dir`, for this user alone.

    Raises:
        ConfigError: somebody else's folder is in the way, or its path is too long for a socket.
    """
    run_dir = config.run_dir
    if len(os.fsencode(run_dir / "redis.sock")) > 100:
        raise ConfigError(f"{run_dir}: too long for a socket; set TMPDIR to a shorter folder")
    try:
        run_dir.parent.mkdir(mode=0o700, exist_ok=True)
        info = run_dir.parent.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
            raise ConfigError(
                f"{run_dir.parent}: not a folder of this user alone; remove it or set TMPDIR"
            )
        run_dir.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{run_dir}: {error.strerror}; set TMPDIR to a usable folder") from error
    return run_dir


def _ours(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables that are meant for us, the mistyped ones included. In PaStA's own file (it has a
    table `PaStA`) all others are PaStA's."""
    if "PaStA" not in tables:
        return tables
    ours = {key: value for key, value in tables.items() if key in Config.model_fields}
    pasta_mbox = tables["PaStA"].get("MBOX")
    if pasta_mbox:
        ours["store"] = {"mbox": pasta_mbox} | ours.get("store", {})
    return ours


def _problem(error: Any) -> str:
    """One line of pydantic's report, in the words of the file."""
    *tables, key = (str(part) for part in error["loc"])
    where = f"[{'.'.join(tables)}] {key}" if tables else key
    if where == "mbox":
        where = "[mbox.patchwork]"
    message = re.sub(r"^Value error, ", "", error["msg"])
    if error["type"] == "missing":
        message = "is missing"
    elif error["type"] == "extra_forbidden":
        message = "is no setting of patchsync; is it misspelt?"
    return f"  {where}: {message}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
