"""Says things of patches by mail to their lists, each once, and only so many in an hour.

What was said stays said: other words about the same commits and revisions are no other comment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from patchsync.config import Config
from patchsync.errors import AnswerLost, NotWritten, PatchsyncError
from patchsync.push.comment.mail import CommentMail, checked_address, subject_of
from patchsync.push.comment.smtp import SmtpServer
from patchsync.push.entries import (
    Claimed,
    CommentValue,
    Entry,
    Sink,
    TroubleKind,
    Unsure,
    Wait,
)
from patchsync.push.sending import Outcome, PatchSender
from patchsync.sync.projects import Project

HOUR = 3600.0  # seconds

# The ledger's note of the mails of the last hour: [time, mail] each.
_RECENT = "comments of the last hour"

# The answers that one mail waits for, about: all come before its claim is over.
_ANSWERS = 12


@dataclass(kw_only=True)
class CommentSender(PatchSender[CommentValue]):
    """Mails what is desired to be said."""

    sink: ClassVar[Sink] = Sink.COMMENT
    most_lost: ClassVar[int] = 1
    config: Config
    # By the configuration's spelling
    projects: Mapping[str, Project]

    def send_one(self, key: str, entry: Entry[CommentValue]) -> Outcome | None:
        """Mail the comment; after a lost answer, again when that is certain to be over."""
        project = self.projects.get(key)
        # What was planned before may wait for its hour still when comments are switched off.
        if project is None or not gets_comments(self.config, project):
            return None
        mail = None
        if entry.desired is not None:
            mail = self._mail(project, entry.patch_id, entry.desired)
            if mail is None:
                # In this sink alone: that it is gone is only the store's word.
                if not self.dry_run:
                    self.ledger.drop(entry)
                return self.outcome(entry, "the store does not have it: nothing is said of it")
        if self.dry_run:
            return None if mail is None else self.outcome(entry, _text(mail), written=True)
        # Before the claim, which has time for one mail only. What the ledger does not know any more
        # Patchwork may.
        if mail and mail.message_id in self.annotator.comment_ids(key, entry.patch_id):
            mail = None
        now = self.clock()
        claim = self._claim(entry, mail, now)
        if mail is None or not isinstance(claim, Claimed):
            return claim if isinstance(claim, Outcome) else None
        server = SmtpServer.of(self.config, self.answer_seconds / _ANSWERS)
        try:
            server.deliver(mail.sender, mail.to, mail.content(now))
        except AnswerLost:
            raise
        except NotWritten as error:
            return self.note_trouble(entry, TroubleKind.of(error), str(error), claim.claim)
        except PatchsyncError:
            with self.ledger.transaction():
                self.ledger.release(entry, claim.claim)
                self._keep_recent([each for each in self._recent(now) if each[1] != _note(mail)])
            raise
        with self.ledger.transaction():
            self.ledger.write_notes({_note(mail): str(now)})
            self.ledger.arrived(entry, claim.claim, entry.desired, now)
        return self.outcome(entry, _text(mail), written=True)

    def _mail(self, project: Project, patch_id: int, comment: CommentValue) -> CommentMail | None:
        """The mail that says it; None where the patch is gone."""
        with project.open() as container:
            stored = container.entry(patch_id)
            if stored is None or patch_id in container.gone():
                return None
            subject = subject_of(container[stored.message_id][0])
        address = self.config.project(project.key).list_email or project.paths.listaddr
        return CommentMail(
            instance=self.config.instance,
            sender=checked_address("[push.comment] sender", self.config.push.comment.sender),
            to=checked_address(f"list_email of project {project.key}", address),
            in_reply_to=stored.message_id,
            subject=subject,
            text=comment.text,
            about=comment.about,
        )

    def _claim(
        self, entry: Entry[CommentValue], mail: CommentMail | None, now: float
    ) -> Claimed | Outcome | None:
        """Claim a mail and its place in the hour, durably.

        Returns the claim; or why it must wait; or None where there is nothing to send.
        """
        with self.ledger.transaction():
            claim = self.ledger.claim(entry, now, self.answer_seconds)
            if isinstance(claim, Unsure):
                # It is not looked for, and sent again at worst: Patchwork and list software drop a
                # second mail with the same message-id.
                self.ledger.release(entry, claim.claim)
                claim = self.ledger.claim(entry, now, self.answer_seconds)
            if isinstance(claim, Wait):
                return self.outcome(entry, f"an answer was lost; again in {claim.seconds:.0f} s")
            if not isinstance(claim, Claimed):
                return None
            if mail is None or self.ledger.note(_note(mail)) is not None:
                self.ledger.arrived(entry, claim.claim, entry.desired, now)
                return None
            recent = self._recent(now)
            if obstacle := self._obstacle(recent, _note(mail), now):
                self.ledger.release(entry, claim.claim)
                return self.outcome(entry, obstacle)
            self._keep_recent([*recent, (now, _note(mail))])
            return claim

    def _obstacle(self, recent: list[tuple[float, str]], note: str, now: float) -> str:
        """Why a mail must wait; empty where it need not."""
        # A mail to a list that has the patch in several projects is one for all of them.
        if any(each == note and now - at < self.answer_seconds for at, each in recent):
            return "the same mail is on its way for another project of the list"
        per_hour = self.config.push.comment.per_hour
        if len(recent) >= per_hour:
            seconds = recent[0][0] + HOUR - now
            return f"waits: {per_hour} mails an hour; next in {seconds:.0f} s"
        return ""

    def _recent(self, now: float) -> list[tuple[float, str]]:
        """The mails of the last hour, the oldest first."""
        kept = json.loads(self.ledger.note(_RECENT) or "[]")
        recent = sorted((min(at, now), note) for at, note in kept if at > now - HOUR)
        if any(at > now for at, _ in kept):
            self._keep_recent(recent)  # A clock was set back: their hour begins anew.
        return recent

    def _keep_recent(self, recent: list[tuple[float, str]]) -> None:
        self.ledger.write_notes({_RECENT: json.dumps(recent)})


def gets_comments(config: Config, project: Project) -> bool:
    """Whether the configuration has comments mailed to the list of a project."""
    return Sink.COMMENT in config.push.sinks and project.key in config.push.comment.projects


def _note(mail: CommentMail) -> str:
    """The name of the ledger's note that it was said on this list."""
    return f"said {mail.message_id} {mail.to.lower()}"


def _text(mail: CommentMail) -> str:
    return f"mail to {mail.to}: {mail.text.splitlines()[0]}"
