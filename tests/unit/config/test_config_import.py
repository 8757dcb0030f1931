"""What the configuration says about the import: its limits, and which archive is whose."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsync.config import Config, load
from patchsync.errors import ConfigError

MIB = 2**20
PROJECTS = 'projects = [{ id = 1, initial_archive = "one.tar" }, { id = "netdev" }]\n'


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's environment reaches a test."""
    monkeypatch.delenv("PATCHSYNC_IMPORT__SPOOL_BYTES", raising=False)


def written(folder: Path, patchwork: str = PROJECTS, tables: str = "") -> Config:
    """The configuration with these keys in `[mbox.patchwork]`, and these other tables."""
    file = folder / "patchsync.toml"
    url = 'url = "https://patchwork.example.org"\n'
    file.write_text(f"{tables}\n[mbox.patchwork]\n{url}{patchwork}")
    return load(file)


def test_the_spool_has_a_limit_that_can_be_set(tmp_path: Path) -> None:
    """Unset it is 128 MiB; the file's table is called `import`, also in PaStA's own file."""
    assert written(tmp_path).imports.spool_bytes == 128 * MIB
    table = f"[import]\nspool_bytes = {16 * MIB}\n"
    assert written(tmp_path, tables=table).imports.spool_bytes == 16 * MIB
    assert written(tmp_path, tables="[PaStA]\n" + table).imports.spool_bytes == 16 * MIB


def test_the_environment_sets_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With our prefix, and over the file; a variable `IMPORT` is somebody else's."""
    monkeypatch.setenv("IMPORT", "of another program")
    monkeypatch.setenv("IMPORT__SPOOL_BYTES", "0")
    assert written(tmp_path).imports.spool_bytes == 128 * MIB
    monkeypatch.setenv("PATCHSYNC_IMPORT__SPOOL_BYTES", str(32 * MIB))
    table = f"[import]\nspool_bytes = {16 * MIB}\n"
    assert written(tmp_path).imports.spool_bytes == 32 * MIB
    assert written(tmp_path, tables=table).imports.spool_bytes == 32 * MIB


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (f"[import]\nspool_bytes = {16 * MIB - 1}", "[import] spool_bytes: "),
        ("[import]\nspool_byte = 1", "[import] spool_byte: is no setting of patchsync"),
        ("[imports]\nspool_bytes = 1", "imports: is no setting of patchsync"),
    ],
)
def test_a_mistake_in_the_table_is_named(tmp_path: Path, table: str, complaint: str) -> None:
    """Too small a spool and misspelt names are refused in the words of the file."""
    with pytest.raises(ConfigError) as raised:
        written(tmp_path, tables=table)
    assert complaint in str(raised.value)


def test_archives_of_both_spellings_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its project as configured; relative to the file, not to where we are; `~` works."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", "/home/somebody")
    more = 'initial_archives = [["netdev", "~/two.tar.gz"], [1, "/dump/three.mbox"]]\n'
    assert written(tmp_path, PROJECTS + more).initial_archives == (
        ("1", tmp_path / "one.tar"),
        ("netdev", Path("/home/somebody/two.tar.gz")),
        ("1", Path("/dump/three.mbox")),
    )


def test_an_empty_path_is_no_archive(tmp_path: Path) -> None:
    """PaStA's projects have `initial_archive = ""` where there is none."""
    none = 'projects = [{ id = 1, initial_archive = "" }]\ninitial_archives = [[1, ""]]\n'
    assert written(tmp_path, none).initial_archives == ()


@pytest.mark.parametrize("project", ["7", '"nosuch"'])
def test_an_archive_of_an_unknown_project_is_refused(tmp_path: Path, project: str) -> None:
    """The message has the key, the project, and the projects there are."""
    with pytest.raises(ConfigError) as raised:
        written(tmp_path, f'{PROJECTS}initial_archives = [[1, "/a"], [{project}, "/dump.tar"]]')
    shown = project.strip('"')
    assert f"initial_archives for project {shown}, which is not configured" in str(raised.value)
    assert "there are: 1, netdev" in str(raised.value)
