"""What an index worker does with a piece."""

from __future__ import annotations

from pathlib import Path

import pytest
from import_fakes import ARCHIVE, config_in, mails_of, rendered, site_in, spool_in, store

from patchsync.archive.spool import Contents, Piece
from patchsync.errors import GiveUp, ServerRestored
from patchsync.imports.storing import store_piece

PIECE = Piece(0, 500)


def test_a_piece_is_stored_once(tmp_path: Path) -> None:
    """As a sync stores it; its message may come twice, and its mails may be known."""
    config = config_in(tmp_path)
    assert store_piece(config, "1", ARCHIVE, PIECE) is None
    site = site_in(config)
    spool = spool_in(site)
    store(site, rendered(1))
    mails = [rendered(1) + b"\n", rendered(2) + b"\n"]
    spool.write(PIECE, Contents(mails=mails_of(*mails), quarantined=((3, "too large"),)))
    done = store_piece(config, "1", ARCHIVE, PIECE)
    assert done is not None
    assert (done.stored, done.known, done.quarantined) == (1, 1, 1)
    assert spool.waiting() == set()
    assert store_piece(config, "1", ARCHIVE, PIECE) is None
    contents = [file.read_bytes() for file in site.paths.mails.rglob("*") if file.is_file()]
    assert sorted(contents) == sorted(mails)


def test_a_piece_that_cannot_be_stored_stays(tmp_path: Path) -> None:
    """Nothing of it is stored, and it may come again."""
    config = config_in(tmp_path)
    site = site_in(config)
    spool = spool_in(site)
    store(site, rendered(1))
    mails = [rendered(2) + b"\n", rendered(1, message_id="<other@example.org>") + b"\n"]
    spool.write(PIECE, Contents(mails=mails_of(*mails)))
    with pytest.raises(ServerRestored):
        store_piece(config, "1", ARCHIVE, PIECE)
    assert spool.waiting() == {PIECE}
    assert len(site.paths.index.read_bytes().splitlines()) == 1


@pytest.mark.parametrize("archive", ["", "../../etc", "A" * 64, "a" * 64 + "/..", "a" * 64 + "\n"])
def test_a_message_cannot_name_another_folder(tmp_path: Path, archive: str) -> None:
    """It comes from outside."""
    config = config_in(tmp_path)
    site_in(config)
    with pytest.raises(GiveUp, match="does not name an archive"):
        store_piece(config, "1", archive, PIECE)
