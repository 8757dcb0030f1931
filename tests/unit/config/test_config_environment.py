"""The environment: each key of the file as a variable, which goes before the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from patchsync.config import Config, load
from patchsync.errors import ConfigError

FILE = """
[mbox.patchwork]
url = "https://patchwork.example.org/api/"
projects = [{ id = 1 }]
[push]
sinks = ["check"]
"""
MIB = 2**20


def loaded(folder: Path, **environment: str) -> Config:
    """What the file and these variables make, of `PATCHSYNC_` and the name."""
    file = folder / "patchsync.toml"
    file.write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        for name, text in environment.items():
            patch.setenv(f"PATCHSYNC_{name}", text)
        return load(file)


@pytest.mark.parametrize(
    ("environment", "key", "value"),
    [
        ({"NAME": "ppc"}, "name", "ppc"),
        ({"FLEET__WINDOW": "8"}, "fleet.window", 8),
        ({"PATCHWORK__REQUESTS_PER_SECOND": "2.5"}, "rate", 2.5),
        ({"PUSH__CHECK__CONTEXT": "revisions"}, "push.check.context", "revisions"),
        ({"IMPORT__SPOOL_BYTES": str(32 * MIB)}, "imports.spool_bytes", 32 * MIB),
        ({"fleet__Window": "8"}, "fleet.window", 8),
        # A list, or a whole table, as JSON; a key of it in another variable goes before it
        ({"PUSH__SINKS": '["state", "relation"]'}, "push.sinks", ("state", "relation")),
        ({"PUSH": '{"sinks": []}'}, "push.sinks", ()),
        ({"FLEET": '{"window": 5}', "FLEET__WINDOW": "8"}, "fleet.window", 8),
        ({"MBOX": '{"patchwork": {"url": "http://a.org"}}'}, "url", "http://a.org"),
        # Empty is set
        ({"REDIS__URL": ""}, "embedded_redis", True),
        ({"PATCHWORK__CONTACT": ""}, "patchwork.contact", ""),
        # No settings
        ({"SEED": "1", "CONFIG__URL": "no"}, "name", None),
    ],
)
def test_a_variable_sets_its_key(
    tmp_path: Path, environment: dict[str, str], key: str, value: object
) -> None:
    """As if the file said it, and what else the file says stays."""
    config = loaded(tmp_path, **environment)
    found: Any = config
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value
    assert [project.id for project in config.projects] == ["1"]


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"FLEET__WINDOW": "many"}, r"\] window: .* number \(set by PATCHSYNC_FLEET__WINDOW\)$"),
        ({"FLEET__WINDOWS": "8"}, r"\[fleet\] windows: is no setting .*\(set by PATCHSYNC_FLEET__"),
        ({"PUSH__SINKS": '["x"]'}, r"\[push\] sinks, entry 1: .*\(set by PATCHSYNC_PUSH__SINKS\)$"),
        ({"REDIS__PASSWORD_FILE": "x"}, r"\[redis\]: has password_file but no url[^()]*$"),
        ({"PUSH__SINKS": "check"}, r"PATCHSYNC_PUSH__SINKS: wants JSON, .* see character 1$"),
        ({"PUSH": "{"}, r"PATCHSYNC_PUSH: wants JSON"),
        ({"PUSH": "[" * 100_000}, r"PATCHSYNC_PUSH: wants JSON"),
        ({"FLEET": "[]", "FLEET__WINDOWS": "8"}, r"\[fleet\] windows: is no setting"),
        ({"NAME__FIRST": "ppc"}, r"name: "),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, environment: dict[str, str], complaint: str) -> None:
    """By the key, as it is in the file, or by the variable."""
    with pytest.raises(ConfigError, match=complaint):
        loaded(tmp_path, **environment)
