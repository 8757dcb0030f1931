"""What the ledger holds of a patch in a sink: what is desired there, and what was observed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter

from patchsync.errors import ChangedThere, GoneThere, Mistake, NoRight, NotWritten


class Sink(StrEnum):
    """Where in Patchwork something of ours shows."""

    CHECK = "check"
    RELATION = "relation"
    STATE = "state"
    COMMENT = "comment"


class TroubleKind(StrEnum):
    """Why a desired value could not be shown. All but `CHANGED` hold that value back."""

    MISTAKE = "mistake"  # 400
    NO_RIGHT = "no_right"  # 403
    GONE = "gone"  # 404
    CHANGED = "changed"  # 409
    LIMIT = "limit"  # more than one relation may hold
    REPORT = "report"  # no trouble: a person decided otherwise, and that stays

    @classmethod
    def of(cls, error: NotWritten) -> TroubleKind:
        """The kind of what the server refused."""
        kinds: dict[type[NotWritten], TroubleKind] = {
            Mistake: cls.MISTAKE,
            NoRight: cls.NO_RIGHT,
            GoneThere: cls.GONE,
            ChangedThere: cls.CHANGED,
        }
        return kinds[type(error)]


# All patches of a relation, two at least.
RelationValue = frozenset[int]


@dataclass(frozen=True, kw_only=True)
class CheckValue:
    """A check, in the terms of `POST patches/<id>/checks/`."""

    state: str
    description: str
    target_url: str


@dataclass(frozen=True, kw_only=True)
class StateValue:
    """A state, in the terms of `PATCH patches/<id>/`."""

    state: str
    commit_ref: str | None


@dataclass(frozen=True, kw_only=True)
class CommentValue:
    """A comment's text, and what it is about: commits and earlier message-ids, in order."""

    text: str
    about: tuple[str, ...] = ()


Value = RelationValue | CheckValue | StateValue | CommentValue
V = TypeVar("V", bound=Value)

_FORMATS: dict[str, TypeAdapter[Any]] = {
    Sink.CHECK: TypeAdapter(CheckValue),
    Sink.RELATION: TypeAdapter(RelationValue),
    Sink.STATE: TypeAdapter(StateValue),
    Sink.COMMENT: TypeAdapter(CommentValue),
}


_quoted = json.encoder.encode_basestring_ascii
_SORTED = json.JSONEncoder(sort_keys=True)  # `json.dumps` would make one for each value


def encode(value: Value | None) -> str | None:
    """The JSON that the file holds of a value; the same for equal ones, by which SQL compares."""
    if value is None:
        return None
    if isinstance(value, frozenset):
        return str(sorted(value))  # as JSON spells it
    if isinstance(value, CheckValue):
        # As below, in a third of the time: most values are checks.
        description, state, url = map(_quoted, (value.description, value.state, value.target_url))
        return f'{{"description": {description}, "state": {state}, "target_url": {url}}}'
    # A comment of an earlier version was about nothing, and is spelt as it was.
    fields = {name: content for name, content in vars(value).items() if content != ()}
    return _SORTED.encode(fields)


def decode(sink: str, text: str | None) -> Any:
    """The value that `encode` made this of, or None."""
    return None if text is None else _FORMATS[sink].validate_json(text)


class Desired(NamedTuple):
    """What a plan wants of a patch in a sink; None: nothing of ours should be there."""

    patch_id: int
    project_id: int
    sink: Sink
    value: Value | None


class Entry(NamedTuple, Generic[V]):
    """What is known of one patch in one sink, but for its claim and trouble."""

    sink: Sink
    patch_id: int
    # None: no plan ever said anything of it
    project_id: int | None
    desired: V | None
    observed: V | None
    # Whether we know that we sent what was observed: what a rebuild found a person may have sent
    sent_by_us: bool


class SpeltEntry(NamedTuple):
    """As `Entry`, its values as `encode` spells them."""

    sink: str
    patch_id: int
    project_id: int | None
    desired: str | None
    observed: str | None


@dataclass(frozen=True, kw_only=True)
class SinkCounts:
    """How many patches, in one sink; named as in `patchsync status --json`."""

    # Something of ours is desired
    wanted: int = 0
    # Something of ours was observed
    shown: int = 0
    # To be sent, or to be read back
    pending: int = 0
    # Patchwork refused, or we have no right
    trouble: int = 0
    # No trouble: a person decided otherwise, and that stays
    respected: int = 0


@dataclass(frozen=True, kw_only=True)
class PatchTrouble:
    """Why something could not be shown of a patch; named as in `patchsync status --json`."""

    patch_id: int
    sink: str
    kind: TroubleKind
    text: str
    # Seconds since 1970
    at: float


@dataclass(frozen=True)
class Claimed:
    """The caller, and nobody else, may send the value, and then tells the ledger how it ended."""

    claim: int


@dataclass(frozen=True)
class Unsure(Generic[V]):
    """`value` was claimed and may have been sent: read back, then `observe` or `release`."""

    claim: int
    value: V | None


@dataclass(frozen=True)
class Wait:
    """Somebody claimed it not long ago: nobody may send for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Needless:
    """There is nothing to send: another value is desired by now, or it is there, or held back."""
