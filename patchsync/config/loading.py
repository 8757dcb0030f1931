"""From a TOML file to a `Config`, or to an error in the words of that file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from patchsync.config.environment import (
    PREFIX,
    SEPARATOR,
    field_of,
    merge,
    names_of,
    read_environment,
)
from patchsync.config.settings import Config
from patchsync.errors import ConfigError

DEFAULT_FILE = "patchsync.toml"
FILE_VARIABLE = "PATCHSYNC_CONFIG"

# What is wrong, by pydantic's name for it; a ValueError of ours brings its own words.
_TABLE = "wants a table, written below a line with its name in [ ], or as {{ key = value }}"
_WHOLE_NUMBER = "wants a whole number"
_NUMBER = "wants a number"
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is no setting of patchsync; is it misspelt?",
    "model_type": _TABLE,
    "tuple_type": "wants a list, in [ ]",
    "too_long": "has more values than it takes ({max_length})",
    "string_type": 'wants text, in " "',
    "string_too_long": "has more than {max_length} characters",
    "path_type": 'wants a path, in " "',
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_parsing_size": _WHOLE_NUMBER + " of fewer digits",
    "int_from_float": _WHOLE_NUMBER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": "wants true or false",
    "bool_parsing": "wants true or false",
    "finite_number": _NUMBER + " that is not infinite",
    "greater_than": "wants a number above {gt}",
    "greater_than_equal": "wants a number of at least {ge}",
    "less_than": "wants a number below {lt}",
    "less_than_equal": "wants a number of at most {le}",
    "literal_error": "wants {expected}",
    "control_character": "holds a control character",
}


def load(file: str | Path | None = None) -> Config:
    """Read `file` (default: `$PATCHSYNC_CONFIG`, else `patchsync.toml` here) and the environment.

    Raises:
        ConfigError: it cannot be read or used; the message names file, table and key.
    """
    named = file or os.environ.get(FILE_VARIABLE)
    path = Path(named or DEFAULT_FILE).absolute()
    tables, absent = _read(path)
    if absent and named:
        raise ConfigError(absent)
    environment = read_environment(Config, os.environ)
    settings = merge(_ours(tables), environment)
    faults: list[Any] = list(_control_characters(settings))
    try:
        config = Config.read_from(path, settings)
        if not faults:
            return config
    except ValidationError as error:
        faults += error.errors()
    problems = "\n".join(
        _problem(fault) + _variable_of(environment, fault["loc"]) for fault in faults
    )
    if absent and not environment:
        raise ConfigError(absent)
    raise ConfigError(f"{absent or path}:\n{problems}")


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """The tables of a file, and what to say where there is none; raises ConfigError."""
    try:
        # Editors of Windows put a mark before the text.
        return tomllib.loads(path.read_text(encoding="utf-8-sig")), ""
    except FileNotFoundError:
        return {}, (
            f"there is no {path}: write one (the README shows how it begins), or name another one"
            f" by -c or {FILE_VARIABLE}"
        )
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text: see byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error
    except RecursionError:
        raise ConfigError(f"{path} is no TOML that can be read: too deep in itself") from None


def _ours(tables: dict[str, Any]) -> dict[str, Any]:
    """The tables that are meant for us, the mistyped ones included. In PaStA's own file (it has a
    table `PaStA`) all others are PaStA's."""
    pasta = tables.get("PaStA")
    if not isinstance(pasta, dict):
        return tables
    fields = Config.model_fields.items()
    known = {spelt for name, field in fields for spelt in names_of(name, field)}
    ours = {key: value for key, value in tables.items() if key in known}
    if pasta.get("MBOX"):
        ours = merge({"store": {"mbox": pasta["MBOX"]}}, ours)
    if pasta.get("PATCH_GROUPS"):
        ours = merge({"push": {"groups": pasta["PATCH_GROUPS"]}}, ours)
    return ours


def _control_characters(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The values that hold one, as pydantic would report them; templates have lines.

    They would end up in file names and on terminals. A validator of each key would cost each
    command ten times as much.
    """
    left: list[tuple[tuple[str | int, ...], object]] = [((), settings)]
    while left:
        loc, value = left.pop()
        if isinstance(value, str):
            if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", value):
                yield {"type": "control_character", "loc": loc}
        elif isinstance(value, dict):
            left += [((*loc, key), below) for key, below in value.items()]
        elif isinstance(value, list):
            left += [((*loc, place), below) for place, below in enumerate(value)]


def _problem(error: Any) -> str:
    """One line of pydantic's report, in the words of the file."""
    context = error.get("ctx", {})
    kind = error["type"]
    message = _WORDS.get(kind, "cannot be used").format(**context)
    if kind == "value_error":
        message = str(context["error"])
    return f"  {_place(error['loc'])}: {message}"


def _variable_of(environment: dict[str, Any], loc: tuple[str | int, ...]) -> str:
    """That a value came from the environment, where it did: nobody would find it in the file."""
    names: list[str] = []
    value: Any = environment
    for part in loc:
        if not isinstance(value, dict) or part not in value:
            break
        names.append(str(part))
        value = value[part]
    if not names or isinstance(value, dict):
        return ""
    return f" (set by {PREFIX.upper()}{SEPARATOR.join(names).upper()})"


def _place(loc: tuple[str | int, ...]) -> str:
    """What is wrong, as in `[mbox.patchwork] projects, entry 2, id`; entries are counted from 1."""
    tables: list[str] = []
    table: Any = Config
    for part in loc:
        field = field_of(table, str(part))
        table = field.annotation if field else None
        if not hasattr(table, "model_fields"):
            break
        tables.append(str(part))
    if tables == ["mbox"]:
        tables = ["mbox", "patchwork"]
    key = [f"entry {part + 1}" if isinstance(part, int) else part for part in loc[len(tables) :]]
    table_name = [f"[{'.'.join(tables)}]"] if tables else []
    return " ".join([*table_name, *([", ".join(key)] if key else [])])
