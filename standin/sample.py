"""Mailing lists that never run dry: series of generated patches, in up to three versions each."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, formataddr
from random import Random

from standin import render, sample_text
from standin.records import Patch, Project, Series
from standin.sample_text import Change
from standin.state import SERVER_ZONE, PatchworkState

FIRST_DAY = datetime(2024, 1, 8, 9)
LATEST_VERSION = 3
LARGEST_SERIES = 9

WRONG_CLOCK = 0.02
"""How often a mail is dated earlier than those sent before it."""

AUTHORS = (
    ("Ada Brandt", "ada.brandt@example.org"),
    ("Tomás Ruiz", "tomas.ruiz@example.com"),
    ("Li Wei", "li.wei@example.net"),
    ("Grace Okafor", "gokafor@example.org"),
    ("Jürgen Weiß", "jw@example.de"),
    ("Priya Nair", "priya@example.in"),
    ("Sam Porter", "sam@example.com"),
)


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One patch as it arrives; `headers` in their order, `number` its place in the series."""

    msgid: str
    number: int
    date: datetime
    name: str
    headers: tuple[tuple[str, str], ...]
    body: str
    diff: str


@dataclass(frozen=True, kw_only=True)
class Posting:
    """Mails sent at once: a series, or a single patch."""

    author: tuple[str, str]
    version: int
    name: str
    changes: tuple[Change, ...]
    mails: tuple[Mail, ...]
    sent: datetime
    """In truth; the mails may be dated otherwise."""

    def without_mails(self) -> Posting:
        """What its next version needs."""
        return replace(self, mails=())


class MailingList:
    """Posts series of patches, and later versions of what was posted before."""

    def __init__(self, project: Project, seed: str) -> None:
        self._project = project
        self._rng = Random(f"{seed}/{project.link_name}")
        self._clock = FIRST_DAY
        self._open: list[Posting] = []
        self._message_numbers = itertools.count(1)

    def post(self, at_most: int, *, days_back: float = 0.0) -> Posting:
        """The next posting, of at most so many mails; its dates moved back by so many days."""
        rng = self._rng
        self._clock += timedelta(minutes=rng.randint(20, 900))
        revisable = [posting for posting in self._open if len(posting.changes) <= at_most]
        if revisable and rng.random() < 0.4:
            earlier = rng.choice(revisable)
            self._open.remove(earlier)
            changes = [sample_text.revised(rng, change) for change in earlier.changes]
            author, version = earlier.author, earlier.version + 1
        else:
            size = min(at_most, rng.choice((1, 1, 1, 2, 3, 4, 5, 7, LARGEST_SERIES)))
            changes = sample_text.series_of_changes(rng, size)
            author, version = rng.choice(AUTHORS), 1
        return self._posted(author, version, changes, days_back)

    def revise(self, earlier: Posting, *, days_back: float = 0.0) -> Posting:
        """The next version of `earlier`, with little changed in each of its mails."""
        self._clock += timedelta(minutes=self._rng.randint(20, 900))
        if earlier in self._open:
            self._open.remove(earlier)
        changes = [sample_text.touched_up(self._rng, change) for change in earlier.changes]
        return self._posted(earlier.author, earlier.version + 1, changes, days_back)

    def _posted(
        self, author: tuple[str, str], version: int, changes: Sequence[Change], days_back: float
    ) -> Posting:
        posting = self._posting(author, version, changes, self._clock - timedelta(days=days_back))
        if version < LATEST_VERSION:
            self._open.append(posting.without_mails())
        return posting

    def _posting(
        self, author: tuple[str, str], version: int, changes: Sequence[Change], start: datetime
    ) -> Posting:
        total = len(changes)
        mails: list[Mail] = []
        for number, change in enumerate(changes, start=1):
            tags = ["PATCH"] if version == 1 else ["PATCH", f"v{version}"]
            if total > 1:
                tags.append(f"{number}/{total}")
            first = mails[0].msgid if mails else None
            date = start + timedelta(seconds=number)
            if first is not None and self._rng.random() < WRONG_CLOCK:
                date -= timedelta(hours=1)
            mails.append(
                write_mail(
                    project=self._project,
                    author=author,
                    version=version,
                    change=change,
                    tags=tags,
                    number=number,
                    date=date,
                    msgid=self._message_id(author[1], date),
                    answers=first,
                )
            )
        return Posting(
            author=author,
            version=version,
            name=changes[0].subject if total == 1 else f"{changes[0].subject} and more",
            changes=tuple(changes),
            mails=tuple(mails),
            sent=self._clock,
        )

    def _message_id(self, address: str, date: datetime) -> str:
        number = next(self._message_numbers)
        local = f"{date:%Y%m%d%H%M%S}.{self._rng.randrange(10**6)}-{number}"
        if number % 40 == 0:
            local = f"CA+{self._rng.getrandbits(64):x}/{number}=x"  # some mailers use slashes
        return f"<{local}-{address}>"


