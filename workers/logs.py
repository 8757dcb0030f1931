"""What a worker logs: a line per task in our words, and what is wrong; nothing twice."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from celery.signals import after_setup_logger, after_setup_task_logger

from patchsync.patchwork.foreign_text import visible

LINE = "%(asctime)s %(levelname)-7s %(message)s"
# These tell of each task that it came and went, by its id.
_CHATTY = ("celery.worker.strategy", "celery.app.trace", "celery.beat")

# Celery warns of root for the sake of pickled messages; only JSON is accepted here.
warnings.filterwarnings("ignore", message="You're running the worker with superuser")


@after_setup_logger.connect
def _quieten(**_: Any) -> None:
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


class VisibleFormatter(logging.Formatter):
    """As another one, with escapes for what could steer the terminal on which a log is read."""

    def __init__(self, other: logging.Formatter) -> None:
        super().__init__()
        self._other = other

    def format(self, record: logging.LogRecord) -> str:
        return visible(self._other.format(record))


@after_setup_logger.connect
@after_setup_task_logger.connect
def _escape(logger: logging.Logger, **_: Any) -> None:
    for handler in logger.handlers:
        handler.setFormatter(VisibleFormatter(handler.formatter or logging.Formatter()))
