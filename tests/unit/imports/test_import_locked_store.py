"""Pieces are stored under the lock of the project, beside others who write its store."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from import_fakes import config_in, project_in, rendered, store
from redis.backoff import NoBackoff
from redis.retry import Retry

from patchsync.config import Config
from patchsync.errors import GiveUp, ServerRestored, StoreUnavailable, TryAgainLater
from patchsync.imports import locked_store as module
from patchsync.imports.locked_store import LockedStore
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import parse_mail
from patchsync.store.halt import halt, halted
from patchsync.store.redis_lock import lock_name, redis_lock
from patchsync.sync.projects import Project


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_in(tmp_path)


@pytest.fixture
def project(config: Config) -> Project:
    return project_in(config)


@pytest.fixture
def lock(config: Config) -> str:
    return lock_name(config, "1")


@pytest.fixture
def locked(config: Config, project: Project, redis_client: redis.Redis) -> Iterator[LockedStore]:
    """A store whose Redis nobody starts again."""
    with opened(config, project, redis_client, patience=60) as locked_store:
        yield locked_store


def opened(config: Config, project: Project, client: redis.Redis, patience: float) -> LockedStore:
    return LockedStore(config, project, client, patience=patience, keep_redis=lambda: None)


def piece(*numbers: int) -> list[FetchResult]:
    """Of these mails, one at a time."""
    return [FetchResult(mails=(parse_mail(rendered(number)),)) for number in numbers]


def lines(project: Project) -> list[int]:
    """The patchwork ids in the index, in its order."""
    if not project.paths.index.exists():
        return []
    return [int(line.split()[3]) for line in project.paths.index.read_text().splitlines()]


def test_a_piece_is_stored_as_a_sync_stores_it(project: Project, locked: LockedStore) -> None:
    """Once, though it comes again."""
    store(project, rendered(1))
    stored = locked.store([*piece(1, 2), FetchResult(quarantined=((3, "too large"),))])
    assert (stored.stored, stored.known, stored.quarantined) == (1, 1, 1)
    assert locked.store(piece(1, 2)).stored == 0
    files = [file.read_bytes() for file in project.paths.mails.rglob("*") if file.is_file()]
    assert sorted(files) == [rendered(number) + b"\n" for number in (1, 2)]


def test_the_lock_is_held_for_one_piece(
    locked: LockedStore, lock: str, redis_client: redis.Redis
) -> None:
    """And for no longer than it says, were we killed meanwhile."""
    held: list[int] = []

    def results(number: int) -> Iterator[FetchResult]:
        yield from piece(number, number + 1)
        held.append(redis_client.pttl(lock))

    for number in (1, 3):
        locked.store(results(number))
        assert not redis_client.exists(lock)
    assert len(held) == 2
    assert all(0 < milliseconds <= 10_000 for milliseconds in held)


def test_another_writer_between_two_pieces(project: Project, locked: LockedStore) -> None:
    """It makes ours stale, which then takes the store over again."""
    locked.store(piece(1))
    store(project, rendered(2))
    locked.store(piece(3, 2))
    assert lines(project) == [1, 2, 3]


def test_another_writer_in_the_middle_of_a_piece(
    project: Project, locked: LockedStore, lock: str, redis_client: redis.Redis
) -> None:
    """Our lock ran out meanwhile, or Redis was flushed: what is written by then is not lost."""

    def results() -> Iterator[FetchResult]:
        for number in (1, 4):
            yield from piece(number)
            redis_client.delete(lock)
            store(project, rendered(number + 1))
        yield from piece(7)

    stored = locked.store(results())
    assert (stored.stored, stored.known) == (3, 0)
    assert sorted(lines(project)) == [1, 2, 4, 5, 7]


def test_who_waits_for_the_lock_gets_it_between_two_pieces(
    project: Project, locked: LockedStore, lock: str, redis_client: redis.Redis
) -> None:
    """However soon the next piece follows."""
    got = threading.Event()

    def index_worker() -> None:
        with redis_lock(redis_client, lock, ttl=10, wait=30):
            got.set()

    worker = threading.Thread(target=index_worker)
    with redis_lock(redis_client, lock, ttl=10, wait=0):
        worker.start()
        while not redis_client.exists(f"{lock}:wanted"):
            pass
    locked.store(piece(1))
    assert got.is_set()
    worker.join()
    assert not redis_client.exists(f"{lock}:wanted"), "nobody is waited for any more"
    assert lines(project) == [1]


def test_without_the_lock_it_is_given_up(
    config: Config, project: Project, lock: str, redis_client: redis.Redis
) -> None:
    """After its patience, and nothing is written."""
    with (
        opened(config, project, redis_client, patience=0.1) as locked,
        redis_lock(redis_client, lock, ttl=60, wait=0),
        pytest.raises(TryAgainLater, match=r"nothing was stored for 0\.1 s: Redis lock"),
    ):
        locked.store(piece(1))
    assert lines(project) == []


def test_redis_may_go_and_come(
    config: Config, project: Project, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can start it again is asked to."""
    monkeypatch.setattr(module, "_PAUSE", 0)
    gone = redis.Redis(unix_socket_path="/nowhere/redis.sock", retry=Retry(NoBackoff(), 0))
    pool, asked = gone.connection_pool, list[int]()

    def keep_redis() -> None:
        asked.append(1)
        if len(asked) == 3:
            gone.connection_pool = redis_client.connection_pool

    with LockedStore(config, project, gone, patience=60, keep_redis=keep_redis) as locked:
        locked.store(piece(1))
    pool.disconnect()
    assert len(asked) == 3
    assert lines(project) == [1]


def test_nothing_is_stored_in_a_halted_project(project: Project, locked: LockedStore) -> None:
    """Halted by somebody else in mid-import."""
    locked.store(piece(1))
    halt(project.paths, "somebody looks at it")
    with pytest.raises(GiveUp, match="somebody looks at it"):
        locked.store(piece(2))
    assert lines(project) == [1]


def test_another_message_under_a_stored_id_halts_the_project(
    project: Project, locked: LockedStore
) -> None:
    """As when it comes from Patchwork; nothing of the piece is stored."""
    store(project, rendered(1, message_id="<other@example.org>"))
    with pytest.raises(ServerRestored):
        locked.store(piece(2, 1))
    assert lines(project) == [1]
    assert halted(project.paths)


def test_nothing_counts_that_may_not_be_on_disk(
    project: Project, locked: LockedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece is synced while it is written: what fails then is known before it is in the index."""

    def refuse(_: Path) -> None:
        monkeypatch.undo()
        raise OSError(errno.EIO, "lost")

    monkeypatch.setattr("patchsync.store.background_sync.sync_file_system", refuse)
    with pytest.raises(StoreUnavailable, match="lost"):
        locked.store(piece(1, 2))
    assert lines(project) == []
    locked.store(piece(1, 2))
    assert lines(project) == [1, 2]
