"""The real list jailhouse-dev, as a real Patchwork served it and the real PaStA grouped it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = Path(
    os.environ.get("PATCHSYNC_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data"
)
JAILHOUSE = DATA / "jailhouse"
ARCHIVE = JAILHOUSE / "dumparchive.tar.gz"
PATCHES_JSON = DATA / "api" / "patches-jailhouse.json.gz"


def need_real_mail() -> None:
    """Skip the test where the folder of real mail is not at hand."""
    if not ARCHIVE.exists():
        pytest.skip(f"{ARCHIVE} is not here; set PATCHSYNC_SHARED_DATA to the folder of real mail")
