"""Redis is full: the index worker, which alone can empty it, starts and works the queue off."""

from __future__ import annotations

import signal

from patchsync.fleet.backpressure import IndexQueue
from standin.process import StandinProcess
from tests.faults.conftest import key_of, redis_of
from tests.support.installation import (
    Installation,
    main_process,
    running_fleet,
    stop_group,
    wait_until,
)


def test_the_index_worker_starts_and_empties_it(
    installation: Installation, patchwork: StandinProcess
) -> None:
    """Redis refuses every write from before its start to its end; each mail is stored."""
    client = redis_of(installation)
    waiting = IndexQueue(client, installation.config.namespace)
    with running_fleet(installation) as fleet:
        stop_group(main_process(installation, "index"), signal.SIGKILL)
        assert installation.patchsync("enqueue", "fetch.probe", "sample").returncode == 0
        wait_until(lambda: patchwork.control.stats()["kinds"].get("series-mbox"), "it fetches")
        wait_until(lambda: not client.llen(key_of(installation, "fetch")), "fetch is through")
        wait_until(lambda: not client.hlen(key_of(installation, "unacked")), "all is handed over")
        assert waiting.messages() > 1
        client.config_set("maxmemory", 1)
        fleet.ensure(["index"])
        wait_until(lambda: not waiting.messages(), "the queue is empty")
        ids = set(patchwork.control.ids("sample"))
        wait_until(lambda: installation.ids("sample") == ids, "all is stored")
    installation.assert_mirrors("sample")
