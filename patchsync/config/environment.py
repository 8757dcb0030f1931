"""What the environment sets: `PATCHSYNC_`, then the tables and the key, joined by two underscores.

pydantic-settings does the same, but a quarter of the time of `patchsync health` went into its
import, most of it for asyncio.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_origin

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from patchsync.errors import ConfigError

PREFIX = "patchsync_"
SEPARATOR = "__"


def names_of(name: str, field: FieldInfo) -> list[str]:
    """What a field of a table is called in the file and in the environment."""
    if isinstance(field.validation_alias, AliasChoices):
        return [str(choice) for choice in field.validation_alias.choices]
    return [field.alias or name]


def read_environment(model: type[BaseModel], environment: Mapping[str, str]) -> dict[str, Any]:
    """The tables of `model` as the file would have them, with what the environment sets of them.

    Names of variables go by any case. A list, or a whole table, is written as JSON.

    Raises:
        ConfigError: one is not JSON that should be.
    """
    tables: dict[str, Any] = {}
    # A whole table first: what is set of its keys goes before it.
    for variable in sorted(environment, key=lambda name: name.count(SEPARATOR)):
        if not variable.lower().startswith(PREFIX):
            continue
        path = variable.lower().removeprefix(PREFIX).split(SEPARATOR)
        if field_of(model, path[0]) is None:
            continue  # No setting: where the file is, what tests want.
        kind: Any = model
        for name in path:
            field = field_of(kind, name)
            kind = field.annotation if field else None
        value: Any = _value(variable, environment[variable], kind)
        for name in reversed(path):
            value = {name: value}
        tables = merge(tables, value)
    return tables


def merge(tables: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`tables` with the keys of `over`, which go before theirs, at every depth."""
    merged = dict(tables)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def field_of(table: Any, name: str) -> FieldInfo | None:
    """The field that is written as `name` in a table; None where there is none, or no table."""
    fields: dict[str, FieldInfo] = getattr(table, "model_fields", {})
    for field_name, field in fields.items():
        if name in names_of(field_name, field):
            return field
    return None


def _value(variable: str, text: str, kind: Any) -> Any:
    """What a variable says: as JSON for a list or a table, else as it is."""
    if not text or (get_origin(kind) is not tuple and not hasattr(kind, "model_fields")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        place = getattr(error, "pos", 0) + 1
        raise ConfigError(
            f'{variable}: wants JSON, like [1, "netdev"]; see character {place}'
        ) from None
