"""One update of patch-groups by the configured engine, and a record of how the last ones ended."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from patchsync.analysis.engine import Engine, OnProgress, Stopped, Updated
from patchsync.config import Config
from patchsync.errors import LockHeld, PatchsyncError, TryAgainLater
from patchsync.store.files import replace_file
from patchsync.store.json_file import read_record
from patchsync.store.layout import OWN_FOLDER
from patchsync.store.lock import store_lock

# Another process that notes how its update ended; without the lock nothing is noted this time.
RECORD_LOCK_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class UpdateRecord:
    """How the last updates ended, as in `analysis.json` and `status --json`.

    Times are seconds since 1970.
    """

    engine: str
    # When the last one that went well ended, how many seconds it took, and its summary
    at: float | None = None
    seconds: float | None = None
    story: str | None = None
    # What went wrong since then or in part, and when
    failed_at: float | None = None
    trouble: str | None = None


def open_engine(config: Config, *, overwrite: bool = False, rebuild: bool = False) -> Engine | None:
    """The engine that `[analysis] engine` names; None where it is "none".

    `overwrite`: also a patch-groups that somebody else wrote; `rebuild`: with nothing kept from
    before. Both concern the builtin one: PaStA goes on from what it finds.

    Raises:
        ConfigError: the configuration does not let it work.
    """
    # Who only reads the record need not load the engines.
    match config.analysis.engine:
        case "builtin":
            from patchsync.analysis.builtin.engine import BuiltinEngine

            return BuiltinEngine(config, overwrite=overwrite, rebuild=rebuild)
        case "pasta":
            from patchsync.analysis.pasta.engine import PastaEngine

            return PastaEngine(config)
    return None


def update_groups(
    config: Config, on_progress: OnProgress, *, overwrite: bool = False, rebuild: bool = False
) -> Updated | None:
    """Bring patch-groups up to date with the store, and record how it ended.

    Returns None where the configuration has no engine.

    Args:
        config: whose store, groups and engine.
        on_progress: see `OnProgress`.
        overwrite: take no notice of changes that somebody else made to patch-groups.
        rebuild: forget what was kept between updates.

    Raises:
        LockHeld: another update is under way, which records how it ends.
        PatchsyncError: whatever keeps the engine from it; the old groups are in place.
    """
    began = time.time()
    engine_name = config.analysis.engine
    try:
        engine = open_engine(config, overwrite=overwrite, rebuild=rebuild)
        if engine is None:
            return None
        updated = engine.update(on_progress)
    except (LockHeld, Stopped):
        raise
    except Exception as error:
        last = last_update(config) or UpdateRecord(engine=engine_name)
        _write(config, replace(last, failed_at=time.time(), trouble=_trouble(error)))
        raise
    now = time.time()
    _write(
        config,
        UpdateRecord(
            engine=engine_name,
            at=now,
            seconds=now - began,
            story=updated.summary,
            failed_at=now if updated.trouble else None,
            trouble=updated.trouble,
        ),
    )
    return updated


def last_update(config: Config) -> UpdateRecord | None:
    """How the last updates ended; None before the first, and after one by another version.

    Raises StoreDamaged where the record is none of ours, StoreUnavailable.
    """
    try:
        return UpdateRecord(**(read_record(_record_file(config)) or {}))
    except TypeError:
        return None


def _write(config: Config, record: UpdateRecord) -> None:
    file = _record_file(config)
    content = json.dumps(asdict(record), indent=2) + "\n"
    with (
        suppress(TryAgainLater),
        store_lock(file.with_name(f"{file.name}.lock"), RECORD_LOCK_SECONDS),
    ):
        replace_file(file, content.encode())


def _trouble(error: Exception) -> str:
    """An error of ours for people; any other is a fault of patchsync's, and named."""
    if isinstance(error, PatchsyncError):
        return str(error)
    return f"{type(error).__name__}: {error} (see the log)"


def _record_file(config: Config) -> Path:
    return config.d_mbox / OWN_FOLDER / "analysis.json"
