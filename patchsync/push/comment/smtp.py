"""Hands one mail to an SMTP server, and tells what certainly was not sent from what may have been.

The password shows in no error: what a server says to a login is not repeated.
"""

from __future__ import annotations

import smtplib
import ssl
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import SecretStr

from patchsync.config import Config
from patchsync.errors import (
    AnswerLost,
    ConfigError,
    Mistake,
    PatchsyncError,
    Refused,
    ServerUnavailable,
    in_words,
)

# Characters of what a server says
_LONGEST_REASON = 200


@dataclass(frozen=True, kw_only=True)
class SmtpServer:
    """An SMTP server, and how it wants to be spoken to."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    user: str
    password: SecretStr | None
    # Seconds to wait for each of its answers
    timeout: float

    @classmethod
    def of(cls, config: Config, timeout: float) -> Self:
        """The server that `[push.comment]` names."""
        table = config.push.comment
        return cls(
            host=table.smtp_host,
            port=table.port,
            security=table.smtp_security,
            user=table.smtp_user,
            password=config.smtp_password(),
            timeout=timeout,
        )

    def deliver(self, sender: str, recipient: str, content: bytes) -> None:
        """Send a mail with CRLF at the end of each line; the server has it on return.

        Raises:
            AnswerLost: it may have it.
            ServerUnavailable: it does not: 4xx, or it is not to be reached.
            Mistake: it does not want this one: 5xx.
            Refused: it wants none from us: 5xx to login or sender.
            ConfigError: it is not as the configuration says.
        """
        with closing(self._connect()) as server:
            try:  # All errors of smtplib are OSErrors.
                self._log_in(server)
                self._demand("the sender", server.mail(sender), Refused)
                self._demand(recipient, server.rcpt(recipient), Mistake)
            except OSError as error:
                raise self._failure(error) from error
            self._hand_over(server, content)
            # It has the mail, whatever it says now.
            with suppress(OSError):
                server.quit()

    def greet(self) -> None:
        """Talk to the server as far as the login, and send nothing; raises as `deliver` does."""
        with closing(self._connect()) as server:
            try:
                self._log_in(server)
                server.quit()
            except OSError as error:
                raise self._failure(error) from error

    def _connect(self) -> smtplib.SMTP:
        try:
            if self.security == "tls":
                return smtplib.SMTP_SSL(
                    self.host, self.port, timeout=self.timeout, context=ssl.create_default_context()
                )
            return smtplib.SMTP(self.host, self.port, timeout=self.timeout)
        except OSError as error:
            raise self._failure(error) from error

    def _log_in(self, server: smtplib.SMTP) -> None:
        server.ehlo_or_helo_if_needed()
        if self.security == "starttls":
            # Without it the password would go in plain text: that is no way out.
            server.starttls(context=ssl.create_default_context())
        if self.password is None:
            return
        try:
            server.login(self.user, self.password.get_secret_value())
        except smtplib.SMTPAuthenticationError as error:
            kind = Refused if error.smtp_code >= 500 else ServerUnavailable
            raise kind(f"{self} refuses the login of {self.user!r}: {error.smtp_code}") from None
        except UnicodeError:
            raise ConfigError(
                "[push.comment] smtp_user, smtp_password_file: SMTP takes ASCII only"
            ) from None

    def _hand_over(self, server: smtplib.SMTP, content: bytes) -> None:
        try:
            answer = server.data(content)
        except smtplib.SMTPDataError as error:  # It did not want to hear it.
            answer = error.smtp_code, _bytes(error.smtp_error)
        except OSError as error:
            raise AnswerLost(f"{self}: no answer to a mail ({in_words(error)})") from error
        self._demand("the mail", answer, Mistake)

    def _demand(self, what: str, answer: tuple[int, bytes], refusal: type[PatchsyncError]) -> None:
        code, text = answer
        if 200 <= code < 300:
            return
        said = f"{self}: {what}: {code} {_readable(text)}"
        raise (refusal if code >= 500 else ServerUnavailable)(said)

    def _failure(self, error: Exception) -> PatchsyncError:
        """What an error means that came before the mail was handed over."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return ConfigError(f"{self}: its certificate: {error.verify_message}")
        # The plain one: it knows no way to log in that we do.
        if type(error) in (smtplib.SMTPNotSupportedError, smtplib.SMTPException):
            return ConfigError(f"{self} cannot do what [push.comment] smtp_... wants: {error}")
        if isinstance(error, smtplib.SMTPResponseException):
            kind = Refused if error.smtp_code >= 500 else ServerUnavailable
            return kind(f"{self}: {error.smtp_code} {_readable(_bytes(error.smtp_error))}")
        return ServerUnavailable(f"{self}: {in_words(error)}")

    def __str__(self) -> str:
        return f"SMTP server {self.host}:{self.port}"


def _bytes(text: bytes | str) -> bytes:
    return text.encode(errors="replace") if isinstance(text, str) else text


def _readable(text: bytes) -> str:
    return " ".join(text.decode(errors="replace").split())[:_LONGEST_REASON]
