"""What Patchwork should show of a group: for each of its patches check, state, comment, relation.

Pure. The same mail may be a patch in several projects: it is one revision, annotated in each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache
from string import Formatter
from typing import NamedTuple
from urllib.parse import quote

from patchsync.config.addresses import is_target_url, page_address
from patchsync.config.push_tables import PushTable
from patchsync.patchwork.foreign_text import visible
from patchsync.push.authorship import UNKNOWN_ORIGIN, Origin, are_one_work, superseded
from patchsync.push.entries import (
    CheckValue,
    CommentValue,
    Desired,
    Sink,
    StateValue,
    Value,
)
from patchsync.push.kept_checks import still_right
from patchsync.push.relation.neighbourhood import MOST_PATCHES
from patchsync.push.templates import Mention, TemplateContext, Templates


class PatchRef(NamedTuple):
    """A patch, and the project that it is in, by their ids."""

    patch_id: int
    project_id: int


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A mail of the group, and where it is a patch."""

    message_id: str
    date: str  # YYYY/MM/DD, UTC, as in the index
    patches: tuple[PatchRef, ...]
    # Where states are set by it
    origin: Origin = UNKNOWN_ORIGIN


@dataclass(frozen=True, kw_only=True)
class ProjectFacts:
    """What Patchwork says of a project (API 1.2 and later); `{}` stands for hash or message-id."""

    commit_url_format: str = ""
    list_archive_url_format: str = ""


