"""kombu's Redis transport, but for what ends or stops a worker whose Redis went away or is full.

A channel whose connection was given up is still asked to restore or acknowledge what came through
it. It then stumbles over its missing connection with an AttributeError, which nobody expects; a
connection error is what it is, and is borne.

A full Redis refuses what may take memory, and whatever comes in a transaction, but still hands out
messages. Who takes these, above all the index worker, is the only one that can empty it, so a
worker starts and goes on without notes of its own: a message that Redis has no room to note as
taken is lost if its worker is killed, and a round finds what is missing.

What is sent is signed, and what comes without a right signature is dropped (`workers.signature`):
tasks, commands of Flower and `celery control`, and their answers. If it was of use, a round or beat
sends it anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from isal import isal_zlib
from kombu import compression
from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from redis.exceptions import ResponseError

from patchsync.fleet.redis_client import is_full
from workers import signature


@contextmanager
def borne_when_full() -> Iterator[None]:
    """Leave out what Redis refuses because it is full."""
    try:
        yield
    except ResponseError as error:
        if not is_full(error):
            raise


class Client(redis.PrefixedStrictRedis):
    """A client whose pipelines are no transactions unless that is asked for.

    Those that acknowledge and count need not be, and are not refused by a full Redis then.
    """

    def pipeline(self, transaction: bool = False, shard_hint: Any = None) -> Any:
        """As redis-py's, with another default."""
        return super().pipeline(transaction, shard_hint)


class QoS(redis.QoS):
    """Notes which messages are taken and not acknowledged, where there is room."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was taken."""
        with borne_when_full():
            super().append(message, delivery_tag)
            return
        virtual.QoS.append(self, message, delivery_tag)

    def restore_visible(self, *args: Any, **kwargs: Any) -> None:
        """Bring back what was taken long ago; later, where its lock cannot be noted."""
        with borne_when_full():
            super().restore_visible(*args, **kwargs)


class Channel(redis.Channel):
    """A channel that says what is wrong when its connection was given up, and starts when full."""

    QoS = QoS

    def _connparams(self, *args: Any, **kwargs: Any) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("the connection of this channel was lost")
        return super()._connparams(*args, **kwargs)  # type: ignore[misc]  # the stubs lack it

    def _get_client(self) -> Any:
        return partial(Client, global_keyprefix=self.global_keyprefix)

    def _queue_bind(self, *args: Any) -> None:
        # For those who publish, which is refused now too.
        with borne_when_full():
            super()._queue_bind(*args)  # type: ignore[misc]  # as above

    def maybe_refresh_binding_expiry(self) -> None:
        """Keep the queue for commands alive; later, where that cannot be noted."""
        with borne_when_full():
            super().maybe_refresh_binding_expiry()  # type: ignore[misc]  # as above

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
    """Have each Redis URL lead to this transport, and mails packed in a tenth of the time.

    What it packs zlib unpacks, and the other way round; it is a sixth larger.
    """
    compression.register(
        partial(isal_zlib.compress, level=1),
        isal_zlib.decompress,
        "application/x-gzip",
        aliases=["gzip", "zlib"],
    )
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
