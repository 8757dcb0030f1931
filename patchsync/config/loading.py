"""From a TOML file to a `Config`, or to an error in the words of that file."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from patchsync.config.environment import merge, names_of, read_environment
from patchsync.config.settings import Config
from patchsync.errors import ConfigError

DEFAULT_FILE = "patchsync.toml"
FILE_VARIABLE = "PATCHSYNC_CONFIG"


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
    settings = merge(_ours(tables or {}), read_environment(Config, os.environ))
    try:
        return Config(**settings | {"source": path})
    except ValidationError as error:
        problems = "\n".join(_problem(fault) for fault in error.errors())
        absent = f"\n  (there is no {path}; name a file by -c or {FILE_VARIABLE})"
        hint = absent if tables is None else ""
        raise ConfigError(f"{path}:\n{problems}{hint}") from None


def _ours(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables that are meant for us, the mistyped ones included. In PaStA's own file (it has a
    table `PaStA`) all others are PaStA's."""
    if "PaStA" not in tables:
        return tables
    fields = Config.model_fields.items()
    known = {spelt for name, field in fields for spelt in names_of(name, field)}
    ours = {key: value for key, value in tables.items() if key in known}
    pasta_mbox = tables["PaStA"].get("MBOX")
    if pasta_mbox:
        ours["store"] = {"mbox": pasta_mbox} | ours.get("store", {})
    pasta_groups = tables["PaStA"].get("PATCH_GROUPS")
    if pasta_groups:
        ours["push"] = {"groups": pasta_groups} | ours.get("push", {})
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
