"""The Celery app: `celery -A workers ...`. What is set is read when it is first used."""

from __future__ import annotations

from celery import Celery

from workers import broker

TASKS = ["workers.fetch", "workers.index", "workers.analyse", "workers.push"]
# What listens to Celery's signals
LISTENERS = ["workers.heartbeat", "workers.logs"]

broker.use()
app = Celery("patchsync", include=TASKS + LISTENERS)
app.config_from_object("workers.settings")
