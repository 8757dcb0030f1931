"""A real Celery worker on a thread of this process: messages go through Redis and are taken."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from unittest import mock

import pytest
import redis
from celery import Celery
from celery.contrib.testing.worker import start_worker
from kombu import pools

from patchsync.fleet.services import QUEUES
from patchsync.sync.projects import find_project
from patchsync.sync.records import last_round
from tests.support.inprocess import Workers, process_of_its_own
from tests.support.installation import Installation, wait_until

PROJECTS = ("sample", "neighbour")


def in_step(installation: Installation, project: str) -> bool:
    """Whether the last round said so; not by a command, which would change this process."""
    site = find_project(installation.config, project)
    last = last_round(site) if site else None
    return last is not None and last.in_sync


@pytest.fixture
def app(installation: Installation, workers: Workers) -> Iterator[Celery]:
    """Celery's app with this installation's Redis, sending for real."""
    with process_of_its_own(installation.config, workers):
        from workers.celery import app

        options = app.conf.broker_transport_options
        prefix = {"global_keyprefix": f"patchsync:{installation.config.namespace}:"}
        url = installation.config.redis_url.replace("unix://", "redis+socket://")
        with (
            mock.patch.object(app, "send_task", Celery.send_task.__get__(app)),
            mock.patch.dict(
                app.conf,
                broker_url=url,
                broker_read_url=url,
                broker_write_url=url,
                broker_transport_options=options | prefix,
            ),
            mock.patch.object(app, "_pool", None),
            mock.patch.object(app.amqp, "_producer_pool", None),
        ):
            # Celery has the whole process log as a worker does.
            root = logging.getLogger()
            level, handlers = root.level, root.handlers[:]
            yield app
            root.setLevel(level)
            root.handlers[:] = handlers
            app.pool.force_close_all()
            pools.reset()  # Closed for good otherwise


def test_messages_find_their_way(
    app: Celery, installation: Installation, shared_redis: redis.Redis
) -> None:
    """One probe by message, and each task after it comes to its queue, is done and acknowledged."""
    from workers import enqueue

    with start_worker(
        app, pool="solo", queues=list(QUEUES), perform_ping_check=False, shutdown_timeout=60
    ):
        for project in PROJECTS:
            enqueue.probe(project)
        wait_until(lambda: all(in_step(installation, each) for each in PROJECTS), "in step")
        wait_until(installation.config.patch_groups.exists, "grouped")
        unacked = f"patchsync:{installation.config.namespace}:unacked"
        wait_until(lambda: not shared_redis.exists(unacked), "all is acknowledged")
    for project in PROJECTS:
        installation.assert_mirrors(project)
    for queue in QUEUES:
        assert not shared_redis.exists(f"patchsync:{installation.config.namespace}:{queue}")


KEY = b"k" * 64


def test_a_forged_message_does_nothing(
    app: Celery, installation: Installation, shared_redis: redis.Redis
) -> None:
    """Whoever reaches Redis but not the key: it is dropped, said in the log, and all goes on."""
    from workers import context, enqueue, signature

    queue = f"patchsync:{installation.config.namespace}:probe"
    with (
        mock.patch.object(context, "signing_key", return_value=None) as key,
        mock.patch.object(signature, "log") as log,
    ):
        # Of who has no key, and of who has another one
        enqueue.probe("neighbour")
        key.return_value = b"another"
        enqueue.probe("neighbour")
        key.return_value = KEY
        # A genuine one, made into another task; and one that is no message at all
        enqueue.probe("sample")
        genuine = shared_redis.lindex(queue, 0)
        assert isinstance(genuine, bytes)
        shared_redis.lpush(queue, genuine.replace(b"fetch.probe", b"fetch.audit"), b"[1]")
        with start_worker(
            app, pool="solo", queues=list(QUEUES), perform_ping_check=False, shutdown_timeout=60
        ):
            wait_until(lambda: in_step(installation, "sample"), "in step")
            wait_until(lambda: not shared_redis.exists(queue), "all is taken")
        assert log.warning.call_count == 4
    assert find_project(installation.config, "neighbour") is None
    installation.assert_mirrors("sample")
