"""The Celery app: `celery -A workers ...`. What is set is read when it is first used."""

from __future__ import annotations

from celery import Celery

app = Celery("patchsync", include=["workers.fetch", "workers.index"])
app.config_from_object("workers.settings")
