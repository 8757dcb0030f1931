"""Comments: each said once on each list, no more than so many in an hour, and never a patch."""

from __future__ import annotations

import email
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from push_fakes import FakePatchwork

from patchsync.config import Config, load
from patchsync.errors import AnswerLost, ConfigError, Mistake, Refused, ServerUnavailable
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import Mail
from patchsync.push.comment.mail import CommentMail, checked_address, subject_of
from patchsync.push.comment.sender import HOUR, CommentSender
from patchsync.push.comment.smtp import SmtpServer
from patchsync.push.entries import CommentValue, Desired, Sink, TroubleKind
from patchsync.push.ledger import Ledger
from patchsync.push.sending import Outcome
from patchsync.store.layout import ContainerPaths
from patchsync.store.writer import StoreWriter
from patchsync.sync.projects import Project, settle

ANSWER = 120.0  # seconds
NOW = 1_700_000_000.0
LIST, OTHER_LIST = "list@lists.example.org", "other@lists.example.org"
# ProjectMatch by number: first and twin are of one list, and quiet is not to be written to.
PROJECTS = {1: ("first", LIST), 2: ("twin", LIST), 3: ("other", OTHER_LIST), 4: ("quiet", LIST)}

CONFIG = """
[mbox.patchwork]
url = "https://patchwork.example.org/api/"
projects = [{ id = "first" }, { id = "twin" }, { id = 3 }, { id = "quiet" }]
[push]
sinks = ["comment"]
[push.comment]
projects = ["first", "twin", "3"]
smtp_host = "mail.example.org"
sender = "pasta@example.org"
per_hour = 5
"""

MAIL = CommentMail(
    instance="patchwork.example.org",
    sender="pasta@example.org",
    to=LIST,
    in_reply_to="<1@example.org>",
    subject="[PATCH v2 1/3] tools: fix it",
    text="Upstream as 1a2b3c.",
)


@dataclass
class World:
    """A store, a ledger and what an SMTP server got or says."""

    config: Config
    ledger: Ledger
    projects: dict[str, Project]
    # Recipient and content of each mail
    sent: list[tuple[str, bytes]]
    # What the server does instead of taking a mail
    fault: Exception | None = None

    def want(self, patch_id: int, text: str | None, project_id: int = 1) -> None:
        value = None if text is None else CommentValue(text=text)
        self.ledger.set_desired([Desired(patch_id, project_id, Sink.COMMENT, value)])

    def send(self, patch_id: int, now: float = NOW, *, dry_run: bool = False) -> Outcome | None:
        (entry,) = self.ledger.entries(Sink.COMMENT, [patch_id]).values()
        assert entry.project_id is not None
        key = {1: "first", 2: "twin", 3: "3", 4: "quiet"}[entry.project_id]
        comments = CommentSender(
            ledger=self.ledger,
            annotator=cast("Any", FakePatchwork([])),
            clock=lambda: now,
            answer_seconds=ANSWER,
            dry_run=dry_run,
            config=self.config,
            projects=self.projects,
        )
        return comments.send_one(key, entry)

    def say(self, patch_id: int, text: str, project_id: int = 1, now: float = NOW) -> None:
        self.want(patch_id, text, project_id)
        self.send(patch_id, now)

    def pending(self, now: float = NOW) -> list[int]:
        found = self.ledger.pending([Sink.COMMENT], now=now, answer_seconds=ANSWER)
        return sorted(entry.patch_id for entry in found)

    def said(self) -> list[tuple[str, str]]:
        """Who got what, in order."""
        return [(recipient, text_of(content).strip()) for recipient, content in self.sent]


