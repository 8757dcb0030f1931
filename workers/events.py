"""Events of workers, for Flower: one that cannot be sent does not hold up its worker.

Celery tries to send a heartbeat until it succeeds, in the loop that also tells that Redis is gone
and that the worker is asked to end; so neither would be noticed.
"""

from __future__ import annotations

from typing import Any

from celery.app.events import Events
from celery.events import EventDispatcher


class Dispatcher(EventDispatcher):
    """Sends each event once; those that fail are sent when the connection is there again."""

    def send(self, type: str, *args: Any, **kwargs: Any) -> Any:
        """Send an event; see `EventDispatcher`."""
        return super().send(type, *args, **kwargs | {"retry": False})


class FleetEvents(Events):
    """What `Celery` is given."""

    dispatcher_cls = f"{__name__}:Dispatcher"