def write_mail(
    *,
    project: Project,
    author: tuple[str, str],
    version: int,
    change: Change,
    tags: list[str],
    number: int,
    date: datetime,
    msgid: str,
    answers: str | None,
) -> Mail:
    """A change as a mail to its project's list; `tags` stand before the subject."""
    headers = [
        ("Date", format_datetime(date.replace(tzinfo=UTC))),
        ("From", formataddr(author)),
        ("To", project.list_email),
        ("Subject", f"[{' '.join(tags)}] {change.subject}"),
        ("Message-Id", msgid),
    ]
    if answers is not None:
        headers += [("In-Reply-To", answers), ("References", answers)]
    headers.append(("MIME-Version", "1.0"))
    note = "" if version == 1 else f"v{version}: Address the review of v{version - 1}.\n\n"
    diff = sample_text.diff_of(change)
    body = (
        f"{change.message}\n\nSigned-off-by: {author[0]} <{author[1]}>\n---\n"
        f"{note}{sample_text.diffstat_of(change)}\n\n{diff}"
    )
    prefixes = ",".join(tags[1:])
    return Mail(
        msgid=msgid,
        number=number,
        date=date,
        name=f"[{prefixes}] {change.subject}" if prefixes else change.subject,
        headers=tuple(headers),
        body=body,
        diff=diff,
    )


class Postman:
    """Brings what the mailing lists post into the state."""

    def __init__(self, state: PatchworkState, seed: int = 1) -> None:
        self._state = state
        self._seed = str(seed)
        self._lists: dict[int, MailingList] = {}
        self._postings: dict[int, Posting] = {}
        self._rng = Random(f"{seed}/post")

    def deliver(
        self,
        project: Project,
        count: int,
        *,
        days_back: float = 0.0,
        in_series: bool = True,
        visible: bool = True,
    ) -> list[Patch]:
        """So many new patches for a project, in whole series.

        Without `in_series` their `series` is empty, as Patchwork shows a patch that it could not
        place. Without `visible` they have their ids, but show only after `commit`.
        """
        delivered: list[Patch] = []
        while len(delivered) < count:
            posting = self._list(project).post(count - len(delivered), days_back=days_back)
            series = self._series(project, posting) if in_series else None
            delivered += self._bring(project, posting, series, visible=visible)
        return delivered

    def revise(self, patch_id: int, *, days_back: float = 0.0, visible: bool = True) -> list[Patch]:
        """The next version of a patch, with its whole series; see `deliver`.

        KeyError for a patch that came from no mailing list of ours.
        """
        earlier = self._postings[patch_id]
        found = self._state.patches.get(patch_id) or self._state.reserved[patch_id]
        project = found.project
        posting = self._list(project).revise(earlier, days_back=days_back)
        return self._bring(project, posting, self._series(project, posting), visible=visible)

    def _bring(
        self, project: Project, posting: Posting, series: Series | None, *, visible: bool
    ) -> list[Patch]:
        patches = []
        for mail in posting.mails:
            patches.append(self._patch(project, posting, mail, series))
            self._state.insert(patches[-1], visible=visible)
        return patches

    def fill(self, shares: Sequence[tuple[Project, int]]) -> None:
        """So many patches for each project, their ids interleaved as mail comes in."""
        left = {project.id: count for project, count in shares}
        open_postings: dict[int, tuple[Posting, Series, list[Mail]]] = {}
        while any(left.values()):
            ids = [project_id for project_id, count in left.items() if count]
            project_id = self._rng.choices(ids, weights=[left[i] for i in ids])[0]
            project = self._state.projects[project_id]
            if project_id not in open_postings:
                posting = self._list(project).post(left[project_id])
                series = self._series(project, posting)
                open_postings[project_id] = (posting, series, list(posting.mails))
            posting, series, waiting = open_postings[project_id]
            self._state.insert(self._patch(project, posting, waiting.pop(0), series))
            left[project_id] -= 1
            if not waiting:
                del open_postings[project_id]

    def _list(self, project: Project) -> MailingList:
        return self._lists.setdefault(project.id, MailingList(project, self._seed))

    def _series(self, project: Project, posting: Posting) -> Series:
        return Series(
            id=self._state.next_series_id(),
            project=project,
            name=posting.name,
            date=posting.mails[0].date,
            submitter=self._state.person(*posting.author),
            version=posting.version,
            total=len(posting.mails),
        )

    def _patch(
        self, project: Project, posting: Posting, mail: Mail, series: Series | None
    ) -> Patch:
        patch_id = self._state.next_id()
        self._postings[patch_id] = posting.without_mails()
        return Patch(
            id=patch_id,
            project=project,
            msgid=mail.msgid,
            date=mail.date,
            name=mail.name,
            hash=hashlib.sha1(mail.diff.encode()).hexdigest(),
            submitter=self._state.person(*posting.author),
            mbox=render.mbox(
                patch_id=patch_id,
                date=mail.date,
                submitter=posting.author,
                headers=mail.headers,
                body=mail.body,
            ),
            arrival=posting.sent + SERVER_ZONE + timedelta(seconds=mail.number + 3),
            series=series,
            number=mail.number,
        )
