"""A store that cannot be written, is held by another, or is damaged: told clearly, nothing lost."""

from __future__ import annotations

import os
from pathlib import Path

from patchsync.config import load
from patchsync.sites import find_site
from patchsync.standin.process import StandinProcess
from patchsync.store.layout import ContainerPaths
from patchsync.store.lock import store_lock
from tests.integration.conftest import Installation, configured, running_fleet, wait_until


def paths_of(installation: Installation) -> ContainerPaths:
    """The files of the project `sample`."""
    site = find_site(installation.config, "sample")
    assert site is not None
    return site.paths


def test_a_store_that_is_no_folder(tmp_path: Path, patchwork: StandinProcess) -> None:
    """The error names the path, and the exit status is 1."""
    (tmp_path / "file").write_text("")
    installation = configured(tmp_path, patchwork, '[store]\nmbox = "file/mbox"\n')
    done = installation.patchsync("sync", "--patience", "8")
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stdout, done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_lock_that_is_held_elsewhere(installation: Installation) -> None:
    """While another process has the store's lock nothing is written, and then all of it is."""
    installation.sync()
    new = set(installation.patchwork.control.add("sample", 3))
    with running_fleet(installation), store_lock(paths_of(installation).lock):
        before = installation.ids("sample")
        installation.patchsync("enqueue", "fetch.probe", "sample")
        wait_until(
            lambda: "another process has held this lock" in installation.logs(), "it is told", 40
        )
        assert installation.ids("sample") == before
    installation.sync()
    assert new <= installation.ids("sample")


def test_a_torn_line_is_cut_off(installation: Installation) -> None:
    """What a power loss left behind the last newline does not count, and is fetched again."""
    installation.sync()
    index = paths_of(installation).index
    lines = index.read_bytes()
    os.truncate(index, len(lines) - 20)
    installation.sync()
    assert sorted(index.read_bytes().splitlines()) == sorted(lines.splitlines())
    installation.assert_mirrors("sample")


def test_a_foreign_line_stops_the_project(installation: Installation) -> None:
    """A line that is not PaStA's is named by file and number, and stays as it is."""
    installation.sync()
    index = paths_of(installation).index
    index.write_bytes(b"not a line of an index\n" + index.read_bytes())
    done = installation.patchsync("sync", "--patience", "20")
    assert done.returncode == 1
    assert f"{index}, line 1: " in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert index.read_bytes().startswith(b"not a line of an index\n")


def test_a_restored_server_halts_the_project(installation: Installation) -> None:
    """The same id with another message-id: nothing is stored, until somebody removes `halted`."""
    installation.sync()
    control = installation.patchwork.control
    number = control.ids("sample")[5]
    control.replace(number, "<another@example.org>")
    done = installation.patchsync("sync")
    assert done.returncode == 1
    assert f"patch {number} is " in done.stdout
    before = installation.ids("sample")
    control.add("sample", 2)
    done = installation.patchsync("sync", "--project", "sample")
    assert "is halted: " in done.stdout, done.stdout
    assert installation.ids("sample") == before
    assert installation.status("sample")["halted"]


def test_another_patchwork_does_not_get_into_the_store(
    tmp_path: Path, installation: Installation
) -> None:
    """A store that belongs to one Patchwork refuses the same project number of another."""
    installation.sync()
    before = installation.lines("sample")
    text = installation.file.read_text().replace("http://127.0.0.1", "http://localhost")
    installation.file.write_text(text)
    done = Installation(installation.patchwork, load(installation.file)).patchsync("sync")
    assert done.returncode == 1
    assert "belongs to another project" in done.stdout, done.stdout
    installation.file.write_text(text.replace("http://localhost", "http://127.0.0.1"))
    assert installation.lines("sample") == before


def test_an_id_that_comes_back_with_another_message_halts_the_project(
    installation: Installation,
) -> None:
    """The highest patch goes, and its id is given to another mail: no audit is needed to see it."""
    control = installation.patchwork.control
    with running_fleet(installation):
        installation.sync()
        highest = max(control.ids("sample"))
        control.move([highest], "neighbour")
        installation.sync()
        control.replace(highest, "<another@example.org>")
        control.move([highest], "sample")
        installation.patchsync("enqueue", "fetch.probe", "sample")
        wait_until(lambda: installation.status("sample")["halted"], "the project is halted")


def test_one_project_by_number_and_by_name_is_refused(
    tmp_path: Path, patchwork: StandinProcess
) -> None:
    """It would have two locks; `check` says so, and `sync` does not start it."""
    installation = configured(tmp_path, patchwork)
    file = installation.file
    file.write_text(file.read_text().replace('"neighbour"', "1"))
    installation = Installation(patchwork, load(file))
    assert "configured twice" in installation.patchsync("check").stdout
    done = installation.patchsync("sync", "--patience", "20")
    assert done.returncode == 1
    assert "are the same project; keep one" in done.stdout


def test_a_link_name_in_another_case_works(tmp_path: Path, patchwork: StandinProcess) -> None:
    """Patchwork finds it, so we do."""
    installation = configured(tmp_path, patchwork)
    file = installation.file
    file.write_text(file.read_text().replace('"sample"', '"Sample"'))
    Installation(patchwork, load(file)).sync()
