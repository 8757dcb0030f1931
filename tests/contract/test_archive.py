"""The stand-in's command line: a dumparchive to serve, a file for its port."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import requests

from patchsync.standin.process import StandinProcess, running_standin
from tests.contract.conftest import TIMEOUT, JsonObject

QUOTED_MAIL = b"From patchwork Thu Jan  1 00:00:00 1970\nX-Patchwork-Id: %d\n\nquoted\n"


@pytest.fixture
def dumped(tmp_path: Path) -> tuple[Path, Path, dict[int, bytes]]:
    """A dumparchive, the list of its patches, and the mails in it by id.

    Each mail quotes the first lines of another, and so has a line that looks like the next mail's.
    """
    with running_standin("--patches", "12") as process:
        entries = _entries(process, "sample")
        mails = {entry["id"]: requests.get(entry["mbox"]).content for entry in entries}
    ids = sorted(mails)
    mails = {i: mails[i] + QUOTED_MAIL % ids[n - 1] for n, i in enumerate(ids)}
    by_date = sorted(entries, key=lambda entry: str(entry["date"]))
    dump = b"".join(mails[entry["id"]] + b"\n" for entry in by_date)
    archive, listed = tmp_path / "dump.tar.gz", tmp_path / "patches.json"
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo("sample.mbox")
        member.size = len(dump)
        tar.addfile(member, io.BytesIO(dump))
    listed.write_text(json.dumps(entries))
    return archive, listed, mails


def test_a_dump_is_served_mail_by_mail_under_the_old_ids(
    dumped: tuple[Path, Path, dict[int, bytes]],
) -> None:
    """Byte for byte, whatever the bodies quote."""
    archive, listed, mails = dumped
    with running_standin("--archive", str(archive), "--patches-json", str(listed)) as process:
        entries = _entries(process, "sample")
        found = {entry["id"]: requests.get(entry["mbox"]).content for entry in entries}
        new = process.control.add("sample", 2)
    assert found == mails
    assert min(new) > max(mails)


def test_a_dump_without_its_list_is_refused() -> None:
    """The message says what else is needed."""
    result = _run("--archive", __file__)
    assert result.returncode == 2
    assert "--archive and --patches-json need each other" in result.stderr


def test_a_file_that_is_no_dump_is_refused_by_name(tmp_path: Path) -> None:
    """Without a traceback."""
    (tmp_path / "patches.json").write_text("[]")
    result = _run("--archive", __file__, "--patches-json", str(tmp_path / "patches.json"))
    assert result.returncode == 1
    assert f"Error: {__file__} is not a dumparchive" in result.stderr


def test_the_port_is_written_to_a_file(tmp_path: Path) -> None:
    """For those who start the server from a shell."""
    port_file = tmp_path / "port"
    with running_standin("--patches", "0", "--port-file", str(port_file)) as process:
        assert process.url == f"http://127.0.0.1:{int(port_file.read_text())}"


def _entries(process: StandinProcess, project: str) -> list[JsonObject]:
    url = f"{process.url}/api/1.3/patches/?project={project}&per_page=250"
    entries: list[JsonObject] = requests.get(url, timeout=TIMEOUT).json()
    return entries


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "patchsync.standin", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
