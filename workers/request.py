"""What a worker says of the tasks it has in hand, to whoever asks it: Flower, `celery inspect`."""

from __future__ import annotations

from typing import Any

from celery.worker.request import Request


class SafeRequest(Request):
    """A task's message; shows its `argsrepr`, never the mails in its arguments."""

    def info(self, safe: bool = False) -> Any:
        """As Celery's, but always safe: else those that wait show their whole arguments."""
        return super().info(safe=True)
