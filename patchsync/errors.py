"""What can go wrong: one family, told apart by what helps.

`TryAgainLater` passes by itself: the next round starts from what is. `GiveUp` needs somebody to
change something, and its message says what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# What a connection met, by the name of an error's class and its text, and our words for it. The
# first that fits any of the errors within each other counts.
_IN_WORDS = (
    (
        r"HELLO must be called|Authentication required|NOAUTH",
        "it wants a password: set [redis] password_file",
    ),
    (
        r"WRONGPASS|invalid (username-)?password",
        "it refuses the password of [redis] password_file, or of the url",
    ),
    (r"without any password configured", "it has no password, but [redis] gives one"),
    (r"DB index", "it has no database of the number in [redis] url"),
    (r"NOPERM|has no permissions", "its user lacks a permission (ACL)"),
    (r"BusyLoadingError", "it still loads its data"),
    (r"OutOfMemoryError|used memory > 'maxmemory'", "its memory is full (maxmemory)"),
    (r"MISCONF", "it cannot save to its disk, and takes nothing meanwhile"),
    (r"ReadOnlyError", "it is a replica, which takes nothing"),
    (r"max number of clients", "it has too many clients (maxclients)"),
    (r"InvalidResponse", "what listens there is no Redis"),
    (r"^ProxyError", "the proxy that the environment names (HTTPS_PROXY) is not to be reached"),
    (r"^SSLCertVerificationError: .*verify failed: (.*?) \(", r"its certificate: \1"),
    (r"^SSL\w*Error", "no TLS is spoken there"),
    (r"^ConnectionRefusedError", "nothing listens there: connection refused"),
    (r"^gaierror: \[Errno -3\]", "its name cannot be looked up now"),
    (r"^gaierror", "there is no host of that name"),
    (r"^(ConnectTimeout|TimeoutError: .*connecting)", "no connection in time"),
    (r"^(\w*Timeout|Timeout\w*|\w*TimeoutError)", "no answer in time"),
    (r"^FileNotFoundError", "there is no such socket"),
    (r"^(IncompleteRead|ChunkedEncodingError)", "the answer was cut"),
    (
        r"^(RemoteDisconnected|ConnectionResetError|BrokenPipeError|ConnectionAbortedError"
        r"|SMTPServerDisconnected)|Connection closed by server",
        "the connection was cut",
    ),
    (r"^LineTooLong", "a line of its head, or the size of a chunk, is too long"),
    (r"^(BadStatusLine|UnknownProtocol)", "what answers speaks no HTTP"),
)
_SHOWN_CHARACTERS = 200


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


class UnknownPatch(GiveUp):
    """There is no mail and no commit of the name that was asked for, or there are several."""


class NoPredecessor(GiveUp):
    """It is the first of its kind: nothing was before that it could be compared with."""


class UnknownProject(GiveUp):
    """The Patchwork, or the configuration, has no such project."""

    def __init__(
        self,
        message: str = "Patchwork has no such project (any more); if it was renamed, "
        "[mbox.patchwork] projects wants its number or its new name",
    ) -> None:
        """`message`: in a round, whose project is known, the default says it all."""
        super().__init__(message)


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


class PatchTooLarge(GiveUp):
    """Two patches cannot be compared in bounded time; the message says what is over the bound."""


class ServerUnavailable(TryAgainLater):
    """Timeouts, 5xx, 429 or cut answers, after the client's own retries."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        """`retry_after`: seconds that the server asked for, where it did."""
        super().__init__(message)
        self.retry_after = retry_after


class PushShareSpent(ServerUnavailable):
    """Push has sent its share of the day's requests; the rest is for sync."""


class Unreachable(ServerUnavailable):
    """Nothing answers at the url; where it never did, the url or the machine is to blame."""


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


class StoreNotWritable(StoreUnavailable):
    """No room, or no right to write: it does not pass until somebody does something."""


def in_words(error: BaseException) -> str:
    """What went wrong with a connection, without the jargon of the libraries it passed through."""
    texts = [f"{type(part).__name__}: {part}" for part in _parts(error)]
    for pattern, words in _IN_WORDS:
        for text in texts:
            if match := re.search(pattern, text):
                return match.expand(words)
    *_, innermost = _parts(error)
    words = getattr(innermost, "strerror", None) or str(innermost) or type(innermost).__name__
    return words[:_SHOWN_CHARACTERS]


def _parts(error: BaseException, depth: int = 8) -> Iterator[BaseException]:
    """An error, and those that it says it comes from."""
    yield error
    inner = (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args)
    for part in {id(part): part for part in inner if isinstance(part, BaseException)}.values():
        if depth:
            yield from _parts(part, depth - 1)
