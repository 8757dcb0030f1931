"""PaStA's MailContainer interface over our store."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from store_fakes import LIST, batch_of, fake_mail, pasta_read, write_index

from patchsync.errors import LockHeld, StoreDamaged
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.container import MboxPatchwork
from patchsync.store.layout import ContainerPaths, Layout
from patchsync.store.lock import store_lock
from patchsync.store.writer import StoreWriter


def open_container(paths: ContainerPaths, lock_wait: float = 30) -> MboxPatchwork:
    return MboxPatchwork(
        paths.listaddr, paths.d_mbox, paths.project_id, paths.layout, lock_wait=lock_wait
    )


@pytest.mark.parametrize("layout", ["raw", "patchwork"])
def test_what_was_added_is_there_after_write_index(tmp_path: Path, layout: Layout) -> None:
    """In both layouts, for us and for PaStA."""
    with MboxPatchwork(LIST, tmp_path, 1, layout) as mbox:
        mbox.add(fake_mail(1))
        mbox.add(fake_mail(2))
        assert mbox.get_ids() == set()
        assert mbox.write_index().stored == 2
        assert mbox.write_index().known == 0
        assert mbox.listaddr == LIST
        assert mbox.get_ids() == {"<1.git@example.org>", "<2.git@example.org>"}
        assert mbox.get_ids() == pasta_read(mbox.paths.index).keys()
        assert "<1.git@example.org>" in mbox
        assert mbox["<1.git@example.org>"] == [fake_mail(1).content]


def test_an_index_is_appended_to_and_never_rewritten(paths: ContainerPaths) -> None:
    """The same file, and the old lines where they were."""
    with open_container(paths) as mbox:
        mbox.add(fake_mail(9))
        mbox.write_index()
        before, inode = paths.index.read_bytes(), paths.index.stat().st_ino
        mbox.add(fake_mail(1))
        mbox.write_index()
    assert paths.index.read_bytes().startswith(before)
    assert paths.index.stat().st_ino == inode


def test_who_only_reads_waits_for_no_writer(paths: ContainerPaths) -> None:
    """What the writer has caught up with can be looked up beside it, and leaves no trace."""
    write_index(paths, 3)
    open_container(paths).close()
    before = paths.side_index.stat().st_mtime_ns
    with store_lock(paths.lock), open_container(paths, lock_wait=0) as mbox:
        assert mbox.count == 3
    assert paths.side_index.stat().st_mtime_ns == before
    with open_container(paths) as mbox:
        write_index(paths, 5)
        mbox.update()
        assert mbox.count == 5
    with open_container(paths, lock_wait=0) as mbox, store_lock(paths.lock):
        assert mbox.count == 5


def test_a_damaged_side_index_is_made_anew(paths: ContainerPaths) -> None:
    """By who comes first, under the lock."""
    write_index(paths, 3)
    open_container(paths).close()
    content = paths.side_index.read_bytes()
    paths.side_index.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with open_container(paths) as mbox:
        assert mbox.count == 3


def test_a_message_id_of_several_patches_has_several_mails(paths: ContainerPaths) -> None:
    """In the order of the index."""
    with open_container(paths) as mbox:
        for patch_id in (7, 3):
            mbox.add(fake_mail(patch_id, message_id="<same@x>"))
        mbox.write_index()
        assert mbox["<same@x>"] == [fake_mail(7).content, fake_mail(3).content]
        assert mbox.get_patchwork_ids("<same@x>") == {3, 7}
        assert mbox.get_ids() == {"<same@x>"}
        assert (mbox.count, mbox.highest, list(mbox.ids())) == (2, 7, [3, 7])
        assert mbox.message_id_of(3) == "<same@x>"


def test_an_unknown_message_id_is_simply_not_there(paths: ContainerPaths) -> None:
    """In an empty store as well, which is not created by looking at it."""
    with open_container(paths) as mbox:
        assert "<a@x>" not in mbox
        assert 5 not in mbox
        assert mbox.get_patchwork_ids("<a@x>") == set()
        assert (mbox.count, mbox.highest, mbox.entry(1), mbox.message_id_of(1)) == (
            *(0, None),
            *(None, None),
        )
        with pytest.raises(KeyError):
            mbox["<a@x>"]
    assert not paths.d_mbox.exists()


def test_a_time_window_is_compared_as_pasta_does_it(paths: ContainerPaths) -> None:
    """A date is midnight, both ends belong to it."""
    dates = ["2019/04/29", "2019/04/30", "2019/05/01"]
    with open_container(paths) as mbox:
        for patch_id, date in enumerate(dates, start=1):
            mbox.add(fake_mail(patch_id, date=date))
        mbox.write_index()
        ends = [datetime(2019, 4, day, hour) for day in (29, 30) for hour in (0, 1)]
        for since in ends:
            for until in ends:
                expected = {
                    message_id
                    for message_id, entries in pasta_read(paths.index).items()
                    if any(since <= date <= until for date, _, _ in entries)
                }
                assert mbox.get_ids((since, until)) == expected
        assert mbox.get_ids((ends[0], ends[2])) == {"<1.git@example.org>", "<2.git@example.org>"}


def test_update_takes_in_what_others_wrote(paths: ContainerPaths) -> None:
    """And so does load_index; until then the container stays as it was for mails not yet read."""
    with open_container(paths) as mbox:
        for patch_id, take_in in ((1, mbox.update), (2, mbox.load_index)):
            with StoreWriter(paths) as writer:
                writer.apply(batch_of(patch_id))
            take_in()
            assert mbox.highest == patch_id


def test_a_store_made_by_pastas_former_backend_is_read(tmp_path: Path) -> None:
    """Sorted, and with a message-id of two patches."""
    with MboxPatchwork(LIST, tmp_path, 1, "patchwork") as mbox:
        write_index(mbox.paths, 20)
        mbox.update()
        assert mbox.count == 20
        assert mbox.get_ids() == pasta_read(mbox.paths.index).keys()


def test_a_missing_mail_is_named_with_the_remedy(paths: ContainerPaths) -> None:
    """Which file, and which line of the index."""
    with open_container(paths) as mbox:
        mbox.add(fake_mail(1))
        mbox.write_index()
        entry = mbox.entry(1)
        assert entry is not None
        paths.mail(entry.date, entry.md5).unlink()
        with pytest.raises(StoreDamaged, match=f"{entry.md5} is missing, the mail of patch 1"):
            mbox[entry.message_id]


def test_what_needs_no_fetching_is_what_is_stored_or_quarantined(paths: ContainerPaths) -> None:
    """Each once, also when a killed writer left a stored patch among those quarantined."""
    with StoreWriter(paths) as writer:
        writer.apply(batch_of(5, 1, quarantined=((3, "too large"), (9, "too large"))))
        left_behind = paths.quarantine.read_bytes()
        writer.apply(batch_of(3))
    paths.quarantine.write_bytes(left_behind)
    with open_container(paths) as mbox:
        assert mbox.held().typecode == "q"
        assert list(mbox.held()) == [1, 3, 5, 9]
        assert list(mbox.ids()) == [1, 3, 5]
        assert mbox.quarantined().keys() == {9}
        assert mbox.gone() == frozenset()


def test_a_reader_sees_no_line_that_its_writer_may_take_back(paths: ContainerPaths) -> None:
    """It waits for the store's lock when there is something new, and only then."""
    with StoreWriter(paths) as writer:
        writer.apply(batch_of(1))
    with open_container(paths, lock_wait=0) as mbox, store_lock(paths.lock):
        mbox.load_index()
        with paths.index.open("a") as file:
            file.write(paths.index.read_text().replace(" 1\n", " 2\n"))
        with pytest.raises(LockHeld):
            mbox.load_index()
        assert mbox.count == 1


