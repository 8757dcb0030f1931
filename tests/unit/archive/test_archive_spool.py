"""Pieces of an archive on disk: written whole, read once or again, removed when stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsync.archive.spool import Contents, Piece, Spool
from patchsync.errors import StoreDamaged
from patchsync.patchwork.mbox import Mail

PIECE = Piece(100, 900)
MAILS = tuple(
    Mail(patch_id=number, message_id=f"<ä{number}@x>", date="2019/04/29", content=content)
    for number, content in enumerate((b"one\n\n{\n", b"", b"two\n"), start=1)
)
CONTENTS = Contents(mails=MAILS, quarantined=((7, "tëxt\n"),))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "import" / "spool")
    spool.clear()
    return spool


def test_what_is_written_is_read(spool: Spool) -> None:
    """Whatever bytes it holds, as often as it is asked for, until it is removed."""
    spool.write(PIECE, CONTENTS)
    for _ in range(2):
        contents = spool.read(PIECE)
        assert contents is not None
        assert [*contents.mails] == [*CONTENTS.mails]
        assert contents.quarantined == CONTENTS.quarantined
    assert spool.waiting() == {PIECE}
    for _ in range(2):
        spool.remove(PIECE)
        assert spool.read(PIECE) is None
    assert spool.waiting() == set()


def test_what_is_half_written_does_not_wait(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece shows under its name only once it is whole."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        spool.write(PIECE, CONTENTS)
    assert spool.waiting() == set()
    assert spool.read(PIECE) is None
    spool.clear()
    spool.remove_all()


def test_a_damaged_piece_stores_nothing(spool: Spool, tmp_path: Path) -> None:
    """It is named, whatever is missing or too much."""
    spool.write(PIECE, CONTENTS)
    file = tmp_path / "import" / "spool" / PIECE.name
    whole = file.read_bytes()
    for content in (b"", whole[:-1], whole + b"x", b"[]\n", b"{}\n", b'{"mails": "x"}\n'):
        file.write_bytes(content)
        with pytest.raises(StoreDamaged, match=str(file)):
            spool.read(PIECE)


def test_it_leaves_nothing(spool: Spool, tmp_path: Path) -> None:
    """What a killed import left goes too; removed once more does no harm."""
    spool.write(PIECE, CONTENTS)
    spool.clear()
    assert spool.waiting() == set()
    spool.write(PIECE, CONTENTS)
    for _ in range(2):
        spool.remove_all()
        assert not [*(tmp_path / "import").iterdir()]
