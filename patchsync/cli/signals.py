"""How commands that start processes are asked to end."""

from __future__ import annotations

import signal
import sys

# After an interrupt got lost, until it is raised again
AGAIN_SECONDS = 0.01


def end_as_by_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP end this process as Ctrl-C does: what it started is stopped.

    Under nohup SIGHUP stays ignored.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = _raise_interrupt_again


def _raise_interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised while it collects an object; the end that was asked for stays."""
    if lost.exc_type is KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
    else:
        sys.__unraisablehook__(lost)
