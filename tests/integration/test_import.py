"""`patchsync import` with a real Redis and a Patchwork over HTTP, in the process of the test."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
import redis
import requests
from kombu.exceptions import OperationalError

from patchsync.config import load
from patchsync.fleet.heartbeat import Heartbeats, Member
from patchsync.imports.judge import NEWEST
from patchsync.imports.locked_store import LockedStore
from patchsync.store.redis_lock import lock_name, redis_lock
from patchsync.store.writer import Stored, StoreWriter
from patchsync.sync.request_count import kept_requests
from standin.process import StandinProcess
from tests.support.contents import Contents, assert_same_store, contents_of
from tests.support.dumparchive import by_date, date_of, dump, imitation, mbox_of, write_tar
from tests.support.inprocess import Workers
from tests.support.installation import Installation, configured, processes_of
from tests.support.real_mail import ARCHIVE, JAILHOUSE, need_real_mail

PROJECTS = ("sample", "neighbour")
# 40 in `sample`, the others in `neighbour`
PATCHES = 60

Mirrored = Callable[..., Contents]


@pytest.fixture
def patchwork(shared_standin: StandinProcess) -> StandinProcess:
    """A stand-in with fewer patches than elsewhere: each is asked for by several in a test."""
    shared_standin.control.reset(patches=PATCHES)
    return shared_standin


@pytest.fixture
def mirrored(tmp_path: Path, patchwork: StandinProcess, workers: Workers) -> Mirrored:
    """What a sync of the same patches stores, and that it mirrors the server."""

    def sync(extra: str = "") -> Contents:
        folder = tmp_path / "synced"
        folder.mkdir()
        other = configured(folder, patchwork, extra, name="synced", workers=workers)
        other.patchsync("sync")
        for project in PROJECTS:
            if not extra:
                other.assert_mirrors(project)
        return contents_of(other)

    return sync


def imported(installation: Installation, *arguments: str | Path) -> str:
    """`patchsync import`, which must succeed; returns what it said."""
    done = installation.patchsync("import", *map(str, arguments))
    assert done.returncode == 0, done.stdout + done.stderr + installation.logs()
    return done.stdout


def refused(installation: Installation, *arguments: str | Path) -> str:
    """`patchsync import`, which must fail and leave nothing; returns what it said."""
    before = tree(installation.config.d_mbox)
    done = installation.patchsync("import", *map(str, arguments))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert tree(installation.config.d_mbox) == before
    return done.stdout + done.stderr


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, and the folders, which are empty here."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def assert_synced_already(installation: Installation) -> None:
    """A sync agrees with what is there and fetches no mail."""
    control = installation.patchwork.control
    control.reset_stats()
    installation.sync()
    kinds = control.stats()["kinds"]
    assert not [kind for kind in kinds if "mbox" in kind], kinds


def served(patchwork: StandinProcess, patch_id: int) -> bytes:
    return requests.get(f"{patchwork.url}/patch/{patch_id}/mbox/", timeout=10).content


def listed(patchwork: StandinProcess, patch_id: int) -> dict[str, Any]:
    answer = requests.get(f"{patchwork.url}/api/1.3/patches/{patch_id}/", timeout=10)
    entry: dict[str, Any] = answer.json()
    return entry


def ids_by_date(patchwork: StandinProcess, project: str = "sample") -> list[int]:
    """The patches of a project in the order of a dumparchive."""
    return [entry["id"] for entry in by_date(patchwork, project)]


# What is stored


def as_gzip(folder: Path, patchwork: StandinProcess) -> list[list[str | Path]]:
    return [[dump(folder / "dump.tar.gz", patchwork, *PROJECTS)]]


def as_plain_tar(folder: Path, patchwork: StandinProcess) -> list[list[str | Path]]:
    mboxes = {project: mbox_of(patchwork, project) for project in PROJECTS}
    return [[write_tar(folder / "dump.tar.gz", mboxes, compressed=False)]]


def as_bare_mboxes(folder: Path, patchwork: StandinProcess) -> list[list[str | Path]]:
    for project in PROJECTS:
        (folder / f"of-{project}").write_bytes(mbox_of(patchwork, project))
    return [["--project", project, folder / f"of-{project}"] for project in PROJECTS]


@pytest.mark.parametrize("made", [as_gzip, as_plain_tar, as_bare_mboxes])
def test_the_store_is_that_of_a_sync(
    installation: Installation,
    tmp_path: Path,
    made: Callable[[Path, StandinProcess], list[list[str | Path]]],
    mirrored: Mirrored,
) -> None:
    """Byte for byte, whatever the archive is packed in; a sync after it fetches no mail."""
    for arguments in made(tmp_path, installation.patchwork):
        installation.patchwork.control.reset_stats()
        said = imported(installation, *arguments)
        assert re.search(r"\d+ mails in the archive: \d+ stored", said), said
        # The newest of each project, and the mails before them, come from Patchwork.
        mails = installation.patchwork.control.stats()["kinds"].get("mbox", 0)
        assert mails <= len(PROJECTS) * (2 * NEWEST + 1)
    # What it asked counts for the day's budget, whatever happens to Redis.
    counted = kept_requests(installation.config, datetime.now(UTC).date().isoformat())
    assert all(counted[project] > 0 for project in PROJECTS)
    assert_same_store(installation, mirrored())
    assert_synced_already(installation)
    again = [imported(installation, *each) for each in made(tmp_path, installation.patchwork)]
    assert "stored" not in "".join(again), again


def test_an_import_by_itself(tmp_path: Path, patchwork: StandinProcess, mirrored: Mirrored) -> None:
    """A process that starts its own Redis stores the same, and leaves nothing behind."""
    alone = configured(tmp_path, patchwork)
    done = alone.process("import", str(dump(tmp_path / "dump", patchwork, *PROJECTS)))
    assert done.returncode == 0, done.stdout + done.stderr + alone.logs()
    assert not processes_of(alone), "nothing that it started is left"
    assert not alone.config.run_dir.exists()
    assert_same_store(alone, mirrored())


def test_archives_of_the_configuration(
    tmp_path: Path, patchwork: StandinProcess, workers: Workers, mirrored: Mirrored
) -> None:
    """Without an argument the initial_archives are taken, each for its project."""
    for project in PROJECTS:
        (tmp_path / f"{project}.dump").write_bytes(
            dump(tmp_path / "dump", patchwork, project).read_bytes()
        )
    archives = [[project, f"{project}.dump"] for project in PROJECTS]
    installation = configured(
        tmp_path, patchwork, f"initial_archives = {json.dumps(archives)}", workers=workers
    )
    imported(installation, "--project", "neighbour")
    assert [*contents_of(installation).lines] == ["raw.neighbour@lists.example.org.patchwork.2"]
    imported(installation)
    assert_same_store(installation, mirrored())


def test_a_project_that_is_not_configured_is_left_alone(
    installation: Installation, tmp_path: Path, mirrored: Mirrored
) -> None:
    """And it is named; so is one that --project leaves out."""
    patchwork = installation.patchwork
    mboxes = {project: mbox_of(patchwork, project) for project in PROJECTS}
    stranger = mboxes["neighbour"].replace(b"X-Patchwork-Id: ", b"X-Patchwork-Id: 9")
    archive = write_tar(tmp_path / "dump", {"stranger": stranger} | mboxes)
    said = imported(installation, "--project", "sample", archive)
    assert "neighbour.mbox" in said
    said = imported(installation, archive)
    assert "stranger.mbox is of no configured project" in said
    assert "neighbour.mbox" not in said
    assert_same_store(installation, mirrored())
    others = write_tar(tmp_path / "others", {"stranger": stranger})
    assert "stranger" in refused(installation, others)


def test_the_real_archive_offline(
    tmp_path: Path, patchwork: StandinProcess, workers: Workers
) -> None:
    """1,535 of 1,535 mails, with the index lines that PaStA's data has; nobody is asked."""
    need_real_mail()
    file = tmp_path / "patchsync.toml"
    file.write_text(
        f"""
        [mbox.patchwork]
        url = "{patchwork.url}"
        projects = [{{ id = 1, list_email = "jailhouse-dev@googlegroups.com" }}]
        [redis]
        url = "{workers.redis_url}"
        """
    )
    installation = Installation(patchwork, load(file), workers)
    imported(installation, "--offline", "--project", "1", ARCHIVE)
    lines = installation.lines("1")
    expected = (JAILHOUSE / "patchwork.1").read_text().splitlines()
    assert len(lines) == len(expected) == 1535
    assert set(lines) == set(expected)
    for name, content in contents_of(installation).mails.items():
        assert hashlib.md5(content).hexdigest() == name[-32:]
    assert patchwork.control.stats()["requests"] == 0


