"""How modules are loaded where the start of a command counts."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage() -> Iterator[None]:
    """For the time of a `with` block that loads modules: of these nothing becomes garbage.

    So nobody looks for it, neither now nor later: at the end of a command that took a tenth of a
    second.
    """
    before = len(sys.modules)
    gc.disable()
    try:
        yield
        if len(sys.modules) > before:
            gc.freeze()
    finally:
        gc.enable()
