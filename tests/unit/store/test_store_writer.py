"""Applying batches: each patch once, mail first, nothing half, nothing outside the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store_fakes import apply, batch_of, fake_mail, pasta_read, paths_in, stored, strict_read, tree

from patchsync.errors import GiveUp, LockHeld, ServerRestored, StaleWriter
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.gone import read_gone
from patchsync.store.layout import ContainerPaths, Layout
from patchsync.store.lock import store_lock
from patchsync.store.mails import md5_of
from patchsync.store.quarantine import read_quarantine
from patchsync.store.writer import StoreWriter

# Two blocks of 128 bytes with one md5 (Wang, Feng, Lai, Yu 2004).
COLLIDING = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f89"
    "55ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b"
    "d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
    "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
)
COLLIDING_BITS = {19, 45, 59, 83, 109, 123}  # bytes whose highest bit the other block has flipped


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
    apply(paths, FetchResult(mails=(later,)))
    assert tree(paths.d_mbox) == before
    both = (fake_mail(2), fake_mail(2, content=later.content))
    assert apply(paths, FetchResult(mails=both)) == stored(1, known=1)
    assert len(tree(paths.mails)) == 2
    assert any(path.name == md5_of(fake_mail(2).content) for path in tree(paths.mails))


def test_patches_that_share_a_message_id_or_a_mail_have_a_line_each(paths: ContainerPaths) -> None:
    """One line per patchwork id, one file per content."""
    mails = tuple(
        fake_mail(i, message_id="<a@x>", date="2019/04/30", content=b"x\n") for i in (1, 2)
    )
    assert apply(paths, FetchResult(mails=mails)) == stored(2)
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
        batch_of(3, gone=frozenset({2}), quarantined=((4, "x"),), listed=((1, "<other@x>"),)),
        FetchResult(mails=foreign, gone=frozenset({2})),
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
def test_a_mail_that_cannot_be_stored_is_quarantined_with_the_reason(
    paths: ContainerPaths, changes: dict[str, str], reason: str
) -> None:
    """The others of the batch are stored, and nothing is written elsewhere."""
    batch = FetchResult(mails=(fake_mail(1), fake_mail(2, **changes), fake_mail(3)))
    assert apply(paths, batch) == stored(2, quarantined=1)
    assert strict_read(paths) == [1, 3]
    assert reason in read_quarantine(paths.quarantine)[2].reason
    assert len(tree(paths.mails)) == 2
    assert {path.parts[0] for path in tree(paths.d_mbox.parent)} == {paths.d_mbox.name}


def test_a_message_id_with_slashes_is_stored(paths: ContainerPaths) -> None:
    """It is no path."""
    apply(paths, FetchResult(mails=(fake_mail(1, message_id="../../x"),)))
    assert strict_read(paths) == [1]
    assert pasta_read(paths.index).keys() == {"../../x"}
    assert {path.parts[0] for path in tree(paths.d_mbox.parent)} == {paths.d_mbox.name}


@pytest.mark.parametrize("patch_id", [0, -1, 2**63])
def test_an_impossible_id_is_refused_at_once(paths: ContainerPaths, patch_id: int) -> None:
    """In whichever part of a result; nothing of it is written."""
    for result in (
        FetchResult(mails=(*batch_of(1).mails, fake_mail(patch_id))),
        FetchResult(quarantined=((patch_id, "x"),)),
        FetchResult(gone=(patch_id,)),
        FetchResult(listed=((patch_id, "<a@x>"),)),
    ):
        with pytest.raises(GiveUp, match="is not a patchwork id"):
            apply(paths, result)
    assert strict_read(paths) == []


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
    """Same date, same md5, other bytes: the first stays, the second is quarantined."""
    other = bytes(byte ^ 0x80 * (at in COLLIDING_BITS) for at, byte in enumerate(COLLIDING))
    first = fake_mail(1, content=COLLIDING, date="2019/04/30")
    second = fake_mail(2, content=other, date="2019/04/30")
    assert apply(paths, FetchResult(mails=(first, second))) == stored(1, quarantined=1)
    assert strict_read(paths) == [1]
    (mail,) = (paths.mails / path for path in tree(paths.mails))
    assert mail.read_bytes() == COLLIDING
    assert "md5" in read_quarantine(paths.quarantine)[2].reason


def test_gone_patches_are_noted_until_they_are_listed_again(paths: ContainerPaths) -> None:
    """Only those that the store has; a patch that is gone keeps its mail."""
    apply(paths, batch_of(1, 2, 3))
    assert apply(paths, FetchResult(gone=frozenset({1, 3, 99}))) == stored(gone=2)
    assert apply(paths, FetchResult(gone=frozenset({1}))) == stored()
    assert read_gone(paths.gone) == {1, 3}
    assert strict_read(paths) == [1, 2, 3]
    listed = ((3, "<3.git@example.org>"), (2, "<2.git@example.org>"))
    assert apply(paths, FetchResult(listed=listed)) == stored(back=1)
    assert read_gone(paths.gone) == {1}


def test_what_is_listed_is_not_gone(paths: ContainerPaths) -> None:
    """Also when one batch says both."""
    apply(paths, batch_of(1))
    listed = ((1, "<1.git@example.org>"),)
    assert apply(paths, FetchResult(gone=frozenset({1}), listed=listed)) == stored()
    assert read_gone(paths.gone) == frozenset()


def test_an_archive_is_no_proof_that_a_patch_is_still_there(paths: ContainerPaths) -> None:
    """A mail without being listed leaves what is gone as it is."""
    apply(paths, batch_of(1))
    apply(paths, FetchResult(gone=frozenset({1})))
    assert apply(paths, batch_of(1)) == stored(known=1)
    assert read_gone(paths.gone) == {1}


def test_a_patch_that_was_quarantined_leaves_when_it_is_stored(paths: ContainerPaths) -> None:
    """And a stored one is not quarantined, whatever a late message says."""
    assert apply(paths, FetchResult(quarantined=((1, "too large"), (2, "too large")))) == stored(
        quarantined=2
    )
    assert apply(paths, batch_of(1)) == stored(1)
    assert read_quarantine(paths.quarantine).keys() == {2}
    assert apply(paths, FetchResult(quarantined=((1, "too large"),))) == stored()
    assert read_quarantine(paths.quarantine).keys() == {2}


def test_a_patch_that_was_quarantined_and_is_gone_is_forgotten(paths: ContainerPaths) -> None:
    """Nothing of it is held, so there is nothing to note, and it is not tried again."""
    apply(paths, FetchResult(quarantined=((1, "too large"), (2, "too large"))))
    assert apply(paths, FetchResult(gone=frozenset({1}))) == stored(gone=1)
    assert read_quarantine(paths.quarantine).keys() == {2}
    assert read_gone(paths.gone) == frozenset()


def test_tries_of_what_was_quarantined_are_counted_and_dated(paths: ContainerPaths) -> None:
    """By the writer's clock."""
    noon = datetime(2026, 7, 25, 12, tzinfo=UTC)
    for hours in (0, 2):
        clock = noon + timedelta(hours=hours)
        with StoreWriter(paths, now=lambda clock=clock: clock) as writer:
            writer.apply(FetchResult(quarantined=((1, "too large"),)))
    entry = read_quarantine(paths.quarantine)[1]
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
            first.apply(batch_of(1, 2, quarantined=((3, "x"),)))
    assert strict_read(paths) == [1]
    assert read_quarantine(paths.quarantine) == {}


def test_a_writer_waits_for_the_stores_lock_no_longer_than_told(paths: ContainerPaths) -> None:
    """Both when it begins and when it applies."""
    with StoreWriter(paths, lock_wait=0) as writer, store_lock(paths.lock):
        with pytest.raises(LockHeld):
            writer.apply(batch_of(1))
        with pytest.raises(LockHeld), StoreWriter(paths, lock_wait=0):
            pytest.fail("two writers")
    assert strict_read(paths) == []