def mails(project_id: int) -> Iterator[Mail]:
    """Patches 1 to 9 of the first project are 101 to 109 in the second, and so on."""
    for number in range(1, 10):
        patch_id = number + 100 * (project_id - 1)
        head = f"From patchwork Mon Jan  1 00:00:00 2024\nX-Patchwork-Id: {patch_id}\n"
        text = f"{head}Subject: [PATCH] number {number}\nMessage-Id: <{number}@x>\n\nhello\n\n"
        yield Mail(
            patch_id=patch_id,
            message_id=f"<{number}@x>",
            date="2024/01/01",
            content=text.encode(),
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    file = tmp_path / "patchsync.toml"
    file.write_text(CONFIG)
    config = load(file)
    projects = {}
    for number, (name, listaddr) in PROJECTS.items():
        paths = ContainerPaths(d_mbox=config.d_mbox, listaddr=listaddr, project_id=number)
        project = Project(key="3" if number == 3 else name, name=name, paths=paths)
        settle(config, project)
        with StoreWriter(paths) as writer:
            writer.apply(FetchResult(mails=tuple(mails(number))))
        projects[project.key] = project
    with Ledger(tmp_path / "push.sqlite") as ledger:
        ledger.set_complete()
        world = World(config, ledger, projects, [])

        def deliver(_: SmtpServer, sender: str, recipient: str, content: bytes) -> None:
            if world.fault:
                raise world.fault
            world.sent.append((recipient, content))

        monkeypatch.setattr(SmtpServer, "deliver", deliver)
        yield world


def parsed(content: bytes) -> EmailMessage:
    mail = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def text_of(content: bytes) -> str:
    """What a mail says, with newlines alone."""
    return str(parsed(content).get_content()).replace("\r\n", "\n")


# Once


def test_what_is_said_is_not_said_again(world: World) -> None:
    """One mail to the list for a text, and the entry is settled."""
    world.want(1, "hello")
    outcome = world.send(1)
    assert outcome is not None
    assert outcome.written
    assert world.send(1) is None
    assert world.said() == [(LIST, "hello")]
    assert world.pending() == []


def test_each_text_is_said_once_in_whatever_order_they_come(world: World) -> None:
    """Another text is another comment; one that was said before is none."""
    for text in ("old", "new", "old", "new"):
        world.say(1, text)
    assert world.said() == [(LIST, "old"), (LIST, "new")]
    assert world.pending() == []


def test_a_patch_in_two_projects_of_a_list_is_one_mail(world: World) -> None:
    """And another list has its own, with the same message-id, as the patch itself has."""
    for number in (1, 2, 3):
        world.say(1 + 100 * (number - 1), "hello", number)
    assert world.said() == [(LIST, "hello"), (OTHER_LIST, "hello")]
    assert len({parsed(content)["Message-ID"] for _, content in world.sent}) == 1
    assert world.pending() == []


def test_a_mail_on_its_way_for_one_project_is_waited_for_by_the_other(world: World) -> None:
    """Until its answer is there, or certain never to come."""
    world.want(1, "hello")
    world.want(101, "hello", 2)
    world.fault = AnswerLost("lost")
    with pytest.raises(AnswerLost):
        world.send(1)
    world.fault = None
    outcome = world.send(101)
    assert outcome is not None
    assert "on its way" in outcome.text
    assert world.sent == []
    world.send(101, NOW + ANSWER)
    world.send(1, NOW + ANSWER)
    assert world.said() == [(LIST, "hello")]
    assert world.pending() == []


def test_a_lost_answer_is_waited_for_and_the_mail_is_the_same(world: World) -> None:
    """Nothing goes out before the time is over; then the same message-id does."""
    world.want(1, "hello")
    world.fault = AnswerLost("lost")
    with pytest.raises(AnswerLost):
        world.send(1)
    world.fault = None
    outcome = world.send(1, NOW + ANSWER - 1)
    assert outcome is not None
    assert not outcome.written
    assert world.sent == []
    world.send(1, NOW + ANSWER)
    ids = [parsed(content)["Message-ID"] for _, content in world.sent]
    expected = replace(MAIL, in_reply_to="<1@x>", text="hello", instance=world.config.instance)
    assert ids == [expected.message_id]


@pytest.mark.parametrize("fault", [ServerUnavailable("451"), Refused("535"), ConfigError("TLS")])
def test_what_certainly_was_not_sent_is_sent_at_the_next_round(
    world: World, fault: Exception
) -> None:
    """At once, and it takes no place in the hour."""
    world.fault = fault
    for patch_id in range(1, 8):
        world.want(patch_id, "hello")
        with pytest.raises(type(fault)):
            world.send(patch_id)
    world.fault = None
    outcome = world.send(1)
    assert outcome is not None
    assert outcome.written


def test_a_refused_mail_is_trouble_and_not_tried_again(world: World) -> None:
    """5xx: it waits for somebody, and is told."""
    world.want(1, "hello")
    world.fault = Mistake("550 no such list")
    outcome = world.send(1)
    assert outcome is not None
    assert outcome.trouble
    world.fault = None
    assert world.send(1) is None
    assert world.pending() == []
    (entry,) = world.ledger.troubles(9)
    assert (entry.kind, entry.text) == (TroubleKind.MISTAKE, "550 no such list")


def test_what_is_not_wanted_any_more_is_not_said(world: World) -> None:
    """Neither is anything taken back: what was said stays said."""
    world.say(1, "hello")
    world.want(1, None)
    assert world.send(1) is None
    assert len(world.sent) == 1
    assert world.pending() == []


# Who is written to


def test_only_listed_projects_are_written_to(world: World) -> None:
    """Also of what was planned before a project was taken off the list."""
    world.want(301, "hello", 4)
    assert world.send(301) is None
    assert world.sent == []
    assert world.pending() == [301]


def test_nothing_goes_out_once_comments_are_switched_off(world: World) -> None:
    """Though a message of before is still under way."""
    world.want(1, "hello")
    push = world.config.push.model_copy(update={"sinks": ("check",)})
    world.config = world.config.model_copy(update={"push": push})
    assert world.send(1) is None
    assert world.sent == []


def test_the_configured_address_goes_before_the_stores(tmp_path: Path, world: World) -> None:
    """As for the store's own names."""
    text = CONFIG.replace('{ id = "first" }', f'{{ id = "first", list_email = "{OTHER_LIST}" }}')
    (tmp_path / "patchsync.toml").write_text(text)
    world.config = load(tmp_path / "patchsync.toml")
    world.say(1, "hello")
    assert world.said() == [(OTHER_LIST, "hello")]


def test_a_patch_that_is_gone_is_not_written_about(world: World) -> None:
    """It is told, and is no trouble; what other sinks know of it is not forgotten by that."""
    with StoreWriter(world.projects["first"].paths) as writer:
        writer.apply(FetchResult(mails=(), gone=frozenset({1})))
    world.want(1, "hello")
    world.ledger.observe(Sink.RELATION, 1, frozenset({1, 2}), NOW)
    world.ledger.ownership.note_placed({1})
    world.ledger.ownership.note_parted([(1, 3)])
    outcome = world.send(1)
    assert outcome is not None
    assert not outcome.trouble
    assert world.sent == []
    assert world.ledger.troubles(9) == []
    assert world.pending() == []
    assert world.ledger.entries(Sink.RELATION, [1])[1].observed == {1, 2}
    assert world.ledger.ownership.placed_by_us() == {1}
    assert world.ledger.ownership.parted({1, 3}) == {(1, 3)}


def test_a_dry_run_says_whom_and_what_and_does_nothing(world: World) -> None:
    """The first line of the text, and the list."""
    world.want(1, "first line\nsecond line")
    outcome = world.send(1, dry_run=True)
    assert outcome is not None
    assert outcome.written
    assert outcome.text == f"mail to {LIST}: first line"
    assert world.sent == []
    assert world.pending() == [1]


# So many in an hour


def test_what_is_over_the_limit_waits_and_is_told(world: World) -> None:
    """A restart forgets nothing; an hour later the rest goes."""
    for patch_id in range(1, 9):
        world.want(patch_id, "hello")
    outcomes = [world.send(patch_id) for patch_id in range(1, 9)]
    assert [outcome.written for outcome in outcomes if outcome] == [True] * 5 + [False] * 3
    assert outcomes[7] is not None
    assert "5 mails an hour" in outcomes[7].text
    world.ledger.close()
    assert world.pending(NOW + HOUR - 1) == [6, 7, 8]
    world.send(6, NOW + HOUR - 1)
    assert len(world.sent) == 5
    for patch_id in (6, 7, 8):
        world.send(patch_id, NOW + HOUR)
    assert len(world.sent) == 8
    assert world.pending(NOW + HOUR) == []


def test_a_clock_set_back_holds_mails_for_an_hour_at_most(world: World) -> None:
    """And lets no more than before through."""
    for patch_id in range(1, 6):
        world.say(patch_id, "hello")
    back = NOW - 1_000_000
    world.say(6, "hello", now=back)
    world.send(6, back + HOUR - 1)
    assert len(world.sent) == 5
    world.send(6, back + HOUR)
    assert len(world.sent) == 6


def test_processes_share_the_limit(world: World, tmp_path: Path) -> None:
    """Whoever sends at once: so many in all."""
    for number in (1, 2, 3):
        for patch_id in range(1, 10):
            world.want(patch_id + 100 * (number - 1), f"{number}", number)

    def work(number: int) -> None:
        with Ledger(tmp_path / "push.sqlite") as ledger:
            own = World(world.config, ledger, world.projects, [])
            for patch_id in range(1, 10):
                own.send(patch_id + 100 * (number - 1))

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.sent) == 5
    assert len(world.pending()) == 27 - 5


