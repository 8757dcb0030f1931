"""The store's own lock, the fencing token, and the lock in Redis."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import redis

from patchsync.errors import LockHeld, StaleWriter, StoreDamaged
from patchsync.store.lock import Fence, store_lock
from patchsync.store.redis_lock import give_way, redis_lock


def test_the_stores_lock_is_held_by_one(tmp_path: Path) -> None:
    """Another one waits as long as it was told, and not for ever."""
    path = tmp_path / "own" / "lock"
    with store_lock(path):
        for wait in (0, 0.05):
            with pytest.raises(LockHeld, match="lock"), store_lock(path, wait):
                pytest.fail("two hold the lock")
    with store_lock(path, 0):
        pass


def test_who_waits_gets_the_stores_lock_when_it_is_free(tmp_path: Path) -> None:
    """Without an error in between."""
    path = tmp_path / "lock"
    got = threading.Event()

    def wait_for_it() -> None:
        with store_lock(path, 30):
            got.set()

    waiter = threading.Thread(target=wait_for_it)
    with store_lock(path):
        waiter.start()
        assert not got.wait(0.05)
    waiter.join()
    assert got.is_set()


def test_the_stores_lock_is_free_after_an_error(tmp_path: Path) -> None:
    """Whatever happened under it."""
    path = tmp_path / "lock"
    with pytest.raises(ZeroDivisionError), store_lock(path):
        raise ZeroDivisionError
    with store_lock(path, 0):
        pass


def test_a_lock_file_that_was_deleted_and_made_anew_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who locked the deleted file tries again, on the file that the others see."""
    path = tmp_path / "lock"
    real_open = os.open
    opened: list[int] = []

    def open_then_replace(file: Path, flags: int, mode: int) -> int:
        fd = real_open(file, flags, mode)
        opened.append(fd)
        if len(opened) == 1:
            path.unlink()
            path.write_bytes(b"")
        return fd

    # No longer than that: pytest removes the folder by it.
    with monkeypatch.context() as patch:
        patch.setattr("patchsync.store.lock.os.open", open_then_replace)
        with store_lock(path, 30):
            assert len(opened) == 2
            with pytest.raises(LockHeld), store_lock(path, 0):
                pytest.fail("two hold the lock")


def test_each_token_is_one_higher_and_makes_the_earlier_stale(tmp_path: Path) -> None:
    """Also for a process that reads the file only now."""
    fence = Fence(tmp_path / "fence")
    assert fence.highest == 0
    first, second = fence.take(), Fence(tmp_path / "fence").take()
    assert (first, second) == (1, 2)
    fence.check(second)
    with pytest.raises(StaleWriter, match="token 1, but 2"):
        fence.check(first)


def test_a_token_that_is_higher_than_the_fence_is_no_better(tmp_path: Path) -> None:
    """As after a fence that was restored from a backup: only its own highest may write."""
    fence = Fence(tmp_path / "fence")
    fence.take()
    with pytest.raises(StaleWriter):
        fence.check(2)


@pytest.mark.parametrize("content", [b"", b"x", b"-1", b"1\n2\n", b"\xff"])
def test_a_foreign_fence_is_named(tmp_path: Path, content: bytes) -> None:
    """Rather than begun anew, which would let a stale writer in."""
    (tmp_path / "fence").write_bytes(content)
    with pytest.raises(StoreDamaged, match="fence, line 1"):
        Fence(tmp_path / "fence").take()


def test_the_redis_lock_is_held_by_one(redis_client: redis.Redis) -> None:
    """Another one waits as long as it was told."""
    with (
        redis_lock(redis_client, "store", ttl=30, wait=0),
        pytest.raises(LockHeld, match="store"),
        redis_lock(redis_client, "store", ttl=30, wait=0.05),
    ):
        pytest.fail("two hold the lock")
    with redis_lock(redis_client, "store", ttl=30, wait=0):
        assert redis_client.exists("store")
    assert not redis_client.exists("store")


def test_who_wants_the_redis_lock_is_given_way(redis_client: redis.Redis) -> None:
    """By the one who takes it again and again; where nobody waits there is nothing to wait for."""
    give_way(redis_client, "store")
    got = threading.Event()

    def wait_for_it() -> None:
        with redis_lock(redis_client, "store", ttl=30, wait=30):
            got.set()

    waiter = threading.Thread(target=wait_for_it)
    with redis_lock(redis_client, "store", ttl=30, wait=0):
        waiter.start()
        while not redis_client.exists("store:wanted"):
            assert waiter.is_alive()
    give_way(redis_client, "store")
    assert not redis_client.exists("store:wanted")
    waiter.join()
    assert got.is_set()
    assert not redis_client.keys("*")


def test_the_redis_lock_ends_by_itself(redis_client: redis.Redis) -> None:
    """A killed worker keeps nobody waiting for longer than its time."""
    with redis_lock(redis_client, "store", ttl=30, wait=0):
        assert 0 < redis_client.pttl("store") <= 30_000


@pytest.mark.parametrize("seconds", [86400, 365 * 86400])
def test_a_redis_lock_of_a_clock_that_was_set_back(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Its holder was killed; it lasts as long as any other, not until that clock is there again."""
    redis_client.set("store", b"of one that was killed", ex=seconds)
    with redis_lock(redis_client, "store", ttl=0.5, wait=60):
        assert redis_client.pttl("store") <= 500
    # Nor is way given to those who waited then.
    redis_client.set("store:wanted", b"", ex=seconds)
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waits for nobody"))
    give_way(redis_client, "store")


def test_a_redis_lock_that_was_lost_is_let_go_quietly(
    redis_client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """And the one who has it now keeps it."""
    with redis_lock(redis_client, "store", ttl=30, wait=0):
        redis_client.flushall()
        redis_client.set("store", "another")
    assert redis_client.get("store") == b"another"
    assert not caplog.records


def lose_redis(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on `client` gets no connection."""

    def refuse(*_: object, **__: object) -> None:
        raise redis.ConnectionError("Redis is gone")

    monkeypatch.setattr(client.connection_pool, "get_connection", refuse)


def test_an_error_under_the_redis_lock_is_not_masked(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when the lock was lost, nor when Redis is gone."""
    with pytest.raises(ZeroDivisionError), redis_lock(redis_client, "a", ttl=30, wait=0):
        redis_client.flushall()
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), redis_lock(redis_client, "b", ttl=30, wait=0):
        lose_redis(redis_client, monkeypatch)
        raise ZeroDivisionError


def test_work_done_under_the_redis_lock_stays_done_when_redis_goes(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The lock runs out by itself; what it guarded is no error, but somebody should know."""
    with redis_lock(redis_client, "store", ttl=30, wait=0):
        lose_redis(redis_client, monkeypatch)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_redis_lock_may_be_let_go_by_another_thread(redis_client: redis.Redis) -> None:
    """It belongs to the task, not to the thread that took it."""
    lock = redis_lock(redis_client, "store", ttl=30, wait=0)
    taker = threading.Thread(target=lock.__enter__)
    taker.start()
    taker.join()
    lock.__exit__(None, None, None)
    assert not redis_client.exists("store")
