"""What can go wrong: one family, told apart by what helps.

`TryAgainLater` passes by itself: the next round starts from what is. `GiveUp` needs somebody to
change something, and its message says what.
"""

from __future__ import annotations


class PatchsyncError(Exception):
    """Anything that patchsync itself reports as wrong."""


class TryAgainLater(PatchsyncError):
    """It passes by itself; the next round meets it again."""


class GiveUp(PatchsyncError):
    """Somebody must change something; the message names what."""


class ConfigError(GiveUp):
    """The configuration cannot be used; the message names the key."""


class NotPatchwork(GiveUp):
    """The url answers, but not as a Patchwork's REST API does."""


class UnknownProject(GiveUp):
    """The Patchwork, or the configuration, has no such project."""


class Refused(GiveUp):
    """The server refuses: a wrong token, or no right."""


class NotWritten(GiveUp):
    """The server refuses one write, and says why; another patch may fare better."""


class Mistake(NotWritten):
    """400: what was to be written is wrong."""


class NoRight(NotWritten):
    """403: our user may not change this patch, or a patch of its relation."""


class GoneThere(NotWritten):
    """404 or 410: the Patchwork has no such patch any more."""


class ChangedThere(NotWritten):
    """409: the relations are not what they were taken for."""


class ForeignProject(GiveUp):
    """An answer about one project holds a patch of another: nothing of it is used."""


class ServerRestored(GiveUp):
    """A patchwork id has another message-id than in the store: the server was restored."""


class StoreDamaged(GiveUp):
    """The store holds what patchsync cannot read; the message names file and line."""


class ServerUnavailable(TryAgainLater):
    """Timeouts, 5xx, 429 or cut answers, after the client's own retries."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """`retry_after`: seconds that the server asked for, where it did."""
        super().__init__(message)
        self.retry_after = retry_after


class PushShareSpent(ServerUnavailable):
    """Push has sent its share of the day's requests; the rest is for sync."""


class RedisUnavailable(TryAgainLater):
    """Redis does not answer, or refuses."""


class AnswerLost(TryAgainLater):
    """A write was sent, and nobody knows whether it was carried out, or still will be."""


class LockHeld(TryAgainLater):
    """Another writer has the store."""


class StaleWriter(TryAgainLater):
    """The fencing token was overtaken: another writer has the store, this one writes nothing."""


class StoreUnavailable(TryAgainLater):
    """The disk is full, or the store cannot be written right now."""