# The mail

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "Precedence",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
]


def test_a_comment_is_a_reply_to_the_patch() -> None:
    """By all that threads go by; and software that answers mails leaves it alone."""
    mail = parsed(MAIL.content(NOW))
    assert mail["From"] == "pasta@example.org"
    assert mail["To"] == LIST
    assert mail["Subject"] == "Re: [PATCH v2 1/3] tools: fix it"
    assert mail["In-Reply-To"] == mail["References"] == "<1@example.org>"
    assert mail["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Precedence"] == "bulk"
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content_charset() == "utf-8"
    assert text_of(MAIL.content(NOW)) == "Upstream as 1a2b3c.\n"


def test_the_message_id_says_what_is_said() -> None:
    """The same for the same, whenever and wherever; another one for anything else."""
    assert parsed(MAIL.content(NOW))["Message-ID"] == parsed(MAIL.content(0))["Message-ID"]
    assert MAIL.message_id.endswith("@example.org>")
    others = [
        replace(MAIL, text="Upstream as 1a2b3d."),
        replace(MAIL, in_reply_to="<2@example.org>"),
        replace(MAIL, instance="other.example.org"),
    ]
    assert len({MAIL.message_id, *(other.message_id for other in others)}) == 4


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("[PATCH] " + "Zoë Krüger ändert " * 9, "[PATCH] " + "Zoë Krüger ändert " * 9),
        ("[PATCH] " + "a; b, c " * 30, "[PATCH] " + "a; b, c " * 30),
        ("Re: [PATCH] odd", "[PATCH] odd"),
        ("", ""),
        ("x" * 5000, "x" * 500),
    ],
)
def test_a_subject_is_folded_so_that_it_reads_the_same(subject: str, expected: str) -> None:
    """No line is longer than 998 characters, and what decodes it gets all of it."""
    content = replace(MAIL, subject=subject).content(NOW)
    raw = email.message_from_bytes(content)["Subject"]
    assert raw.startswith("Re:")
    assert " ".join(str(make_header(decode_header(raw))).split()) == f"Re: {expected}".strip()
    assert max(map(len, content.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("one\x00two\x1b\u202ethree\udcff", "Re: one two three"),
        ("one\r\nBcc: x@y", "Re: one Bcc: x@y"),
        ("=?utf-8?q?one=0ABcc=3A_x=40y?=", "Re: = ?utf-8?q?one=0ABcc=3A_x=40y?="),
    ],
)
def test_a_subject_is_one_line_however_often_it_is_decoded(subject: str, expected: str) -> None:
    """Without what no person reads: one decodes it here, and the reader once more."""
    assert parsed(replace(MAIL, subject=subject).content(NOW))["Subject"] == expected


