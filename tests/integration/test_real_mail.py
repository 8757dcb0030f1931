"""A real list as a real Patchwork served it, pulled into both of PaStA's layouts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchsync.config import load
from patchsync.sync.projects import find_project
from standin.process import StandinProcess, running_standin
from tests.support.inprocess import Workers
from tests.support.installation import Installation
from tests.support.real_mail import ARCHIVE, JAILHOUSE, PATCHES_JSON, need_real_mail

REQUESTS_PER_PATCH = 0.35


@pytest.fixture(scope="module")
def jailhouse() -> Iterator[StandinProcess]:
    """A stand-in that serves the 1,535 patches of jailhouse-dev."""
    need_real_mail()
    arguments = ("--archive", str(ARCHIVE), "--patches-json", str(PATCHES_JSON))
    with running_standin(*arguments) as standin:
        yield standin


@pytest.mark.parametrize("layout", ["patchwork", "raw"])
def test_a_real_list(
    tmp_path: Path, jailhouse: StandinProcess, workers: Workers, layout: str
) -> None:
    """The lines are those of `patchwork.1`, each names its file; at most 0.35 requests a patch."""
    file = tmp_path / "patchsync.toml"
    file.write_text(
        f"""
        [mbox.patchwork]
        url = "{jailhouse.url}"
        project_ids = [1]
        [store]
        layout = "{layout}"
        [redis]
        url = "{workers.redis_url}"
        """
    )
    installation = Installation(jailhouse, load(file), workers)
    jailhouse.control.reset_stats()
    installation.sync()

    site = find_project(installation.config, "1")
    assert site is not None
    lines = installation.lines("1")
    expected = (JAILHOUSE / "patchwork.1").read_text().splitlines()
    assert len(lines) == len(expected)
    assert set(lines) == set(expected)
    for line in lines:
        date, _, md5, _ = line.split(" ")
        assert hashlib.md5(site.paths.mail(date, md5).read_bytes()).hexdigest() == md5
    assert jailhouse.control.stats()["requests"] <= REQUESTS_PER_PATCH * len(expected)
