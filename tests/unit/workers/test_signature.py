"""What a signature covers, and what it does not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from workers import context, signature

KEY = b"k" * 64


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> list[bytes | None]:
    """The key of this process, which a test may change."""
    keys: list[bytes | None] = [KEY]
    monkeypatch.setattr(context, "config", lambda: SimpleNamespace(namespace="ours"))
    monkeypatch.setattr(context, "signing_key", lambda: keys[0])
    return keys


@pytest.fixture
def message(key: list[bytes | None]) -> signature.Message:
    """A message, as the transport has it, that was signed."""
    message = {
        "body": "W10=",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "workers.index.index_mails", "id": "1", "timelimit": [None, None]},
        "properties": {
            "delivery_info": {"exchange": "index", "routing_key": "index"},
            "body_encoding": "base64",
            "priority": 0,
        },
    }
    signature.sign(message)
    return message


def test_what_is_signed_is_genuine(message: signature.Message) -> None:
    """Also when the transport brings it back, since its worker was killed."""
    assert signature.is_genuine(message, "index")
    message["headers"]["redelivered"] = True
    message["properties"]["delivery_info"]["redelivered"] = True
    assert signature.is_genuine(message, "index")


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda message: message.update(body="WzFd"),
    lambda message: message.update({"content-type": "application/x-python-serialize"}),
    lambda message: message.update({"content-encoding": "binary"}),
    lambda message: message["headers"].update(task="workers.push.send"),
    lambda message: message["headers"].update(compression="application/x-gzip"),
    lambda message: message["headers"].pop("id"),
    lambda message: message["properties"].update(priority=9),
    lambda message: message["properties"]["delivery_info"].update(exchange="push"),
    lambda message: message.pop("signature"),
    lambda message: message.update(signature="0" * 64),
    lambda message: message.update(signature="\xfc"),
    lambda message: message.update(signature=None),
    lambda message: message.pop("headers"),
    lambda message: message.update(properties=[]),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_not_genuine(
    message: signature.Message, change: Callable[[dict[str, Any]], object]
) -> None:
    """Neither what it says, nor which task it is for, nor how it is to be read."""
    changed = copy.deepcopy(message)
    change(changed)
    assert not signature.is_genuine(changed, "index")


def test_what_was_sent_elsewhere_is_not_genuine(
    message: signature.Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To another queue, or by another configuration with the same key in the same Redis."""
    assert not signature.is_genuine(message, "fetch")
    monkeypatch.setattr(context, "config", lambda: SimpleNamespace(namespace="theirs"))
    assert not signature.is_genuine(message, "index")


@pytest.mark.parametrize("nothing", [None, 1, "text", [], {}, {"properties": None}])
def test_what_is_no_message(nothing: object) -> None:
    """Whatever lies in Redis."""
    assert not signature.is_genuine(nothing, "index")


def test_without_a_key(message: signature.Message, key: list[bytes | None]) -> None:
    """Nothing is signed, and anything is taken; with another key nothing is."""
    key[0] = b"another"
    assert not signature.is_genuine(message, "index")
    key[0] = None
    assert signature.is_genuine({}, "index")
    unsigned: dict[str, Any] = {}
    signature.sign(unsigned)
    assert unsigned == {}
