"""What a worker's log shows of the texts of others."""

from __future__ import annotations

import io
import logging

import pytest
from celery.signals import after_setup_logger, after_setup_task_logger
from celery.utils.dispatch import Signal

from workers import logs


@pytest.mark.parametrize("signal", [after_setup_logger, after_setup_task_logger])
def test_a_log_does_not_steer_a_terminal(signal: Signal) -> None:
    """Neither by a message nor by the text of an error; lines stay lines."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(logs.LINE))
    logger = logging.Logger("as Celery sets one up")
    logger.addHandler(handler)
    signal.send(sender=None, logger=logger)
    try:
        raise ValueError("\x9b31m")
    except ValueError:
        logger.exception("mail of %s", "\x1b]0;owned\x07")
    shown = stream.getvalue()
    assert r"mail of \x1b]0;owned\x07" in shown
    assert r"ValueError: \x9b31m" in shown
    assert shown.replace("\n", "").isprintable()
