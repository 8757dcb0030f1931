"""The mboxes in an archive, and what is refused as one."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from patchsync.imports import archive as module
from patchsync.imports.archive import Archive, ArchiveFault

MAIL = b"From patchwork Mon Apr 29 08:54:45 2019\nX-Patchwork-Id: 7\nMessage-Id: <7@x>\n\nText\n\n"


def info(name: str, size: int = 0, **more: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = size
    for key, value in more.items():
        setattr(made, key, value)
    return made


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar as dumparchive writes it, not gzipped."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def dump(**mboxes: bytes) -> bytes:
    # A time with a fraction gives each member a PAX header, as dumparchive's have.
    return packed(*((info(f"{n}.mbox", len(m), mtime=1.5), m) for n, m in mboxes.items()))


def contents(path: Path) -> dict[str | None, bytes]:
    """All that is in an archive, read 100,000 bytes at a time."""
    found = {}
    with Archive(path) as archive:
        for member in archive.members():
            found[member.link_name] = b"".join(iter(lambda read=member.read: read(100_000), b""))
    return found


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes an archive of a misleading name."""

    def write(content: bytes) -> Path:
        path = tmp_path / "archive.zip"
        path.write_bytes(content)
        return path

    return write


Write = Callable[[bytes], Path]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_tar_gives_its_mboxes(file: Write, pack: Callable[[bytes], bytes]) -> None:
    """One for each project, to the byte, gzipped or not, a project without patches included."""
    mboxes = {"qemu-devel": MAIL * 9000, "empty": b"", "block": MAIL * 6, "1.x_+": b"x" * 512}
    assert contents(file(pack(dump(**mboxes)))) == mboxes


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_bare_mbox_gives_itself(file: Write, pack: Callable[[bytes], bytes]) -> None:
    """It does not say whose it is, whatever its name."""
    assert contents(file(pack(MAIL * 9000))) == {None: MAIL * 9000}


def test_gzip_in_several_pieces_is_one(file: Write) -> None:
    """What parallel packers write unpacks to all of it."""
    tar = dump(a=MAIL * 100)
    assert contents(file(gzip.compress(tar[:5000]) + gzip.compress(tar[5000:]))) == {
        "a": MAIL * 100
    }


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_member_can_be_passed_over(file: Write, pack: Callable[[bytes], bytes]) -> None:
    """In part, as a whole, and not beyond its end; the next one is right all the same."""
    with Archive(file(pack(dump(a=b"0123456789", b=b"b" * 5000, c=b"c", d=b"d")))) as archive:
        members = archive.members()
        a = next(members)
        assert (a.skip(3), a.read(2), a.skip(99), a.read(1)) == (3, b"34", 5, b"")
        next(members).read(1)
        c = next(members)
        assert (next(members).read(9), c.read(9)) == (b"d", b"")


def test_an_archive_can_be_read_twice(file: Write) -> None:
    """Each `members` begins at the beginning; position and size are those of the file on disk."""
    path = file(gzip.compress(dump(a=MAIL, b=MAIL)))
    with Archive(path) as archive:
        assert next(archive.members()).read(1) == b"F"
        assert [member.link_name for member in archive.members()] == ["a", "b"]
        assert archive.position == archive.size == path.stat().st_size


def test_identity_tells_files_apart(file: Write) -> None:
    """It changes with the bytes at either end, the size and the time, and with nothing else."""
    zeros = bytes(300_000)
    seen = set()
    for content, time in [
        (zeros, 1),
        (b"x" + zeros[1:], 1),
        (zeros[1:] + b"x", 1),
        (zeros[1:], 1),
        (zeros, 2),
        (b"few", 1),
    ]:
        path = file(content)
        os.utime(path, ns=(time, time))
        with Archive(path) as archive:
            seen.add(archive.identity())
            assert re.fullmatch("[0-9a-f]{64}", archive.identity())
        with Archive(path) as again:
            assert again.identity() in seen
    assert len(seen) == 6


