"""The stand-in as a process of its own, and a client for its controls.

with running_standin("--patches", "300") as standin:
    requests.get(f"{standin.url}/api/1.3/patches/?project=sample")
    standin.control.add("sample", 5)
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from standin.instance import NEIGHBOUR_TOKEN, NOBODY_TOKEN, TOKEN

__all__ = [
    "NEIGHBOUR_TOKEN",
    "NOBODY_TOKEN",
    "TOKEN",
    "Control",
    "StandinProcess",
    "running_standin",
    "start",
]

TIMEOUT = 10.0
"""Seconds for a control request, and for the process to end by itself."""


class Control:
    """The controls of a running stand-in; each method is one of `control`'s functions."""

    def __init__(self, url: str) -> None:
        self._root = f"{url}/_control"
        self._session = requests.Session()
        self._session.trust_env = False

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def stats(self) -> dict[str, Any]:
        """What the server counted; see `stats.Stats.report`."""
        return self._get("stats")

    def reset_stats(self) -> dict[str, Any]:
        """Count from zero again; returns what was counted before."""
        return self._post("stats/reset")

    def reset(self, patches: int, seed: int = 1) -> None:
        """Have the server be as just started with these; its address stays."""
        self._post("reset", patches=patches, seed=seed)

    def state(self) -> dict[str, Any]:
        """The ids of each project, the reserved ones, the relations, the tokens."""
        return self._get("state")

    def ids(self, project: str) -> list[int]:
        """The ids of one project, by its link name, ascending."""
        return list(self.state()["projects"][project])

    def fault(self, kind: str, **settings: object) -> None:
        """Switch a fault on; see `faults.Fault` for its kinds and settings."""
        self._post("faults", kind=kind, **settings)

    def faults(self) -> dict[str, Any]:
        """The latency and the faults that are not used up."""
        return self._get("faults")

    def clear_faults(self) -> None:
        """Switch all faults and the latency off."""
        self._post("faults/clear")

    def latency(self, seconds: float) -> None:
        """Let every request wait so long."""
        self._post("latency", seconds=seconds)

    def add(
        self,
        project: str,
        count: int = 1,
        *,
        days_back: float = 0.0,
        in_series: bool = True,
        visible: bool = True,
    ) -> list[int]:
        """New patches for a project; returns their ids. Not visible: only after `commit`."""
        return self._ids(
            "patches/add",
            project=project,
            count=count,
            days_back=days_back,
            in_series=in_series,
            visible=visible,
        )

    def revise(self, patch_id: int, *, days_back: float = 0.0, visible: bool = True) -> list[int]:
        """The next version of a patch, and of its series; returns the ids. See `add`."""
        return self._ids("patches/revise", id=patch_id, days_back=days_back, visible=visible)

    def commit(self, ids: Sequence[int]) -> None:
        """Make reserved patches visible."""
        self._post("patches/commit", ids=list(ids))

    def delete(self, ids: Sequence[int]) -> None:
        """Delete patches."""
        self._post("patches/delete", ids=list(ids))

    def move(self, ids: Sequence[int], project: str) -> None:
        """Put patches into another project."""
        self._post("patches/move", ids=list(ids), project=project)

    def rename(self, project: str, link_name: str) -> None:
        """Give a project another link name."""
        self._post("projects/rename", project=project, link_name=link_name)

    def reply(self, patch_id: int, tag: str) -> None:
        """Let a reply come in whose tag Patchwork folds into the mbox."""
        self._post("patches/reply", id=patch_id, tag=tag)

    def replace(self, patch_id: int, msgid: str) -> None:
        """Give an id to another message, as after a restore of the server."""
        self._post("patches/replace", id=patch_id, msgid=msgid)

    def rewrite(self, patch_id: int, body: str) -> None:
        """Give the mail of a patch another body."""
        self._post("patches/rewrite", id=patch_id, body=body)

    def _ids(self, path: str, **arguments: object) -> list[int]:
        return list(self._post(path, **arguments)["ids"])

    def _get(self, path: str) -> dict[str, Any]:
        return self._result(self._session.get(f"{self._root}/{path}", timeout=TIMEOUT))

    def _post(self, path: str, **arguments: object) -> dict[str, Any]:
        answer = self._session.post(f"{self._root}/{path}", json=arguments, timeout=TIMEOUT)
        return self._result(answer)

    @staticmethod
    def _result(answer: requests.Response) -> dict[str, Any]:
        result: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            raise ValueError(result["error"])
        return result


@dataclass(frozen=True, kw_only=True)
class StandinProcess:
    """A running stand-in: its address (no slash at the end), its controls, its process."""

    url: str
    control: Control
    process: subprocess.Popen[str]

    def stop(self) -> None:
        """End the process and wait for it."""
        self.control.close()
        self.process.terminate()
        try:
            self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(TIMEOUT)
        if self.process.stdout is not None:
            self.process.stdout.close()


def start(*arguments: str) -> StandinProcess:
    """Start `python -m standin` on a free port and wait until it answers.

    `arguments` are those of its command line. RuntimeError if it ends instead; why is then on
    standard error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "standin", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    # The line comes once the socket listens, so nothing has to be tried in a loop.
    try:
        url = process.stdout.readline().strip()
    except BaseException:  # Ctrl-C
        process.kill()
        process.wait()
        raise
    if not url:
        process.stdout.close()
        raise RuntimeError(f"the stand-in ended with status {process.wait(TIMEOUT)}")
    return StandinProcess(url=url, control=Control(url), process=process)


@contextlib.contextmanager
def running_standin(*arguments: str) -> Iterator[StandinProcess]:
    """A stand-in for the time of a `with` block."""
    standin = start(*arguments)
    try:
        yield standin
    finally:
        standin.stop()
