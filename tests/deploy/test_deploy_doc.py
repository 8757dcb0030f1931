"""docs/deploy.md: what one is told to copy is valid."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from patchsync.config import load
from patchsync.fleet.services import SERVICES
from tests.deploy.compose import ROOT

TEXT = (ROOT / "docs/deploy.md").read_text()


def blocks(language: str) -> list[str]:
    """The code of a language."""
    found = re.findall(rf"(?ms)^ *```{language}\n(.*?)^ *```", TEXT)
    assert found
    return found


def test_its_configurations_can_be_read(tmp_path: Path) -> None:
    """Each TOML file is one that patchsync takes."""
    for block in blocks("toml"):
        (tmp_path / "patchsync.toml").write_text(block)
        assert load(tmp_path / "patchsync.toml").projects


def test_its_compose_files_are_valid(tmp_path: Path) -> None:
    """Each YAML file follows the schema of the Compose specification."""
    checker = Path(sys.executable).with_name("check-jsonschema")
    for block in blocks("yaml"):
        (tmp_path / "compose.yml").write_text(block)
        command = [checker, "--builtin-schema", "vendor.compose-spec", tmp_path / "compose.yml"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_every_service_is_explained() -> None:
    """What each needs stands in the table."""
    assert re.findall(r"(?m)^\| `(\w+)` \| .* \| .* \| .* \| .* \|$", TEXT) == list(SERVICES)
