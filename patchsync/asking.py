"""A client of the Patchwork for a command, within the fleet's limits."""

from __future__ import annotations

from functools import partial

import redis
from pydantic import SecretStr

from patchsync.config import TOKEN_VARIABLE, Config
from patchsync.errors import ConfigError
from patchsync.fleet import redis_trouble
from patchsync.patchwork.client import Client
from patchsync.patchwork.limits import Gate, LocalGate, fleet_gate
from patchsync.patchwork.writing import Annotator
from patchsync.rounds import kept_requests


def open_client(config: Config, token: SecretStr | None = None) -> Client:
    """The Patchwork that is configured; what only reads needs no token.

    Raises:
        ConfigError: the configuration does not let it be asked.
    """
    ask = config.patchwork
    return Client(
        config.url,
        _gate(config),
        token=token,
        contact=ask.contact,
        timeout=(ask.connect_timeout, ask.read_timeout),
    )


def open_annotator(config: Config) -> Annotator:
    """As `open_client`, for what is written.

    Raises:
        ConfigError: there is no token.
    """
    token = config.token()
    if token is None:
        raise ConfigError(
            f"to push, Patchwork wants a token: set [mbox.patchwork] token_file or {TOKEN_VARIABLE}"
        )
    ask = config.patchwork
    return Annotator(
        config.url,
        _gate(config),
        token=token,
        contact=ask.contact,
        timeout=(ask.connect_timeout, ask.read_timeout),
    )


def _gate(config: Config) -> Gate:
    """The fleet's own rate limit where Redis is there; else one for this command alone."""
    if redis_trouble(config):
        return LocalGate(config.rate, config.patchwork.burst)
    client = redis.Redis.from_url(config.redis_url)
    # Where there is no store there is no count to bring back.
    recall = partial(kept_requests, config) if config.d_mbox.is_dir() else None
    return fleet_gate(config, client, recall)
