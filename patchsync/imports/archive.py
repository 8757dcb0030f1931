"""The mboxes in an archive: Patchwork's `manage.py dumparchive`, or a bare mbox, each also gzipped.

What a file is is told by what it holds, never by its name. It is read forward only, in a few MiB of
memory whatever its size, and nothing in it is trusted.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from isal import igzip, igzip_threaded, isal_zlib

from patchsync.errors import GiveUp

_LARGEST_READ = 4 << 20  # bytes
_CHUNK = 1 << 20
_AHEAD = 1 << 20  # bytes that a thread unpacks at a time, three of which wait
_SAMPLE = 64 << 10  # bytes at either end of the file that go into its identity
# Mail shrinks to a fifth; gzip's own limit is a thousandth.
_LARGEST_EXPANSION = 250
_FREE_EXPANSION = 64 << 20
# Of all tar headers before a member, which tarfile holds in memory and searches in square time.
_LONGEST_HEADERS = 16 << 10
_MEMBER_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+-]*)\.mbox")
_MOST_MEMBERS = 10_000
_GZIP = b"\x1f\x8b"
_OTHERS = {
    b"\xfd7zXZ\0": "compressed by xz",
    b"BZh": "compressed by bzip2",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"PK\x03\x04": "a zip file",
    _GZIP: "compressed by gzip twice",
}
# What tarfile lets out at headers that somebody made up, beside its own errors.
_TAR_ERRORS = (tarfile.TarError, ValueError, LookupError, ArithmeticError)


class ArchiveFault(GiveUp):
    """A file cannot be imported; the message names it, what is wrong and what to do."""


class Archive:
    """A file with the mboxes of one or more projects.

    Raises ArchiveFault when it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # to open a fifo might wait for ever
                raise ArchiveFault(f"{path} is no file; name what dumparchive wrote")
            self._file = path.open("rb")
        except OSError as error:
            raise _unreadable(path, error) from error
        self._stat = os.fstat(self._file.fileno())
        self._content: _Content | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._content:
            self._content.close()
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes of the file, packed as it is."""
        return self._stat.st_size

    @property
    def position(self) -> int:
        """Bytes of the file that were read so far, of `size`."""
        return self._file.tell()

    def identity(self) -> str:
        """A hex digest that tells this very file from another, and from itself when it changed."""
        digest = hashlib.sha256(f"{self.size} {self._stat.st_mtime_ns}\n".encode())
        try:
            for offset in (0, max(0, self.size - _SAMPLE)):
                digest.update(os.pread(self._file.fileno(), _SAMPLE, offset))
        except OSError as error:
            raise _unreadable(self.path, error) from error
        return digest.hexdigest()

    def members(self) -> Iterator[ArchiveMember]:
        """The mboxes, from the file's beginning; one ends where the next is asked for.

        Raises ArchiveFault, before anything of the member at fault is handed out. That the file is
        whole is certain only at the end: see `ArchiveMember.read`.
        """
        head = self._from_its_beginning().read(tarfile.BLOCKSIZE)
        content = self._from_its_beginning()
        if _is_tar_header(head):
            yield from _tar_members(content)
        elif head.startswith(b"From "):
            yield ArchiveMember(content, None, None)
        else:
            raise content.fault(_what_else(head))

    def _from_its_beginning(self) -> _Content:
        if self._content:
            self._content.close()
        self._content = _Content(self._file, self.path)
        return self._content


class ArchiveMember:
    """One mbox in an archive, forward only."""

    def __init__(self, content: _Content, link_name: str | None, size: int | None) -> None:
        # The project's; None for a bare mbox, which does not say whose it is.
        self.link_name = link_name
        self._content = content
        self._left = size

    @property
    def name(self) -> str:
        """For messages: the file, and which of its mboxes."""
        return f"{self._content.path}" + (f", {self.link_name}.mbox" if self.link_name else "")

    def read(self, n: int) -> bytes:
        """At most `n` bytes, fewer at the end and where `n` exceeds 4 MiB; b"" behind the end.

        Raises ArchiveFault where the file is cut short or damaged, also when it is so behind the
        end of a bare mbox.
        """
        if self._left is not None:
            n = min(n, self._left)
        if n <= 0:
            return b""
        data = self._content.read(n)
        self._used(len(data))
        return data

    def skip(self, n: int) -> int:
        """Pass over `n` bytes; returns how many, fewer only where the mbox ends."""
        skipped = self._content.skip(n if self._left is None else min(n, self._left))
        self._used(skipped)
        return skipped

    def end(self) -> None:
        """Give nothing more: the archive goes on to its next member."""
        self._left = 0

    def _used(self, n: int) -> None:
        if self._left is not None:
            self._left -= n
            if not n and self._left:
                raise self._content.cut_short()


class _Content:
    """What the file holds, unpacked, forward only from its beginning."""

    def __init__(self, file: io.BufferedReader, path: Path) -> None:
        self.path = path
        self.position = 0  # bytes, unpacked
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        file.seek(0)
        self._gzip: io.BufferedReader | None = None
        if file.peek(2)[:2] == _GZIP:
            # A thread unpacks what is read next.
            self._gzip = igzip_threaded.open(file, "rb", block_size=_AHEAD)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Unpack no more."""
        if self._gzip:
            self._gzip.close()

    def read(self, n: int) -> bytes:
        """At most `n` bytes and 4 MiB; fewer only at the end or where `n` is more."""
        source = self._gzip or self._file
        try:
            data = source.read(min(n, _LARGEST_READ))
        except EOFError as error:
            raise self.cut_short() from error
        except (igzip.BadGzipFile, isal_zlib.IsalError) as error:  # type: ignore[misc]
            raise self.fault(f"is damaged gzip {self._here()} ({error}); copy it again") from error
        except OSError as error:
            raise _unreadable(self.path, error) from error
        self.position += len(data)
        if self._gzip and self.position > _FREE_EXPANSION + _LARGEST_EXPANSION * self._file.tell():
            raise self.fault(
                f"unpacks to more than {_LARGEST_EXPANSION} times its size {self._here()}, which no"
                " mail does; see what it holds"
            )
        return data

    def skip(self, n: int) -> int:
        """Pass over `n` bytes; returns how many, fewer only at the end."""
        n = max(n, 0)
        if self._gzip is None:
            n = min(n, self._size - self.position)
            self._file.seek(n, os.SEEK_CUR)
            self.position += n
            return n
        left = n
        while left and (data := self.read(min(left, _CHUNK))):
            left -= len(data)
        return n - left

    def fault(self, what: str) -> ArchiveFault:
        return ArchiveFault(f"{self.path} {what}")

    def cut_short(self) -> ArchiveFault:
        return self.fault(f"is cut short {self._here()}; copy it again")

    def _here(self) -> str:
        if self._gzip is None:
            return f"at byte {self.position}"
        behind = f", behind {self.position} unpacked bytes" if self.position else ""
        return f"at byte {self._file.tell()}{behind}"


