"""A real list: the builtin engine's groups are those that the real PaStA found, byte for byte."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from patchsync.analysis.builtin.cache import PatchCache
from patchsync.analysis.engine import Updated
from patchsync.analysis.update import open_engine
from patchsync.config import Config, load
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import Mail
from patchsync.store.layout import ContainerPaths
from patchsync.store.writer import StoreWriter
from tests.support.real_mail import JAILHOUSE
from tests.support.real_store import real_mails


@pytest.fixture(scope="module")
def mails() -> list[Mail]:
    """The 1,535 patches of jailhouse-dev, in the order of their index."""
    return real_mails()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """With the thresholds that the real one had."""
    file = tmp_path / "patchsync.toml"
    project = 'projects = [{ id = 1, list_email = "jailhouse-dev@googlegroups.com" }]'
    file.write_text(f'[mbox.patchwork]\nurl = "https://patchwork.example.org"\n{project}\n')
    return load(file)


def store(config: Config, mails: list[Mail]) -> None:
    """Have these in the store, too."""
    paths = ContainerPaths(
        d_mbox=config.d_mbox, listaddr="jailhouse-dev@googlegroups.com", project_id=1
    )
    with StoreWriter(paths) as writer:
        writer.apply(FetchResult(mails=tuple(mails)))


def update(config: Config) -> Updated:
    """Bring the groups up to date."""
    engine = open_engine(config)
    assert engine
    return engine.update(lambda what, done, of: None)


def invalid(config: Config) -> set[str]:
    """The mails that are no patch."""
    with PatchCache(config.d_mbox / "patchsync" / "analysis.sqlite") as cache:
        return {name for (name,) in cache.rows("SELECT name FROM other")}


def invalid_by_pasta(mails: list[Mail]) -> set[str]:
    """The two mails that are in no group of its."""
    found = {each.message_id for each in mails}
    found.difference_update((JAILHOUSE / "patch-groups").read_text().split())
    assert len(found) == 2
    return found


def test_all_at_once(config: Config, mails: list[Mail]) -> None:
    """1,003 groups, without the two mails that PaStA found invalid."""
    store(config, mails)
    update(config)
    groups = config.patch_groups.read_bytes()
    assert groups == (JAILHOUSE / "patch-groups").read_bytes()
    assert groups.count(b"\n") == 1003
    assert invalid(config) == invalid_by_pasta(mails)


@pytest.mark.parametrize("case", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2))])
def test_in_any_order_and_batches(
    config: Config, mails: list[Mail], random: Random, case: int
) -> None:
    """The same in the end, and nothing is left to do then."""
    coming = random.sample(mails, len(mails))
    read = 0
    while coming:
        number = random.choice((1, 10, 100, 300, 600))
        store(config, coming[:number])
        coming = coming[number:]
        read += update(config).mails
    assert read == len(mails)
    assert config.patch_groups.read_bytes() == (JAILHOUSE / "patch-groups").read_bytes()
    assert invalid(config) == invalid_by_pasta(mails)
    assert update(config)[:3] == (0, 0, 0)
