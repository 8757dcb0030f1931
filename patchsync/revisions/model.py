"""Revisions of a patch, and series of patches, as they are shown: on a terminal and on pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class SubjectPrefix(NamedTuple):
    """What the brackets of a subject say: `[RFC PATCH v2 net-next 3/7]`."""

    version: int  # 1 where they name none
    # Of the series; 1 and 1 for a patch alone, 0 of n for a cover letter
    part: int
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchInProject:
    """A mail as a patch of one project: what Patchwork was last seen to list of it.

    All of it is None where no list was seen that had it, as after an import.
    """

    project_id: int
    project_name: str
    patch_id: int
    # Patchwork does not list it any more.
    gone: bool = False
    state: str | None = None
    archived: bool | None = None
    # Of all its checks together: pending, success, warning or fail
    check: str | None = None
    # Patchwork's number of its series
    series_id: int | None = None
    # Username of who is to look at it
    delegate: str | None = None
    # When that was so, in seconds since 1970
    seen_at: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchMail:
    """A mail that is a patch, as it says itself, and where it is one."""

    message_id: str  # with its angle brackets
    # Of its Date header, in seconds since 1970; where that is none, of its day in the index
    date: float
    author_name: str
    author_address: str
    # Decoded, whole
    subject: str
    # Without what stands in brackets before it
    title: str
    prefix: SubjectPrefix
    # The key of its series (see `Series`)
    series_key: str
    # Those that its diff names, in order
    files: tuple[str, ...]
    patches: tuple[PatchInProject, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Patches that were posted as one, as their mails say."""

    # The message-id of its cover letter where its parts answer one, else of its first part
    key: str
    title: str
    author_name: str
    version: int
    total: int
    # By part; of a part that came twice, the later one first
    mails: tuple[PatchMail, ...]

    @property
    def missing(self) -> tuple[int, ...]:
        """The parts that are not there."""
        present = {mail.prefix.part for mail in self.mails}
        return tuple(part for part in range(1, self.total + 1) if part not in present)


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchHistory:
    """All revisions of one patch, oldest first, and the commits that it became."""

    # The mail, or the commit's hash, that was asked for
    asked: str
    revisions: tuple[PatchMail, ...]
    commits: tuple[str, ...]

    def before(self, message_id: str) -> PatchMail | None:
        """The revision before this one; of copies on other lists the one of the same time is none.

        None for the first, and for a mail that is not in it.
        """
        previous = None
        for revision in self.revisions:
            if revision.message_id == message_id:
                return previous
            previous = revision
        return None
