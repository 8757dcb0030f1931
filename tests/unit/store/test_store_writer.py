"""Applying batches: each patch once, mail first, nothing half, nothing outside the store."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from store_fakes import batch_of, fake_mail, pasta_read, paths_in, strict_read, write_index

from patchsync.errors import LockHeld, ServerRestored, StaleWriter, StoreDamaged, StoreUnavailable
from patchsync.store.evidence import read_gone, read_set_aside
from patchsync.store.layout import ContainerPaths, Layout
from patchsync.store.lock import store_lock
from patchsync.store.mails import md5_of
from patchsync.store.side_index import SideIndex
from patchsync.store.writer import Batch, Stored, StoreWriter

# Two blocks of 128 bytes with one md5 (Wang, Feng, Lai, Yu 2004).
COLLIDING = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f89"
    "55ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b"
    "d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
    "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
)
COLLIDING_BITS = {19, 45, 59, 83, 109, 123}  # bytes whose highest bit the other block has flipped


def stored(number: int = 0, **others: int) -> Stored:
    """What becomes of a batch: all zero but for what is named."""
    return Stored(**{"stored": number, "known": 0, "set_aside": 0, "gone": 0, "back": 0, **others})


def apply(paths: ContainerPaths, batch: Batch) -> Stored:
    with StoreWriter(paths) as writer:
        return writer.apply(batch)


def tree(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def fail_on_index(
    monkeypatch: pytest.MonkeyPatch, function: str, paths: ContainerPaths, fault: Callable[..., Any]
) -> None:
    """Have `os.<function>` do `fault(real, fd, ...)` on the index, and its own work elsewhere."""
    real = getattr(os, function)

    def maybe(fd: Any, *args: Any, **options: Any) -> Any:
        at_index = isinstance(fd, int) and Path(f"/proc/self/fd/{fd}").readlink() == paths.index
        return fault(real, fd, *args) if at_index else real(fd, *args, **options)

    monkeypatch.setattr(os, function, maybe)


@pytest.mark.parametrize("layout", ["raw", "patchwork"])
def test_mails_are_stored_as_pasta_reads_them(tmp_path: Path, layout: Layout) -> None:
    """A line for each, and its file with the very bytes."""
    paths = paths_in(tmp_path, layout=layout)
    assert apply(paths, batch_of(2, 1)) == stored(2)
    assert strict_read(paths) == [2, 1]
    for message_id, [(_, date, md5)] in pasta_read(paths.index).items():
        mail = next(m for m in batch_of(1, 2).mails if m.message_id == message_id)
        assert (tmp_path / layout / date / md5).read_bytes() == mail.content


def test_each_patch_is_stored_once(paths: ContainerPaths) -> None:
    """Told again, in the same batch or a later one, it is known already."""
    assert apply(paths, batch_of(1, 2, 2)) == stored(2, known=1)
    assert apply(paths, batch_of(1, 2, 3)) == stored(1, known=2)
    assert strict_read(paths) == [1, 2, 3]


def test_a_mail_is_kept_as_it_was_first_rendered(paths: ContainerPaths) -> None:
    """Patchwork renders it anew with each tag; the later bytes are not even written."""
    apply(paths, batch_of(1))
    before = tree(paths.d_mbox)
    later = fake_mail(1, content=b"Reviewed-by: me\n")
    apply(paths, Batch(mails=(later,)))
    assert tree(paths.d_mbox) == before
    both = (fake_mail(2), fake_mail(2, content=later.content))
    assert apply(paths, Batch(mails=both)) == stored(1, known=1)
    assert len(tree(paths.mails)) == 2
    assert any(path.name == md5_of(fake_mail(2).content) for path in tree(paths.mails))


def test_patches_that_share_a_message_id_or_a_mail_have_a_line_each(paths: ContainerPaths) -> None:
    """One line per patchwork id, one file per content."""
    mails = tuple(
        fake_mail(i, message_id="<a@x>", date="2019/04/30", content=b"x\n") for i in (1, 2)
    )
    assert apply(paths, Batch(mails=mails)) == stored(2)
    assert strict_read(paths) == [1, 2]
    assert len(tree(paths.mails)) == 1


def test_a_patch_with_another_message_id_means_that_the_server_was_restored(
    paths: ContainerPaths,
) -> None:
    """And nothing of the batch is applied, whether it was listed or came as a mail."""
    apply(paths, batch_of(1, 2))
    before = {path: (paths.d_mbox / path).read_bytes() for path in tree(paths.d_mbox)}
    foreign = (fake_mail(3), fake_mail(1, message_id="<other@x>"))
    for batch in (
        batch_of(3, gone=frozenset({2}), set_aside=((4, "x"),), listed=((1, "<other@x>"),)),
        Batch(mails=foreign, gone=frozenset({2})),
    ):
        with StoreWriter(paths) as writer:
            token = writer.token
            with pytest.raises(ServerRestored, match=r"patch 1 is <1\.git@example\.org> here"):
                writer.apply(batch)
        after = {path: (paths.d_mbox / path).read_bytes() for path in tree(paths.d_mbox)}
        own = paths.fence.relative_to(paths.d_mbox)
        assert after.pop(own) == b"%d\n" % token
        assert {path: after[path] for path in before if path != own} == {
            path: content for path, content in before.items() if path != own
        }
        assert after.keys() == before.keys() - {own}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"message_id": "<a b@x>"}, "white space"),
        ({"message_id": "<a\n2019/04/30 <b@x> 0 9@x>"}, "control"),
        ({"message_id": ""}, "empty"),
        ({"message_id": "<\ud800>"}, "UTF-8"),
        ({"date": "../../../x"}, "date"),
        ({"date": "/etc/cron.d"}, "date"),
        ({"date": "2019/04/30\n"}, "date"),
        ({"date": "2019/02/30"}, "date"),
    ],
)
def test_a_mail_that_cannot_be_stored_is_set_aside_with_the_reason(
    paths: ContainerPaths, changes: dict[str, str], reason: str
) -> None:
    """The others of the batch are stored, and nothing is written elsewhere."""
    batch = Batch(mails=(fake_mail(1), fake_mail(2, **changes), fake_mail(3)))
    assert apply(paths, batch) == stored(2, set_aside=1)
    assert strict_read(paths) == [1, 3]
    assert reason in read_set_aside(paths.set_aside)[2].reason
    assert len(tree(paths.mails)) == 2
    assert {path.parts[0] for path in tree(paths.d_mbox.parent)} == {paths.d_mbox.name}


def test_a_message_id_with_slashes_is_stored(paths: ContainerPaths) -> None:
    """It is no path."""
    apply(paths, Batch(mails=(fake_mail(1, message_id="../../x"),)))
    assert strict_read(paths) == [1]
    assert pasta_read(paths.index).keys() == {"../../x"}
    assert {path.parts[0] for path in tree(paths.d_mbox.parent)} == {paths.d_mbox.name}


@pytest.mark.parametrize("patch_id", [0, -1, 2**63])
def test_an_impossible_id_is_refused_at_once(patch_id: int) -> None:
    """In whichever part of a batch."""
    for batch in (
        lambda: batch_of(patch_id),
        lambda: Batch(set_aside=((patch_id, "x"),)),
        lambda: Batch(gone=frozenset({patch_id})),
        lambda: Batch(listed=((patch_id, "<a@x>"),)),
    ):
        with pytest.raises(ValueError, match="is not a patchwork id"):
            batch()


def test_what_a_killed_writer_left_half_written_is_replaced(paths: ContainerPaths) -> None:
    """The name says which bytes must be there."""
    apply(paths, batch_of(1))
    (mail,) = (paths.mails / path for path in tree(paths.mails))
    mail.write_bytes(b"From patchw")
    paths.index.unlink()
    apply(paths, batch_of(1))
    assert strict_read(paths) == [1]
    assert len(tree(paths.mails)) == 1


def test_a_forged_mail_does_not_overwrite_another_one(paths: ContainerPaths) -> None:
    """Same date, same md5, other bytes: the first stays, the second is set aside."""
    other = bytes(byte ^ 0x80 * (at in COLLIDING_BITS) for at, byte in enumerate(COLLIDING))
    first = fake_mail(1, content=COLLIDING, date="2019/04/30")
    second = fake_mail(2, content=other, date="2019/04/30")
    assert apply(paths, Batch(mails=(first, second))) == stored(1, set_aside=1)
    assert strict_read(paths) == [1]
    (mail,) = (paths.mails / path for path in tree(paths.mails))
    assert mail.read_bytes() == COLLIDING
    assert "md5" in read_set_aside(paths.set_aside)[2].reason


def test_gone_patches_are_noted_until_they_are_listed_again(paths: ContainerPaths) -> None:
    """Only those that the store has; a patch that is gone keeps its mail."""
    apply(paths, batch_of(1, 2, 3))
    assert apply(paths, Batch(gone=frozenset({1, 3, 99}))) == stored(gone=2)
    assert apply(paths, Batch(gone=frozenset({1}))) == stored()
    assert read_gone(paths.gone) == {1, 3}
    assert strict_read(paths) == [1, 2, 3]
    listed = ((3, "<3.git@example.org>"), (2, "<2.git@example.org>"))
    assert apply(paths, Batch(listed=listed)) == stored(back=1)
    assert read_gone(paths.gone) == {1}


def test_what_is_listed_is_not_gone(paths: ContainerPaths) -> None:
    """Also when one batch says both."""
    apply(paths, batch_of(1))
    listed = ((1, "<1.git@example.org>"),)
    assert apply(paths, Batch(gone=frozenset({1}), listed=listed)) == stored()
    assert read_gone(paths.gone) == frozenset()


def test_an_archive_is_no_proof_that_a_patch_is_still_there(paths: ContainerPaths) -> None:
    """A mail without being listed leaves what is gone as it is."""
    apply(paths, batch_of(1))
    apply(paths, Batch(gone=frozenset({1})))
    assert apply(paths, batch_of(1)) == stored(known=1)
    assert read_gone(paths.gone) == {1}


def test_a_patch_that_was_set_aside_leaves_when_it_is_stored(paths: ContainerPaths) -> None:
    """And a stored one is not set aside, whatever a late message says."""
    assert apply(paths, Batch(set_aside=((1, "too large"), (2, "too large")))) == stored(
        set_aside=2
    )
    assert apply(paths, batch_of(1)) == stored(1)
    assert read_set_aside(paths.set_aside).keys() == {2}
    assert apply(paths, Batch(set_aside=((1, "too large"),))) == stored()
    assert read_set_aside(paths.set_aside).keys() == {2}


def test_a_patch_that_was_set_aside_and_is_gone_is_forgotten(paths: ContainerPaths) -> None:
    """Nothing of it is held, so there is nothing to note, and it is not tried again."""
    apply(paths, Batch(set_aside=((1, "too large"), (2, "too large"))))
    assert apply(paths, Batch(gone=frozenset({1}))) == stored(gone=1)
    assert read_set_aside(paths.set_aside).keys() == {2}
    assert read_gone(paths.gone) == frozenset()


def test_tries_of_what_was_set_aside_are_counted_and_dated(paths: ContainerPaths) -> None:
    """By the writer's clock."""
    noon = datetime(2026, 7, 25, 12, tzinfo=UTC)
    for hours in (0, 2):
        clock = noon + timedelta(hours=hours)
        with StoreWriter(paths, now=lambda clock=clock: clock) as writer:
            writer.apply(Batch(set_aside=((1, "too large"),)))
    entry = read_set_aside(paths.set_aside)[1]
    assert (entry.first, entry.last, entry.tries) == (noon, noon + timedelta(hours=2), 2)


