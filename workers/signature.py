"""A signature over each message, where `[redis] signing_key_file` is set: HMAC-SHA256.

Redis' password lets one read and write queues; with the key alone one can send. Signed is all that
a message is taken for, and whose queue it lies in. A genuine one may be delivered again, or later:
each task bears that. See docs/security.md.
"""

from __future__ import annotations

import hmac
import logging
from typing import Any

from kombu.utils import json

from patchsync.fleet.services import QUEUES
from workers import context

log = logging.getLogger(__name__)

FIELD = "signature"
# What the transport adds to a message that it brings back.
_ADDED = "redelivered"

# As the transport has it in Redis: body (text), headers, properties, content-type, ...
Message = dict[str, Any]


def sign(message: Message) -> None:
    """Sign a message that is about to be sent, if there is a key."""
    if (key := context.signing_key()) is not None:
        message[FIELD] = _signature(message, key)


def is_genuine(message: Any, queue: str | None) -> bool:
    """Whether a message that came from `queue` was sent by who has the key; or there is none.

    Else it says so in the log.
    """
    if (key := context.signing_key()) is None:
        return True
    try:
        where = message["properties"]["delivery_info"]["routing_key"]
        # A task runs where it was sent to, and nowhere else.
        genuine = hmac.compare_digest(message[FIELD], _signature(message, key)) and (
            where == queue or queue not in QUEUES
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        genuine = False
    if not genuine:
        log.warning(
            "dropped a message from %s, whose signature is missing or wrong: forged in Redis, or "
            "sent by who has another [redis] signing_key_file, or none",
            queue,
        )
    return genuine


def _signature(message: Message, key: bytes) -> str:
    properties = dict(message["properties"])
    properties["delivery_info"] = _without_added(properties["delivery_info"])
    rest = [
        context.config().namespace,
        properties,
        _without_added(message["headers"]),
        message["content-type"],
        message["content-encoding"],
    ]
    # JSON has no zero byte.
    text = f"{json.dumps(rest, sort_keys=True)}\0{message['body']}"
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _without_added(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != _ADDED}
