"""The service: `python -m patchsync.web`, which `patchsync run web` becomes."""

from __future__ import annotations

import asyncio
import logging
import sys

from patchsync.config import load
from patchsync.errors import PatchsyncError
from patchsync.web.server import serve


def main() -> None:
    """Serve the pages until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # It has a line for each malformed request.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    try:
        asyncio.run(serve(load()))
    except PatchsyncError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
