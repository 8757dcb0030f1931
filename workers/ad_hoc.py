"""Enqueues a task by its name, for commands: `patchsync enqueue` and `sync`."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

from kombu.exceptions import OperationalError
from pydantic import TypeAdapter, ValidationError
from redis.exceptions import RedisError

from patchsync.errors import GiveUp, TryAgainLater
from patchsync.fleet.redis_client import plain_words
from workers.celery import app
from workers.context import config

PUBLISH_RETRIES = {"max_retries": 3, "interval_start": 0.2, "interval_step": 0.5}


def tasks() -> dict[str, str]:
    """The tasks that can be enqueued: name without the `workers.` before it, and what it does."""
    app.loader.import_default_modules()
    return {
        name.removeprefix("workers."): (inspect.getdoc(task) or "").splitlines()[0]
        for name, task in sorted(app.tasks.items())
        if name.startswith("workers.")
    }


def demand_task(name: str) -> None:
    """Refuse a name that is of no task.

    Raises:
        GiveUp: the message lists those that there are.
    """
    known = tasks()
    if name not in known:
        raise GiveUp(f"there is no task {name!r}; there are: {', '.join(known)}")


def usage(name: str) -> str:
    """How a task is enqueued by hand: what it takes, and of which type."""
    words = [f"patchsync enqueue {name}"]
    for parameter in inspect.signature(app.tasks[f"workers.{name}"].run).parameters.values():
        word = parameter.name.upper()
        if parameter.name != "project":
            word += f":{_type_of(parameter)}"
        words.append(word if parameter.default is parameter.empty else f"[{word}]")
    return " ".join(words)


def queue_of(name: str) -> str:
    """The service that takes a task."""
    return str(app.conf.task_routes[f"workers.{name}"]["queue"])


def enqueue(name: str, *args: Any, **options: Any) -> str:
    """Enqueue the task `workers.<name>`; its first argument is a project. Returns the task's id.

    Raises:
        ConfigError: the project is not in the configuration.
        GiveUp: there is no such task, or it wants other arguments; nothing is sent.
        TryAgainLater: Redis does not answer.
    """
    demand_task(name)
    task = app.tasks[f"workers.{name}"]
    _demand_arguments(name, task.run, args)
    try:
        return str(task.apply_async(args, retry_policy=PUBLISH_RETRIES, **options).id)
    except (RedisError, OperationalError) as error:
        raise TryAgainLater(plain_words(error, config())) from error


def _demand_arguments(name: str, function: Any, args: tuple[Any, ...]) -> None:
    """Raise GiveUp unless a task's function takes these."""
    try:
        given = inspect.signature(function).bind(*args).arguments
    except TypeError as error:
        raise GiveUp(f"{name}: {error}; usage: {usage(name)}") from None
    types = get_type_hints(function)
    for parameter, value in given.items():
        try:
            TypeAdapter(types[parameter]).validate_python(value, strict=True)
        except ValidationError:
            kind = _type_of(inspect.signature(function).parameters[parameter])
            raise GiveUp(
                f"{name}: {parameter}: {value!r} is no {kind}; usage: {usage(name)}"
            ) from None


def _type_of(parameter: inspect.Parameter) -> str:
    return str(parameter.annotation).removesuffix(" | None")
