"""Faults that can be switched on while the server runs.

A fault applies to the next `times` requests whose route has the name `match` (any, if empty) and
whose method is `method` (any, if empty), and is then used up; the names are those of the table in
`routes`. Faults are tried in the order in which they were set, and at most one applies to a
request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

FaultKind = Literal["status", "cut", "html", "hang", "wrong-mbox", "foreign-project"]

FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)


@dataclass(kw_only=True)
class Fault:
    """One switched-on fault.

    `status`: answers with that status and, if `retry_after` is given, a Retry-After header. The
    request is not carried out, unless `after` is set: then it is, and only its answer is lost.
    `cut`: carries out, announces the whole body, sends half of it and closes.
    `html`: a page for people, with status 200. `hang`: never answers.
    `wrong-mbox`: the mbox bears another patch's id.
    `foreign-project`: the first patch of a list belongs to another project.
    `times` -1: until the faults are cleared.
    """

    kind: FaultKind
    times: int = 1
    match: str = ""
    method: str = ""
    status: int = 503
    retry_after: str | None = None
    after: bool = False

    @property
    def instead(self) -> bool:
        """Whether the request is not carried out at all."""
        return self.kind == "html" or (self.kind == "status" and not self.after)


class Faults:
    """The faults that are switched on, and the latency in seconds that every request meets."""

    def __init__(self, latency: float = 0.0) -> None:
        self.latency = latency
        self._pending: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Switch a fault on; ValueError for an unknown kind."""
        if fault.kind not in FAULT_KINDS:
            raise ValueError(f"unknown fault {fault.kind!r}; there are {', '.join(FAULT_KINDS)}")
        self._pending.append(fault)

    def clear(self) -> None:
        """Switch all faults off, and the latency."""
        self.latency = 0.0
        self._pending.clear()

    def take(self, route: str, method: str) -> Fault | None:
        """The fault that applies to a request of this route and method, counted as used."""
        for fault in self._pending:
            if fault.match in ("", route) and fault.method in ("", method):
                if fault.times > 0:
                    fault.times -= 1
                if fault.times == 0:
                    self._pending.remove(fault)
                return fault
        return None

    def pending(self) -> list[Fault]:
        """The faults that are not used up."""
        return list(self._pending)
