"""README, CONTRIBUTING and docs/: what they name is there, and what is there they name."""

from __future__ import annotations

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import click
import pytest

from patchsync.cli import main
from patchsync.config import load
from patchsync.fleet.services import QUEUES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def commands() -> list[str]:
    """The commands of the command line."""
    return main.list_commands(click.Context(main))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Each link and picture that is no address on the web names a file of the project."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    """Each command that one is told to run is one."""
    code = "\n".join(re.findall(r"(?s)```.*?```|`[^`\n]+`", document.read_text()))
    told = re.findall(r"(?m)(?:^|`|/| probe )patchsync (?:-c \S+ )?([a-z][a-z-]+)", code)
    assert set(told) <= set(commands())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tasks_exist(document: Path) -> None:
    """Each task that is told of is one."""
    sources = "".join(path.read_text() for path in (ROOT / "workers").glob("*.py"))
    tasks = set(re.findall(r'@app\.task\(\s*name="([\w.]+)"', sources))
    assert "workers.fetch.probe" in tasks
    assert set(re.findall(r"\bworkers\.\w+\.\w+", document.read_text())) <= tasks


def test_every_command_is_told() -> None:
    """README or docs/ show each command."""
    text = "".join(document.read_text() for document in DOCUMENTS)
    assert [name for name in commands() if f"patchsync {name}" not in text] == []


def test_readme_has_every_queue_in_its_picture() -> None:
    """The picture of the fleet names each queue, in the order in which a patch passes them."""
    picture = README.split("```")[1]
    assert re.findall(r"│  (\w+)(?: × N)? +│", picture) == list(QUEUES)


def test_readme_has_a_configuration_that_works(tmp_path: Path) -> None:
    """What one is told to write for a first run is taken."""
    (tmp_path / "patchsync.toml").write_text(README.split("```toml\n")[1].split("```")[0])
    assert load(tmp_path / "patchsync.toml").projects


def test_readme_says_why_each_dependency_is_there() -> None:
    """Each package that is installed with patchsync, or for its tests, is named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    wanted.remove("patchsync[embedded]")
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in wanted}
    # What types them is told as stubs; the build's own tool needs no reason.
    names -= {"celery-types", "types-PyYAML", "types-requests", "setuptools"}
    section = README.split("## Dependencies, and why")[1]
    assert {name for name in names if name.removesuffix("-bin") not in section} == set()


def test_contributing_says_where_each_room_is() -> None:
    """The map has every room, and each module that it names is in the room that it is named for."""
    rooms = {path.parent for path in ROOT.glob("patchsync/*/__init__.py")}
    rooms |= {path for path in ROOT.glob("patchsync/*.py") if path.stem != "__init__"}
    rooms |= {ROOT / name for name in ("workers", "standin", "benchmarks", "beat_schedule.py")}
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## Where is what")[1].split("\n## ")[0]
    told: set[Path] = set()
    for entry in section.split("\n- ")[1:]:
        paths = [ROOT / path for path in re.findall(r"`([\w/]+(?:/|\.py))`", entry)]
        told |= set(paths)
        for name in re.findall(r"`(\w+)`", entry):
            assert any((path / name).is_dir() or (path / f"{name}.py").is_file() for path in paths)
    assert told == rooms


def test_make_help_names_each_target() -> None:
    """It says what a new machine can do."""
    command = ["make", "--no-print-directory", "-C", ROOT, "help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (targets,) = re.findall(r"(?m)^\.PHONY: (.*)$", (ROOT / "Makefile").read_text())
    assert [target for target in targets.split() if f"make {target}" not in told] == []