# Bodies that imitate a beginning


def id_of_nobody(patchwork: StandinProcess, _: int) -> tuple[int, str, str]:
    """An id between those that there are, which was deleted."""
    absent = patchwork.control.ids("sample")[15]
    patchwork.control.delete([absent])
    return absent, "<nobody@example.org>", "same"


def id_of_another_patch(patchwork: StandinProcess, _: int) -> tuple[int, str, str]:
    """A patch of the project, with its message-id and its date."""
    other = ids_by_date(patchwork)[-1]
    return other, listed(patchwork, other)["msgid"], date_of(served(patchwork, other))


def id_of_another_project(patchwork: StandinProcess, _: int) -> tuple[int, str, str]:
    """A patch that went to two lists, and was pasted from the other one."""
    other = patchwork.control.ids("neighbour")[5]
    return other, listed(patchwork, other)["msgid"], "same"


def id_above_all(patchwork: StandinProcess, _: int) -> tuple[int, str, str]:
    """An id that is not given yet."""
    return 10**6, "<above@example.org>", "same"


def its_own_id(patchwork: StandinProcess, writer: int) -> tuple[int, str, str]:
    """The patch quotes itself."""
    return writer, listed(patchwork, writer)["msgid"], "same"


IMITATIONS = [id_of_nobody, id_of_another_patch, id_of_another_project, id_above_all, its_own_id]


