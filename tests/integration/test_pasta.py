"""PaStA itself: run by the command line, and the real one as the engine where it is at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from patchsync.analysis.pasta.engine import only_analysis
from patchsync.config import Config
from patchsync.errors import LockHeld
from patchsync.store.lock import is_locked
from tests.support.real_mail import ARCHIVE, JAILHOUSE, need_real_mail
from tests.unit.analysis.fake_pasta import FakePasta, update

PATCHSYNC = str(Path(sys.executable).with_name("patchsync"))


@pytest.fixture
def pasta(tmp_path: Path) -> FakePasta:
    """A stand-in for PaStA, and one mail."""
    fake = FakePasta(tmp_path)
    fake.add("<a@x>", "one")
    return fake


def run(config: Config, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """`patchsync pasta -- ARGUMENTS`, with a text on its standard input."""
    command = [PATCHSYNC, "-c", str(config.source), "pasta", "--", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_a_command_of_pastas(pasta: FakePasta) -> None:
    """It runs in PaStA's root for the project, with our input, output and exit status.

    A `-c` that is there stays, and one of the command's own is none.
    """
    pasta.conduct(compare="echo")
    config = pasta.config()
    done = run(config, "compare", "-x", "7", text="abc")
    assert (done.returncode, "pasta -c list compare -x 7" in done.stdout) == (7, True)
    assert "ABC" in done.stdout
    assert "Cmdline" in (pasta.root / "log").read_text()
    done = run(config, "-c", "other", "compare", "0")
    assert (done.returncode, "pasta -c other compare 0" in done.stdout) == (0, True)
    done = run(config, "-d", "compare", "-c", "0")
    assert (done.returncode, "-c list -d compare -c 0" in done.stdout) == (0, True)


def test_a_command_has_the_store_to_itself(pasta: FakePasta) -> None:
    """While it runs, nobody writes mails or groups; afterwards all is free."""
    pasta.conduct(compare="echo")
    config = pasta.config()
    command = [PATCHSYNC, "-c", str(config.source), "pasta", "--", "compare", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdout
        assert "Cmdline" in running.stdout.readline()
        assert is_locked(pasta.paths.lock)
        with pytest.raises(LockHeld):
            update(config)
        running.communicate("")
    assert not is_locked(pasta.paths.lock)
    with only_analysis(config):
        done = run(config, "compare", "0")
    assert (done.returncode, "is under way" in done.stderr) == (1, True)


def test_without_a_checkout(pasta: FakePasta) -> None:
    """It says which keys it wants."""
    config = pasta.config()
    config.source.write_text(config.source.read_text().partition("[analysis]")[0])
    done = run(config, "rate")
    assert (done.returncode, "pasta_root" in done.stderr) == (1, True)


def test_the_real_pasta(tmp_path: Path) -> None:
    """The groups are those that it was seen to make of these mails; a second update is none."""
    checkout = os.environ.get("PATCHSYNC_PASTA")
    if not checkout:
        pytest.skip("set PATCHSYNC_PASTA to PaStA's checkout, PATCHSYNC_PASTA_PYTHON to a Python")
    need_real_mail()
    fake = FakePasta(tmp_path)
    ignored = shutil.ignore_patterns("log", ".git")
    shutil.copytree(checkout, fake.root, dirs_exist_ok=True, ignore=ignored)
    table = "[PaStA]\nDIFF_LINES_RATIO = 0.4\nMESSAGE_DIFF_WEIGHT = 0.3"
    text = fake.project.read_text().replace("[PaStA]", table)
    fake.project.write_text(text.replace("0.8\n", "0.82\n").replace("0.9\n", "0.82\n"))
    config = fake.config(f'pasta_python = "{os.environ.get("PATCHSYNC_PASTA_PYTHON", "")}"')
    command = [PATCHSYNC, "-c", str(config.source), "import", "--offline", "-p", "1", str(ARCHIVE)]
    subprocess.run(command, check=True, capture_output=True)
    assert update(config)[:3] == (1003, 1533, 0)
    assert config.patch_groups.read_bytes() == (JAILHOUSE / "patch-groups").read_bytes()
    assert len((config.d_mbox / "invalid").read_text().splitlines()) == 2
    # As if it had to look again: nothing is found that was not there.
    (config.d_mbox / "patchsync/pasta/project/state").unlink()
    assert update(config).groups == 0
