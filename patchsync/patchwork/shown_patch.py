"""What a Patchwork's lists show of a patch beside its mail: what people, and checks, made of it.

All of it comes from a server, or through a message: it is cut to what Patchwork itself takes, and
what is something else reads as None.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

LARGEST_ID = 2**63 - 1
# Characters that Patchwork takes: a state's slug, a user's name; a commit, the name of a series
LONGEST_NAME = 150
LONGEST_TEXT = 255
LARGEST_VERSION = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownPatch:
    """A patch as a list showed it; None also where the list did not say."""

    patch_id: int
    # The slug, as in `under-review`
    state: str | None = None
    archived: bool | None = None
    # Of all its checks together: pending, success, warning or fail
    check: str | None = None
    series_id: int | None = None
    series_name: str | None = None
    series_version: int | None = None
    # Username of who is to look at it
    delegate: str | None = None
    # Of the commit that it became, as a person, or we, named it
    commit_ref: str | None = None

    def to_row(self) -> tuple[Any, ...]:
        """Its fields in order, for a message or a table."""
        return _ROW(self)

    @classmethod
    def from_row(
        cls,
        patch_id: object,
        state: object,
        archived: object,
        check: object,
        series_id: object,
        series_name: object,
        series_version: object,
        delegate: object,
        commit_ref: object,
    ) -> ShownPatch:
        """Read what `to_row` wrote, of whatever values; ValueError where it is of no patch."""
        number = bounded_number(patch_id)
        if number is None:
            raise ValueError("no patchwork id")
        return cls(
            patch_id=number,
            state=bounded_text(state, LONGEST_NAME),
            archived=archived if isinstance(archived, bool) else None,
            check=bounded_text(check, LONGEST_NAME),
            series_id=bounded_number(series_id),
            series_name=bounded_text(series_name, LONGEST_TEXT),
            series_version=bounded_number(series_version, LARGEST_VERSION),
            delegate=bounded_text(delegate, LONGEST_NAME),
            commit_ref=bounded_text(commit_ref, LONGEST_TEXT),
        )


COLUMNS = tuple(field.name for field in fields(ShownPatch))
_ROW = attrgetter(*COLUMNS)


def bounded_text(value: object, most: int) -> str | None:
    """Text of at most so many characters, the rest cut; None for what is no text, or empty."""
    if not isinstance(value, str) or not value:
        return None
    # Half a surrogate pair, which JSON may hold, is nothing that can be written.
    return value[:most].encode(errors="replace").decode()


def bounded_number(value: object, most: int = LARGEST_ID) -> int | None:
    """A number from 1; None for anything else."""
    return value if type(value) is int and 0 < value <= most else None