@pytest.mark.parametrize("claim", IMITATIONS)
def test_an_imitated_beginning(
    installation: Installation,
    tmp_path: Path,
    claim: Callable[[StandinProcess, int], tuple[int, str, str]],
    mirrored: Mirrored,
) -> None:
    """It smuggles no mail in and cuts none short: the store is that of a sync."""
    patchwork = installation.patchwork
    writer = ids_by_date(patchwork)[20]
    number, message_id, date = claim(patchwork, writer)
    date = date_of(served(patchwork, writer)) if date == "same" else date
    pasted = imitation(number, message_id, date)
    patchwork.control.rewrite(writer, f"See this:\n\n{pasted}\nThat was it.\n")
    archive = dump(tmp_path / "dump", patchwork, *PROJECTS)
    patchwork.control.reset_stats()
    done = installation.patchsync("import", str(archive))
    assert "Traceback" not in done.stderr
    requests_for_mails = patchwork.control.stats()["kinds"]["mbox"]
    assert requests_for_mails <= 8, "only what is in doubt comes from Patchwork"
    assert_same_store(installation, mirrored())
    assert_synced_already(installation)


def test_an_imitation_beside_a_patch_that_the_archive_lacks(
    installation: Installation, tmp_path: Path, mirrored: Mirrored
) -> None:
    """One too many and one too few leave the numbers of the server as they are."""
    patchwork = installation.patchwork
    (late,) = patchwork.control.add("sample", 1, visible=False)
    (other,) = patchwork.control.add("neighbour", 1)
    patchwork.control.add("sample", 1)
    writer = ids_by_date(patchwork)[20]
    pasted = imitation(other, "<pasted@example.org>", date_of(served(patchwork, writer)))
    patchwork.control.rewrite(writer, f"See this:\n\n{pasted}\nThat was it.\n")
    archive = dump(tmp_path / "dump", patchwork, *PROJECTS)
    patchwork.control.commit([late])
    installation.patchsync("import", str(archive))
    installation.sync()
    assert_same_store(installation, mirrored())


# Mails that cannot be stored


def test_mails_that_cannot_be_stored_are_quarantined(
    tmp_path: Path, patchwork: StandinProcess, workers: Workers, mirrored: Mirrored
) -> None:
    """With the reason, and as a sync does it; the rest is in; it is told by the exit status."""
    huge, odd = patchwork.control.ids("sample")[10:12]
    patchwork.control.rewrite(huge, "x" * 150_000 + "\n")
    patchwork.control.replace(odd, "<a space@example.org>")
    limit = "[patchwork]\nmax_mail_bytes = 100000\n"
    installation = configured(tmp_path, patchwork, limit, workers=workers)
    archive = dump(tmp_path / "dump", patchwork, *PROJECTS)
    done = installation.patchsync("import", str(archive))
    assert done.returncode == 1
    assert "2 quarantined" in done.stdout
    assert re.search(rf"patch {huge}: .*100000", done.stdout), done.stdout
    assert re.search(rf"patch {odd}: .*white space", done.stdout), done.stdout
    assert_same_store(installation, mirrored(limit))
    assert not {huge, odd} & installation.ids("sample")
    told = installation.status("sample")["ours"]["quarantined"]
    assert {each["id"] for each in told} == {huge, odd}
    assert_synced_already(installation)