def test_an_overtaken_writer_writes_nothing(paths: ContainerPaths) -> None:
    """Not even a mail, once another one has taken the store over."""
    with StoreWriter(paths) as first:
        first.apply(batch_of(1))
        with StoreWriter(paths) as second:
            before = tree(paths.d_mbox)
            with pytest.raises(StaleWriter):
                first.apply(batch_of(2, gone=frozenset({1})))
            assert tree(paths.d_mbox) == before
            second.apply(batch_of(3))
    assert strict_read(paths) == [1, 3]


def test_a_writer_that_is_overtaken_while_it_writes_mails_appends_nothing(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is checked again under the lock."""
    with StoreWriter(paths) as first:

        def overtake(folder: Path) -> None:
            monkeypatch.undo()
            apply(paths, batch_of(1))

        monkeypatch.setattr("patchsync.store.writer.sync_file_system", overtake)
        with pytest.raises(StaleWriter):
            first.apply(batch_of(1, 2, set_aside=((3, "x"),)))
    assert strict_read(paths) == [1]
    assert read_set_aside(paths.set_aside) == {}


def test_a_writer_waits_for_the_stores_lock_no_longer_than_told(paths: ContainerPaths) -> None:
    """Both when it begins and when it applies."""
    with StoreWriter(paths, lock_wait=0) as writer, store_lock(paths.lock):
        with pytest.raises(LockHeld):
            writer.apply(batch_of(1))
        with pytest.raises(LockHeld), StoreWriter(paths, lock_wait=0):
            pytest.fail("two writers")
    assert strict_read(paths) == []


def test_a_line_that_somebody_else_appended_meanwhile_is_not_doubled(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is new is decided again under the lock, from the index as it is then."""
    other = paths_in(paths.d_mbox, project_id=2)
    apply(other, batch_of(1))

    def append_by_hand(folder: Path) -> None:
        with paths.index.open("ab") as file:
            file.write(other.index.read_bytes())

    monkeypatch.setattr("patchsync.store.writer.sync_file_system", append_by_hand)
    assert apply(paths, batch_of(1, 2)) == stored(1, known=1)
    assert strict_read(paths) == [1, 2]


def test_the_name_of_a_new_index_is_durable_too(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is synced when the index is made, and not for each batch."""
    synced: list[Path] = []
    monkeypatch.setattr("patchsync.store.mails.sync_folder", synced.append)
    apply(paths, batch_of(1))
    apply(paths, batch_of(2))
    assert synced == [paths.index.parent]


def test_a_batch_is_synced_before_its_lines_are_appended(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sync for all mails, then the index."""
    seen: list[tuple[int, bool]] = []

    def look(folder: Path) -> None:
        seen.append((len(tree(folder)), paths.index.exists()))

    monkeypatch.setattr("patchsync.store.writer.sync_file_system", look)
    apply(paths, batch_of(*range(1, 51)))
    assert seen == [(50, False)]


def test_all_lines_of_a_batch_are_appended_by_one_write_and_synced(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that PaStA never meets a part of a line for longer than that write lasts."""
    calls: list[str] = []

    def note(name: str) -> Callable[..., Any]:
        def call(real: Callable[..., Any], *args: Any) -> Any:
            calls.append(name)
            return real(*args)

        return call

    for name in ("write", "fsync"):
        fail_on_index(monkeypatch, name, paths, note(name))
    apply(paths, batch_of(*range(1, 51)))
    assert calls == ["write", "fsync"]


def test_a_torn_last_line_is_cut_before_anything_is_appended(paths: ContainerPaths) -> None:
    """Its patch is simply stored again; the whole lines before it are not read again for that."""
    apply(paths, batch_of(1, 2))
    whole = paths.index.read_bytes()
    for torn in (b"2019/04", whole.splitlines()[0], b"\0" * 5000, b"x"):
        with paths.index.open("ab") as file:
            file.write(torn)
        with StoreWriter(paths):
            assert paths.index.read_bytes() == whole
        with SideIndex(paths.index, paths.side_index) as side_index:
            assert side_index.catch_up() == 0
            assert side_index.count == 2
    apply(paths, batch_of(3))
    assert strict_read(paths) == [1, 2, 3]


def test_an_index_that_is_one_torn_line_is_cut_to_nothing(paths: ContainerPaths) -> None:
    """As after a power loss during the very first batch."""
    paths.index.parent.mkdir(parents=True)
    paths.index.write_bytes(b"2019/04/30 <a@")
    apply(paths, batch_of(1))
    assert strict_read(paths) == [1]


def test_what_is_too_long_for_a_torn_line_is_left_alone(paths: ContainerPaths) -> None:
    """A foreign file in the place of the index is named, not emptied."""
    paths.index.parent.mkdir(parents=True)
    paths.index.write_bytes(b"x" * 200_000)
    with pytest.raises(StoreDamaged, match="last line"):
        apply(paths, batch_of(1))
    assert paths.index.stat().st_size == 200_000


def test_a_foreign_line_stops_the_writer_before_it_cuts_or_appends(paths: ContainerPaths) -> None:
    """File and line are named, the index stays as it is."""
    apply(paths, batch_of(1))
    with paths.index.open("a") as file:
        file.write("hello\nworld")
    before = paths.index.read_bytes()
    with pytest.raises(StoreDamaged, match=rf"{paths.index.name}, line 2: "):
        apply(paths, batch_of(2))
    assert paths.index.read_bytes() == before


def test_a_lost_side_index_costs_nothing_but_time(paths: ContainerPaths) -> None:
    """Also when it is lost while a writer is at work."""
    with StoreWriter(paths) as writer:
        writer.apply(batch_of(1, 2))
        for path in paths.own.glob("side-index*"):
            path.unlink()
        assert writer.apply(batch_of(2, 3)) == stored(1, known=1)
    assert strict_read(paths) == [1, 2, 3]


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        ("write", lambda real, fd, data: real(fd, data[: len(data) // 2])),
        ("write", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))),
        ("write", lambda *_: (_ for _ in ()).throw(OSError(errno.EDQUOT, "quota"))),
        ("fsync", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "error"))),
    ],
    ids=["short write", "disk full", "quota", "sync fails"],
)
def test_a_failed_append_is_taken_back(
    paths: ContainerPaths,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    fault: Callable[..., Any],
) -> None:
    """The index is as before, is not read anew for that, and the next try succeeds."""
    with StoreWriter(paths) as writer:
        writer.apply(batch_of(1))
        before = paths.index.read_bytes()
        with monkeypatch.context() as patch:
            fail_on_index(patch, function, paths, fault)
            with pytest.raises(StoreUnavailable, match=paths.index.name):
                writer.apply(batch_of(*range(2, 40)))
        assert paths.index.read_bytes() == before
        with SideIndex(paths.index, paths.side_index) as side_index:
            assert side_index.catch_up() == 0
        assert writer.apply(batch_of(2)) == stored(1)
    assert strict_read(paths) == [1, 2]


def test_what_could_not_be_taken_back_is_cut_by_the_next_try(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk may refuse that too."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "error")

    with StoreWriter(paths) as writer:
        writer.apply(batch_of(1))
        with monkeypatch.context() as patch:
            fail_on_index(patch, "write", paths, lambda real, fd, data: real(fd, data[:100]))
            patch.setattr(os, "ftruncate", refuse)
            with pytest.raises(StoreUnavailable):
                writer.apply(batch_of(2, 3))
        assert not paths.index.read_bytes().endswith(b"\n")
        writer.apply(batch_of(3))
    ids = strict_read(paths)
    assert sorted(ids) in ([1, 3], [1, 2, 3])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_passes_by_itself(small_disk: Path) -> None:
    """Whatever write meets it: PaStA can read the store, and with some space it goes on."""
    paths = paths_in(small_disk)
    apply(paths, batch_of(1))
    ballast = small_disk / "ballast"
    full = 0
    for free in range(0, 120_000, 4096):
        ballast.write_bytes(b"")
        space = os.statvfs(small_disk).f_bavail * 4096
        ballast.write_bytes(bytes(max(space - free, 0)))
        try:
            apply(paths, batch_of(*range(1, 12)))
        except StoreUnavailable as error:
            assert "disk" in str(error) or "full" in str(error)
            full += 1
            assert 1 in strict_read(paths)
    ballast.unlink()
    assert full > 3
    apply(paths, batch_of(*range(1, 12)))
    assert sorted(strict_read(paths)) == list(range(1, 12))


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "let the user that runs patchsync"),
        (errno.EROFS, "mount it writable"),
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_the_system_refuses_is_told_with_path_and_remedy(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    """For the one who reads it, and as something that passes."""
    apply(paths, batch_of(1))

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number), str(paths.fence))

    monkeypatch.setattr("patchsync.store.files.os.fsync", refuse)
    with pytest.raises(StoreUnavailable, match=f"{paths.fence}: .*{remedy}"):
        apply(paths, batch_of(2))


@pytest.mark.parametrize(("mask", "file_mode"), [(0o027, 0o640), (0o002, 0o664)])
def test_all_files_have_the_rights_that_the_umask_leaves(
    paths: ContainerPaths, mask: int, file_mode: int
) -> None:
    """PaStA may run as another user of the same group."""
    before = os.umask(mask)
    try:
        with StoreWriter(paths) as writer:
            writer.apply(batch_of(1, 2, set_aside=((3, "x"),)))
            writer.apply(Batch(gone=frozenset({1})))
            found = {
                path.name: stat.S_IMODE(path.stat().st_mode)
                for path in paths.d_mbox.rglob("*")
                if path.is_file()
            }
    finally:
        os.umask(before)
    assert set(found.values()) == {file_mode}, found
    folders = {stat.S_IMODE(p.stat().st_mode) for p in paths.d_mbox.rglob("*") if p.is_dir()}
    assert folders == {0o777 & ~mask}


def test_the_files_beside_the_index_are_replaced_whole(
    paths: ContainerPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash before the new one is complete leaves the old one."""
    apply(paths, batch_of(1, 2))
    apply(paths, Batch(gone=frozenset({1})))

    def crash(fd: int) -> None:
        raise KeyboardInterrupt

    with StoreWriter(paths) as writer:
        monkeypatch.setattr("patchsync.store.files.os.fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            writer.apply(Batch(gone=frozenset({2})))
    assert read_gone(paths.gone) == {1}
    monkeypatch.undo()
    assert apply(paths, Batch(gone=frozenset({2}))) == stored(gone=1)


def test_a_batch_costs_the_same_in_a_large_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes read and steps of SQLite, with 1,000 lines and with 200,000 (23 MB)."""
    steps = [0]

    def count_step() -> int:
        steps[0] += 1
        return 0

    class Counting(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.set_progress_handler(count_step, 10)

    connect = sqlite3.connect

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    costs = []
    for count in (1_000, 200_000):
        paths = paths_in(tmp_path / str(count))
        write_index(paths, count)
        with SideIndex(paths.index, paths.side_index) as side_index:
            side_index.catch_up()
        monkeypatch.setattr(
            sqlite3, "connect", lambda *args, **options: connect(*args, **options, factory=Counting)
        )
        steps[0], before = 0, bytes_read()
        batch = batch_of(*range(count + 1, count + 101), gone=frozenset({5, 7}))
        assert apply(paths, batch) == stored(100, gone=2)
        costs.append((bytes_read() - before, steps[0]))
        monkeypatch.undo()
    (small_bytes, small_steps), (large_bytes, large_steps) = costs
    assert small_steps > 0
    assert large_steps <= small_steps * 1.1
    assert large_bytes <= small_bytes + 100 * 3 * 4096  # an index' leaf and branches for each mail