_NO_FACTS = ProjectFacts()
_SINKS = {str(sink): sink for sink in Sink}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What decides what the patches of a group should show, beside the group."""

    push: PushTable
    templates: Templates
    # By project id
    facts: Mapping[int, ProjectFacts]
    # `[web] url`, where checks lead
    web_url: str = ""
    # The ids of the projects whose lists get comments, and the first day (as in `Revision`) of
    # which patches do
    commented: Set[int] = frozenset()
    oldest: str = ""


def annotate(
    revisions: Iterable[Revision],
    commits: Iterable[str],
    rules: Rules,
    shown: Mapping[int, CheckValue] | None = None,
) -> Iterator[Desired]:
    """Yield what is desired on each patch of a group, in each sink that is on.

    A revision without a patch is not counted. What is one mail and not upstream gets no check,
    state or comment: there is nothing to say. Of more than `MOST_PATCHES` only the first wants a
    relation, with some of the others: that it is too much is told of it. `shown`: the checks that
    patches have, by id; one that is still right stays as it is.

    Raises:
        ConfigError: a template fails on this group; the message names its key.
    """
    group = _Group(revisions, commits, rules, shown or {})
    sinks = [_SINKS[name] for name in rules.push.sinks]
    for place, revision in enumerate(group.revisions):
        for patch in revision.patches:
            values = group.values(place, patch)
            for sink in sinks:
                yield Desired(patch.patch_id, patch.project_id, sink, values.get(sink))


class _Group:
    """The revisions in order, and how they and the commits are called in each project."""

    def __init__(
        self,
        revisions: Iterable[Revision],
        commits: Iterable[str],
        rules: Rules,
        shown: Mapping[int, CheckValue],
    ) -> None:
        counted = [revision for revision in revisions if revision.patches]
        self.revisions = sorted(counted, key=_age)
        self._commits = tuple(sorted(set(commits)))
        self._rules = rules
        self._shown = shown
        related = frozenset(patch.patch_id for each in counted for patch in each.patches)
        self._relation = related if 1 < len(related) <= MOST_PATCHES else None
        # The ledger would grow with the square, for what is never written: one says so for all.
        too_many = sorted(related)[: MOST_PATCHES + 1] if len(related) > MOST_PATCHES else []
        self._told = dict.fromkeys(too_many[:1], frozenset(too_many))
        self._mentions: dict[int, list[Mention]] = {}

    def values(self, place: int, patch: PatchRef) -> dict[Sink, Value | None]:
        """What is desired on a patch of the revision at this place, if the sinks are on."""
        relation = self._told.get(patch.patch_id, self._relation)
        values: dict[Sink, Value | None] = {Sink.RELATION: relation}
        if len(self.revisions) < 2 and not self._commits:
            return values
        push, templates = self._rules.push, self._rules.templates
        mentions = self._mentions_in(patch.project_id)
        url_format = self._facts_of(patch.project_id).commit_url_format
        context = TemplateContext(
            earlier=mentions[:place][::-1],
            later=mentions[place + 1 :],
            commits=self._commits,
            commit_urls=[url for each in self._commits if (url := _filled(url_format, each))],
            page_url=self._page_url(place, patch.patch_id),
        )
        if Sink.CHECK in push.sinks:
            values[Sink.CHECK] = self._check(place, patch, context)
        if Sink.STATE in push.sinks:
            values[Sink.STATE] = self._state(place)
        # On older revisions nobody reads it, and each would be a mail to the whole list.
        newest = context.newest and self.revisions[place].date >= self._rules.oldest
        is_on = patch.project_id in self._rules.commented
        if newest and is_on and (text := templates.comment(context)):
            about = sorted([*self._commits, *(each.message_id for each in context.earlier)])
            values[Sink.COMMENT] = CommentValue(text=text, about=tuple(about))
        return values

    def _check(self, place: int, patch: PatchRef, context: TemplateContext) -> CheckValue | None:
        own = self._mentions_in(patch.project_id)[place]
        templates = self._rules.templates
        state = templates.check_state(context)
        if state is None:
            return None
        next_url = (context.later or [own])[0].url
        check = CheckValue(
            state=state,
            description=templates.description(context),
            target_url=_first_usable([context.page_url, *context.commit_urls[:1], next_url]),
        )
        shown = self._shown.get(patch.patch_id)
        if shown is None or shown == check:
            return check
        good_urls: list[str] | None = [
            each.url for each in context.later if not context.commit_urls
        ]
        # No check is worth another one for where the pages are, were, or are no more.
        pages = self._pages("", place, patch.patch_id)
        if context.page_url or (shown.target_url.endswith(pages) and shown.target_url != own.url):
            good_urls = None
        former = templates.former_description(context)
        return shown if still_right(shown, check, former, good_urls) else check

    def _page_url(self, place: int, patch_id: int) -> str:
        """The page of a revision, where there are pages and a check may link to it; else ""."""
        web_url = self._rules.web_url
        return _first_usable(self._pages(web_url, place, patch_id)) if web_url else ""

    def _pages(self, web_url: str, place: int, patch_id: int) -> tuple[str, ...]:
        """The addresses of a revision's page: by its message-id, and the short one by its patch."""
        names = (self.revisions[place].message_id, str(patch_id))
        return tuple(page_address(web_url, name) for name in names)

    def _state(self, place: int) -> StateValue | None:
        table = self._rules.push.state
        if self._superseded[place]:
            return StateValue(state=table.superseded, commit_ref=None)
        if self._commits and (table.superseded_by == "anyone" or self._are_one_work):
            return StateValue(state=table.accepted, commit_ref=self._commits[0])
        return None

    @cached_property
    def _superseded(self) -> list[bool]:
        return superseded(self._origins, self._rules.push.state.superseded_by)

    @cached_property
    def _are_one_work(self) -> bool:
        return are_one_work(self._origins)

    @property
    def _origins(self) -> list[Origin]:
        return [revision.origin for revision in self.revisions]

    def _mentions_in(self, project_id: int) -> list[Mention]:
        """The revisions, each by its patch in this project, else by its first anywhere."""
        if project_id not in self._mentions:
            self._mentions[project_id] = [
                self._mention(revision, project_id) for revision in self.revisions
            ]
        return self._mentions[project_id]

    def _mention(self, revision: Revision, project_id: int) -> Mention:
        patch = revision.patches[0]
        if len(revision.patches) > 1:
            patch = min(revision.patches, key=lambda p: (p.project_id != project_id, p.patch_id))
        url_format = self._facts_of(patch.project_id).list_archive_url_format
        # As Patchwork links it: without brackets. Quoted, since it may hold a slash.
        name = quote(revision.message_id.strip("<>"), safe="@") if url_format else ""
        return Mention(
            message_id=visible(revision.message_id),
            date=revision.date,
            patch_id=patch.patch_id,
            url=_filled(url_format, name) if url_format else "",
        )

    def _facts_of(self, project_id: int) -> ProjectFacts:
        return self._rules.facts.get(project_id, _NO_FACTS)


def _age(revision: Revision) -> tuple[str, int, str]:
    return revision.date, min([p.patch_id for p in revision.patches]), revision.message_id


def _filled(url_format: str, value: str) -> str:
    """The format with `value` for its `{}`; empty if it is empty or asks for more than that."""
    return value.join(_pieces(url_format))


@lru_cache(maxsize=256)  # each project has two
def _pieces(url_format: str) -> tuple[str, ...]:
    """What stands between the places of a value; none where the format cannot be used.

    Patchwork uses Python's format, of which a server's admin could ask for anything.
    """
    try:
        pieces = list(Formatter().parse(url_format))
    except ValueError:
        return ()
    if any(field not in (None, "", "0") or spec or how for _, field, spec, how in pieces):
        return ()
    texts = [""]
    for text, field, _, _ in pieces:
        texts[-1] += text
        if field is not None:
            texts.append("")
    return tuple(texts)


def _first_usable(urls: Iterable[str]) -> str:
    """The first that Patchwork takes as a check's target_url; empty if it takes none."""
    return next((url for url in urls if url and is_target_url(url)), "")