# What is refused, and what only looks


def test_a_dry_run_writes_nothing(
    tmp_path: Path, patchwork: StandinProcess, workers: Workers
) -> None:
    """It tells the numbers, starts nothing, and says by its exit status whether all would be in."""
    # Nobody can start anything here, for want of Redis.
    installation = configured(tmp_path, patchwork, "[redis]", workers=workers)
    archive = dump(tmp_path / "dump", patchwork, *PROJECTS)
    before = tree(tmp_path)
    said = imported(installation, "--dry-run", archive)
    assert re.search(r"sample: 40 mails in the archive: 3\d to store .*, \d to fetch", said), said
    assert re.search(r"neighbour: 20 mails in the archive: 1\d to store", said), said
    assert tree(tmp_path) == before
    assert not installation.config.run_dir.exists()

    huge = patchwork.control.ids("sample")[10]
    patchwork.control.rewrite(huge, "x" * (11 * 2**20) + "\n")
    archive = dump(tmp_path / "dump", patchwork, *PROJECTS)
    done = installation.patchsync("import", "--dry-run", str(archive))
    assert done.returncode == 1
    assert re.search(r"3\d to store .*, 1 quarantined", done.stdout), done.stdout
    assert f"patch {huge}: " in done.stdout
    assert not workers.sent

    installation = configured(tmp_path, patchwork, workers=workers)
    installation.sync()
    before = tree(installation.config.d_mbox)
    done = installation.patchsync("import", "--dry-run", str(archive))
    assert "sample: 40 mails in the archive: 39 known already, 1 quarantined" in done.stdout
    assert tree(installation.config.d_mbox).keys() == before.keys()


def test_another_projects_archive_is_refused(installation: Installation, tmp_path: Path) -> None:
    """Whether it says nothing of its project or names a wrong one: nothing is written."""
    neighbour = mbox_of(installation.patchwork, "neighbour")
    bare = tmp_path / "some.mbox"
    bare.write_bytes(neighbour)
    said = refused(installation, "--project", "sample", bare)
    assert "this is not the archive of sample" in said
    tar = write_tar(tmp_path / "dump", {"sample": neighbour})
    assert "this is not the archive of sample" in refused(installation, tar)
    assert "--project" in refused(installation, bare)
    installation.sync()
    assert "this is not the archive of sample" in refused(installation, tar)


