"""PaStA itself: run by the command line, and the real one as the engine where it is at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from patchsync.analysis.engine import Updated
from patchsync.analysis.pasta.engine import PastaEngine, only_analysis
from patchsync.config import Config, load
from patchsync.errors import LockHeld
from patchsync.store.lock import is_locked
from tests.support.real_mail import ARCHIVE, JAILHOUSE, need_real_mail
from tests.unit.analysis.fake_pasta import FakePasta, make_fake_pasta

PATCHSYNC = str(Path(sys.executable).with_name("patchsync"))


@pytest.fixture
def pasta(tmp_path: Path) -> FakePasta:
    """A stand-in for PaStA, and one mail."""
    fake = make_fake_pasta(tmp_path)
    fake.add("<a@x>", "one")
    return fake


def run(config: Config, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """`patchsync pasta -- ARGUMENTS`, with a text on its standard input."""
    command = [PATCHSYNC, "-c", str(config.source), "pasta", "--", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_a_command_of_pastas(pasta: FakePasta) -> None:
    """It runs in PaStA's root for the project, with our input, output and exit status."""
    pasta.conduct(compare="echo", statistics="status")
    config = pasta.config()
    done = run(config, "compare", "-x", text="abc")
    assert (done.returncode, "-c list compare -x" in done.stdout, "ABC" in done.stdout) == (
        0,
        True,
        True,
    )
    assert "Cmdline" in (pasta.root / "log").read_text()
    assert run(config, "statistics", "7").returncode == 7


def test_another_project_may_be_named(pasta: FakePasta) -> None:
    """A `-c` that is there stays, and one of the command's own is none."""
    config = pasta.config()
    done = run(config, "-c", "list", "compare")
    assert (done.returncode, done.stdout.count("-c list")) == (0, 1)
    done = run(config, "-d", "compare", "-c", "x")
    assert (done.returncode, "-c list -d compare -c x" in done.stdout) == (0, True)


def test_a_command_has_the_store_to_itself(pasta: FakePasta) -> None:
    """While it runs, nobody writes mails or groups; afterwards all is free."""
    pasta.conduct(compare="echo")
    config = pasta.config()
    command = [PATCHSYNC, "-c", str(config.source), "pasta", "--", "compare"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        assert "Cmdline" in running.stdout.readline()
        assert is_locked(pasta.paths.lock)
        with pytest.raises(LockHeld):
            PastaEngine(config).update(lambda *_: None)
        running.communicate("")
    assert not is_locked(pasta.paths.lock)
    with only_analysis(config):
        done = run(config, "compare")
    assert (done.returncode, "is under way" in done.stderr) == (1, True)


def test_without_a_checkout(pasta: FakePasta) -> None:
    """It says which keys it wants."""
    file = pasta.config().source
    lines = [line for line in file.read_text().splitlines() if "pasta" not in line]
    file.write_text("\n".join(lines))
    done = run(load(file), "rate")
    assert done.returncode == 1
    assert "pasta_root" in done.stderr


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Config]:
    """The real PaStA's checkout, with a project of its own for the real mails of jailhouse-dev."""
    root = os.environ.get("PATCHSYNC_PASTA")
    if not root:
        pytest.skip(
            "set PATCHSYNC_PASTA to a checkout of PaStA, PATCHSYNC_PASTA_PYTHON to a Python"
        )
    need_real_mail()
    # PaStA's root, but for what this test writes there
    own = tmp_path / "pasta"
    own.mkdir()
    for entry in Path(root).absolute().iterdir():
        if entry.name not in ("log", "resources", ".git"):
            (own / entry.name).symlink_to(entry)
    (own / "pasta").unlink()
    (own / "pasta").write_bytes((Path(root) / "pasta").read_bytes())
    (own / "pasta").chmod(0o755)
    project = own / "resources" / "jailhouse"
    project.mkdir(parents=True)
    (own / "resources" / "common").symlink_to(Path(root).absolute() / "resources" / "common")
    repo = tmp_path / "repo"
    git = ["git", "-C", str(repo), "-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    (project / "config").write_text(
        f"""
        [PaStA]
        MODE = "mbox"
        REPO = "{repo}"
        UPSTREAM = "main"
        INTERACTIVE_THRESHOLD = 0.82
        AUTOACCEPT_THRESHOLD = 0.82
        DIFF_LINES_RATIO = 0.4
        MESSAGE_DIFF_WEIGHT = 0.3
        [mbox.raw]
        "googlegroups.com" = {{ jailhouse-dev = ["patchwork.1"] }}
        """
    )
    file = tmp_path / "patchsync.toml"
    file.write_text(
        f"""
        [mbox.patchwork]
        url = "http://127.0.0.1:9/api/"
        projects = [{{ id = 1, list_email = "jailhouse-dev@googlegroups.com" }}]
        [store]
        mbox = "mbox"
        [analysis]
        engine = "pasta"
        pasta_root = "pasta"
        pasta_project = "jailhouse"
        pasta_python = "{os.environ.get("PATCHSYNC_PASTA_PYTHON", "")}"
        """
    )
    command = [PATCHSYNC, "-c", str(file), "import", "--offline", "-p", "1", str(ARCHIVE)]
    subprocess.run(command, check=True, capture_output=True)
    yield load(file)


def test_the_real_pasta(real: Config) -> None:
    """The groups are those that it was seen to make of these mails; a second update is none."""

    def update() -> Updated:
        return PastaEngine(real).update(lambda *_: None)

    assert update()[:3] == (1003, 1533, 0)
    assert real.patch_groups.read_bytes() == (JAILHOUSE / "patch-groups").read_bytes()
    invalid = (real.d_mbox / "invalid").read_text().splitlines()
    assert len(invalid) == 2
    # As if it had to look again: nothing is found that was not there.
    (real.d_mbox / "patchsync/pasta/project/done").unlink()
    assert update().groups == 0
