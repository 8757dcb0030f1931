"""What the demo sees: PaStA's index and groups as they lie on disk, and what Patchwork answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import requests

from patchsync.analysis.groups import read_groups
from patchsync.config import Config
from patchsync.errors import TryAgainLater
from patchsync.store.gone import read_gone
from patchsync.store.layout import parse_line
from patchsync.sync.projects import find_projects

TIMEOUT = 10.0
USER_AGENT = "patchsync-demo"

Ids = frozenset[int]


class NotSeen(click.ClickException):
    """What should have come did not; exit status 1."""


class StoreView:
    """What PaStA finds on disk."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def ids(self) -> set[int]:
        """The patchwork ids in all indexes of the configured projects."""
        return set(self._message_ids())

    def gone(self) -> set[int]:
        """Those that Patchwork does not list any more."""
        return {
            patch_id
            for project in find_projects(self._config)
            for patch_id in read_gone(project.paths.gone)
        }

    def groups(self) -> list[Ids]:
        """patch-groups, by patchwork ids; empty before there is one."""
        message_ids = self._message_ids()
        ids: dict[str, set[int]] = {}
        for number, message_id in message_ids.items():
            ids.setdefault(message_id, set()).add(number)
        try:
            groups = [group.message_ids for group in read_groups(self._config.patch_groups)]
        except TryAgainLater:
            return []
        # An index that was read before the groups may lack what is new in them.
        return [frozenset(id_ for name in group for id_ in ids.get(name, ())) for group in groups]

    def group_of(self, patch_id: int) -> Ids:
        """The group that a patch is in; empty while it is in none."""
        return next((group for group in self.groups() if patch_id in group), frozenset())

    def _message_ids(self) -> dict[int, str]:
        message_ids = {}
        for project in find_projects(self._config):
            if project.paths.index.exists():
                # The last line may not be whole yet.
                for line in project.paths.index.read_bytes().split(b"\n")[:-1]:
                    entry = parse_line(line)
                    message_ids[entry.patch_id] = entry.message_id
        return message_ids


@dataclass(frozen=True, kw_only=True)
class ListedPatch:
    """What Patchwork lists of a patch."""

    name: str
    project: str
    related: Ids
    # Whether it has a check, of whatever state
    checked: bool


class PagesView:
    """What the fleet's own pages say."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def of(self, patch_id: int) -> str:
        """The page of a patch."""
        return f"{self._url}/r/{patch_id}"

    def revisions(self, patch_id: int) -> Ids:
        """The patches that are revisions of one; none while the pages do not know it."""
        try:
            answer = self._session.get(f"{self.of(patch_id)}.json", timeout=TIMEOUT)
            content = answer.json() if answer.ok else {"revisions": []}
        except requests.RequestException:
            return frozenset()
        patches = [patch for mail in content["revisions"] for patch in mail["patches"]]
        return frozenset(patch["id"] for patch in patches)


class PatchworkView:
    """What the REST API of the sample Patchwork answers to anybody."""

    def __init__(self, url: str, context: str) -> None:
        """`context`: of the checks."""
        self._root = f"{url}/api/1.3"
        self._context = context
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["User-Agent"] = USER_AGENT

    def name(self, patch_id: int) -> str:
        """The name of a patch."""
        return str(self._get(f"patches/{patch_id}/")["name"])

    def related(self, patch_id: int) -> Ids:
        """The patches that one is related to."""
        return frozenset(patch["id"] for patch in self._get(f"patches/{patch_id}/")["related"])

    def check(self, patch_id: int) -> str | None:
        """State and description of its newest check of our context; None where it has none."""
        rows = self._get(f"patches/{patch_id}/checks/?order=-id&per_page=1&context={self._context}")
        return next((f"{row['state']}: {row['description']}" for row in rows), None)

    def all(self) -> dict[int, ListedPatch]:
        """All patches, by their ids."""
        return {
            entry["id"]: ListedPatch(
                name=entry["name"],
                project=entry["project"]["link_name"],
                related=frozenset(patch["id"] for patch in entry["related"]),
                checked=entry["check"] != "pending",
            )
            for entry in self._entries()
        }

    def _entries(self) -> Iterator[Any]:
        url: str | None = f"{self._root}/patches/?order=id&per_page=250"
        while url:
            answer = self._ask(url)
            yield from answer.json()
            url = answer.links.get("next", {}).get("url")

    def _get(self, path: str) -> Any:
        return self._ask(f"{self._root}/{path}").json()

    def _ask(self, url: str) -> requests.Response:
        try:
            answer = self._session.get(url, timeout=TIMEOUT)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise NotSeen(f"the sample Patchwork does not answer as it should: {error}") from error
        return answer
