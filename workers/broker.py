"""kombu's Redis transport, but for one thing that ends a worker whose Redis went away.

A channel whose connection was given up is still asked to restore or acknowledge what came through
it. It then stumbles over its missing connection with an AttributeError, which nobody expects; a
connection error is what it is, and is borne.

What is sent is signed, and what comes without a right signature is dropped (`workers.signature`):
tasks, commands of Flower and `celery control`, and their answers. If it was of use, a round or beat
sends it anew.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

from workers import signature


class Channel(redis.Channel):
    """A channel that says what is wrong when its connection was given up."""

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("the connection of this channel was lost")
        return super()._connparams(*args, **kwargs)  # type: ignore[misc]  # the stubs lack it

    def _put(self, queue: str, message: signature.Message, **kwargs: Any) -> None:
        signature.sign(message)
        super()._put(queue, message, **kwargs)

    def _put_fanout(
        self, exchange: str, message: signature.Message, routing_key: str, **kwargs: Any
    ) -> None:
        signature.sign(message)
        super()._put_fanout(exchange, message, routing_key, **kwargs)  # type: ignore[misc]  # as above


class Transport(redis.Transport):
    """Makes such channels."""

    Channel = Channel

    def _deliver(self, message: signature.Message, queue: str | None) -> None:
        if signature.is_genuine(message, queue):
            super()._deliver(message, queue)


def use() -> None:
    """Have each Redis URL lead to this transport."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