class _Headers(io.BufferedIOBase):
    """What tarfile sees of the content: it reads a few blocks for each member, and goes forward."""

    def __init__(self, content: _Content) -> None:
        self._content = content
        self._allowance = _LONGEST_HEADERS
        self.last_block = b""

    def renew(self) -> None:
        """Allow as much again, for the next member."""
        self._allowance = _LONGEST_HEADERS

    def read(self, n: int | None = -1, /) -> bytes:
        if n is None or not 0 <= n <= self._allowance:
            raise self._content.fault(
                f"has a tar header of more than {_LONGEST_HEADERS} bytes"
                f" at byte {self._content.position} of the tar; dumparchive writes none"
            )
        self._allowance -= n
        self.last_block = self._content.read(n)
        if len(self.last_block) < n:
            raise self._content.cut_short()
        return self.last_block

    def tell(self) -> int:
        return self._content.position

    def seek(self, position: int, whence: int = os.SEEK_SET, /) -> int:
        forward = position - self._content.position
        if whence != os.SEEK_SET or forward < 0:
            raise tarfile.ReadError("it points backwards")
        self._content.skip(forward)
        return position


def _tar_members(content: _Content) -> Iterator[ArchiveMember]:
    headers = _Headers(content)
    names: set[str] = set()
    tar: tarfile.TarFile | None = None
    while True:
        headers.renew()
        try:
            if tar is None:
                tar = tarfile.TarFile(fileobj=headers, encoding="utf-8", errors="surrogateescape")
            info = tar.next()
        except _TAR_ERRORS as error:
            raise content.fault(
                f"has a broken header at byte {content.position} of the tar ({error});"
                " copy it again"
            ) from error
        if info is None:
            break
        tar.members.clear()  # type: ignore[attr-defined]  # it would remember them all
        link_name = _link_name(content, info, names)
        if tar.pax_headers:
            raise content.fault("is a tar with a global header; dumparchive writes none")
        if len(names) == _MOST_MEMBERS:
            raise content.fault(f"is a tar of more than {_MOST_MEMBERS} mboxes; split it")
        names.add(link_name)
        member = ArchiveMember(content, link_name, info.size)
        yield member
        member.end()
    _finish(content, headers.last_block)
    if not names:
        raise content.fault("is a tar without a member; dump the projects that are wanted")


def _link_name(content: _Content, info: tarfile.TarInfo, names: set[str]) -> str:
    shown = repr(info.name[:200])
    if not info.isreg() or info.issparse() or info.size < 0:
        raise content.fault(
            f"has a member {shown} that is no plain file; dumparchive writes only plain files"
        )
    match = _MEMBER_NAME.fullmatch(info.name)
    if not match:
        raise content.fault(
            f"has a member {shown}; each must be named <link_name>.mbox, without a folder"
        )
    if match[1] in names:
        raise content.fault(f"has two members {shown}; leave only the right one in it")
    return match[1]


def _finish(content: _Content, last_block: bytes) -> None:
    """Hold what follows the last member against the end of a tar: two blocks of zeros, or more.

    tarfile itself takes anything that is no header for the end.
    """
    if any(last_block):
        at = content.position - len(last_block)
        raise content.fault(f"has a broken header at byte {at} of the tar; copy it again")
    zeros = 0
    while data := content.read(_CHUNK):
        rest = data.lstrip(b"\0")
        if rest:
            at = content.position - len(rest)
            raise content.fault(
                f"goes on at byte {at} behind the end of the tar; one file holds one archive"
            )
        zeros += len(data)
    if zeros < tarfile.BLOCKSIZE:
        raise content.cut_short()


def _is_tar_header(block: bytes) -> bool:
    """Tell whether a tar begins with this block, be it one without a member."""
    if len(block) == tarfile.BLOCKSIZE and not any(block):
        return True
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


def _what_else(head: bytes) -> str:
    if not head:
        return "is empty; name what dumparchive wrote"
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            return f"is {what}; unpack it first"
    if head[257:262] == b"ustar":
        return "has a broken header at byte 0 of the tar; copy it again"
    return "is neither a tar nor an mbox of Patchwork; name what dumparchive wrote"


def _unreadable(path: Path, error: OSError) -> ArchiveFault:
    return ArchiveFault(
        f"{path} cannot be read: {error.strerror or error}; name a file that this user may read"
    )