LINK = {"linkname": "/etc/passwd"}


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (info("a.mbox", type=tarfile.SYMTYPE, **LINK), "no plain file"),
        (info("a.mbox", type=tarfile.LNKTYPE, **LINK), "no plain file"),
        (info("a.mbox", type=tarfile.CHRTYPE), "no plain file"),
        (info("a.mbox", type=tarfile.BLKTYPE), "no plain file"),
        (info("a.mbox", type=tarfile.FIFOTYPE), "no plain file"),
        (info("a.mbox", type=tarfile.DIRTYPE), "no plain file"),
        (info("a.mbox", type=tarfile.GNUTYPE_SPARSE), "no plain file"),
        (info("a.mbox", type=b"Z"), "no plain file"),
        (info("a.mbox", pax_headers={"GNU.sparse.map": "0,0"}), "no plain file"),
        (info("a.mbox", pax_headers={"size": "-512"}), "no plain file"),
        (info("../a.mbox"), "named <link_name>.mbox"),
        (info("/a.mbox"), "named <link_name>.mbox"),
        (info("x/a.mbox"), "named <link_name>.mbox"),
        (info("./a.mbox"), "named <link_name>.mbox"),
        (info(".mbox"), "named <link_name>.mbox"),
        (info("-a.mbox"), "named <link_name>.mbox"),
        (info("a b.mbox"), "named <link_name>.mbox"),
        (info("a.mbox\n"), "named <link_name>.mbox"),
        (info("ä.mbox"), "named <link_name>.mbox"),
        (info("a.txt"), "named <link_name>.mbox"),
        (info("a.mbox", pax_headers={"path": "../b.mbox"}), "named <link_name>.mbox"),
        (info("first.mbox"), "two members"),
        (info("a.mbox", pax_headers={"comment": "x" * (2 << 20)}), "header of more than"),
        (info("a" * (2 << 20) + ".mbox"), "header of more than"),
    ],
)
def test_a_member_that_no_dump_has_is_refused(
    file: Write, member: tarfile.TarInfo, why: str
) -> None:
    """Before a byte of it is handed out; the message names the file."""
    path = file(packed((info("first.mbox", 1), b"x"), (member, b"")))
    with Archive(path) as archive:
        members = archive.members()
        assert next(members).read(9) == b"x"
        with pytest.raises(ArchiveFault, match=why) as caught:
            next(members)
    assert str(caught.value).startswith(f"{path} ")
    assert len(str(caught.value)) < 1000


def test_a_header_that_only_claims_to_be_long_is_refused(file: Write) -> None:
    """A GNU name of many GB is not looked for, nor are thousands of headers in a row."""
    claims = info("././@LongLink", 1 << 40, type=tarfile.GNUTYPE_LONGNAME).tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(ArchiveFault, match="header of more than"):
        contents(file(claims + bytes(10240)))
    empty = info("x", 0, type=tarfile.XHDTYPE).tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ArchiveFault, match="header"):
        contents(file(empty * 5000))


