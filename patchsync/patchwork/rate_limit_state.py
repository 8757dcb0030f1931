"""Where the fleet's rate limit stands in Redis, for who only looks: see `rate_limit_scripts`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from patchsync.config import Config

# What requests without a project, like the search for the API's version, are counted under.
NO_PROJECT = "-"

# Longer than that, in seconds, nobody is told to wait, by a mistaken or a hostile Retry-After.
LONGEST_HOLD = 3600.0

# Sends Redis a command, in words, and returns the answer; raises what a client raises.
Send = Callable[..., Any]


@dataclass(frozen=True)
class Hold:
    """Nobody may ask until then (seconds since 1970), and why; whether the server said so."""

    until: float
    why: str
    by_server: bool


def key_prefix(config: Config) -> str:
    """What the limit's keys begin with: all who ask one Patchwork share it."""
    return f"patchsync-rate:{config.instance}"


def read_hold(send: Send, prefix: str) -> Hold | None:
    """What keeps the whole fleet from asking now; None if nothing does."""
    till, length, why, by_server = send(
        "HMGET", f"{prefix}:hold", "till", "length", "why", "by_server"
    )
    if not till or why is None:
        return None
    seconds, _ = send("TIME")
    # Further ahead it was set by a clock that has gone back since: it begins anew with a request.
    longest = int(length) / 1_000_000 if length else LONGEST_HOLD
    until = min(int(till) / 1_000_000, int(seconds) + longest)
    return Hold(until, why.decode(errors="replace"), by_server == b"1")


def read_total(send: Send, prefix: str) -> int:
    """The requests of this day (UTC), of all configurations that ask this Patchwork."""
    seconds, _ = send("TIME")
    day, total = send("HMGET", f"{prefix}:requests", "day", "total")
    return int(total or 0) if day is not None and int(day) >= int(seconds) // 86400 else 0
