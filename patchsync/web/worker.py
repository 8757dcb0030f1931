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
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from patchsync.config import load
from patchsync.errors import (
    ConfigError,
    GiveUp,
    NoPredecessor,
    PatchsyncError,
    PatchTooLarge,
    UnknownPatch,
)
from patchsync.web import pages
from patchsync.web.answers import (
    LARGEST_BODY,
    NICENESS,
    RETRY_AFTER,
    Answer,
    NotFound,
    PageError,
    Request,
)
from patchsync.web.site import Site

# By its name, not `__main__`, which it is in its process
logger = logging.getLogger("patchsync.web.worker")

# A mail of 10 MB is parsed in less; it bounds address space, of which more is asked for than used.
MEMORY = 3 << 30  # bytes


def answer(site: Site, question: dict[str, Any]) -> Answer:
    """What a question is answered; a fault of ours is logged, and shown as no more than one."""
    request = Request(names=question["names"], format=question["format"], query=question["query"])
    try:
        made = _page(question["page"])(site, request)
        if len(made.body) > LARGEST_BODY:
            raise PageError(500, "This is more than a page may hold.")
        return made
    except PageError as error:
        return site.error(error, request.format)
    except (UnknownPatch, NoPredecessor) as error:
        return site.error(NotFound(str(error)), request.format)
    except PatchsyncError as error:
        if type(error) in (GiveUp, PatchTooLarge):  # of what was asked for; others tell of files
            return site.error(PageError(422, str(error)), request.format)
        logger.warning("%s: %s", question["page"], error)
        if isinstance(error, ConfigError):
            failure = PageError(
                422, "This needs a setting that these pages lack; their log says it."
            )
            return site.error(failure, request.format)
        failure = PageError(503, "The store cannot be read now.", retry_after=RETRY_AFTER)
        return site.error(failure, request.format)
    except (MemoryError, RecursionError):
        raise
    except Exception:
        logger.exception("%s", question["page"])
        return site.error(PageError(500, "A fault of this program; its log says more."))


def _page(name: str) -> Callable[[Site, Request], Answer]:
    module, _, function = name.partition(":")
    page: Callable[[Site, Request], Answer] = getattr(
        import_module(f"{pages.__name__}.{module}"), function
    )
    return page


def warm_up(site: Site) -> None:
    """Load all that pages need, so that no request waits for it."""
    site.warm_up()
    for module in iter_modules(pages.__path__):
        import_module(f"{pages.__name__}.{module.name}")


def main() -> None:
    """Answer until stdin ends."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    # Whatever prints shall not disturb the answers.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    site = Site(load())
    warm_up(site)
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
