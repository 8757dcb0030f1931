"""Celery's settings, from the configuration. Each is here because it was measured to matter.

No message has to arrive: what is to be done is recomputed from the store and Patchwork. These
settings only make loss and repetition rare.
"""

from __future__ import annotations

import ssl

from kombu import Exchange, Queue

import beat_schedule as schedule
from patchsync.fleet.backpressure import LATER, PRIORITY_SEPARATOR, PRIORITY_STEPS
from patchsync.fleet.heartbeat import HEARTBEAT_SECONDS
from patchsync.fleet.services import QUEUES
from workers.context import config
from workers.logs import LINE

LONGEST_TASK_SECONDS = 600
# So long before its end a task is told to end by itself.
SOFT_SECONDS = 30

_config = config()

broker_url = _config.redis_url.replace("unix://", "redis+socket://", 1)
if broker_url.startswith("rediss://"):
    # Without it kombu takes any certificate; what the url says goes first.
    broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_transport_options = {
    # Two configurations in one Redis: each sees only its own queues, messages and broadcasts.
    "global_keyprefix": f"patchsync:{_config.namespace}:",
    # Redis redelivers what is not acknowledged by then, also a task that still runs.
    "visibility_timeout": 3 * LONGEST_TASK_SECONDS,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # A list for each: what is first in any of a queue's lists does not wait for the others.
    "priority_steps": list(PRIORITY_STEPS),
    "sep": PRIORITY_SEPARATOR,
    "max_connections": 100,
    "connect_retries_timeout": 120,
    "interval_start": 0.2,
    "interval_step": 0.5,
    "interval_max": 2,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
}

task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
task_ignore_result = True

task_acks_late = True
task_reject_on_worker_lost = True
task_retry_on_worker_lost = True
task_time_limit = LONGEST_TASK_SECONDS
task_soft_time_limit = LONGEST_TASK_SECONDS - SOFT_SECONDS
if _config.analysis.engine == "pasta":
    # It may be delivered again while it runs: that one comes when this one has ended, and has
    # expired; or to a second worker, which finds PaStA at work and leaves it alone.
    _limit = _config.analysis.pasta_seconds + LONGEST_TASK_SECONDS
    task_annotations = {
        "workers.analyse.update": {"time_limit": _limit, "soft_time_limit": _limit - SOFT_SECONDS}
    }
worker_prefetch_multiplier = 1
worker_send_task_events = True

# What follows from what may wait may wait too.
task_inherit_parent_priority = True
task_create_missing_queues = False
task_default_queue = "probe"
task_queues = [Queue(name, Exchange(name), routing_key=name) for name in QUEUES]
task_routes = {
    "workers.fetch.probe": {"queue": "probe"},
    # An audit does not keep a round of another project waiting.
    "workers.fetch.audit": {"queue": "probe", "priority": LATER},
    "workers.fetch.fetch_page": {"queue": "fetch"},
    "workers.fetch.fetch_patches": {"queue": "fetch"},
    "workers.index.index_mails": {"queue": "index"},
    "workers.analyse.update": {"queue": "analyse"},
    "workers.push.plan": {"queue": "push"},
    "workers.push.send": {"queue": "push"},
}

beat_schedule = schedule.entries(_config)
beat_scheduler = "workers.beat.HeartbeatScheduler"
# So often it looks at least, and notes its heartbeat.
beat_max_loop_interval = HEARTBEAT_SECONDS

worker_log_format = worker_task_log_format = LINE
worker_log_color = False
timezone = "UTC"
