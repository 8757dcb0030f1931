"""How much waits for the index worker in Redis, and what holds fetching back meanwhile.

It is measured, not counted: a counter would be wrong after any crash or flush.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from patchsync.errors import TryAgainLater
from patchsync.fleet.redis_client import Memory, RedisClient, redis_memory

# What Celery is given for what may wait; everything else goes first. The transport keeps a list for
# each step, named by the queue, this separator and the step; that of the first is just the queue.
FIRST, LATER = 0, 9
PRIORITY_STEPS = (FIRST, LATER)
PRIORITY_SEPARATOR = "\x06\x16"

# What may wait fills the queue to this share only, so that there is room for what may not.
LATER_SHARE = 0.75
# So much of a Redis' maxmemory may be used while mails wait in it: a full one refuses every write.
FULL_SHARE = 0.8
# A task waits so long in all, which is well below its own limit of time.
PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 0.5


def queue_keys(namespace: str, queue: str) -> list[str]:
    """The lists in Redis that hold the messages of a queue, the first ones first."""
    key = f"patchsync:{namespace}:{queue}"
    return [key if step == FIRST else f"{key}{PRIORITY_SEPARATOR}{step}" for step in PRIORITY_STEPS]


class IndexQueue:
    """The messages that wait for the index worker, and those that were taken and not acknowledged.

    All methods raise what `client` does.
    """

    def __init__(self, client: RedisClient, namespace: str) -> None:
        """`namespace`: the configuration's."""
        self._client = client
        self._queues = queue_keys(namespace, "index")
        # Of all queues; those of the others are small.
        self._unacked = f"patchsync:{namespace}:unacked"

    def bytes(self) -> int:
        """What they take in Redis' memory."""
        return sum(
            self._client.execute_command("MEMORY", "USAGE", key, "SAMPLES", 0) or 0
            for key in (*self._queues, self._unacked)
        )

    def messages(self) -> int:
        """How many wait for the index worker."""
        return sum(self._client.execute_command("LLEN", key) for key in self._queues)

    def memory(self) -> Memory:
        """What their Redis uses in all."""
        return redis_memory(self._client)


class Backpressure:
    """Holds one task back while too much waits for the index worker."""

    def __init__(
        self,
        backlog: IndexQueue,
        bound: int,
        *,
        later: bool,
        patience: float = PATIENCE_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`bound`: bytes in Redis; `later`: the task's work may wait, so it leaves room for others.

        `patience`: seconds that the task waits in all.
        """
        self._backlog = backlog
        self._bound = bound
        self._share = LATER_SHARE if later else 1.0
        self._left = patience
        self._patience = patience
        self._sleep = sleep
        self._clock = clock

    def wait(self, waiting: Callable[[], object]) -> None:
        """Return once there is room; `waiting` is called now and then meanwhile.

        Raises:
            TryAgainLater: there was none for the task's whole patience.
            redis.RedisError: Redis does not answer.
        """
        while too_much := self._too_much():
            if self._left <= 0:
                raise TryAgainLater(
                    f"{too_much}, and after {self._patience:.0f} s there was no room; is an index "
                    "worker running? (`patchsync status` shows who is alive)"
                )
            waiting()
            began = self._clock()
            self._sleep(LOOK_SECONDS)
            self._left -= self._clock() - began

    def _too_much(self) -> str | None:
        """Why there is no room; None where there is."""
        size = self._backlog.bytes()
        if size > self._bound * self._share:
            return (
                f"{size / 2**20:.1f} MiB wait for the index worker, of [fleet] queue_bytes = "
                f"{self._bound / 2**20:.1f} MiB"
            )
        memory = self._backlog.memory()
        # What others have in it does not become less by our waiting.
        if memory.share > FULL_SHARE * self._share and self._backlog.messages():
            return f"Redis uses {memory}"
        return None
