"""What the stand-in saw of its clients: the tests' evidence of politeness."""

from __future__ import annotations

import time
from collections import Counter, deque

ONE_SECOND = 1.0


class Stats:
    """Counts of requests since the start or the last reset. Control requests are not counted."""

    def __init__(self) -> None:
        self._now = 0
        self.reset()

    def reset(self) -> None:
        """Begin anew; requests under way stay counted as such."""
        self._kinds: Counter[str] = Counter()
        self._methods: Counter[str] = Counter()
        self._statuses: Counter[int] = Counter()
        self._user_agents: Counter[str] = Counter()
        self._authorized: Counter[str] = Counter()
        self._recent: deque[float] = deque()
        self._bytes = 0
        self._first: float | None = None
        self._peak_per_second = 0
        self._peak_at_once = self._now

    def begin(self, *, kind: str, method: str, user_agent: str, authorized: bool) -> None:
        """A request has come in; `kind` is the name of its route."""
        moment = time.monotonic()
        self._first = self._first or moment
        self._kinds[kind] += 1
        self._methods[method] += 1
        self._user_agents[user_agent] += 1
        if authorized:
            self._authorized[method] += 1
        self._recent.append(moment)
        while moment - self._recent[0] >= ONE_SECOND:
            self._recent.popleft()
        self._peak_per_second = max(self._peak_per_second, len(self._recent))
        self._now += 1
        self._peak_at_once = max(self._peak_at_once, self._now)

    def end(self, *, status: int, size: int) -> None:
        """It is over: answered, or given up by the client (status 0)."""
        self._now -= 1
        self._statuses[status] += 1
        self._bytes += size

    def report(self) -> dict[str, object]:
        """All of it, ready for JSON."""
        return {
            "requests": self._methods.total(),
            "kinds": dict(self._kinds),
            "methods": dict(self._methods),
            "statuses": {str(status): count for status, count in self._statuses.items()},
            "user_agents": dict(self._user_agents),
            "authorized": dict(self._authorized),
            "bytes": self._bytes,
            # Seconds on the clock that all processes of this machine share
            "first": self._first,
            "peak_per_second": self._peak_per_second,
            "peak_at_once": self._peak_at_once,
        }
