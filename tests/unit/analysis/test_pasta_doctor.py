"""`patchsync check` says whether PaStA will work, without leaving anything behind."""

from __future__ import annotations

import pytest
from fake_pasta import FakePasta

from patchsync import doctor
from patchsync.analysis.pasta.doctor import check_pasta_project, check_pasta_start
from patchsync.config import Config
from patchsync.errors import ConfigError, GiveUp
from patchsync.patchwork.client import Client
from patchsync.patchwork.rate_limit import LocalRateLimiter


def test_a_pasta_that_works(pasta: FakePasta) -> None:
    """It is started, leaves nothing, and what a person or PaStA by hand has to know is said."""
    config = pasta.config('repo = "repo"')
    before = sorted(pasta.folder.rglob("*"))
    assert check_pasta_start(config) == f"{pasta.root} is a PaStA that starts"
    assert check_pasta_project(config) == (
        f"list: its result goes to {config.patch_groups};"
        f" upstream commits are those of main in {pasta.folder / 'repo'};"
        " pairs rated from 0.8 to below 0.9 are left to a person: `patchsync pasta -- rate`;"
        " but `patchsync pasta`, and PaStA by hand, work elsewhere; to have them work here, set in"
        f' [PaStA] of {pasta.project}: MBOX = "{config.d_mbox}",'
        f' PATCH_GROUPS = "{config.patch_groups}"'
    )
    assert sorted(pasta.folder.rglob("*")) == before


def test_nothing_is_said_that_need_not_be(pasta: FakePasta) -> None:
    """Where nobody is asked and PaStA by hand works on the same files."""
    config = pasta.config("[analysis.thresholds]\ninteractive = 0.9")
    ours = f'MODE = "mbox"\nMBOX = "{config.d_mbox}"\nPATCH_GROUPS = "{config.patch_groups}"'
    pasta.project.write_text(pasta.project.read_text().replace('MODE = "mbox"', ours))
    assert check_pasta_project(config) == f"list: its result goes to {config.patch_groups}"


def test_a_pasta_that_would_fail(pasta: FakePasta) -> None:
    """A missing package is named, and the key with the Python; and what the engine would refuse."""
    pasta.conduct(**{"": "no package"})
    with pytest.raises(GiveUp, match=r"(?s)not start.*lacks networkx_.*pasta_python"):
        check_pasta_start(pasta.config())
    pasta.project.write_text(pasta.project.read_text().replace('"main"', '"no-branch"'))
    with pytest.raises(ConfigError, match="UPSTREAM"):
        check_pasta_project(pasta.config())


def test_a_pasta_that_hangs(pasta: FakePasta, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` does not hang with it."""
    monkeypatch.setattr("patchsync.analysis.pasta.doctor._START_SECONDS", 0.3)
    (pasta.root / "pasta").write_text("#!/bin/sh\nsleep 600\n")
    with pytest.raises(GiveUp, match=r"does not start within 0\.3 s"):
        check_pasta_start(pasta.config())


@pytest.mark.parametrize(
    ("engine", "keys"),
    [("pasta", {"pasta_root", "pasta_project"}), ("builtin", {"engine"}), ("none", {"engine"})],
)
def test_another_engine_needs_no_pasta(
    pasta: FakePasta, monkeypatch: pytest.MonkeyPatch, engine: str, keys: set[str]
) -> None:
    """Of `[analysis]` that is looked at which the engine wants."""

    def impatient(config: Config, token: str | None) -> Client:
        return Client(config.url, limiter=LocalRateLimiter(), sleep=lambda _: None)

    monkeypatch.setattr(doctor, "connect", impatient)
    (pasta.root / "pasta").unlink()
    findings = doctor.findings(pasta.config(engine=engine))
    found = {
        finding.subject: finding.works for finding in findings if "[analysis]" in finding.subject
    }
    assert found == {f"[analysis] {key}": engine != "pasta" for key in keys}
