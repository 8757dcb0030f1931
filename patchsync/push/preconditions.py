"""What push needs: each function says in words what it has of it, or raises GiveUp or TryAgainLater
with the setting to change. Nothing is written or sent.
"""

from __future__ import annotations

from patchsync.analysis.groups import read_content, read_groups
from patchsync.config import Config
from patchsync.errors import ConfigError, GiveUp, Refused, ServerUnavailable, TryAgainLater
from patchsync.patchwork.client import Client
from patchsync.push.comment.smtp import SmtpServer
from patchsync.push.templates import Templates

SMTP_SECONDS = 20.0


def supported_sinks(config: Config, client: Client) -> str:
    """What is switched on, and whether this Patchwork can show it."""
    sinks = ", ".join(config.push.sinks)
    if client.api_version in ("1.0", "1.1"):
        raise GiveUp(
            f"{sinks}: the Patchwork has API {client.api_version}, and to push 1.2 or later is "
            "needed; leave it empty"
        )
    return sinks


def templates(config: Config) -> str:
    """Whether the templates can be used."""
    Templates(config.push)
    return "they can be used"


def groups(config: Config) -> str:
    """Whether PaStA's result is there and whole; reads all of it."""
    try:
        count = sum(1 for _ in read_groups(config.patch_groups))
    except TryAgainLater as error:
        if config.analysis.engine != "none" and read_content(config.patch_groups) is None:
            return f"{config.patch_groups} is not there yet; `patchsync analyse` makes it"
        raise TryAgainLater(f"{error}; if it is elsewhere set [push] groups") from error
    return f"{config.patch_groups}, {count} groups"


def mail_server(config: Config) -> str:
    """Whether the SMTP server talks to us as far as the login."""
    table = config.push.comment
    server = SmtpServer.of(config, SMTP_SECONDS)
    try:
        server.greet()
    except ServerUnavailable as error:
        raise GiveUp(f"{error}; see smtp_host, smtp_port and smtp_security") from error
    except Refused as error:
        raise GiveUp(f"{error}; see smtp_user and smtp_password_file") from error
    except ConfigError as error:
        raise GiveUp(f"{error}; see smtp_security") from error
    how = "unencrypted" if table.smtp_security == "none" else f"by {table.smtp_security}"
    user = f", and takes {table.smtp_user}" if table.smtp_user else ""
    return f"{table.smtp_host}:{table.port} answers, {how}{user}; mails are from {table.sender}"