def test_a_global_header_is_refused(file: Write) -> None:
    """It would change the names and sizes of all members."""
    path = file(b"")
    with tarfile.open(path, "w", pax_headers={"comment": "x"}) as tar:
        tar.addfile(info("a.mbox"))
    with pytest.raises(ArchiveFault, match="global header"):
        contents(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("length", [513, 1024, 2100, 5000, 80_000])
def test_a_tar_that_is_cut_short_is_told_of(
    file: Write, pack: Callable[[bytes], bytes], length: int
) -> None:
    """Wherever it ends: in a header, in a member, or before the end mark."""
    tar = dump(a=MAIL * 10, b=MAIL * 1000)
    assert len(tar) > length
    with pytest.raises(ArchiveFault, match=r"cut short at byte [0-9]+.*copy it again"):
        contents(file(pack(tar[:length])))


@pytest.mark.parametrize("use", ["read", "skip"])
def test_a_member_that_is_cut_short_does_not_just_end(file: Write, use: str) -> None:
    """Whoever reads it is told, and need not ask for the next one to know."""
    with Archive(file(dump(a=MAIL * 1000)[:9999])) as archive:
        member = next(archive.members())
        with pytest.raises(ArchiveFault, match="cut short at byte 9999"):
            while getattr(member, use)(1000):
                pass


def test_a_tar_without_its_end_mark_is_told_of(file: Write) -> None:
    """A dump of whole members, and nothing after them, is not a whole dump."""
    tar = packed((info("a.mbox", 512), b"x" * 512))[:1024]
    for end in (b"", bytes(512)):
        with pytest.raises(ArchiveFault, match="cut short at byte"):
            contents(file(tar + end))


def test_a_broken_header_is_told_of(file: Write) -> None:
    """tarfile itself would take it for the end of the archive."""
    tar = packed(*((info(f"{name}.mbox", 512), b"x" * 512) for name in "abc"))
    for at in (0, 1024, 2048):
        broken = tar[:at] + b"?" + tar[at + 1 :]
        with pytest.raises(ArchiveFault, match=f"broken header at byte {at} of the tar"):
            contents(file(broken))


@pytest.mark.parametrize("more", [b"x", dump(b=MAIL), bytes(5 << 20) + b"x"])
def test_what_follows_a_tar_is_told_of(file: Write, more: bytes) -> None:
    """Nothing that is in the file is passed over silently."""
    tar = dump(a=MAIL)
    at = len(tar) + len(more) - len(more.lstrip(b"\0"))
    with pytest.raises(ArchiveFault, match=f"goes on at byte {at} behind the end"):
        contents(file(tar + more))


@pytest.mark.parametrize("content", [dump(a=MAIL * 1000), MAIL * 1000])
def test_damaged_gzip_is_told_of(file: Write, content: bytes) -> None:
    """Cut short, with a wrong checksum, with wrong data, or followed by something else."""
    whole = gzip.compress(content)
    for length in (3, 100, len(whole) - 4, len(whole) - 8):
        with pytest.raises(ArchiveFault, match=r"cut short at byte [0-9]+"):
            contents(file(whole[:length]))
    wrong_sum = whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]
    wrong_data = whole[:80] + b"\xff" * 100 + whole[180:]
    for damaged in (wrong_sum, wrong_data, whole + b"x" * 20):
        with pytest.raises(ArchiveFault, match=r"damaged gzip at byte [0-9]+.*copy it again"):
            contents(file(damaged))


@pytest.mark.parametrize("name", ["a.mbox", None])
def test_a_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    """50 MB of zeros end soon after the first 16 MiB, in little memory, whatever is done to it."""
    assert module._FREE_EXPANSION == 64 << 20
    monkeypatch.setattr(module, "_FREE_EXPANSION", 16 << 20)
    path = tmp_path / "bomb"
    size = 50_000_000
    packer = zlib.compressobj(wbits=31)
    head = info(name, size).tobuf() if name else MAIL
    with path.open("wb") as file:
        file.write(packer.compress(head))
        for _ in range(size // 1_000_000):
            file.write(packer.compress(bytes(1_000_000)))
        file.write(packer.flush())
    for use in ("read", "skip"):
        passed = 0
        tracemalloc.start()
        try:
            with Archive(path) as archive:
                member = next(archive.members())
                with pytest.raises(ArchiveFault, match="more than 250 times"):
                    while more := getattr(member, use)(1 << 20):
                        passed += more if isinstance(more, int) else len(more)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert 16 << 20 <= passed < 40 << 20
        assert peak < 32 << 20


def test_a_read_is_bounded(file: Write) -> None:
    """Whoever asks for all gets a few MiB, and the rest after that."""
    with Archive(file(MAIL * 100_000)) as archive:
        assert len(next(archive.members()).read(1 << 40)) == 4 << 20


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (lzma.compress(dump(a=MAIL)), "xz; unpack it first"),
        (bz2.compress(dump(a=MAIL)), "bzip2; unpack it first"),
        (b"PK\x03\x04" + bytes(600), "zip file; unpack it first"),
        (
            gzip.compress(gzip.compress(dump(a=MAIL), mtime=0), mtime=0),
            "gzip twice; unpack it first",
        ),
        (b"<!DOCTYPE html>\n<title>404</title>\n" * 100, "neither a tar nor an mbox"),
        (b"\n" + MAIL, "neither a tar nor an mbox"),
        (packed(), "tar without a member"),
    ],
)
def test_anything_else_is_refused(file: Write, content: bytes, why: str) -> None:
    """With what it is, as far as that can be told."""
    with pytest.raises(ArchiveFault, match=why):
        contents(file(content))


def test_what_cannot_be_opened_is_told_of(tmp_path: Path) -> None:
    """With the system's reason; a fifo is not waited for."""
    os.mkfifo(tmp_path / "fifo")
    for name, why in [("absent", "No such file"), (".", "is no file"), ("fifo", "is no file")]:
        with pytest.raises(ArchiveFault, match=why):
            Archive(tmp_path / name)