@given(
    subject=st.text() | st.from_regex(r"=\?utf-8\?q\?(=0[AD]|[a-z:= ])*\?=(\r\n)?[A-Z]cc: x@y"),
    text=st.text(min_size=1),
    message_id=st.text(min_size=1),
)
def test_nothing_hostile_makes_a_header(subject: str, text: str, message_id: str) -> None:
    """Whatever a patch or a template says, a mail has our headers, each once."""
    mail = replace(MAIL, subject=subject, text=text, in_reply_to=message_id)
    content = mail.content(NOW)
    head, _, _ = content.partition(b"\r\n\r\n")
    assert content.isascii()
    assert email.message_from_bytes(content).keys() == HEADERS
    names = [line.split(b":")[0] for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    assert names == [name.encode() for name in HEADERS]
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert b"\r" not in head.replace(b"\r\n", b"")


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255).map(
        lambda text: f"<{text}>"
    )
)
def test_a_message_id_is_referred_to_as_it_is(message_id: str) -> None:
    """However long or odd: an encoded one would refer to nothing."""
    content = replace(MAIL, in_reply_to=message_id).content(NOW)
    assert f"\r\nIn-Reply-To: {message_id}\r\n".encode() in content
    assert f"\r\nReferences: {message_id}\r\n".encode() in content


