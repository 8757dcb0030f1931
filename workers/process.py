"""How a worker's process ends: within seconds when it is asked to, and without leaving anything.

Asked by SIGTERM, Celery itself would wait for a long task without end, and whoever sent the signal
kills it: then Redis hands its messages out again only after their visibility timeout.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading

from celery.signals import worker_init, worker_shutting_down

# Docker kills ten seconds after the signal, unless told otherwise.
FINISH_SECONDS = 5.0


@worker_init.connect
def _leave_nothing(**_: object) -> None:
    """The pool's shared memory is files that are deleted at once; their folder a kill would leave.

    So they have none of their own, which `multiprocessing` would make.
    """
    process = multiprocessing.current_process()
    process._config["tempdir"] = tempfile.gettempdir()  # type: ignore[attr-defined]


@worker_shutting_down.connect
def _finish_in_time(how: str, **_: object) -> None:
    """By SIGQUIT Celery cancels its tasks and puts their messages back."""
    if how == "Warm":
        timer = threading.Timer(FINISH_SECONDS, os.kill, (os.getpid(), signal.SIGQUIT))
        timer.daemon = True
        timer.start()
