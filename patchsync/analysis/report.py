"""One update of the groups, and a record of how the last ones ended."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from patchsync.analysis.engine import Stopped, Tell, Updated
from patchsync.analysis.engines import open_engine
from patchsync.config import Config
from patchsync.errors import LockHeld, PatchsyncError, TryAgainLater
from patchsync.store.files import replace_file
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock
from patchsync.store.record import read_record

# It is only a note, and comes again.
NOTE_WAIT_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """How the last updates ended. Times are seconds since 1970."""

    engine: str
    # When the last one that went well ended, how many seconds it took, and what it did
    at: float | None = None
    seconds: float | None = None
    story: str | None = None
    # What went wrong since then, and when
    failed_at: float | None = None
    trouble: str | None = None


def update_groups(
    config: Config, tell: Tell, *, overwrite: bool = False, rebuild: bool = False
) -> Updated | None:
    """Bring patch-groups up to date with the store, and note how it ended.

    Returns None where the configuration has no engine.

    Args:
        config: whose store, groups and engine.
        tell: gets what is being done, how much of it is done, and how much there is.
        overwrite: take no notice of changes that somebody else made to patch-groups.
        rebuild: forget what was kept between updates.

    Raises:
        LockHeld: another update is under way, which notes how it ends.
        PatchsyncError: whatever keeps the engine from it; the old groups are in place.
    """
    began = time.time()
    try:
        engine = open_engine(config, overwrite=overwrite, rebuild=rebuild)
        if engine is None:
            return None
        updated = engine.update(tell)
    except (LockHeld, Stopped):
        raise
    except Exception as error:
        last = last_report(config) or Report(engine=config.analysis.engine)
        _keep(config, replace(last, failed_at=time.time(), trouble=_told(error)))
        raise
    at = time.time()
    _keep(
        config,
        Report(engine=config.analysis.engine, at=at, seconds=at - began, story=updated.story),
    )
    return updated


def last_report(config: Config) -> Report | None:
    """How the last updates ended; None before the first, and after one by another version.

    Raises StoreDamaged where the record is none of ours, StoreUnavailable.
    """
    try:
        return Report(**(read_record(_file(config)) or {}))
    except TypeError:
        return None


def _keep(config: Config, report: Report) -> None:
    file = _file(config)
    content = json.dumps(asdict(report), indent=2) + "\n"
    with (
        suppress(TryAgainLater),
        store_lock(file.with_name(f"{file.name}.lock"), NOTE_WAIT_SECONDS),
    ):
        replace_file(file, content.encode())


def _told(error: Exception) -> str:
    """An error of ours for people; any other is a fault of patchsync's, and named."""
    ours = isinstance(error, PatchsyncError)
    return str(error) if ours else f"{type(error).__name__}: {error} (see the log)"


def _file(config: Config) -> Path:
    return config.d_mbox / OWN_FOLDER / "analysis.json"
