"""An SMTP server on this machine that a test tells how to answer, and a certificate for it."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

PASSWORD = "geh heim-7f3a"


@dataclass
class MailServer:
    """What an SMTP server got, and how it answers."""

    port: int = 0
    # Mails that were begun
    begun: int = 0
    # Recipient and content of each mail that it took
    got: list[tuple[str, bytes]] = field(default_factory=list)
    to_sender: str = "250 OK"
    to_recipient: str = "250 OK"
    to_mail: str = "250 OK"
    # Whether each login was right
    logins: list[bool] = field(default_factory=list)
    # After it took a mail it says nothing more.
    goes_silent: bool = False

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        self.begun += 1
        if self.to_sender.startswith("250"):
            envelope.mail_from = address
        return self.to_sender

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.to_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.to_mail.startswith("250"):
            self.got.append((*envelope.rcpt_tos, envelope.content))
        if self.goes_silent:
            cast(asyncio.WriteTransport, server.transport).abort()
        return self.to_mail

    def authenticate(self, _: SMTP, __: Any, ___: Any, mechanism: str, login: Any) -> AuthResult:
        """Let the right one in, and repeat what another one said."""
        right = (login.login, login.password) == (b"pasta", PASSWORD.encode())
        self.logins.append(right)
        said = f"535 5.7.8 {login.password!r} is wrong"
        return AuthResult(success=right, handled=False, message=None if right else said)


@contextmanager
def running(
    server: MailServer, ssl_context: ssl.SSLContext | None = None, **options: Any
) -> Iterator[MailServer]:
    """An SMTP server on a free port of this machine, in a thread of its own."""
    ready: Future[Callable[[], object]] = Future()

    async def serve() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()

        def protocol() -> SMTP:
            return SMTP(server, loop=loop, **options)

        listening = await loop.create_server(protocol, "127.0.0.1", 0, ssl=ssl_context)
        async with listening:
            server.port = listening.sockets[0].getsockname()[1]
            ready.set_result(lambda: loop.call_soon_threadsafe(end.set))
            await end.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    end = ready.result(60)
    try:
        yield server
    finally:
        end()
        thread.join()


@contextmanager
def secured(security: str, certificate: Path) -> Iterator[MailServer]:
    """An SMTP server that lets one log in: over TLS, from STARTTLS on, or without any of that."""
    server = MailServer()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    options: dict[str, Any] = {
        "tls": {"ssl_context": context, "auth_require_tls": False},
        "starttls": {"tls_context": context, "require_starttls": True},
        "none": {"auth_require_tls": False},
    }[security]
    with running(server, authenticator=server.authenticate, **options):
        yield server


def make_certificate(folder: Path) -> Path:
    """Of localhost, signed by itself; with its key. Skips the test where there is no openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    command = (
        f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        " -addext subjectAltName=DNS:localhost -keyout - -out -"
    )
    made = subprocess.run(command.split(), capture_output=True, check=True)
    file = folder / "localhost.pem"
    file.write_bytes(made.stdout)
    return file
