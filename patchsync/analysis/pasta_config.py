"""PaStA's own configuration of a project.

A TOML file `config` in the project's folder, with `../common/default.cfg` below it: its tables are
`[PaStA]` and `[mbox]`, paths in it are relative to that folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from patchsync.errors import ConfigError

_Value = TypeVar("_Value")


class PastaConfig:
    """PaStA's configuration of a project, over the defaults for all projects."""

    def __init__(self, file: Path) -> None:
        """Raises ConfigError where one of the two cannot be read."""
        self.file = file
        self.common = file.parent.parent / "common"
        # Those of `file` alone
        self.tables = read_tables(file)
        # May be missing: PaStA wants it, `get` does not
        self.defaults = self.common / "default.cfg"
        self._files = [(file, self.tables)]
        if self.defaults.is_file():
            self._files.append((self.defaults, read_tables(self.defaults)))

    def get(self, table: str, key: str, read: Callable[[Any], _Value], default: _Value) -> _Value:
        """The value of a key, as `read` understands it."""
        for file, tables in self._files:
            keys = tables.get(table, {})
            if not isinstance(keys, dict):
                raise ConfigError(f"{file}: {table} is no table")
            if key in keys:
                try:
                    return read(keys[key])
                except (ValueError, TypeError, OverflowError):
                    raise ConfigError(
                        f"{file}: [{table}] {key} = {keys[key]!r} cannot be used; PaStA's "
                        f"default is {default or 'none'}"
                    ) from None
        return default

    def path(self, key: str, default: str) -> Path:
        """A path of the table `PaStA`, absolute."""
        return (self.file.parent / self.get("PaStA", key, as_text, default)).absolute()


def read_tables(file: Path) -> dict[str, Any]:
    """All that a TOML file holds. Raises ConfigError."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error


def as_text(value: object) -> str:
    """The value, which has to be text. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError
    return value
