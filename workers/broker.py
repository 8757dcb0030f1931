"""kombu's Redis transport, but for one thing that ends a worker whose Redis went away.

A channel whose connection was given up is still asked to restore or acknowledge what came through
it. It then stumbles over its missing connection with an AttributeError, which nobody expects; a
connection error is what it is, and is borne.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class Channel(redis.Channel):
    """A channel that says what is wrong when its connection was given up."""

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("the connection of this channel was lost")
        return super()._connparams(*args, **kwargs)  # type: ignore[misc]  # the stubs lack it


class Transport(redis.Transport):
    """Makes such channels."""

    Channel = Channel


def use() -> None:
    """Have each Redis URL lead to this transport."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
