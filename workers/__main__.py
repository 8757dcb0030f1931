"""`python -m workers worker -Q QUEUE -c PROCESSES -n NAME`, and `beat`: one process of the fleet.

As `celery -A workers` with these does, which loads all commands of Celery and Flower before: a
third of the time of a start, and 14 MB in each process.
"""

from __future__ import annotations

import gc
import sys
from argparse import ArgumentParser


def main(arguments: list[str]) -> None:
    """Run a worker or beat until it is asked to end; exits with its status."""
    parser = ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("kind", choices=("worker", "beat"))
    parser.add_argument("-Q", dest="queue", help="the queue that a worker takes tasks from")
    parser.add_argument("-c", dest="processes", type=int, help="how many tasks it runs at once")
    parser.add_argument("-n", dest="name", default="celery@%h", help="as Flower shows it")
    given = parser.parse_args(arguments)
    # With them Celery starts a worker anew that gets SIGHUP.
    sys.argv = ["-m", "workers", *arguments]
    gc.disable()  # Of what is loaded nothing becomes garbage.
    # Each process of the pool says by it that it ends with this one: 40 ms and 5 MB for each.
    import cffi.cparser  # type: ignore[import-untyped]  # noqa: F401
    from celery.utils.nodenames import default_nodename, host_format

    from workers.celery import app

    if given.kind == "beat":
        beat = app.Beat(loglevel="INFO", quiet=True)
        _keep_what_is_loaded()
        beat.run()
        return
    worker = app.Worker(
        hostname=host_format(default_nodename(given.name)),
        queues=[given.queue],
        concurrency=given.processes,
        loglevel="INFO",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
    )
    _keep_what_is_loaded()
    worker.start()
    sys.exit(worker.exitcode)


def _keep_what_is_loaded() -> None:
    """Who looks for garbage need not look there; so its memory stays shared with the pool, too."""
    gc.freeze()
    gc.enable()


if __name__ == "__main__":
    main(sys.argv[1:])
