"""What patchsync works with: the tables as they were set, and what follows from them."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import tempfile
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from patchsync.config.analysis_tables import AnalysisTable
from patchsync.config.push_tables import PushTable
from patchsync.config.tables import (
    TOKEN_VARIABLE,
    TOKEN_VARIABLES,
    FleetTable,
    FlowerTable,
    GuestTable,
    ImportTable,
    MboxTable,
    Name,
    ProjectTable,
    RedisTable,
    ScheduleTable,
    StoreTable,
    WebTable,
)
from patchsync.errors import ConfigError

# Somebody else's Patchwork is asked at this pace unless the configuration says otherwise.
POLITE_REQUESTS_PER_SECOND = 5.0
POLITE_REQUESTS_PER_DAY = 50_000

# Characters of the key that messages are signed with.
SHORTEST_KEY = 32

# As it was at the start: workers put what they leave behind into the run_dir.
_TEMPORARY = Path(tempfile.gettempdir())


class Config(BaseModel):
    """Everything that can be set. Built by `load`; frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    _source: Path
    name: Name | None = None
    mbox: MboxTable
    store: StoreTable = StoreTable()
    redis: RedisTable = RedisTable()
    patchwork: GuestTable = GuestTable()
    fleet: FleetTable = FleetTable()
    # `import` is a word of Python's; the file and the environment say it.
    imports: ImportTable = Field(default=ImportTable(), alias="import")
    schedule: ScheduleTable = ScheduleTable()
    flower: FlowerTable = FlowerTable()
    web: WebTable = WebTable()
    push: PushTable = PushTable()
    analysis: AnalysisTable = AnalysisTable()

    @classmethod
    def read_from(cls, source: Path, settings: dict[str, Any]) -> Self:
        """The configuration with these tables, as they stand in the file `source`.

        Raises:
            pydantic.ValidationError: they cannot be used.
        """
        config = cls.model_validate(settings)
        config._source = source
        return config

    @property
    def source(self) -> Path:
        """The file this was read from; what it names is relative to it."""
        return self._source

    @field_validator("push")
    @classmethod
    def _comments_where_we_are(cls, push: PushTable, info: ValidationInfo) -> PushTable:
        if "mbox" in info.data:
            known = [project.id for project in info.data["mbox"].patchwork.all_projects]
            for key in push.comment.projects:
                if key not in known:
                    raise ValueError(
                        f"has [push.comment] projects with {key!r}, which is not configured; "
                        f"there are: {', '.join(known)}"
                    )
        return push

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
    def initial_archives(self) -> tuple[tuple[str, Path], ...]:
        """Key of a project and absolute path of an archive of its mails, of both spellings.

        PaStA writes an empty path for none.
        """
        table = self.mbox.patchwork
        named = [(project.id, project.initial_archive) for project in self.projects]
        named += table.initial_archives
        return tuple((key, self._absolute(Path(path))) for key, path in named if path)

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
        return self._absolute(self.store.mbox)

    @property
    def patch_groups(self) -> Path:
        """PaStA's result, absolute; in parts it has other names (`patchsync.analysis.groups`)."""
        groups = self.push.groups
        return self._absolute(Path(groups)) if groups else self.d_mbox.parent / "patch-groups"

    @property
    def rate(self) -> float | None:
        """Requests a second over the whole fleet; None is without limit.

        Unset means a polite pace, except for a Patchwork on this machine, which is nobody else's.
        """
        rate = self.patchwork.requests_per_second
        if rate is None:
            return None if self._is_ours else POLITE_REQUESTS_PER_SECOND
        return rate or None

    @property
    def _is_ours(self) -> bool:
        """Whether the Patchwork is on this machine."""
        return _is_loopback(urlsplit(self.url).hostname or "")

    @property
    def daily_budget(self) -> int | None:
        """Requests a day (UTC) over the whole fleet; None is without limit. As `rate`, if unset."""
        budget = self.patchwork.requests_per_day
        if budget is None:
            return None if self._is_ours else POLITE_REQUESTS_PER_DAY
        return budget or None

    @property
    def push_budget(self) -> int | None:
        """How many of the day's requests are for push, and for nothing else; None: no limit.

        0 where nothing is pushed.
        """
        budget = self.daily_budget
        if budget is None:
            return None
        return max(1, int(budget * self.push.requests_share)) if self.push.sinks else 0

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
            ConfigError: `token_file` cannot be read or is empty; or the token would go to another
                machine unencrypted.
        """
        token = self._token()
        encrypted = urlsplit(self.url).scheme == "https"
        if token and not (encrypted or self._is_ours or self.mbox.patchwork.token_over_http):
            raise ConfigError(
                f"[mbox.patchwork] url: {self.url} is another machine and not https: anybody on "
                "the way could read the token; use https://, or set token_over_http = true there"
            )
        return token

    def _token(self) -> SecretStr | None:
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

    def signing_key(self) -> SecretStr | None:
        """What messages are signed with, or None where they are not.

        Raises:
            ConfigError: `signing_key_file` cannot be read, or can be guessed.
        """
        file = self.redis.signing_key_file
        if file is None:
            return None
        key = self._secret("[redis] signing_key_file", file)
        if len(key) < SHORTEST_KEY:
            raise ConfigError(
                f"[redis] signing_key_file: {file} has less than {SHORTEST_KEY} characters; "
                "`openssl rand -hex 32` makes a key"
            )
        return SecretStr(key)

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

    def smtp_password(self) -> SecretStr | None:
        """The password of `smtp_user`, or None where the server wants none.

        Raises:
            ConfigError: `smtp_password_file` cannot be read or is empty.
        """
        file = self.push.comment.smtp_password_file
        return SecretStr(self._secret("[push.comment] smtp_password_file", file)) if file else None

    @property
    def secret_files(self) -> dict[str, Path]:
        """The files with secrets that are configured, by the key that names each.

        The configuration itself is `configuration`, where it holds a secret.
        """
        table, redis_table = self.mbox.patchwork, self.redis
        keys = {
            "[mbox.patchwork] token_file": table.token_file,
            "[redis] password_file": redis_table.password_file,
            "[redis] signing_key_file": redis_table.signing_key_file,
            "[flower] login_file": self.flower.login_file,
            "[push.comment] smtp_password_file": self.push.comment.smtp_password_file,
        }
        files = {key: self._absolute(file) for key, file in keys.items() if file}
        # By the variables that go before what the configuration says.
        within = {
            TOKEN_VARIABLES[1]: table.token,
            "PATCHSYNC_REDIS__URL": urlsplit(redis_table.url.get_secret_value()).password,
        }
        outside = {name.upper() for name in os.environ}
        if any(secret for variable, secret in within.items() if variable not in outside):
            files["configuration"] = self.source
        return files

    def absolute(self, written: str) -> Path | None:
        """A path as it is written in the file, absolute; None where it is empty."""
        return self._absolute(Path(written)) if written else None

    def _absolute(self, path: Path) -> Path:
        """A path of the file: relative to the file's folder, `~` is the user's."""
        return (self.source.parent / path.expanduser()).absolute()

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
        project = self.mbox.patchwork.by_key.get(key)
        if project:
            return project
        raise ConfigError(
            f"project {key!r} is not in {self.source}; it has: "
            + ", ".join(project.id for project in self.projects)
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
