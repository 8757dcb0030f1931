"""What a command loads: no more than it needs, for a HEALTHCHECK runs one each half minute."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import redis
from click.testing import CliRunner

from patchsync.cli.main import COMMANDS, load_command, main
from patchsync.config import DEFAULT_FILE, FILE_VARIABLE
from patchsync.fleet.services import HEALTH_PATHS

PROGRAM = """
import json, sys
before = set(sys.modules)
from patchsync.cli import main
try:
    main(sys.argv[1:])
finally:
    new = {name for name in set(sys.modules) - before if not name.startswith("_")}
    print("\\n" + json.dumps(sorted(new)))
"""
PYDANTIC = {
    "annotated_types",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}
HEAVY = {"asyncio", "ctypes", "logging", "multiprocessing", "ssl", "unittest", "xml"}


def loaded(*arguments: str, file: Path | None = None) -> set[str]:
    """The modules that a command loads."""
    environment = os.environ | ({FILE_VARIABLE: str(file)} if file else {})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def foreign(modules: set[str]) -> set[str]:
    """Of these the packages that are neither ours nor Python's, and what of Python's is heavy."""
    packages = {name.partition(".")[0] for name in modules}
    return (packages - sys.stdlib_module_names - {"patchsync"}) | (packages & HEAVY)


def rooms(modules: set[str]) -> set[str]:
    """Of these our own rooms."""
    parts = (name.split(".") for name in modules)
    return {room[1] for room in parts if room[0] == "patchsync" and len(room) > 1}


@pytest.fixture
def file(tmp_path: Path, redis_client: redis.Redis, redis_socket: Path) -> Path:
    """A configuration whose Redis answers."""
    file = tmp_path / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "https://patchwork.example.org"\nproject_ids = [1]\n'
        f'[redis]\nurl = "unix://{redis_socket}"\n'
    )
    return file


def test_the_group_loads_no_command() -> None:
    """Neither imported nor asked for help or a version."""
    modules = loaded("--help")
    assert foreign(modules) == {"click"}
    assert rooms(modules) == {"cli", "errors"}
    assert {name for name in modules if name.startswith("patchsync.cli.")} == {"patchsync.cli.main"}


@pytest.mark.parametrize("service", ["fetch", "beat", "flower", "web"])
def test_health_loads_the_configuration_and_little_more(file: Path, service: str) -> None:
    """No client of Redis or of HTTP that somebody else wrote, no store."""
    modules = loaded("health", service, file=file)
    assert foreign(modules) - {"ssl"} == {"click", *PYDANTIC}
    assert ("ssl" in modules) == (service in HEALTH_PATHS)
    assert {name for name in modules if name.startswith("patchsync.patchwork.")} == {
        "patchsync.patchwork.foreign_text"
    }
    assert rooms(modules) == {"cli", "config", "errors", "fleet", "patchwork"}
    assert "patchsync.fleet.supervisor" not in modules


def test_health_loads_no_more_where_redis_is_out_of_reach(file: Path) -> None:
    """As with an embedded one, which ends with its fleet."""
    file.write_text(file.read_text().replace("unix://", "unix:///nowhere"))
    assert foreign(loaded("health", "fetch", file=file)) == {"click", *PYDANTIC}


def test_status_loads_what_reads_the_store(file: Path) -> None:
    """Nothing that works on it, no engine, no client of Patchwork."""
    modules = loaded("status", file=file)
    assert foreign(modules) == {"click", *PYDANTIC}
    assert not rooms(modules) & {"archive", "doctor", "imports", "push"}
    for module in ("analysis.builtin", "store.writer", "patchwork.client", "fleet.supervisor"):
        assert f"patchsync.{module}" not in modules


def test_nobody_looks_for_plugins() -> None:
    """Of pydantic, in each package that is installed."""
    program = "import patchsync.config, pydantic.plugin._loader as l; print(l._plugins)"
    environment = {key: value for key, value in os.environ.items() if "PYDANTIC" not in key}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_its_help_says(name: str) -> None:
    """Its first sentence, however wide the terminal is."""
    command = load_command(name)
    assert command.name == name
    for width in range(10, 200):
        listed = click.Command(name, help=COMMANDS[name][1]).get_short_help_str(width)
        assert listed == command.get_short_help_str(width)


def test_the_list_cuts_no_sentence() -> None:
    """On a terminal of 80 columns each command's sentence is whole, in a line."""
    listed = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    for _, sentence in COMMANDS.values():
        assert f" {sentence}\n" in listed
    assert "..." not in listed.partition("COMMAND [ARGS]...")[2]


@pytest.mark.parametrize(
    "line", [["nosuch"], ["sync", "--nosuch"], ["-c", "/nosuch.toml", "sync"]], ids=" ".join
)
def test_each_error_begins_alike(line: list[str]) -> None:
    """Click's own, and ours."""
    done = CliRunner().invoke(main, line)
    assert done.exit_code
    assert done.stderr.splitlines()[-1].startswith("Error: ")


def test_the_help_names_the_file_that_is_read() -> None:
    """Without loading what reads it."""
    from patchsync.cli import main

    help_text = main.params[0].to_info_dict()["help"]
    assert f"${FILE_VARIABLE}, else {DEFAULT_FILE}" in help_text


def test_who_loads_nothing_keeps_no_garbage() -> None:
    """Only what is loaded is left out of the search for garbage, which goes on afterwards."""
    program = """
import gc
from patchsync.cli.loading import without_garbage
for module in ("colorsys", "colorsys"):
    before = gc.get_freeze_count()
    with without_garbage():
        assert not gc.isenabled()
        __import__(module)
    print(gc.get_freeze_count() > before, gc.isenabled())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True True\nFalse True\n"
