"""A list of any length that is there at once: its mails are written when somebody reads them."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from random import Random

from standin import render, sample_text
from standin.records import Patch, Project, Series
from standin.sample import AUTHORS, FIRST_DAY, write_mail
from standin.state import SERVER_ZONE, PatchworkState

SERIES = 3
APART = timedelta(minutes=5)
"""288 patches a day: a busy list."""


class UnwrittenPatch(Patch):
    """A patch whose name, hash and mail are made at the first look at one of them."""

    def __init__(self, patch_id: int, project: Project, series: Series, date: datetime) -> None:
        self.id = patch_id
        self.project = project
        self.msgid = f"<{date:%Y%m%d%H%M%S}.{patch_id}@example.org>"
        self.date = date
        self.submitter = series.submitter
        self.arrival = date + SERVER_ZONE + timedelta(seconds=3)
        self.series = series
        self.number = len(series.patches) + 1
        self.relation = None
        self.checks = []
        self.comments = []
        self.rendered = {}

    def __getattr__(self, attribute: str) -> object:
        if attribute not in ("name", "hash", "mbox"):
            raise AttributeError(attribute)
        self._write()
        return self.__dict__[attribute]

    def _write(self) -> None:
        rng = Random(self.msgid)
        (change,) = sample_text.series_of_changes(rng, 1)
        author = self.submitter.name, self.submitter.email
        mail = write_mail(
            project=self.project,
            author=author,
            version=1,
            change=change,
            tags=["PATCH", f"{self.number}/{SERIES}"],
            number=self.number,
            date=self.date,
            msgid=self.msgid,
            answers=None,
        )
        self.name = mail.name
        self.hash = hashlib.sha1(mail.diff.encode()).hexdigest()
        self.mbox = render.mbox(
            patch_id=self.id,
            date=self.date,
            submitter=author,
            headers=mail.headers,
            body=mail.body,
        )


def fill(state: PatchworkState, project: Project, count: int) -> None:
    """So many patches for a project, in series of three that are never revised."""
    people = [state.person(*author) for author in AUTHORS]
    for number in range(count):
        date = FIRST_DAY + number * APART
        if number % SERIES == 0:
            series = Series(
                id=state.next_series_id(),
                project=project,
                name=f"Series {number // SERIES + 1}",
                date=date,
                submitter=people[number // SERIES % len(people)],
                version=1,
                total=SERIES,
            )
        state.insert(UnwrittenPatch(state.next_id(), project, series, date))
