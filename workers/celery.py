"""The Celery app: `celery -A workers ...`. What is set is read when it is first used."""

from __future__ import annotations

from celery import Celery

from workers import broker

TASKS = ["workers.fetch", "workers.index", "workers.analyse", "workers.push"]
# What listens to Celery's signals
LISTENERS = ["workers.heartbeat", "workers.logs", "workers.process"]

broker.use()
app = Celery("patchsync", include=TASKS + LISTENERS, events="workers.events:FleetEvents")
app.config_from_object("workers.settings")
