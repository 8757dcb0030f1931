"""Comments by a real SMTP server: what it takes, refuses, or takes without saying so."""

from __future__ import annotations

import email
from collections import Counter
from collections.abc import Callable, Iterator
from email import policy
from pathlib import Path
from typing import cast

import pytest

from patchsync.config import load
from patchsync.errors import AnswerLost, ConfigError, GiveUp, Refused, ServerUnavailable
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import Mail
from patchsync.patchwork.schemas import User
from patchsync.push.annotations import ProjectFacts
from patchsync.push.entries import CommentValue, Desired, Sink, TroubleKind
from patchsync.push.identity import Identity, MaintainedProject, note_identity
from patchsync.push.jobs import Job
from patchsync.push.ledger_file import ledger_path
from patchsync.push.sending import Outcome
from patchsync.push.service import PushService
from patchsync.store.layout import ContainerPaths
from patchsync.store.writer import StoreWriter
from patchsync.sync.projects import Project, settle
from tests.support.mail_server import (
    PASSWORD,
    MailServer,
    make_certificate,
    running,
    secured,
)

LIST = "list@lists.example.org"
TEXT = "Earlier revisions: ä\n.\n..\n--- a\nUpstream."
# Longer than any test takes.
NEVER = 3600

CONFIG = """
[mbox.patchwork]
url = "https://patchwork.example.org/api/"
projects = [{{ id = "sample" }}]
[push]
sinks = ["comment"]
answer_seconds = {never}
[push.comment]
projects = ["sample"]
smtp_host = "localhost"
smtp_port = {port}
smtp_security = "{security}"
sender = "pasta@example.org"
{login}
"""


@pytest.fixture
def server() -> Iterator[MailServer]:
    with running(MailServer()) as server:
        yield server


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def stored(number: int) -> Mail:
    head = f"From patchwork Mon Jan  1 00:00:00 2024\nX-Patchwork-Id: {number}\n"
    subject = "Subject: =?utf-8?q?=5BPATCH=5D_Z=C3=BCge?=\n =?utf-8?q?l?=\n"
    text = f"{head}{subject}Message-Id: <{number}@x>\n\nhello\n\n"
    return Mail(
        patch_id=number, message_id=f"<{number}@x>", date="2024/01/01", content=text.encode()
    )


Push = Callable[..., PushService]


class There:
    """A Patchwork of which only the comments are looked at."""

    def __init__(self) -> None:
        self.comments: set[str] = set()

    def comment_ids(self, key: str, patch_id: int) -> set[str]:
        """As `Annotator.comment_ids`; the same on each patch."""
        return self.comments


@pytest.fixture
def there() -> There:
    """A Patchwork without comments, until a test adds some."""
    return There()


@pytest.fixture
def push(tmp_path: Path, there: There) -> Iterator[Push]:
    """Push with patches 1 to 9 of a project, each with a comment that is wanted."""
    opened: list[PushService] = []

    def begin(
        server: MailServer,
        security: str = "none",
        password: str | None = None,
        clock: Callable[[], float] = lambda: 1e9,
    ) -> PushService:
        login = ""
        if password is not None:
            (tmp_path / "password").write_text(password)
            login = 'smtp_user = "pasta"\nsmtp_password_file = "password"'
        file = tmp_path / "patchsync.toml"
        file.write_text(
            CONFIG.format(never=NEVER, port=server.port, security=security, login=login)
        )
        config = load(file)
        paths = ContainerPaths(d_mbox=config.d_mbox, listaddr=LIST, project_id=1)
        settle(config, Project(key="sample", name="sample", paths=paths))
        with StoreWriter(paths) as writer:
            writer.apply(FetchResult(mails=tuple(map(stored, range(1, 10)))))
        service = PushService(config, cast(Annotator, there), clock)
        opened.append(service)
        service.ledger.set_complete()
        ours = {1: MaintainedProject(key="sample", link_name="sample", facts=ProjectFacts())}
        note_identity(service.ledger, Identity(user=User(id=1, username="pasta"), projects=ours))
        value = CommentValue(text=TEXT)
        service.ledger.set_desired(
            Desired(number, 1, Sink.COMMENT, value) for number in range(1, 10)
        )
        return service

    yield begin
    for service in opened:
        service.ledger.close()


def sent(service: PushService, *patch_ids: int) -> list[Outcome]:
    """What came of the comments on these patches."""
    return list(service.do(Job(key="sample", sink=Sink.COMMENT, patch_ids=patch_ids or (1,))))


def pending(service: PushService) -> set[int]:
    return {entry.patch_id for entry in service.pending({1})}


def test_a_comment_arrives_once(server: MailServer, push: Push) -> None:
    """Whole, dots and all, and in reply to the patch."""
    service = push(server)
    assert [outcome.written for outcome in sent(service, 1)] == [True]
    assert sent(service, 1) == []
    ((recipient, content),) = server.got
    mail = email.message_from_bytes(content, policy=policy.default)
    assert recipient == mail["To"] == LIST
    assert mail["Subject"] == "Re: [PATCH] Zügel"
    assert mail["In-Reply-To"] == "<1@x>"
    assert mail.get_content().splitlines() == [*TEXT.splitlines()[:3], "  --- a", "Upstream."]


