"""A patch as the text that `git range-diff` compares, of a mail or of a commit."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from email.errors import MessageError

from pygit2 import Blob, Commit, DiffFile, GitError, Mailmap, Patch, Repository
from pygit2.enums import DeltaStatus, DiffOption

from patchsync.analysis.patch import NotAPatch
from patchsync.errors import PatchTooLarge
from patchsync.range_diff.diff_sections import LARGEST_BYTES, quoted, read_sections
from patchsync.range_diff.mailinfo import MailInfo, demand_few_lines, read_mailinfo
from patchsync.range_diff.renames import find_renames

_SPACE = b" \t\r\n"
_TAB = 8
_GIT_ERRORS = (GitError, KeyError, ValueError)
_SHOWN_HASH = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchText:
    """What counts of a patch, and in it the place where its diff begins."""

    # As it is told from others: a patchwork id, a message-id, or a commit's abbreviated hash
    name: str
    title: str
    # Sections of lines as git has them: ` ## Metadata ##`, ` ## Commit message ##`, and one for
    # each file. Bytes, since files are in any encoding.
    text: bytes
    # Offset; 0 of a patch without a diff
    diff_at: int
    # How many, without the empty ones between files
    diff_lines: int

    @property
    def diff(self) -> bytes:
        """By which patches find their counterparts; the message where there is no diff."""
        return self.text[self.diff_at :]


def read_mail_text(
    raws: Sequence[bytes], name: str = "", mailmap: Mailmap | None = None
) -> PatchText:
    """The patch in a mail, as git would have it of the commit that `git am` makes of it.

    `raws`: all that came under one message-id; the first with a diff counts, else the first.
    `name`: what to call it; its message-id, without brackets, if not given.
    `mailmap`: who the author is, as `read_mailmap` has it of a repository, for its commits too.

    Raises:
        NotAPatch: it cannot be taken apart; the message says why.
        PatchTooLarge: it has too many bytes or lines.
    """
    found: list[MailInfo] = []
    reason = "there is no mail"
    for raw in raws:
        if len(raw) > LARGEST_BYTES:
            raise PatchTooLarge(f"the mail has more than {LARGEST_BYTES >> 20} MB")
        try:
            found.append(read_mailinfo(raw))
        except (ValueError, MessageError, RecursionError) as error:
            reason = str(error)
    if not found:
        raise NotAPatch(reason)
    mail = found[0]
    if len(found) > 1:
        mail = next((mail for mail in found if read_sections(mail.diff)), mail)
    return _patch_text(
        name=name or mail.message_id,
        title=mail.title,
        author=_mapped(mailmap, mail.author) if mailmap else mail.author,
        message=_tidied([mail.title, b"", *mail.message]),
        diff=mail.diff,
    )


def read_commit_text(repository: Repository, commit_hash: str) -> PatchText:
    """A commit's patch against its parent, by libgit2; its author as the .mailmap has them.

    Raises:
        NotAPatch: there is no such commit, its files are not there (a shallow or partial clone), or
            it is a merge: `git range-diff` shows none.
        PatchTooLarge: its diff has too many bytes or lines.
    """
    try:
        commit = repository.revparse_single(commit_hash).peel(Commit)
    except _GIT_ERRORS as error:
        raise NotAPatch(f"{commit_hash!r} is no commit of {repository.path}") from error
    if len(commit.parents) > 1:
        raise NotAPatch(f"{commit_hash} is a merge")
    try:
        diff = _diff_of(repository, commit)
    except _GIT_ERRORS as error:
        raise NotAPatch(f"{commit_hash} is not all there in {repository.path}: {error}") from error
    head, _, message = commit.read_raw().partition(b"\n\n")
    fields = dict(line.partition(b" ")[::2] for line in reversed(head.split(b"\n")))
    charset = fields.get(b"encoding", b"").decode("ascii", errors="replace")
    author, _, rest = _in_utf8(fields.get(b"author", b""), charset).partition(b"<")
    lines = [line.rstrip(_SPACE) for line in _in_utf8(message, charset).split(b"\n")]
    while lines and not lines[0]:
        del lines[0]
    while lines and not lines[-1]:
        del lines[-1]
    title = lines[: lines.index(b"")] if b"" in lines else lines
    return _patch_text(
        name=str(commit.id)[:_SHOWN_HASH],
        title=b" ".join(title),
        author=_mapped(
            read_mailmap(repository), b"%s <%s>" % (author.rstrip(), rest.partition(b">")[0])
        ),
        message=lines,
        diff=diff.split(b"\n"),
        note=_note(repository, commit),
    )


def _patch_text(
    *,
    name: str,
    title: bytes,
    author: bytes,
    message: Sequence[bytes],
    diff: Sequence[bytes],
    note: Sequence[bytes] = (),
) -> PatchText:
    demand_few_lines(len(message) + len(diff))
    if sum(len(line) + _TAB * line.count(b"\t") for line in message) > LARGEST_BYTES:
        raise PatchTooLarge(f"the message has more than {LARGEST_BYTES >> 20} MB")
    lines = [b" ## Metadata ##", b"Author: " + author, b"", b" ## Commit message ##"]
    lines += [_indented(_without_tabs(line)) for line in message]
    if note:
        lines += [b"", b"", b" ## Notes ##", *map(_indented, note)]
    head = b"".join(line + b"\n" for line in lines)
    sections = read_sections(diff)
    files = [b"".join(line + b"\n" for line in section) for section in sections]
    return PatchText(
        name=name,
        title=title.decode(errors="replace"),
        text=b"\n".join([head, *files]),
        diff_at=len(head) + 1 if files else 0,
        diff_lines=sum(map(len, sections)),
    )


def _indented(line: bytes) -> bytes:
    return (b"    " + line).rstrip(_SPACE)


def _tidied(lines: Sequence[bytes]) -> list[bytes]:
    """Without spaces at their ends, and never two empty ones; as git tidies a message."""
    tidy: list[bytes] = []
    for line in lines:
        line = line.replace(b"\0", b"").rstrip(_SPACE)
        if line or (tidy and tidy[-1]):
            tidy.append(line)
    return tidy[:-1] if tidy and not tidy[-1] else tidy


def _without_tabs(line: bytes) -> bytes:
    """The line with spaces up to the next eighth column in the place of tabs, as git log has it."""
    if b"\t" not in line:
        return line
    *parts, last = line.split(b"\t")
    return b"".join(part + b" " * (_TAB - _width(part) % _TAB) for part in parts) + last


def _width(text: bytes) -> int:
    """Columns on a terminal; bytes where that cannot be told."""
    try:
        characters = text.decode()
    except UnicodeDecodeError:
        return len(text)
    return sum(map(_columns, characters))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _in_utf8(text: bytes, charset: str) -> bytes:
    """Text of a commit that names its charset; as it is where that is none."""
    if not charset:
        return text
    try:
        return text.decode(charset).encode()
    except (LookupError, ValueError):
        return text


def _diff_of(repository: Repository, commit: Commit) -> bytes:
    """The diff of a commit as git has it, in its order: by the path that a file has at last."""
    if commit.parents:
        diff = commit.parents[0].tree.diff_to_tree(commit.tree, DiffOption.INDENT_HEURISTIC)
    else:
        diff = commit.tree.diff_to_tree(flags=DiffOption.INDENT_HEURISTIC, swap=True)
    deltas = list(diff.deltas)
    # Another kind of file at one path is no other file.
    often = Counter(delta.new_file.raw_path for delta in deltas)
    gone, new = (
        {
            file.raw_path: file
            for delta in deltas
            if delta.status == status
            for file in [delta.old_file if status == DeltaStatus.DELETED else delta.new_file]
            if often[file.raw_path] == 1
        }
        for status in (DeltaStatus.DELETED, DeltaStatus.ADDED)
    )
    renames = find_renames(repository, list(gone.values()), list(new.values()))
    moved = set(renames.values())
    read = []
    size = 0
    for delta, patch in zip(deltas, diff, strict=True):
        path = delta.new_file.raw_path
        if path in renames:
            read.append(_renamed(repository, gone[renames[path]], new[path]))
        elif patch and path not in moved:
            read.append(patch.data)
        else:
            continue
        size += len(read[-1])
        if size > LARGEST_BYTES:
            raise PatchTooLarge(f"the diff of {commit.id} has more than {LARGEST_BYTES >> 20} MB")
    return b"".join(read)


def _renamed(repository: Repository, old: DiffFile, new: DiffFile) -> bytes:
    """The diff of a file that is renamed, and what has changed in it."""
    head = b"diff --git a/%s b/%s\n" % (old.raw_path, new.raw_path)
    if old.mode != new.mode:
        head += b"old mode %06o\nnew mode %06o\n" % (old.mode, new.mode)
    head += b"rename from %s\nrename to %s\n" % (quoted(old.raw_path), quoted(new.raw_path))
    if old.id == new.id:
        return head
    patch = Patch.create_from(
        repository[old.id].peel(Blob),
        repository[new.id].peel(Blob),
        old_as_path=old.path,
        new_as_path=new.path,
        flag=DiffOption.INDENT_HEURISTIC,
    )
    _, _, rest = patch.data.partition(b"\nindex ")
    return head + b"index " + rest


def read_mailmap(repository: Repository) -> Mailmap:
    """The .mailmap of a repository; an empty one where it cannot be read."""
    try:
        return Mailmap.from_repository(repository)
    except _GIT_ERRORS:
        return Mailmap()


def _mapped(mailmap: Mailmap, author: bytes) -> bytes:
    """`Name <address>` as the .mailmap has it, for git shows it so.

    (To git an address is the same in capitals; to libgit2 it is another one.)
    """
    name, _, address = author.removesuffix(b">").rpartition(b" <")
    try:
        mapped = mailmap.resolve(name.decode(), address.decode())
    except _GIT_ERRORS:  # It is no UTF-8, so no map has it.
        return author
    return "{} <{}>".format(*mapped).encode()


def _note(repository: Repository, commit: Commit) -> list[bytes]:
    try:
        note = repository.lookup_note(str(commit.id)).message
    except _GIT_ERRORS:
        return []
    return note.removesuffix("\n").encode(errors="replace").split(b"\n")
