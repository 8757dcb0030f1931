"""docs/configuration.md: every key of the configuration stands there, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.fields import FieldInfo

from patchsync.config import Config, load

DOC = Path(__file__).parents[3] / "docs/configuration.md"

Key = tuple[str, str]


class Documented(NamedTuple):
    """A row of the document: the names of the key, and the cell of its default."""

    names: list[str]
    default: str


def documented() -> dict[Key, Documented]:
    """The rows of all tables, by the table's name in the heading ("" at the top) and the key."""
    rows: dict[Key, Documented] = {}
    table = ""
    for line in DOC.read_text().splitlines():
        if line.startswith("## "):
            table = "".join(re.findall(r"`\[+([\w.]+)\]+`", line))
        elif row := re.match(r"\| (`\w+`.*?) \| (.+?) \| .+ \|$", line):
            names = re.findall(r"`(\w+)`", row[1])
            assert (table, names[0]) not in rows
            rows[table, names[0]] = Documented(names, row[2])
    return rows


def configured(model: type[BaseModel] = Config, table: str = "") -> dict[Key, FieldInfo]:
    """The keys of a table and of those below it, by the table's name and the key's first name."""
    keys: dict[Key, FieldInfo] = {}
    for name, field in model.model_fields.items():
        spelt = names_of(name, field)[0]
        if below := table_of(field):
            keys |= configured(below, f"{table}.{spelt}".removeprefix("."))
        # A list of tables is a key as well.
        if not below or below is not field.annotation:
            keys[table, spelt] = field
    return keys


def names_of(name: str, field: FieldInfo) -> list[str]:
    """What a key is called in the file."""
    if isinstance(field.validation_alias, AliasChoices):
        return [str(choice) for choice in field.validation_alias.choices]
    return [field.alias or name]


def table_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a table or a tuple of tables."""
    models = [
        kind
        for kind in (field.annotation, *get_args(field.annotation))
        if isinstance(kind, type) and issubclass(kind, BaseModel)
    ]
    return models[0] if models else None


def written(default: Any) -> str:
    """A default as the document writes it; commas between digits left out."""
    match default:
        case None | "" | ():
            return "none"
        case SecretStr():
            return written(default.get_secret_value())
        case bool():
            return str(default).lower()
        case int() if default >= 2**20 and default % 2**20 == 0:
            return f"{default // 2**20} MiB"
        case int() | float():
            return f"{default:g}"
        case str() if "{%" in default:
            return "a template"
        case tuple():
            return ", ".join(f"`{choice}`" for choice in default)
        case _:
            return f"`{default}`"


def test_every_key_is_documented() -> None:
    """The document has the tables and keys of the configuration, and no other, in all spellings."""
    assert {key: row.names for key, row in documented().items()} == {
        (table, name): names_of(name, field) for (table, name), field in configured().items()
    }


def test_every_default_is_as_documented() -> None:
    """A default is the one that the code has, where it does not follow from something else."""
    fields = configured()
    in_code = {
        key: "required" if field.is_required() else written(field.default)
        for key, field in fields.items()
    }
    told = {key: without_commas(row.default) for key, row in documented().items()}
    differing = {key for key in in_code if told[key] != in_code[key]}
    assert differing == {
        ("", "name"),
        *(key for key in in_code if key[0] == "analysis.thresholds"),
        ("patchwork", "requests_per_second"),
        ("patchwork", "requests_per_day"),
    }


def without_commas(text: str) -> str:
    """50,000 as 50000."""
    return re.sub(r"(?<=\d),(?=\d)", "", text)


@pytest.mark.parametrize("url", ["https://patchwork.example.org", "http://127.0.0.1:8000"])
def test_the_limits_are_as_documented(tmp_path: Path, url: str) -> None:
    """Somebody else's Patchwork has the documented limits, one on this machine has none."""
    file = tmp_path / "patchsync.toml"
    file.write_text(f'[mbox.patchwork]\nurl = "{url}"\nproject_ids = [1]\n')
    config = load(file)
    rows = documented()
    for key, limit in (
        ("requests_per_second", config.rate),
        ("requests_per_day", config.daily_budget),
    ):
        polite, otherwise = rows["patchwork", key].default.split("; ")
        assert otherwise == "no limit for a Patchwork on this machine"
        assert limit == (None if "127.0.0.1" in url else float(without_commas(polite)))
