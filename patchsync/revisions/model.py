"""Revisions of a patch, and series of patches, as they are shown: on a terminal and on pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    # Of a mail in the archive of the project's list, with {} for its message-id
    archive_format: str | None = None


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
class UpstreamCommit:
    """A commit that a patch became; of one that the repository does not have only the hash."""

    commit_hash: str
    subject: str | None = None
    author_name: str | None = None
    # When it was committed, in seconds since 1970
    date: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why two that follow each other are one patch, or what keeps that from being told."""

    # Message-ids, or the latter a commit's hash
    left: str
    right: str
    # In words, as `patchsync explain` has it
    verdict: str
    # From 0 to 1; None where the two were not rated
    rating: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchHistory:
    """All revisions of one patch, oldest first, and the commits that it became."""

    # The mail, or the commit's hash, that was asked for
    asked: str
    revisions: tuple[PatchMail, ...]
    # By their date
    commits: tuple[UpstreamCommit, ...]
    # The series of the revisions, by their keys
    series: Mapping[str, Series] = field(default_factory=dict)
    # Revisions that there are too many of to have here
    left_out: int = 0

    def revision(self, message_id: str) -> PatchMail | None:
        """The revision with this message-id."""
        return next((mail for mail in self.revisions if mail.message_id == message_id), None)

    def copy_of(self, message_id: str) -> PatchMail | None:
        """The revision that this one is a copy of: the same mail, posted to another list anew.

        It says the same in its head, its date to the second, but has another message-id; the first
        of such is none.
        """
        mail = self.revision(message_id)
        if mail is None:
            return None
        first = next(each for each in self.revisions if _same_head(each, mail))
        return None if first is mail else first

    def before(self, message_id: str) -> PatchMail | None:
        """The revision before this one; of copies on other lists the one of the same time is none.

        Of a v3 that is the v2, though a mail without a version came after that, as a maintainer's
        notice that it was applied; else the last one by then. Of several of one series it is that
        of its title, else of its place. None for the first, and for a mail that is not in it.
        """
        mail = self.revision(message_id)
        if mail is None:
            return None
        earlier = [each for each in self.revisions if follows(mail, each)]
        if not earlier:
            return None
        numbered = [each for each in earlier if 1 < each.prefix.version <= mail.prefix.version]
        last = (numbered or earlier)[-1]
        together = [each for each in earlier if each.series_key == last.series_key]
        return max(
            together,
            key=lambda each: (
                each.title == mail.title,
                each.prefix.part == mail.prefix.part,
                each.date,
            ),
        )


def follows(later: PatchMail, earlier: PatchMail) -> bool:
    """Whether one of two mails of a group is a later revision of the other.

    A group may have several patches of one series: they are none of each other, but for a part that
    was sent again.
    """
    is_of_another_series = later.series_key != earlier.series_key
    return later.date > earlier.date and (is_of_another_series or later.prefix == earlier.prefix)


def _same_head(left: PatchMail, right: PatchMail) -> bool:
    return (left.date, left.subject, left.author_address) == (
        right.date,
        right.subject,
        right.author_address,
    )
