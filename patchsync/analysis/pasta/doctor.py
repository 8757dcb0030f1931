"""Whether the engine `pasta` will work: what `patchsync check` says of it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from patchsync.analysis.pasta.checkout import PastaCheckout, environment, explain
from patchsync.analysis.settings import read_settings
from patchsync.config import Config
from patchsync.errors import GiveUp
from patchsync.fleet.process_group import run_group

# It takes two to load what it needs.
_START_SECONDS = 60


def check_pasta_start(config: Config) -> str:
    """Start PaStA, which leaves nothing behind, and say so. Raises GiveUp where it fails."""
    checkout = PastaCheckout(config)
    with tempfile.TemporaryDirectory() as folder:
        # It loads all that it needs before it tells that a project's name is missing here.
        try:
            done = run_group(
                [*checkout.command, "-c"],
                Path(folder),
                _START_SECONDS,
                stderr=subprocess.STDOUT,
                env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
            )
        except subprocess.TimeoutExpired:
            raise GiveUp(f"PaStA does not start within {_START_SECONDS} s") from None
    if b"usage: " not in done.stdout:
        raise GiveUp(f"PaStA does not start. {explain(done.stdout)}")
    return f"{checkout.root} is a PaStA that starts"


def check_pasta_project(config: Config) -> str:
    """What PaStA will do for the project. Raises ConfigError where it would fail."""
    checkout, settings = PastaCheckout(config), read_settings(config)
    checkout.check(settings)
    told = [f"{checkout.project}: its result goes to {settings.groups}"]
    if config.analysis.repo:
        told.append(f"upstream commits are those of {settings.upstream} in {settings.repo}")
    low, high = settings.thresholds.interactive, settings.thresholds.autoaccept
    if low < high:
        told.append(
            f"pairs rated from {low:g} to below {high:g} are left to a person:"
            " `patchsync pasta -- rate`"
        )
    ours = {"MBOX": config.d_mbox, "PATCH_GROUPS": settings.groups}
    others = [
        f'{key} = "{path}"'
        for key, path in ours.items()
        if checkout.pasta_config.path(key, "").resolve() != path.resolve()
    ]
    if others:
        told.append(
            "but `patchsync pasta`, and PaStA by hand, work elsewhere; to have them work here, set"
            f" in [PaStA] of {checkout.pasta_config.file}: {', '.join(others)}"
        )
    return "; ".join(told)
