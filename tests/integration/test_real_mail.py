"""A real list as a real Patchwork served it, pulled by the fleet into both of PaStA's layouts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchsync.config import load
from patchsync.sites import find_site
from patchsync.standin.process import StandinProcess, running_standin
from tests.integration.conftest import Installation

DATA = Path(os.environ.get("PATCHSYNC_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
REQUESTS_PER_PATCH = 0.35


@pytest.fixture
def patchwork() -> Iterator[StandinProcess]:
    """A stand-in that serves the 1,535 patches of jailhouse-dev."""
    archive = DATA / "jailhouse" / "dumparchive.tar.gz"
    if not archive.exists():
        pytest.skip(f"{archive} is not here; set PATCHSYNC_SHARED_DATA to the folder of real mail")
    patches = DATA / "api" / "patches-jailhouse.json.gz"
    with running_standin("--archive", str(archive), "--patches-json", str(patches)) as standin:
        yield standin


@pytest.mark.parametrize("layout", ["patchwork", "raw"])
def test_a_real_list(tmp_path: Path, patchwork: StandinProcess, layout: str) -> None:
    """The lines are those of `patchwork.1`, each names its file; at most 0.35 requests a patch."""
    file = tmp_path / "patchsync.toml"
    file.write_text(
        f"""
        [mbox.patchwork]
        url = "{patchwork.url}"
        project_ids = [1]
        [store]
        layout = "{layout}"
        """
    )
    installation = Installation(patchwork, load(file))
    installation.sync()

    site = find_site(installation.config, "1")
    assert site is not None
    lines = installation.lines("1")
    expected = (DATA / "jailhouse" / "patchwork.1").read_text().splitlines()
    assert len(lines) == len(expected)
    assert set(lines) == set(expected)
    for line in lines:
        date, _, md5, _ = line.split(" ")
        assert hashlib.md5(site.paths.mail(date, md5).read_bytes()).hexdigest() == md5
    assert patchwork.control.stats()["requests"] <= REQUESTS_PER_PATCH * len(expected)
