"""The probes of beat: where there is time for some of them only, no project is left out."""

from __future__ import annotations

import pytest
import redis
from worker_fakes import deliver

from beat_schedule import entries
from patchsync.config import Config
from patchsync.errors import PatchsyncError, ServerUnavailable
from patchsync.fleet.trouble import last_trouble
from tests.support.inprocess import Workers
from tests.support.installation import Installation
from workers import context

PROJECTS = [f"project-{number}" for number in range(7)]
# So many of an interval are begun before the others expire.
PACE = 3


@pytest.fixture
def many(installation: Installation) -> Config:
    """More projects than there is time for."""
    listed = ", ".join(f'{{ id = "{project}" }}' for project in PROJECTS)
    before = '{ id = "sample" }, { id = "neighbour" }'
    config = installation.changed(before, listed).config
    context.config.cache_clear()
    return config


@pytest.fixture
def begun(many: Config, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of which projects a round has begun; each fails, as at a server that is away."""
    from workers.celery import app

    begun: list[str] = []

    def run(project: str) -> None:
        begun.append(project)
        raise ServerUnavailable("away")

    monkeypatch.setattr(app.tasks["workers.fetch.probe"], "run", run)
    return begun


def interval(config: Config, pace: int) -> None:
    """What beat enqueues is taken in its order, so much of it as there is time for."""
    probes = [each for each in entries(config).values() if each["task"] == "workers.fetch.probe"]
    for entry in probes[:pace]:
        with pytest.raises(PatchsyncError):
            deliver("fetch.probe", *entry["args"])


def test_each_project_has_its_turn(many: Config, begun: list[str]) -> None:
    """Whatever expired: none is asked for again before all others were."""
    for _ in range(len(PROJECTS)):
        interval(many, PACE)
    assert len(begun) == PACE * len(PROJECTS)
    for first in range(0, len(begun), len(PROJECTS)):
        assert sorted(begun[first : first + len(PROJECTS)]) == PROJECTS


def test_with_time_for_all_each_is_asked_once_an_interval(many: Config, begun: list[str]) -> None:
    """And a probe that names its project, as index and `patchsync sync` enqueue it, is of that."""
    for _ in range(2):
        interval(many, len(PROJECTS))
        assert sorted(begun) == PROJECTS
        begun.clear()
        for _ in range(2):
            with pytest.raises(ServerUnavailable):
                deliver("fetch.probe", PROJECTS[4])
        assert begun == [PROJECTS[4]] * 2
        begun.clear()


def test_an_error_is_told_of_the_project_that_was_asked_for(
    many: Config, begun: list[str], workers: Workers, shared_redis: redis.Redis
) -> None:
    """Not of the one that beat's message names; once."""
    interval(many, 1)
    (asked,) = begun
    assert asked != PROJECTS[0]
    for project in PROJECTS:
        trouble = last_trouble(shared_redis, many.namespace, project)
        assert bool(trouble) == (project == asked)
    (line,) = workers.log.getvalue().splitlines()
    assert f"ERROR   probe of {asked}: away" in line


def test_where_redis_tells_no_turn_each_message_is_of_its_own(
    many: Config, begun: list[str], shared_redis: redis.Redis
) -> None:
    """What is full, or has something else there, keeps nobody from asking."""
    shared_redis.set(f"patchsync:{many.namespace}:turn", "no number")
    interval(many, PACE)
    assert begun == PROJECTS[:PACE]
