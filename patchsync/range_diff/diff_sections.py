"""The diff of a mail or a commit, file by file, as `git range-diff` reads it.

Line numbers and index lines are left out; file names and the headings of hunks stay, as the git
that wrote the diff found them. All of it is bytes: a diff is in the encodings of its files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from patchsync.errors import PatchTooLarge

# Of a mail, of a commit's diff, and of what is read of them. The store has mails of up to 10 MB.
LARGEST_BYTES = 12 * 2**20
_BEGINS = b"diff --git "
_SAYS = re.compile(
    rb"(old mode|new mode|deleted file mode|new file mode|copy from|copy to|rename from|rename to"
    rb"|similarity index|dissimilarity index|index|---|\+\+\+) (.*)\Z",
    re.DOTALL,
)
_HUNK = re.compile(rb"@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@(.*)\Z", re.DOTALL)
_BINARY = re.compile(rb"GIT binary patch|(?:Binary f|F)iles .* differ")
_NO_NEWLINE = b" \\ No newline at end of file"
# Two paths of 4096 bytes, each byte as `\\303`
_LONGEST_NAMES = 40_000
_NO_FILE = b"/dev/null"
_LONGEST_HEADING = 80

_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb'\\([abfnrtv"\\]|[0-7]{3})')
_ESCAPES = {b"a": 7, b"b": 8, b"f": 12, b"n": 10, b"r": 13, b"t": 9, b"v": 11, b'"': 34, b"\\": 92}
_TO_ESCAPE = re.compile(rb'[\x00-\x1f"\\\x7f-\xff]')
_ESCAPED = {value: b"\\" + letter for letter, value in _ESCAPES.items()}

Section = list[bytes]


def read_sections(lines: Sequence[bytes]) -> list[Section]:
    """For each file of a diff its lines: ` ## name ##`, and `@@ name: heading` before each hunk.

    `lines` are without line ends. What belongs to no file is passed over, and so is the content of
    a binary file: git shows only that it differs.

    Raises:
        PatchTooLarge: its names make too much of it, for each hunk has that of its file.
    """
    sections = []
    at = size = 0
    while at < len(lines):
        if lines[at].startswith(_BEGINS):
            section, at = _git_file(lines, at)
        elif _begins_without_git(lines, at):
            section, at = _plain_file(lines, at)
        else:
            at += 1
            continue
        sections.append([line.partition(b"\0")[0] for line in section])
        size += sum(map(len, sections[-1]))
        _demand_small(size)
    return sections


def _demand_small(size: int) -> None:
    if size > LARGEST_BYTES:
        raise PatchTooLarge(f"its files and their names take more than {LARGEST_BYTES >> 20} MB")


def _git_file(lines: Sequence[bytes], at: int) -> tuple[Section, int]:
    """The file that begins at `at`, and the index of the line after it."""
    first_line = lines[at][len(_BEGINS) : _LONGEST_NAMES]
    says: dict[bytes, bytes] = {}
    at += 1
    while at < len(lines) and (match := _SAYS.match(lines[at])):
        says[match[1]] = match[2][:_LONGEST_NAMES]
        at += 1
    old, new = _names(first_line, says)
    is_new, is_deleted = b"new file mode" in says, b"deleted file mode" in says
    heading = _heading(
        old, new, is_new=is_new, is_deleted=is_deleted, is_renamed=b"rename from" in says
    )
    if (before := says.get(b"old mode")) and (after := says.get(b"new mode")) and before != after:
        heading += b" (mode change %s => %s)" % (before.rjust(6, b"0"), after.rjust(6, b"0"))
    section = [heading + b" ##"]
    if at < len(lines) and _BINARY.match(lines[at]):
        # libgit2 says it too of one that is only renamed, or has another mode.
        if says.get(b"similarity index") == b"100%" or b"index" not in says:
            return section, at + 1
        sides = (
            _NO_FILE if is_new else quoted(old),
            _NO_FILE if is_deleted else quoted(new),
        )
        section.append(b" Binary files %s and %s differ" % sides)
        return section, at + 1
    hunks, at = _hunks(lines, at, old if is_deleted else new)
    return section + hunks, at


def _heading(
    old: bytes, new: bytes, *, is_new: bool, is_deleted: bool, is_renamed: bool = False
) -> bytes:
    if is_new:
        return b" ## %s (new)" % new
    if is_deleted:
        return b" ## %s (deleted)" % old
    if is_renamed:
        return b" ## %s => %s" % (old, new)
    return b" ## " + new


def _begins_without_git(lines: Sequence[bytes], at: int) -> bool:
    """Whether a file begins here as diff -u writes it."""
    return (
        lines[at].startswith(b"--- ")
        and at + 2 < len(lines)
        and lines[at + 1].startswith(b"+++ ")
        and _HUNK.match(lines[at + 2]) is not None
    )


def _plain_file(lines: Sequence[bytes], at: int) -> tuple[Section, int]:
    old, new = (_unquoted(line[4:].partition(b"\t")[0].rstrip()) for line in lines[at : at + 2])
    first_hunk = lines[at + 2]
    is_new = old == _NO_FILE or first_hunk.startswith(b"@@ -0,0 ")
    is_deleted = new == _NO_FILE
    old, new = _without_folder(old), _without_folder(new)
    hunks, at = _hunks(lines, at + 2, old if is_deleted else new)
    return [_heading(old, new, is_new=is_new, is_deleted=is_deleted) + b" ##", *hunks], at


def _hunks(lines: Sequence[bytes], at: int, name: bytes) -> tuple[list[bytes], int]:
    """The hunks from `at` on, and the index of the line after them."""
    read = []
    named = 0
    while at < len(lines) and (begin := _HUNK.match(lines[at])):
        at += 1
        named += len(name)
        _demand_small(named)
        old, new = int(begin[1] or 1), int(begin[2] or 1)
        # libgit2 may leave a space where it cuts a heading, git none.
        heading = begin[3].rstrip() if len(begin[3]) > _LONGEST_HEADING else begin[3]
        read.append(b"@@ %s:%s" % (name, heading) if heading.strip() else b"@@")
        while (old > 0 or new > 0) and at < len(lines):
            line = lines[at]
            mark = line[:1]
            if mark == b"\\":
                read.append(_NO_NEWLINE)
                at += 1
                continue
            # It is not as long as it says.
            if line.startswith(_BEGINS) or _HUNK.match(line):
                break
            if mark == b"+":
                new -= 1
            elif mark == b"-":
                old -= 1
            elif mark == b" " or not mark:
                old, new = old - 1, new - 1
                # Mailers strip the space of an empty line.
                line = line or b" "
            else:
                # The rest of a line that a mailer broke in two
                line = b" " + line
            read.append(line)
            at += 1
        if at < len(lines) and lines[at].startswith(b"\\ "):
            read.append(_NO_NEWLINE)
            at += 1
    return read, at


def _names(first_line: bytes, says: Mapping[bytes, bytes]) -> tuple[bytes, bytes]:
    """The names of a file before and after, without the folders that git puts before them."""
    for kind in (b"rename", b"copy"):
        if (old := says.get(kind + b" from")) and (new := says.get(kind + b" to")):
            return _unquoted(old), _unquoted(new)
    old, new = _two_names(first_line)
    # Without folders (`--no-prefix`) both are the same.
    if old == new:
        return old, new
    if _without_folder(old) == _without_folder(new):
        return _without_folder(old), _without_folder(new)
    old, new = (_unquoted(says.get(key, b"").rstrip(b"\t")) for key in (b"---", b"+++"))
    if old == _NO_FILE:
        old = new
    if new == _NO_FILE:
        new = old
    return _without_folder(old), _without_folder(new)


def _two_names(line: bytes) -> tuple[bytes, bytes]:
    """The names after `diff --git`; they may have spaces, but are of one length."""
    if first := _QUOTED.match(line):
        return _unquoted(first[0]), _unquoted(line[first.end() + 1 :])
    if line.endswith(b'"'):
        old, _, new = line.partition(b' "')
        return old, _unquoted(b'"' + new)
    return line[: len(line) // 2], line[len(line) // 2 + 1 :]


def _without_folder(name: bytes) -> bytes:
    _, slash, rest = name.partition(b"/")
    return rest if slash and name != _NO_FILE else name


def _unquoted(name: bytes) -> bytes:
    """A name as it is, of one as git wrote it: in quotes, with escapes, where it must be."""
    if not (match := _QUOTED.fullmatch(name)):
        return name
    return _ESCAPE.sub(lambda escape: _character(escape[1]), match[1])


def _character(escape: bytes) -> bytes:
    value = _ESCAPES.get(escape)
    return bytes([int(escape, 8) & 0xFF if value is None else value])


def quoted(name: bytes) -> bytes:
    """A name as git writes it."""
    if not _TO_ESCAPE.search(name):
        return name
    return b'"%s"' % _TO_ESCAPE.sub(_escape, name)


def _escape(character: re.Match[bytes]) -> bytes:
    value = character[0][0]
    return _ESCAPED.get(value) or b"\\%03o" % value
