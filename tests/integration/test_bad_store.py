"""A store that cannot be written, is held by another, or is damaged: told clearly, nothing lost."""

from __future__ import annotations

import os
from pathlib import Path

from patchsync.fleet.services import SYNC_QUEUES
from patchsync.store.layout import ContainerPaths
from patchsync.store.lock import store_lock
from patchsync.sync.projects import find_project
from tests.support.installation import Installation


def paths_of(installation: Installation) -> ContainerPaths:
    """The files of the project `sample`."""
    site = find_project(installation.config, "sample")
    assert site is not None
    return site.paths


def test_a_store_that_is_no_folder(installation: Installation, tmp_path: Path) -> None:
    """The error names the path, and the exit status is 1."""
    (tmp_path / "file").write_text("")
    done = installation.changed("[redis]", '[store]\nmbox = "file/mbox"\n[redis]').patchsync("sync")
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stdout, done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_lock_that_is_held_elsewhere(installation: Installation) -> None:
    """While another process has the store's lock nothing is written, and then all of it is."""
    installation.sync()
    new = set(installation.patchwork.control.add("sample", 3))
    with installation.workers.running(*SYNC_QUEUES) as workers:
        with store_lock(paths_of(installation).lock):
            before = installation.ids("sample")
            installation.patchsync("enqueue", "fetch.probe", "sample")
            assert "another process has held this lock" in installation.logs()
            assert installation.ids("sample") == before
        assert workers.later, "it is not tried again"
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
    done = installation.patchsync("sync")
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


def test_another_patchwork_does_not_get_into_the_store(installation: Installation) -> None:
    """A store that belongs to one Patchwork refuses the same project number of another."""
    installation.sync()
    before = installation.lines("sample")
    other = installation.changed("http://127.0.0.1", "http://localhost")
    done = other.patchsync("sync")
    assert done.returncode == 1
    assert "belongs to another project" in done.stdout, done.stdout
    installation = other.changed("http://localhost", "http://127.0.0.1")
    assert installation.lines("sample") == before


def test_an_id_that_comes_back_with_another_message_halts_the_project(
    installation: Installation,
) -> None:
    """The highest patch goes, and its id is given to another mail: no audit is needed to see it."""
    control = installation.patchwork.control
    installation.sync()
    highest = max(control.ids("sample"))
    control.move([highest], "neighbour")
    installation.sync()
    control.replace(highest, "<another@example.org>")
    control.move([highest], "sample")
    with installation.workers.running(*SYNC_QUEUES):
        installation.patchsync("enqueue", "fetch.probe", "sample")
    assert installation.status("sample")["halted"]


def test_one_project_by_number_and_by_name_is_refused(installation: Installation) -> None:
    """It would have two locks; `check` says so, and `sync` does not start it."""
    installation = installation.changed('"neighbour"', "1")
    assert "configured twice" in installation.patchsync("check").stdout
    done = installation.patchsync("sync")
    assert done.returncode == 1
    assert "are the same project; keep one" in done.stdout


def test_a_link_name_in_another_case_works(installation: Installation) -> None:
    """Patchwork finds it, so we do."""
    installation.changed('"sample"', '"Sample"').sync()
