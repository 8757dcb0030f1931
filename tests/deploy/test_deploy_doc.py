"""docs/deploy.md: what one is told to copy is valid."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from patchsync.config import load
from patchsync.fleet.services import SERVICES
from tests.deploy.compose import ROOT, compose

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


@pytest.mark.skipif(os.getuid() != 0, reason="only root can look as another user")
@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl, which makes the secrets")
def test_what_root_makes_by_it_is_for_the_containers_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """The services read secrets and configuration, and write; Valkey reads; nobody else does."""
    steps, _, _ = blocks("sh")[0].partition("docker compose")
    monkeypatch.setenv("EDITOR", "touch")
    # Not below pytest's own folder, which is root's alone.
    with tempfile.TemporaryDirectory(prefix="ps-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "deploy/secrets").mkdir(parents=True)
        shutil.copy(ROOT / "deploy/env.example", folder / "deploy")
        subprocess.run(["sh", "-euc", "umask 077;" + steps], cwd=folder, check=True)
        services = compose()["services"]
        uid, gid = map(int, services["probe"]["user"].split(":"))
        secrets = sorted((folder / "deploy/secrets").iterdir())
        assert {secret.name for secret in secrets} == {
            Path(secret["file"]).name for secret in compose()["secrets"].values()
        } - {"patchwork_token"}

        def may(right: str, path: Path, user: int, *groups: int) -> bool:
            command = ["test", right, path]
            done = subprocess.run(command, user=user, group=groups[0], extra_groups=groups)
            return done.returncode == 0

        readable = [*secrets, folder / "patchsync.toml"]
        writable = [folder / "resources", folder / "resources/mbox"]
        assert all(may("-r", path, uid, gid) for path in readable)
        assert all(may("-w", path, uid, gid) for path in writable)
        assert services["redis"]["group_add"] == [str(gid)]
        assert may("-r", folder / "deploy/secrets/redis_password", 999, 999, gid)
        assert not any(may("-r", path, 65534, 65534) for path in readable)


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
