"""Says things of patches by mail to their lists, each once, and only so many in an hour.

What was said stays said: other words about the same commits and revisions are no other comment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

from patchsync.config import Config
from patchsync.errors import AnswerLost, NotWritten, PatchsyncError
from patchsync.push.comment.mail import CommentMail, checked_address, subject_of
from patchsync.push.comment.smtp import Envelope, SmtpServer
from patchsync.push.entries import Claimed, Entry, Sink, Trouble, Unsure, Wait
from patchsync.push.ledger import Ledger
from patchsync.push.sending import Outcome, trouble_of
from patchsync.sync.projects import Project

# The message-ids of the comments that Patchwork has on a patch of a project
SaidThere = Callable[[str, int], Collection[str]]

HOUR = 3600.0  # seconds

# The ledger's note of the mails of the last hour: [time, mail] each.
RECENT = "comments of the last hour"

# The answers that one mail waits for, about: all come before its claim is over.
_ANSWERS = 12


class Comments:
    """Mails what is wanted to be said."""

    def __init__(
        self,
        ledger: Ledger,
        config: Config,
        sites: Iterable[Project],
        answer_seconds: float,
        said_there: SaidThere | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            ledger: what is wanted, and what was said.
            config: the configuration.
            sites: the projects.
            answer_seconds: from a claim on, by then the answer is there or never comes.
            said_there: what Patchwork has, for what the ledger does not know any more.
        """
        self._ledger = ledger
        self._config = config
        self._table = config.push.comment
        self._sites = {site.key: site for site in sites}
        self._answer_seconds = answer_seconds
        self._said_there = said_there

    def send(self, key: str, entry: Entry, now: float, *, dry_run: bool = False) -> Outcome | None:
        """Mail the comment that is wanted of a patch; None where that is needless by now.

        `key`: the patch's project, as the configuration spells it.

        Raises:
            AnswerLost: it may have been sent, and is sent again when that is certain to be over.
            ServerUnavailable: it was not.
            Refused, ConfigError: nothing can be mailed at all.
        """
        site = self._sites.get(key)
        # What was planned before may wait for its hour still when comments are switched off.
        if site is None or not self._is_on(site):
            return None
        reply = None
        if entry.wanted is not None:
            reply = self._reply(site, entry.patch_id, json.loads(entry.wanted))
            if reply is None:
                return self._trouble(entry, Trouble.GONE, "it is gone from Patchwork", now, dry_run)
        if dry_run:
            return None if reply is None else _outcome(entry, _told(reply), written=True)
        # Before the claim, which has time for one mail only.
        if reply and self._said_there:
            there = reply.message_id in self._said_there(key, entry.patch_id)
            reply = None if there else reply
        claim = self._take(entry, reply, now)
        if reply is None or not isinstance(claim, int):
            return claim if isinstance(claim, Outcome) else None
        mail = Envelope(sender=reply.sender, recipient=reply.to, content=reply.content(now))
        try:
            self._smtp().deliver(mail)
        except AnswerLost:
            raise
        except NotWritten as error:
            return self._trouble(entry, trouble_of(error), str(error), now, claim=claim)
        except PatchsyncError:
            with self._ledger.transaction():
                self._ledger.release(entry.patch_id, Sink.COMMENT, claim)
                self._keep_recent([each for each in self._recent(now) if each[1] != _name(reply)])
            raise
        self._said(entry, reply, now, claim)
        return _outcome(entry, _told(reply), written=True)

    def _is_on(self, site: Project) -> bool:
        listed = {key.lower() for key in self._table.projects}
        names = {site.key.lower(), site.name.lower(), str(site.paths.project_id)}
        return Sink.COMMENT in self._config.push.sinks and not listed.isdisjoint(names)

    def _reply(self, site: Project, patch_id: int, wanted: dict[str, Any]) -> CommentMail | None:
        """The mail that says it; None where the patch is gone."""
        with site.open() as box:
            found = box.entry(patch_id)
            if found is None or patch_id in box.gone():
                return None
            subject = subject_of(box[found.message_id][0])
        address = self._config.project(site.key).list_email or site.paths.listaddr
        return CommentMail(
            instance=self._config.instance,
            sender=checked_address("[push.comment] sender", self._table.sender),
            to=checked_address(f"list_email of project {site.key}", address),
            in_reply_to=found.message_id,
            subject=subject,
            text=wanted["text"],
            about=tuple(wanted.get("about", ())),
        )

    def _take(self, entry: Entry, reply: CommentMail | None, now: float) -> int | Outcome | None:
        """Claim a mail and its place in the hour, durably.

        Returns the claim; or why it must wait; or None where it is needless.
        """
        with self._ledger.transaction():
            claim = self._claim(entry, now)
            if isinstance(claim, Unsure):
                # It is not looked for, and sent again at worst: Patchwork and list software drop a
                # second mail with the same message-id.
                self._ledger.release(entry.patch_id, Sink.COMMENT, claim.claim)
                claim = self._claim(entry, now)
            if isinstance(claim, Wait):
                return _outcome(entry, f"an answer was lost; again in {claim.seconds:.0f} s")
            if not isinstance(claim, Claimed):
                return None
            if reply is None or self._ledger.note(_name(reply)) is not None:
                self._show(entry, now, claim.claim)
                return None
            recent = self._recent(now)
            why = self._in_the_way(recent, _name(reply), now)
            if why:
                self._ledger.release(entry.patch_id, Sink.COMMENT, claim.claim)
                return _outcome(entry, why)
            self._keep_recent([*recent, (now, _name(reply))])
            return claim.claim

    def _claim(self, entry: Entry, now: float) -> object:
        return self._ledger.claim(
            entry.patch_id, Sink.COMMENT, entry.wanted, now, self._answer_seconds
        )

    def _show(self, entry: Entry, now: float, claim: int) -> None:
        self._ledger.show(entry.patch_id, Sink.COMMENT, entry.wanted, now, claim=claim)

    def _said(self, entry: Entry, reply: CommentMail, now: float, claim: int) -> None:
        with self._ledger.transaction():
            self._ledger.write_notes({_name(reply): str(now)})
            self._show(entry, now, claim)

    def _in_the_way(self, recent: list[tuple[float, str]], name: str, now: float) -> str:
        # A mail to a list that has the patch in several projects is one for all of them.
        if any(each == name and now - at < self._answer_seconds for at, each in recent):
            return "the same mail is on its way for another project of the list"
        if len(recent) >= self._table.per_hour:
            seconds = recent[0][0] + HOUR - now
            return f"waits: {self._table.per_hour} mails an hour; next in {seconds:.0f} s"
        return ""

    def _recent(self, now: float) -> list[tuple[float, str]]:
        """The mails of the last hour, the oldest first."""
        kept = json.loads(self._ledger.note(RECENT) or "[]")
        recent = sorted((min(at, now), name) for at, name in kept if at > now - HOUR)
        if any(at > now for at, _ in kept):
            self._keep_recent(recent)  # A clock was set back: their hour begins anew.
        return recent

    def _keep_recent(self, recent: list[tuple[float, str]]) -> None:
        self._ledger.write_notes({RECENT: json.dumps(recent)})

    def _trouble(
        self,
        entry: Entry,
        kind: Trouble,
        text: str,
        now: float,
        dry_run: bool = False,
        *,
        claim: int | None = None,
    ) -> Outcome:
        if not dry_run:
            self._ledger.trouble(
                entry.patch_id, Sink.COMMENT, kind, text, entry.wanted, now, claim=claim
            )
        return _outcome(entry, text, trouble=True)

    def _smtp(self) -> SmtpServer:
        return SmtpServer(
            host=self._table.smtp_host,
            port=self._table.port,
            security=self._table.smtp_security,
            user=self._table.smtp_user,
            password=self._config.smtp_password(),
            timeout=self._answer_seconds / _ANSWERS,
        )


def _name(reply: CommentMail) -> str:
    """The ledger's note that it was said on this list."""
    return f"said {reply.message_id} {reply.to.lower()}"


def _told(reply: CommentMail) -> str:
    return f"mail to {reply.to}: {reply.text.splitlines()[0]}"


def _outcome(entry: Entry, text: str, *, written: bool = False, trouble: bool = False) -> Outcome:
    return Outcome(
        patch_id=entry.patch_id, sink=Sink.COMMENT, text=text, written=written, trouble=trouble
    )
