"""What a worker logs: a line per task in our words, and what is wrong; nothing twice."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from celery.signals import after_setup_logger

LINE = "%(asctime)s %(levelname)-7s %(message)s"
# These tell of each task that it came and went, by its id.
_CHATTY = ("celery.worker.strategy", "celery.app.trace", "celery.beat")

# Celery warns of root for the sake of pickled messages; only JSON is accepted here.
warnings.filterwarnings("ignore", message="You're running the worker with superuser")


@after_setup_logger.connect
def _quieten(**_: Any) -> None:
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
