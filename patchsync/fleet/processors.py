"""How many processors this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# What a container may use of a machine's processors: microseconds in each so many, or "max"
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def processors() -> int:
    """Those that it may run on, but no more than its container's share of time is worth."""
    number = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with suppress(OSError, ValueError):
        quota, period = map(int, _QUOTA.read_text().split())
        number = min(number or 1, round(quota / period))
    return max(1, number or 1)
