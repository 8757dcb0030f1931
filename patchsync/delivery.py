"""What a fetch task hands to an index task: mails, what cannot be had, and what was seen.

In a message the mails are text: they are nearly always UTF-8, and what is not survives as lone
surrogates, which JSON can hold. Celery compresses the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from patchsync.errors import GiveUp
from patchsync.patchwork.mbox import Mail, MailError, parse_mail


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Some of the outcome of one task; the last one of a leased task gives the lease back."""

    mails: tuple[Mail, ...] = ()
    # (patchwork id, why its mail cannot be stored)
    set_aside: tuple[tuple[int, str], ...] = ()
    # Ids of ours that Patchwork was seen not to list any more
    gone: tuple[int, ...] = ()
    # (patchwork id, message-id) that it was seen to list
    listed: tuple[tuple[int, str], ...] = ()
    # What `Board.take` leased for the work that ends with this
    lease: str | None = None

    def to_message(self) -> dict[str, Any]:
        """As JSON can hold it; `from_message` reads it."""
        return {
            "mails": [mail.content.decode("utf-8", "surrogateescape") for mail in self.mails],
            "set_aside": self.set_aside,
            "gone": self.gone,
            "listed": self.listed,
            "lease": self.lease,
        }

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Delivery:
        """Read what `to_message` wrote.

        Raises:
            GiveUp: it is something else.
        """
        try:
            return cls(
                mails=tuple(_mail(text) for text in message["mails"]),
                set_aside=tuple((int(number), str(why)) for number, why in message["set_aside"]),
                gone=tuple(int(number) for number in message["gone"]),
                listed=tuple((int(number), str(name)) for number, name in message["listed"]),
                lease=message["lease"],
            )
        except (KeyError, TypeError, ValueError, AttributeError, MailError) as error:
            raise GiveUp(f"not what a fetch task delivers: {type(error).__name__}") from error

    def summary(self) -> str:
        """For logs and Flower: numbers, never a mail."""
        numbers = {
            "mails": len(self.mails),
            "set aside": len(self.set_aside),
            "gone": len(self.gone),
            "listed": len(self.listed),
        }
        return (
            ", ".join(f"{number} {what}" for what, number in numbers.items() if number) or "nothing"
        )


def _mail(text: str) -> Mail:
    content = text.encode("utf-8", "surrogateescape")
    # The store's file is what Patchwork rendered and one newline.
    return parse_mail(content.removesuffix(b"\n"))