def test_a_broken_archive_is_refused(installation: Installation, tmp_path: Path) -> None:
    """All of it is read before anything is written; the message names the file."""
    whole = dump(tmp_path / "dump", installation.patchwork, *PROJECTS).read_bytes()
    broken = tmp_path / "broken.tar.gz"
    for content in (whole[: len(whole) // 2], whole[:-4], b"", b"hello"):
        broken.write_bytes(content)
        assert str(broken) in refused(installation, broken)
    assert str(tmp_path / "absent") in refused(installation, tmp_path / "absent")


def test_one_bad_archive_does_not_keep_the_others_out(
    installation: Installation, tmp_path: Path, mirrored: Mirrored
) -> None:
    """The exit status tells that one is missing."""
    archive = dump(tmp_path / "dump", installation.patchwork, *PROJECTS)
    broken = tmp_path / "broken"
    broken.write_bytes(archive.read_bytes()[:1000])
    done = installation.patchsync("import", str(broken), str(archive))
    assert done.returncode == 1
    assert str(broken) in done.stderr
    assert_same_store(installation, mirrored())


# What may happen meanwhile


def before_a_piece(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Have something be done in mid-import, once: before the first piece is stored."""
    store = LockedStore.store
    done = False

    def store_after_that(*arguments: Any) -> Stored:
        nonlocal done
        if not done:
            done = True
            what()
        return store(*arguments)

    monkeypatch.setattr(LockedStore, "store", store_after_that)


def test_two_at_once(
    installation: Installation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mirrored: Mirrored,
) -> None:
    """The second is refused and does no harm; the first ends well."""
    archive = dump(tmp_path / "dump", installation.patchwork, *PROJECTS)
    said = []
    before_a_piece(monkeypatch, lambda: said.append(refused(installation, archive)))
    imported(installation, archive)
    assert re.search("another import of .* is under way", said[0])
    assert_same_store(installation, mirrored())


def test_redis_is_flushed_all_the_time(
    installation: Installation,
    shared_redis: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mirrored: Mirrored,
) -> None:
    """Nothing but the lock is in it, and that only saves work: the import ends well."""
    archive = dump(tmp_path / "dump", installation.patchwork, *PROJECTS)
    write, flushed = StoreWriter.write, list[bool]()

    def write_without_a_lock(*arguments: Any, **more: Any) -> None:
        flushed.append(shared_redis.flushall())
        write(*arguments, **more)

    monkeypatch.setattr(StoreWriter, "write", write_without_a_lock)
    imported(installation, archive)
    assert flushed
    monkeypatch.undo()
    assert_same_store(installation, mirrored())


def test_a_round_beside_it(
    installation: Installation,
    workers: Workers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mirrored: Mirrored,
) -> None:
    """New patches come in meanwhile; what the archive brings is not fetched as well."""
    archive = dump(tmp_path / "dump", installation.patchwork, *PROJECTS)
    new: list[int] = []

    def come_in() -> None:
        new.extend(installation.patchwork.control.add("sample", 3))
        workers.send_task("workers.fetch.probe", ["sample"])
        assert installation.ids("sample") >= set(new), "they do not wait for the archive"

    before_a_piece(monkeypatch, come_in)
    with workers.running("probe", "fetch", "index"):
        imported(installation, archive)
    # The newest of the archive are in doubt: they come from Patchwork in any case.
    fetched = sum(map(int, re.findall(r"(\d+) mails, \d+ quarantined", installation.logs())))
    assert len(new) <= fetched <= len(new) + 2 * NEWEST + 1
    assert_synced_already(installation)
    assert_same_store(installation, mirrored())


def test_a_fleet_beside_it_is_asked_for_an_analysis(
    installation: Installation, tmp_path: Path, workers: Workers
) -> None:
    """Once new mails are stored; not where nothing is new, nor where nobody would do it."""
    archive = dump(tmp_path / "dump.tar.gz", installation.patchwork, *PROJECTS)
    heartbeats = Heartbeats(redis.Redis.from_url(workers.redis_url), installation.config.namespace)
    heartbeats.note(Member(service="analyse"))
    imported(installation, archive)
    (message,) = workers.of("analyse.update")
    assert message.options["argsrepr"] == "(sample: new mails)"
    workers.sent.clear()
    imported(installation, archive)
    assert not workers.sent


def test_redis_is_lost_when_the_analysis_is_asked_for(
    installation: Installation,
    tmp_path: Path,
    workers: Workers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All is in all the same; beat asks for it later."""

    def lost(*_: object, **__: object) -> NoReturn:
        raise OperationalError("Error 111 connecting to x:1. Connection refused.")

    archive = dump(tmp_path / "dump.tar.gz", installation.patchwork, *PROJECTS)
    heartbeats = Heartbeats(redis.Redis.from_url(workers.redis_url), installation.config.namespace)
    heartbeats.note(Member(service="analyse"))
    monkeypatch.setattr(Workers, "send_task", lost)
    imported(installation, archive)


# What goes through Redis


def test_redis_holds_no_mail_no_path_and_no_token(
    tmp_path: Path, patchwork: StandinProcess, workers: Workers, mirrored: Mirrored
) -> None:
    """An import leaves nothing there that gives them away, and sends no message."""
    installation = configured(tmp_path, patchwork, 'token = "sample-token"', workers=workers)
    archive = dump(tmp_path / "secret-place.tar.gz", patchwork, *PROJECTS)
    with redis.Redis.from_url(workers.redis_url) as client:
        lock = lock_name(installation.config, "sample")
        with redis_lock(client, lock, ttl=60, wait=0):
            done = installation.process("import", "--patience", "0.1", str(archive))
        assert done.returncode == 1
        assert "nothing was stored for 0.1 s: Redis lock" in done.stderr
        assert "start it again to go on" in done.stderr
        imported(installation, archive)
        # Else what is long might not be found in it.
        client.config_set("rdbcompression", "no")
        keys = client.keys("*")
        everything = b"".join(client.dump(key) for key in keys)
    assert not workers.sent
    assert not [key for key in keys if client.type(key) == b"list"], "no queue"
    text = everything + b"".join(keys)
    for secret in (b"secret-place", str(tmp_path).encode(), b"From patchwork", b"sample-token"):
        assert secret not in text
    assert_same_store(installation, mirrored())