def test_what_patchwork_has_is_not_said_again(server: MailServer, push: Push, there: There) -> None:
    """Though the ledger, which was deleted, does not know of it."""
    service = push(server)
    sent(service, 1)
    ((_, content),) = server.got
    there.comments.add(email.message_from_bytes(content)["Message-ID"])
    ledger_path(service._config).unlink()
    again = push(server)
    assert sent(again, 1) == []
    assert len(server.got) == 1
    assert pending(again) == set(range(2, 10))


def test_an_undo_sends_no_mail(server: MailServer, push: Push) -> None:
    """Though some wait for their hour."""
    service = push(server)
    service.undo()
    assert sent(service, 1, 2) == []
    assert server.got == []


def test_a_lost_answer_is_sent_again_as_the_same_mail(server: MailServer, push: Push) -> None:
    """The server has it, and nobody knows; it comes once more, when the time is over."""
    now = [1e9]
    service = push(server, clock=lambda: now[0])
    server.goes_silent = True
    with pytest.raises(AnswerLost):
        sent(service, 1)
    server.goes_silent = False
    (outcome,) = sent(service, 1)
    assert not outcome.written
    assert len(server.got) == 1
    now[0] += NEVER + 100
    (outcome,) = sent(service, 1)
    assert outcome.written
    first, second = (email.message_from_bytes(content)["Message-ID"] for _, content in server.got)
    assert first == second


@pytest.mark.parametrize("step", ["to_sender", "to_recipient", "to_mail"])
def test_a_4xx_is_tried_again(server: MailServer, push: Push, step: str) -> None:
    """At once, if need be: nothing was sent."""
    service = push(server)
    setattr(server, step, "451 4.7.1 come back later")
    with pytest.raises(ServerUnavailable, match="come back later"):
        sent(service, 1)
    assert pending(service) == set(range(1, 10))
    setattr(server, step, "250 OK")
    assert [outcome.written for outcome in sent(service, 1)] == [True]
    assert len(server.got) == 1


@pytest.mark.parametrize("step", ["to_recipient", "to_mail"])
def test_a_5xx_is_trouble_of_the_patch(server: MailServer, push: Push, step: str) -> None:
    """The others go on."""
    service = push(server)
    setattr(server, step, "554 5.7.1 not here")
    (outcome,) = sent(service, 1)
    assert outcome.trouble
    assert "not here" in outcome.text
    assert pending(service) == set(range(2, 10))
    assert Counter(each.kind for each in service.ledger.troubles(9)) == {TroubleKind.MISTAKE: 1}
    setattr(server, step, "250 OK")
    assert [outcome.written for outcome in sent(service, 1, 2)] == [True]


def test_a_server_that_takes_no_mail_from_us_stops_all(server: MailServer, push: Push) -> None:
    """It is no patch's fault: all stay pending."""
    service = push(server)
    server.to_sender = "550 5.7.1 not you"
    with pytest.raises(Refused, match="not you"):
        sent(service, 1)
    assert pending(service) == set(range(1, 10))


def test_no_server_is_no_trouble(server: MailServer, push: Push) -> None:
    """The next round tries again."""
    with running(MailServer()) as gone:
        pass
    service = push(gone)
    with pytest.raises(ServerUnavailable):
        sent(service, 1)
    assert pending(service) == set(range(1, 10))


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_trusted_server_gets_login_and_mail(
    push: Push, certificate: Path, security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS from the start, or from STARTTLS on."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with secured(security, certificate) as server:
        service = push(server, security, PASSWORD)
        assert [outcome.written for outcome in sent(service, 1)] == [True]
        assert len(server.got) == 1
        assert server.logins == [True]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_an_unknown_certificate_gets_neither(push: Push, certificate: Path, security: str) -> None:
    """Somebody in between could have made it."""
    with secured(security, certificate) as server:
        service = push(server, security, PASSWORD)
        with pytest.raises(ConfigError, match="certificate"):
            sent(service, 1)
        assert server.got == server.logins == []
    assert pending(service) == set(range(1, 10))


def test_without_starttls_nothing_is_told(server: MailServer, push: Push) -> None:
    """Neither the password nor the mail goes over an open line where it must not."""
    service = push(server, "starttls", PASSWORD)
    with pytest.raises(ConfigError, match="STARTTLS"):
        sent(service, 1)
    assert server.got == []


@pytest.mark.parametrize("password", ["wrong-7f3a", "schön-7f3a"])
def test_a_wrong_password_is_told_without_it(
    push: Push, certificate: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """Also where the server repeats it: neither in the error nor in what led to it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with secured("tls", certificate) as server:
        service = push(server, "tls", password)
        with pytest.raises(GiveUp, match=r"login|ASCII") as refusal:
            sent(service, 1)
        assert server.got == []
    error: BaseException | None = refusal.value
    while error is not None:
        assert "7f3a" not in f"{error!r} {error}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert pending(service) == set(range(1, 10))
