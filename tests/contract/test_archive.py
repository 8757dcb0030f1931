"""The stand-in's command line: a dumparchive to serve, a file for its port."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result

from standin.__main__ import main
from standin.process import StandinProcess, running_standin
from tests.contract.conftest import TIMEOUT, JsonObject

QUOTED_MAIL = b"From patchwork Thu Jan  1 00:00:00 1970\nX-Patchwork-Id: %d\n\nquoted\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what is needed to serve a dump is, and the port's file."""
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="module")
def mails(folder: Path, shared_standin: StandinProcess) -> dict[int, bytes]:
    """The mails by id that are in a dumparchive, which is made, and the list of its patches.

    Each mail quotes the first lines of another, and so has a line that looks like the next mail's.
    """
    shared_standin.control.reset(patches=12)
    entries = _entries(shared_standin, "sample")
    mails = {entry["id"]: requests.get(entry["mbox"]).content for entry in entries}
    ids = sorted(mails)
    mails = {i: mails[i] + QUOTED_MAIL % ids[n - 1] for n, i in enumerate(ids)}
    by_date = sorted(entries, key=lambda entry: str(entry["date"]))
    dump = b"".join(mails[entry["id"]] + b"\n" for entry in by_date)
    with tarfile.open(folder / "dump.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("sample.mbox")
        member.size = len(dump)
        tar.addfile(member, io.BytesIO(dump))
    (folder / "patches.json").write_text(json.dumps(entries))
    return mails


@pytest.fixture(scope="module")
def serving(folder: Path, mails: dict[int, bytes]) -> Iterator[StandinProcess]:
    """A stand-in that serves them."""
    files = {"--archive": "dump.tar.gz", "--patches-json": "patches.json", "--port-file": "port"}
    options = [[option, str(folder / name)] for option, name in files.items()]
    with running_standin(*chain.from_iterable(options)) as process:
        yield process


def test_a_dump_is_served_mail_by_mail_under_the_old_ids(
    serving: StandinProcess, mails: dict[int, bytes]
) -> None:
    """Byte for byte, whatever the bodies quote."""
    entries = _entries(serving, "sample")
    assert {entry["id"]: requests.get(entry["mbox"]).content for entry in entries} == mails
    assert min(serving.control.add("sample", 2)) > max(mails)


def test_a_dump_without_its_list_is_refused() -> None:
    """The message says what else is needed."""
    result = _run("--archive", __file__)
    assert result.exit_code == 2
    assert "--archive and --patches-json need each other" in result.stderr


def test_a_file_that_is_no_dump_is_refused_by_name(tmp_path: Path) -> None:
    """Without a traceback."""
    (tmp_path / "patches.json").write_text("[]")
    result = _run("--archive", __file__, "--patches-json", str(tmp_path / "patches.json"))
    assert result.exit_code == 1
    assert f"Error: {__file__} is not a dumparchive" in result.stderr


def test_the_port_is_written_to_a_file(serving: StandinProcess, folder: Path) -> None:
    """For those who start the server from a shell."""
    assert serving.url == f"http://127.0.0.1:{int((folder / 'port').read_text())}"


def _entries(process: StandinProcess, project: str) -> list[JsonObject]:
    url = f"{process.url}/api/1.3/patches/?project={project}&per_page=250"
    entries: list[JsonObject] = requests.get(url, timeout=TIMEOUT).json()
    return entries


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)
