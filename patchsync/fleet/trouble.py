"""What last went wrong with each project, kept in Redis for `patchsync status`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from patchsync.errors import GiveUp, StoreNotWritable, Unreachable
from patchsync.fleet.redis_client import RedisClient

if TYPE_CHECKING:
    import redis

KEPT_SECONDS = 86400


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What last went wrong with a project: when (seconds since 1970), in which task, and what."""

    at: float
    task: str
    message: str
    # Whether somebody has to change something before it can go on
    lasting: bool
    # Whether nothing answers at the url: that may pass, but not where it never did
    unreachable: bool = False


def note_trouble(
    client: redis.Redis, namespace: str, project: str, task: str, error: Exception
) -> None:
    """Keep for a day what went wrong in a task of a project; raises redis.RedisError.

    `namespace`: the configuration's; `project`: as the configuration spells it.
    """
    trouble = Trouble(
        at=time.time(),
        task=task,
        message=str(error),
        lasting=isinstance(error, GiveUp | StoreNotWritable),
        unreachable=isinstance(error, Unreachable),
    )
    client.set(_key(namespace, project), json.dumps(asdict(trouble)), ex=KEPT_SECONDS)


def last_trouble(client: RedisClient, namespace: str, project: str) -> Trouble | None:
    """The last thing that went wrong with a project within a day; raises what `client` does."""
    text = client.execute_command("GET", _key(namespace, project))
    return Trouble(**json.loads(text)) if text else None


def _key(namespace: str, project: str) -> str:
    return f"patchsync:{namespace}:{project}:trouble"
