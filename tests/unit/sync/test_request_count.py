"""The count of requests that is kept with the store, so that it survives Redis."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import cast

import pytest

from patchsync.config import Config, load
from patchsync.errors import ServerUnavailable
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.rate_limit import ProjectRequests, RedisRateLimiter
from patchsync.patchwork.rate_limit_state import NO_PROJECT
from patchsync.store.identity import Origin, claim
from patchsync.store.layout import ContainerPaths
from patchsync.sync.projects import find_project, synced_project
from patchsync.sync.request_count import KEEP_SECONDS, keep_count, kept_requests
from patchsync.sync.store_result import store_result

DAY = "2026-02-03"


class Counted:
    """A rate limit that has counted so much; None: Redis does not answer."""

    def __init__(self) -> None:
        self.requests: int | None = 0
        # What it counts once it brought back what the store kept
        self.brought_back = 0

    def requests_of(self, project: str) -> ProjectRequests:
        assert project == "sample"
        if self.requests is None:
            raise ServerUnavailable("no Redis")
        return ProjectRequests(day=DAY, requests=self.requests, others=2)

    def requests_today(self) -> None:
        self.requests = self.brought_back


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration with a place in the store for one of its two projects."""
    file = tmp_path / "patchsync.toml"
    file.write_text(
        '[mbox.patchwork]\nurl = "http://127.0.0.1:1"\nproject_ids = ["sample", "other"]\n'
    )
    config = load(file)
    paths = ContainerPaths(
        d_mbox=config.d_mbox, listaddr="sample@lists.example.org", project_id=1, layout="raw"
    )
    origin = Origin(
        url=config.base_url, project_id=1, link_name="sample", list_email=paths.listaddr
    )
    claim(paths, origin)
    return config


def store(config: Config, limiter: Counted) -> None:
    """An index task's work."""
    store_result(synced_project(config, "sample"), FetchResult(), cast("RedisRateLimiter", limiter))


def kept(config: Config) -> int:
    return kept_requests(config, DAY).get("sample", -1)


def test_a_backlog_keeps_the_count_now_and_then(config: Config) -> None:
    """Not at each batch of mails, for that would be one more wait for the disk."""
    limiter = Counted()
    for limiter.requests in (10, 20):
        store(config, limiter)
        assert kept(config) == 10
    site = find_project(config, "sample")
    assert site is not None
    # As long ago, or where a clock was set back since.
    for limiter.requests, then in ((20, -KEEP_SECONDS - 1), (30, 86400)):
        at = time.time() + then
        os.utime(site.paths.requests, (at, at))
        store(config, limiter)
        assert kept(config) == limiter.requests


def test_what_belongs_to_no_project_is_kept_too(config: Config) -> None:
    """The budget is for all requests; of another day none comes back."""
    limiter = Counted()
    limiter.requests = 7
    store(config, limiter)
    assert kept_requests(config, DAY) == {"sample": 7, NO_PROJECT: 2}
    assert kept_requests(config, "2026-02-04") == {NO_PROJECT: 0}


def test_a_redis_that_went_back_in_time_gets_back_what_the_store_kept(config: Config) -> None:
    """Restored from an old snapshot, it has counted fewer requests than there were."""
    project = synced_project(config, "sample")
    limiter = Counted()
    for limiter.requests, limiter.brought_back in ((70, 0), (3, 70)):
        keep_count(project, cast("RedisRateLimiter", limiter))
        assert kept(config) == 70
    assert limiter.requests == 70


def test_mails_are_stored_though_nothing_can_be_counted(config: Config) -> None:
    """The count is a note, which comes again; the mails are what the task is for."""
    limiter = Counted()
    limiter.requests = None
    store(config, limiter)
    assert kept(config) == -1