def test_a_failed_write_index_keeps_what_was_added(paths: ContainerPaths) -> None:
    """So that it may be tried again."""
    with open_container(paths, lock_wait=0) as mbox:
        mbox.add(fake_mail(1))
        with store_lock(paths.lock), pytest.raises(LockHeld):
            mbox.write_index()
        assert mbox.write_index().stored == 1


def test_the_real_index_gives_what_pasta_gets_from_it(real_index: Path, tmp_path: Path) -> None:
    """Message-ids, their number of mails, and dates."""
    with MboxPatchwork(LIST, tmp_path, 1) as mbox:
        mbox.paths.index.parent.mkdir(parents=True)
        mbox.paths.index.write_bytes(real_index.read_bytes())
        mbox.update()
        expected = pasta_read(real_index)
        assert mbox.get_ids() == expected.keys()
        for message_id, entries in expected.items():
            assert len(mbox.get_patchwork_ids(message_id)) == len(entries)


def test_a_container_that_cannot_be_opened_leaves_nothing_open(paths: ContainerPaths) -> None:
    """A worker that tries each round does not run out of files."""
    write_index(paths, 1)
    with open_container(paths):
        pass
    with paths.index.open("a") as file:
        file.write("hello\n")
    # The traceback keeps the half-made container alive, so that nothing is closed by chance.
    with pytest.raises(StoreDamaged) as damaged:
        open_container(paths)
    links = [link.resolve().name for link in Path("/proc/self/fd").iterdir()]
    assert not [name for name in links if name.startswith("side-index")]
    assert "line 2" in str(damaged.value)


def test_our_batch_takes_the_mails_of_the_patchwork_side() -> None:
    """Any object with these four attributes is a mail."""
    assert FetchResult(mails=(fake_mail(1),)).mails[0].patch_id == 1
