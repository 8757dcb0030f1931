"""How commands that start processes are asked to end."""

from __future__ import annotations

import signal


def end_as_by_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP end this process as Ctrl-C does: what it started is stopped.

    Under nohup SIGHUP stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
