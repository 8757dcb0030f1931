"""A process that makes pages: a question per line on stdin, its answer on stdout.

A question is JSON: `page` (module:function of `patchsync.web.pages`), `names`, `format`, `query`.
An answer is a line of JSON (`status`, `content_type`, `headers`, `size`), and `size` bytes.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from importlib import import_module
from typing import Any

from patchsync.config import load
from patchsync.errors import PatchsyncError
from patchsync.web.answers import LARGEST_BODY, Answer, PageError, Request
from patchsync.web.pool import RETRY_AFTER
from patchsync.web.site import Site

logger = logging.getLogger(__name__)

# A mail of 10 MB is parsed in less; it bounds address space, of which more is asked for than used.
MEMORY = 3 << 30  # bytes
# The fleet goes before.
NICENESS = 10


def answer(site: Site, question: dict[str, Any]) -> Answer:
    """What a question is answered; a fault of ours is logged, and shown as no more than one."""
    module, _, function = question["page"].partition(":")
    request = Request(names=question["names"], format=question["format"], query=question["query"])
    try:
        page = getattr(import_module(f"patchsync.web.pages.{module}"), function)
        made: Answer = page(site, request)
        if len(made.body) > LARGEST_BODY:
            raise PageError(500, "This is more than a page may hold.")
        return made
    except PageError as error:
        return site.error(error, request.format)
    except PatchsyncError as error:
        logger.warning("%s: %s", question["page"], error)
        failure = PageError(503, "The store cannot be read now.", retry_after=RETRY_AFTER)
        return site.error(failure, request.format)
    except (MemoryError, RecursionError):
        raise
    except Exception:
        logger.exception("%s", question["page"])
        return site.error(PageError(500, "A fault of this program; its log says more."))


def main() -> None:
    """Answer until stdin ends."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # Whatever prints shall not disturb the answers.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    site = Site(load())
    output.write(b"ready\n")
    output.flush()
    for line in sys.stdin.buffer:
        made = answer(site, json.loads(line))
        head = {
            "status": made.status,
            "content_type": made.content_type,
            "headers": made.headers,
            "size": len(made.body),
        }
        output.write(json.dumps(head).encode() + b"\n" + made.body)
        output.flush()


if __name__ == "__main__":
    main()
