"""The circuit breaker: a server that does not answer is left alone, by the whole fleet."""

from __future__ import annotations

import threading

from patchsync.patchwork.rate_limit import RateLimiter

# So many calls in a row, each of whose attempts failed, open it: nobody asks for so long, and twice
# as long after each further one. It takes more where the server answers, but 500: one mail that it
# cannot render is asked for in a few ways, by several threads.
CALLS = 2
CALLS_500 = 12
SECONDS = 5.0
LONGEST_SECONDS = 300.0


class CircuitBreaker:
    """Counts the calls of this process that failed in a row, from any number of threads."""

    def __init__(self, limiter: RateLimiter) -> None:
        """`limiter`: what holds the fleet."""
        self._limiter = limiter
        self._lock = threading.Lock()
        self._failed = 0
        # Of these, the ones that were not answered, not even by 500
        self._unanswered = 0

    def succeeded(self) -> None:
        """A call was answered."""
        with self._lock:
            self._failed = self._unanswered = 0

    def failed(self, failure: str, *, answered: bool) -> None:
        """A call failed at each attempt; `answered`: by 500.

        Raises:
            ServerUnavailable: the fleet cannot be held.
        """
        with self._lock:
            self._failed += 1
            self._unanswered += not answered
            calls = self._failed
            too_many = max(self._unanswered - CALLS, calls - CALLS_500)
        if too_many >= 0:
            # 2.0 to any such power is a float; beyond that the longest counts anyway.
            self._limiter.hold(
                min(SECONDS * 2.0 ** min(too_many, 10), LONGEST_SECONDS),
                f"the breaker is open, {calls} calls in a row failed, the last: {failure}",
                by_server=False,
            )
