"""What Patchwork should show of a group: for each of its patches check, state, comment, relation.

Pure. The same mail may be a patch in several projects: it is one revision, annotated in each.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from string import Formatter
from urllib.parse import quote

from patchsync.config.push_tables import PushTable
from patchsync.push.templates import Mention, Templates, View

LONGEST_URL = 200  # characters of a check's target_url; Patchwork refuses the check with a longer

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_TOP = r"(?:xn--[a-z0-9]{1,59}|[a-z](?:[a-z-]{0,61}[a-z]))"
# A stricter form of what Django takes for an address: no user, no letters beyond ASCII.
_URL = re.compile(
    rf"https?://(?:(?P<name>(?:{_LABEL}\.)+{_TOP}|localhost)"
    r"|(?P<ipv4>[0-9.]+)|\[(?P<ipv6>[0-9a-f:.]+)\])(?::[0-9]{1,5})?(?:[/?#][!-~]*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class PatchRef:
    """A patch, and the project that it is in."""

    patch_id: int
    project_id: int
    link_name: str


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A mail of the group, and where it is a patch."""

    message_id: str
    date: str  # YYYY/MM/DD, UTC, as in the index
    patches: tuple[PatchRef, ...]


@dataclass(frozen=True, kw_only=True)
class ProjectFacts:
    """What Patchwork says of a project (API 1.2 and later); `{}` stands for hash or message-id."""

    commit_url_format: str = ""
    list_archive_url_format: str = ""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check, in the terms of `POST patches/<id>/checks/`."""

    state: str
    description: str
    target_url: str


@dataclass(frozen=True, kw_only=True)
class PatchState:
    """A state, in the terms of `PATCH patches/<id>/`."""

    state: str
    commit_ref: str | None


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """What is wanted on a patch; None where a sink is off or has nothing to say."""

    check: Check | None = None
    state: PatchState | None = None
    comment: str | None = None
    # What a comment is about: the commits, and the message-ids of earlier revisions.
    about: tuple[str, ...] = ()
    # All patches of the group, ascending; none where it is alone. Also told while the sink is off.
    relation: tuple[int, ...] = ()


def annotate(
    revisions: Iterable[Revision],
    commits: Iterable[str],
    facts: Mapping[int, ProjectFacts],
    push: PushTable,
    wording: Templates,
) -> dict[int, Annotation]:
    """Return what is wanted on each patch of a group, by patch id.

    `facts`: by project id. A revision without a patch is not counted. What is one mail and not
    upstream gets no check, state or comment: there is nothing to say.

    Raises:
        ConfigError: a template fails on this group; the message names its key.
    """
    group = _Group(revisions, commits, facts)
    relation = tuple(sorted({patch.patch_id for patch in group.patches()}))
    annotations = {}
    for number, revision in enumerate(group.revisions, 1):
        for patch in revision.patches:
            wanted = Annotation(relation=relation if len(relation) > 1 else ())
            if len(group.revisions) > 1 or group.commits:
                wanted = _say(group, number, patch, wanted.relation, push, wording)
            annotations[patch.patch_id] = wanted
    return annotations


class _Group:
    """The revisions in order, and how they are called in each project."""

    def __init__(
        self,
        revisions: Iterable[Revision],
        commits: Iterable[str],
        facts: Mapping[int, ProjectFacts],
    ) -> None:
        counted = [revision for revision in revisions if revision.patches]
        self.revisions = sorted(counted, key=_age)
        self.commits = tuple(sorted(set(commits)))
        self._facts = facts
        self._mentions: dict[int, list[Mention]] = {}

    def patches(self) -> Iterator[PatchRef]:
        for revision in self.revisions:
            yield from revision.patches

    def facts(self, project_id: int) -> ProjectFacts:
        return self._facts.get(project_id, ProjectFacts())

    def mentions(self, project_id: int) -> list[Mention]:
        """The revisions, each by its patch in this project, else by its first anywhere."""
        if project_id not in self._mentions:
            self._mentions[project_id] = [
                self._mention(revision, project_id) for revision in self.revisions
            ]
        return self._mentions[project_id]

    def _mention(self, revision: Revision, project_id: int) -> Mention:
        patch = min(revision.patches, key=lambda p: (p.project_id != project_id, p.patch_id))
        archive = self.facts(patch.project_id).list_archive_url_format
        # As Patchwork links it: without brackets. Quoted, since it may hold a slash.
        name = quote(revision.message_id.strip("<>"), safe="@")
        return Mention(
            message_id=revision.message_id,
            date=revision.date,
            patch_id=patch.patch_id,
            url=_filled(archive, name),
        )


def _age(revision: Revision) -> tuple[str, int, str]:
    return revision.date, min(p.patch_id for p in revision.patches), revision.message_id


def _say(
    group: _Group,
    number: int,
    patch: PatchRef,
    relation: tuple[int, ...],
    push: PushTable,
    wording: Templates,
) -> Annotation:
    mentions = group.mentions(patch.project_id)
    commit_url = group.facts(patch.project_id).commit_url_format
    commit_urls = [url for each in group.commits if (url := _filled(commit_url, each))]
    view = View(
        number=number,
        total=len(mentions),
        earlier=mentions[: number - 1][::-1],
        later=mentions[number:],
        commits=group.commits,
        commit_urls=commit_urls,
    )
    check = state = comment = None
    if "check" in push.sinks and (shown := wording.check_state(view)):
        check = Check(
            state=shown,
            description=wording.description(view),
            target_url=_first_usable([*commit_urls[:1], mentions[-1].url]),
        )
    if "state" in push.sinks:
        if view.later:
            state = PatchState(state=push.state.superseded, commit_ref=None)
        elif group.commits:
            state = PatchState(state=push.state.accepted, commit_ref=group.commits[0])
    # On older revisions nobody reads it, and each would be a mail to the whole list.
    if "comment" in push.sinks and view.newest and _is_one_of(patch, push.comment.projects):
        comment = wording.comment(view)
    about = (*group.commits, *(each.message_id for each in view.earlier)) if comment else ()
    return Annotation(check=check, state=state, comment=comment, about=about, relation=relation)


def _is_one_of(patch: PatchRef, keys: Collection[str]) -> bool:
    """Whether a configured key, number or link name, is that of the patch's project."""
    named = {str(patch.project_id), patch.link_name.lower()}
    return any(key.lower() in named for key in keys)


def _filled(url_format: str, value: str) -> str:
    """The format with `value` for its `{}`; empty if it is empty or asks for more than that.

    Patchwork uses Python's format, of which a server's admin could ask for anything.
    """
    try:
        pieces = list(Formatter().parse(url_format))
    except ValueError:
        return ""
    if any(field not in (None, "", "0") or spec or how for _, field, spec, how in pieces):
        return ""
    return "".join(text + (value if field is not None else "") for text, field, _, _ in pieces)


def _first_usable(urls: Iterable[str]) -> str:
    """The first that Patchwork takes as a check's target_url; empty if it takes none."""
    return next(filter(_is_usable, urls), "")


def _is_usable(url: str) -> bool:
    match = _URL.fullmatch(url)
    if match is None or len(url) > LONGEST_URL:
        return False
    try:
        if match["ipv4"]:
            IPv4Address(match["ipv4"])
        if match["ipv6"]:
            IPv6Address(match["ipv6"])
    except ValueError:
        return False
    return True