@pytest.mark.parametrize(
    "header",
    [
        "Subject: [PATCH] one\n two",
        "Subject: =?utf-8?q?=5BPATCH=5D_one?=\n =?utf-8?q?_two?=",
        "Subject: =?iso-8859-1?b?W1BBVENIXSBvbmUgdHdv?=",
    ],
)
def test_the_subject_is_that_of_the_stored_mail(header: str) -> None:
    """Decoded; in whatever it was written."""
    mail = f"From patchwork Mon Jan  1 00:00:00 2024\nX-Patchwork-Id: 1\n{header}\n\nSubject: no\n"
    content = replace(MAIL, subject=subject_of(mail.encode())).content(NOW)
    assert parsed(content)["Subject"] == "Re: [PATCH] one two"


@given(st.binary())
def test_any_subject_can_be_read(raw: bytes) -> None:
    """As far as it can be."""
    subject = subject_of(b"From patchwork\nSubject: " + raw + b"\n\nhello\n")
    assert replace(MAIL, subject=subject).content(NOW).isascii()


DIFF = """\
diff --git a/f b/f
index 1..2 100644
--- a/f
+++ b/f
@@ -1 +1 @@
-old
+new
"""


def test_a_diff_is_none_in_a_comment() -> None:
    """Nothing of it is where a diff, an mbox's next mail or a signature could begin."""
    text = f"Index: f\n{DIFF}From you\n-- \n____\n---\nGIT binary patch\nend\n- item"
    lines = text_of(replace(MAIL, text=text).content(NOW)).splitlines()
    begins = ("Index", "diff", "---", "+++", "@@", "From", "--", "_", "GIT")
    assert [line for line in lines if line.startswith(begins)] == []
    assert lines[-2:] == ["end", "- item"]
    assert [line.strip() for line in lines] == [line.strip() for line in text.splitlines()]


def test_a_text_in_any_language_arrives() -> None:
    """As utf-8, however long its lines, and also a dot alone."""
    text = "ä — 漢字\n.\n" + "x" * 2000
    content = replace(MAIL, text=text).content(NOW)
    assert text_of(content) == text + "\n"
    assert max(map(len, content.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    "address",
    ["", "list", "a@b, c@d", "a@b\nBcc: c@d", "<a@b>", "ä@example.org", "a b@c", "@", "a@"],
)
def test_what_is_no_address_is_not_written_to(address: str) -> None:
    """The message names the key."""
    with pytest.raises(ConfigError, match="list_email"):
        checked_address("list_email", address)
