"""`patchsync doctor` says whether PaStA will work, without leaving anything behind."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from fake_pasta import FakePasta, make_fake_pasta

from patchsync import doctor
from patchsync.config import Config, load
from patchsync.doctor import Finding, findings
from patchsync.patchwork.client import Client
from patchsync.patchwork.rate_limit import LocalRateLimiter


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the Patchwork, which is not there."""
    impatient = partial(Client, limiter=LocalRateLimiter(), sleep=lambda _: None)
    monkeypatch.setattr(doctor, "connect", lambda config, token: impatient(config.url))


@pytest.fixture
def pasta(tmp_path: Path) -> FakePasta:
    """One mail."""
    fake = make_fake_pasta(tmp_path)
    fake.add("<a@x>", "one")
    return fake


def look(config: Config) -> dict[str, Finding]:
    """What is said of `[analysis]`."""
    found = {each.subject: each for each in findings(config)}
    return {subject: each for subject, each in found.items() if "[analysis]" in subject}


def test_a_pasta_that_works(pasta: FakePasta) -> None:
    """It is started, leaves nothing, and what a person or PaStA by hand has to know is said."""
    config = pasta.config('repo = "repo"')
    before = sorted(pasta.folder.rglob("*"))
    start, project = look(config).values()
    assert (start.works, project.works) == (True, True)
    assert "upstream commits are those of main" in project.text
    assert "from 0.8 to below 0.9" in project.text
    assert "`patchsync pasta -- rate`" in project.text
    assert f'MBOX = "{config.d_mbox}"' in project.text
    assert sorted(pasta.folder.rglob("*")) == before


def test_nothing_is_said_that_need_not_be(pasta: FakePasta) -> None:
    """Where nobody is asked and PaStA by hand works on the same files."""
    config = pasta.config(more="[analysis.thresholds]\ninteractive = 0.9")
    ours = f'MODE = "mbox"\nMBOX = "{config.d_mbox}"\nPATCH_GROUPS = "{config.patch_groups}"'
    pasta.project.write_text(pasta.project.read_text().replace('MODE = "mbox"', ours))
    text = look(config)["[analysis] pasta_project"].text
    assert text == f"list: its result goes to {config.patch_groups}"


def test_a_pasta_that_does_not_start(pasta: FakePasta) -> None:
    """A missing package is named, and the key with the Python."""
    program = pasta.root / "pasta"
    program.write_text(
        program.read_text().replace("import errno", "import thefuzz_of_old, errno", 1)
    )
    found = look(pasta.config())["[analysis] pasta_root"]
    assert not found.works
    assert "lacks thefuzz_of_old" in found.text
    assert "pasta_python" in found.text


def test_a_pasta_that_would_fail(pasta: FakePasta) -> None:
    """What the engine would refuse is refused here."""
    pasta.project.write_text(pasta.project.read_text().replace('"main"', '"no-branch"'))
    found = look(pasta.config())["[analysis] pasta_project"]
    assert not found.works
    assert "UPSTREAM" in found.text


@pytest.mark.parametrize("engine", ["builtin", "none"])
def test_without_it_pasta_is_not_looked_at(pasta: FakePasta, engine: str) -> None:
    """Another engine needs no PaStA."""
    file = pasta.config().source
    file.write_text(file.read_text().replace('engine = "pasta"', f'engine = "{engine}"'))
    (pasta.root / "pasta").unlink()
    (found,) = look(load(file)).values()
    assert found.works
    assert engine in found.text
