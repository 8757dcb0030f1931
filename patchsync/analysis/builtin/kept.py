"""A patch as the cache keeps it: what is costly is done here, in whatever process read it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from patchsync.analysis.patch import NO_FILE, Patch
from patchsync.analysis.rating import FileShape, HunkShape, Shape, shape_of


class PartRow(NamedTuple):
    """A hunk of a file, or that it was renamed: what two patches must share to be alike.

    `part` is equal where file and heading are, or file and similarity index. Lengths are in
    characters, normalised; None where there are no such lines, both None for a renamed file.
    """

    part: int
    file: int  # which file of the patch, counted from 0; below 0 where none has a name
    deletions: int | None
    insertions: int | None


class KeptPatch(NamedTuple):
    """What is kept of a patch."""

    date: float  # the author date, in seconds since 1970
    is_revert: bool
    lines: int
    message: bytes  # normalised
    message_length: int  # characters
    files: bytes  # their shapes, packed
    names: list[bytes]  # of all files
    picked: tuple[str, ...]
    parts: list[PartRow]


def kept(patch: Patch) -> KeptPatch:
    """What is kept of a patch."""
    shape = shape_of(patch)
    return KeptPatch(
        date=patch.author_date.timestamp(),
        is_revert=patch.is_revert,
        lines=patch.lines,
        message=encoded(shape.message),
        message_length=len(shape.message),
        files=_packed(shape),
        names=[encoded(name) for name in sorted(patch.affected)],
        picked=patch.picked,
        parts=list(_parts(shape)),
    )


def encoded(text: str) -> bytes:
    """Mails can hold what is no character; it stays."""
    return text.encode("utf-8", "surrogatepass")


def decoded(text: bytes) -> str:
    """What was `encoded`."""
    return text.decode("utf-8", "surrogatepass")


def unpacked(message: bytes, packed: bytes) -> Shape:
    """The shape of a kept patch; raises ValueError or zlib.error where it is damaged."""
    lines, files = json.loads(zlib.decompress(packed))
    return Shape(
        decoded(message),
        lines,
        {
            tuple(key): FileShape(
                similarity, {heading: HunkShape(*texts) for heading, texts in hunks.items()}
            )
            for key, similarity, hunks in files
        },
    )


def _packed(shape: Shape) -> bytes:
    files = [[key, *file] for key, file in shape.files.items()]
    return zlib.compress(json.dumps([shape.lines, files]).encode(), 1)


def _parts(shape: Shape) -> Iterator[PartRow]:
    for place, (key, file) in enumerate(shape.files.items()):
        number = ~place if set(key) == {NO_FILE} else place
        if file.similarity:
            yield PartRow(_part(key, file.similarity), number, None, None)
        for heading, (deletions, insertions) in file.hunks.items():
            if deletions is not None or insertions is not None:
                yield PartRow(_part(key, heading), number, _length(deletions), _length(insertions))


def _part(*of: object) -> int:
    # Who makes two that are equal by chance or by work has more compared, or a patch less alike.
    digest = blake2b(repr(of).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _length(text: str | None) -> int | None:
    return None if text is None else len(text)
