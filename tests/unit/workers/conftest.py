"""Task bodies as functions: in a folder of their own, with what they send recorded, and not run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kombu.utils import json
from worker_fakes import LEASE_SECONDS, TABLES

from patchsync.config import Config
from patchsync.fleet.leases import Leases
from standin.process import TOKEN, StandinProcess
from tests.support.inprocess import Workers, process_of_its_own
from tests.support.installation import Installation, configured


@pytest.fixture
def patchwork(shared_standin: StandinProcess) -> StandinProcess:
    """A stand-in Patchwork with a few patches, and nothing counted."""
    shared_standin.control.reset(patches=12)
    shared_standin.control.reset_stats()
    return shared_standin


@pytest.fixture(params=[""])
def installation(
    tmp_path: Path,
    patchwork: StandinProcess,
    workers: Workers,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Iterator[Installation]:
    """A configuration for it, with more tables as `param`, and this process as its worker."""
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    installation = configured(tmp_path, patchwork, TABLES + request.param, workers=workers)
    with process_of_its_own(installation.config, workers):
        yield installation
    for sent in workers.ever_sent:
        shown = sent.options.get("argsrepr", repr(tuple(sent.args)))
        assert shown.startswith("(") and shown.endswith(")") and len(shown) < 100, shown
        # No mail and no message-id; nor, in any argument, a token or a path of this machine.
        assert "@" not in shown and "\n" not in shown, shown
        for secret in (str(tmp_path), TOKEN):
            assert secret not in json.dumps([sent.args, shown])
    assert TOKEN not in workers.log.getvalue()


@pytest.fixture
def config(installation: Installation) -> Config:
    """That configuration."""
    return installation.config


@pytest.fixture
def leases(config: Config, shared_redis: redis.Redis) -> Leases:
    """What is in flight of the project `sample`, and what is wrong with it."""
    return Leases(shared_redis, config.namespace, "sample", lease_seconds=LEASE_SECONDS)
