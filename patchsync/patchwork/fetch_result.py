"""What a fetch brings home, from HTTP or from an archive, and as it is until it is in the store."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

from patchsync.errors import GiveUp
from patchsync.patchwork.mbox import Mail, MailError, parse_mail
from patchsync.patchwork.shown_patch import ShownPatch


@dataclass(frozen=True, kw_only=True)
class FetchResult:
    """Mails, what cannot be had, what was seen; the last one of a leased task ends its lease."""

    mails: tuple[Mail, ...] = ()
    # (patchwork id, why its mail cannot be stored)
    quarantined: tuple[tuple[int, str], ...] = ()
    # Ids of ours that Patchwork was seen not to list any more
    gone: tuple[int, ...] = ()
    # (patchwork id, message-id) that it was seen to list
    listed: tuple[tuple[int, str], ...] = ()
    # When they were asked for, if one answer listed just these: by Redis' clock, seconds since 1970
    listed_at: float = 0.0
    # What it was seen to show of these, and when it was asked, in seconds since 1970
    shown: tuple[ShownPatch, ...] = ()
    shown_at: float = 0.0
    # What `Leases.take` leased for the work that ends with this
    lease: str | None = None

    def to_message(self) -> dict[str, Any]:
        """As JSON can hold it; `from_message` reads it.

        Mails are nearly always UTF-8, and what is not survives as lone surrogates.
        """
        return {
            "mails": [
                (mail.patch_id, mail.message_id, mail.date, _text(mail.content))
                for mail in self.mails
            ],
            "quarantined": self.quarantined,
            "gone": self.gone,
            "listed": self.listed,
            "listed_at": self.listed_at,
            "shown": [patch.to_row() for patch in self.shown],
            "shown_at": self.shown_at,
            "lease": self.lease,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> FetchResult:
        """Read what `to_message` wrote.

        Raises:
            GiveUp: it is something else.
        """
        try:
            # An older patchsync sent the mails alone, and called the others otherwise.
            refused = message["quarantined"] if "quarantined" in message else message["set_aside"]
            return cls(
                mails=tuple(
                    _parsed(mail) if isinstance(mail, str) else _mail(*mail)
                    for mail in message["mails"]
                ),
                quarantined=tuple((int(i), str(reason)) for i, reason in refused),
                gone=tuple(int(patch_id) for patch_id in message["gone"]),
                listed=tuple((int(i), str(message_id)) for i, message_id in message["listed"]),
                # An older one noted neither.
                listed_at=_time(message.get("listed_at", 0.0)),
                shown=tuple(ShownPatch.from_row(*row) for row in message.get("shown", ())),
                shown_at=_time(message.get("shown_at", 0.0)),
                lease=message["lease"],
            )
        except (KeyError, TypeError, ValueError, AttributeError, MailError) as error:
            raise GiveUp(f"not what a fetch task delivers: {type(error).__name__}") from error

    def summary(self) -> str:
        """For logs and Flower: numbers, never a mail."""
        numbers = {
            "mails": len(self.mails),
            "quarantined": len(self.quarantined),
            "gone": len(self.gone),
            "listed": len(self.listed),
        }
        return (
            ", ".join(f"{number} {what}" for what, number in numbers.items() if number) or "nothing"
        )


def _time(value: Any) -> float:
    if not isfinite(seconds := float(value)):
        raise ValueError("no time")
    return seconds


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _mail(patch_id: int, message_id: str, date: str, text: str) -> Mail:
    content = text.encode("utf-8", "surrogateescape")
    return Mail(patch_id=int(patch_id), message_id=str(message_id), date=str(date), content=content)


def _parsed(text: str) -> Mail:
    # The store's file is what Patchwork rendered and one newline.
    return parse_mail(text.encode("utf-8", "surrogateescape").removesuffix(b"\n"))
