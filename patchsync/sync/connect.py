"""A client of the Patchwork, within the fleet's limits."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import redis
from pydantic import SecretStr

from patchsync.config import TOKEN_VARIABLE, Config
from patchsync.errors import ConfigError
from patchsync.fleet.redis_server import redis_trouble
from patchsync.patchwork.annotator import Annotator
from patchsync.patchwork.client import Client, OnListed
from patchsync.patchwork.rate_limit import LocalRateLimiter, RateLimiter, fleet_rate_limiter
from patchsync.sync.request_count import kept_requests
from patchsync.sync.view_recorder import ViewRecorder

_Client = TypeVar("_Client", bound=Client)


def connect(
    config: Config,
    token: SecretStr | None = None,
    limiter: RateLimiter | None = None,
    *,
    has_store: bool = False,
) -> Client:
    """The Patchwork that is configured; what only reads needs no token.

    `limiter`: the fleet's; without it the one for a command. `has_store`: what it shows of patches
    is kept in the store, which is here.

    Raises:
        ConfigError: the configuration does not let it be asked.
    """
    on_listed = ViewRecorder(config) if has_store else None
    return _open(Client, config, token, limiter or _limiter(config), on_listed)


def connect_annotator(config: Config, limiter: RateLimiter | None = None) -> Annotator:
    """As `connect`, for what is written, where the store is.

    Raises:
        ConfigError: there is no token.
    """
    token = config.token()
    if token is None:
        # Without one each write would count as one that we have no right to.
        raise ConfigError(
            "to push, Patchwork wants a token: set [mbox.patchwork] token_file or"
            f" {TOKEN_VARIABLE} where it runs"
        )
    limiter = limiter or _limiter(config, is_push=True)
    return _open(Annotator, config, token, limiter, ViewRecorder(config))


def _open(
    kind: type[_Client],
    config: Config,
    token: SecretStr | None,
    limiter: RateLimiter,
    on_listed: OnListed | None,
) -> _Client:
    guest = config.patchwork
    return kind(
        config.url,
        limiter,
        token=token,
        contact=guest.contact,
        timeout=(guest.connect_timeout, guest.read_timeout),
        on_listed=on_listed,
    )


def _limiter(config: Config, *, is_push: bool = False) -> RateLimiter:
    """The fleet's own rate limit where Redis is there; else one for this command alone."""
    if redis_trouble(config):
        return LocalRateLimiter(config.rate, config.patchwork.burst)
    client = redis.Redis.from_url(config.redis_url)
    # Where there is no store there is no count to bring back.
    stored_requests = partial(kept_requests, config) if config.d_mbox.is_dir() else None
    return fleet_rate_limiter(config, client, stored_requests, is_push=is_push)
