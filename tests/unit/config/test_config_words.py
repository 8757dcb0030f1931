"""Whatever stands where another value should: the error is in our words, and names the key."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from patchsync.config import Config
from patchsync.config.environment import names_of
from patchsync.config.loading import load
from patchsync.errors import ConfigError

MINIMAL = {
    ("mbox", "patchwork", "url"): '"https://p.example.org"',
    ("mbox", "patchwork", "project_ids"): "[1]",
}
# In TOML's words; a number stands for what nothing takes in full.
VALUES = [
    *("true", "-1", "0", "3", "1.5", "inf", "nan", "1e400", "9" * 400, "2024-01-01"),
    *('""', '"text"', '"a\\u0000b"', '"\\u001b[2J"', f'"{"x" * 5000}"', '"-1"', '"\\n"'),
    *("[]", "[[]]", "[1, 2, 3]", "[[1, 2, 3]]", '["x"]', "[{}]", '[{ id = "/" }]', "{}"),
    *("{ x = 1 }", "{ id = 1 }"),
]
FOREIGN = (
    *("Input should", "should be", "should have", "valid ", "alidation", "type=", "Value error"),
    *("pattern", "permitted", "required", "cannot be used", "Tuple", "constrained", "None"),
)


def keys(model: type[BaseModel] = Config, *tables: str) -> Iterator[tuple[str, ...]]:
    """Each key of the configuration, and each table, with the tables that it stands in."""
    for name, field in model.model_fields.items():
        path = (*tables, names_of(name, field)[0])
        yield path
        below = field.annotation
        if isinstance(below, type) and issubclass(below, BaseModel):
            yield from keys(below, *path)


@pytest.mark.parametrize("key", list(keys()), ids=".".join)
def test_no_library_speaks(key: tuple[str, ...], tmp_path: Path) -> None:
    """A value of each kind is taken, or refused by its key in words of ours."""
    file = tmp_path / "patchsync.toml"
    refused = 0
    for value in VALUES:
        file.write_text(toml_with(key, value))
        try:
            config = load(file)
        except ConfigError as error:
            refused += 1
            message = str(error).replace(str(tmp_path), "")
            assert key[-1] in message or "[mbox.patchwork]" in message, message
            assert not [word for word in FOREIGN if word in message], message
            assert "\0" not in message and "\x1b" not in message
        else:
            os.fsencode(config.run_dir)
    assert refused > 2


def test_control_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file or the environment, at any depth; beside all else that is wrong."""
    file = tmp_path / "patchsync.toml"
    monkeypatch.setenv("PATCHSYNC_PUSH__GROUPS", "a\x7fb")
    file.write_text(
        '[mbox.patchwork]\nurl = "https://p.example.org"\nprojects = [{ id = 1 }, { id = 2 }]\n'
        'initial_archives = [["1", "a.gz"], ["2", "\\u001b[2J"]]\n'
        "[fleet]\nwindow = 1\n"
        '[push.check]\ndescription = "lines\\n\\tare meant"\n'
    )
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert set(str(raised.value).splitlines()[1:]) == {
        "  [push] groups: holds a control character (set by PATCHSYNC_PUSH__GROUPS)",
        "  [mbox.patchwork] initial_archives, entry 2, entry 2: holds a control character",
        "  [fleet] window: wants a number of at least 3",
    }


def toml_with(key: tuple[str, ...], value: str) -> str:
    """A file with one more value than it needs, or another."""
    lines = {path: text for path, text in MINIMAL.items() if path[: len(key)] != key}
    return "".join(f"{'.'.join(path)} = {text}\n" for path, text in (lines | {key: value}).items())
