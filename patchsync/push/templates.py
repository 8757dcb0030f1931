"""The words of checks and comments: the templates of `[push]`, in Jinja's language.

A template sees `number` and `total` (of this revision, from 1, and of all), `earlier` and `later`
(lists, nearest first, of what has `message_id`, `date`, `patch_id` and `url`), `newest` (whether
there is no later one), `commits` (full hashes; the filter `short` leaves 12 digits) and
`commit_urls` (one for each commit, or none at all) and `page_url` (of the revision's page, empty
without `[web] url`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import Environment, StrictUndefined, Template, TemplateSyntaxError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from patchsync.config.push_tables import CHECK_STATE, COMMENT, DESCRIPTION, PushTable
from patchsync.errors import ConfigError
from patchsync.push.kept_checks import FORMER_DESCRIPTION

LONGEST_DESCRIPTION = 1000  # characters; Patchwork has no limit, its list of checks gets unreadable
CHECK_STATES = ("pending", "success", "warning", "fail")
_ELLIPSIS = "…"
# What is the same for many revisions, of all that a template sees
_OF_FEW_VALUES = {"number", "total", "newest", "commits", "page_url"}
_MOST_TEXTS = 1000


@dataclass(frozen=True, kw_only=True)
class Mention:
    """Another revision, as it is called in the project of the patch that is written about."""

    message_id: str
    date: str  # YYYY/MM/DD, UTC
    patch_id: int
    url: str  # in the list's archive; empty where the project has none


@dataclass(frozen=True, kw_only=True)
class TemplateContext:
    """What a template sees of a revision."""

    earlier: Sequence[Mention]
    later: Sequence[Mention]
    commits: Sequence[str]
    commit_urls: Sequence[str]
    page_url: str = ""

    @property
    def newest(self) -> bool:
        """Whether there is no later one."""
        return not self.later

    @cached_property
    def names(self) -> dict[str, object]:
        """What a template sees, by name."""
        number = len(self.earlier) + 1
        return vars(self) | {
            "number": number,
            "total": number + len(self.later),
            "newest": self.newest,
            "commits": tuple(self.commits),
        }


class Templates:
    """The templates of a configuration, ready to use."""

    def __init__(self, push: PushTable) -> None:
        """Read the templates, and try them on an example of each kind.

        Raises:
            ConfigError: one cannot be used; the message names its key.
        """
        self._description = _Text("[push.check] description", push.check.description)
        self._former = None
        if push.check.description == DESCRIPTION:
            self._former = _Text("the former description", FORMER_DESCRIPTION)
        self._state = _Text("[push.check] state", push.check.state)
        self._comment = _Text("[push.comment] template", push.comment.template)
        for context in _examples():
            self.description(context)
            self.check_state(context)
            self.comment(context)

    def description(self, context: TemplateContext) -> str:
        """A check's description, one line of at most `LONGEST_DESCRIPTION`; raises ConfigError."""
        return _line(self._description.render(context))

    def former_description(self, context: TemplateContext) -> str | None:
        """What the former default says; None where the configuration has its own description."""
        return _line(self._former.render(context)) if self._former else None

    def check_state(self, context: TemplateContext) -> str | None:
        """A check's state, None for no check; raises ConfigError."""
        state = self._state.render(context).strip()
        if state and state not in CHECK_STATES:
            raise ConfigError(
                f"{self._state.key}: it gives {state[:100]!r}; "
                f"it may give {', '.join(CHECK_STATES)} or nothing"
            )
        return state or None

    def comment(self, context: TemplateContext) -> str | None:
        """A comment's text, None for no comment; raises ConfigError."""
        lines = self._comment.render(context).strip().splitlines()
        return "\n".join(line.rstrip() for line in lines) or None


class _Text:
    """A template, and the key that it stands under."""

    def __init__(self, key: str, source: str) -> None:
        self.key = key
        try:
            jinja = _OURS if source in _DEFAULTS else _JINJA
            self._template: Template = jinja.from_string(source)
        except TemplateSyntaxError as error:
            raise ConfigError(f"{key}: {error.message} (line {error.lineno} of it)") from error
        # Jinja's own are two maps in one, slow to go through; each rendering does.
        self._template.globals = self._globals = dict(self._template.globals)
        self._texts: dict[tuple[object, ...], str] = {}
        used = find_undeclared_variables(jinja.parse(source))
        self._few = sorted(used) if used <= _OF_FEW_VALUES else None

    def render(self, context: TemplateContext) -> str:
        if self._few is None:
            return self._render(context)
        # It can say little: each text is made once.
        values = tuple([context.names[name] for name in self._few])
        text = self._texts.get(values)
        if text is None:
            if len(self._texts) >= _MOST_TEXTS:
                self._texts.clear()
            text = self._texts[values] = self._render(context)
        return text

    def _render(self, context: TemplateContext) -> str:
        try:
            # As `Template.render`, which copies the names once more.
            names = self._globals | context.names
            return "".join(
                self._template.root_render_func(self._template.new_context(names, shared=True))
            )
        # Whatever its expressions can raise: all of it is the template's fault.
        except Exception as error:
            raise ConfigError(f"{self.key}: {error}") from error


def _line(text: str) -> str:
    line = " ".join(text.split())
    if len(line) > LONGEST_DESCRIPTION:
        line = line[: LONGEST_DESCRIPTION - len(_ELLIPSIS)].rstrip() + _ELLIPSIS
    return line


def _short(commit: str) -> str:
    return commit[:12]


_OPTIONS: dict[str, Any] = {
    "autoescape": False,
    "trim_blocks": True,
    "lstrip_blocks": True,
    "undefined": StrictUndefined,
}
_JINJA = ImmutableSandboxedEnvironment(**_OPTIONS)
# The sandbox is half of the time that a text takes, and ours need none.
_DEFAULTS = (DESCRIPTION, FORMER_DESCRIPTION, CHECK_STATE, COMMENT)
_OURS = Environment(**_OPTIONS)  # noqa: S701 - no HTML
for _jinja in (_JINJA, _OURS):
    _jinja.filters["short"] = _short


def _examples() -> Iterator[TemplateContext]:
    """Revisions of each kind: the last, the first, one amid; of no, one and two commits."""
    mentions = [
        Mention(message_id=f"<{n}@example.org>", date="2020/01/01", patch_id=n, url="")
        for n in (1, 2)
    ]
    for earlier, later in ((mentions, []), ([], mentions), (mentions[:1], mentions[1:])):
        for commits, urls in (
            ([], []),
            (["0" * 40], []),
            (["0" * 40, "1" * 40], ["https://example.org/0", "https://example.org/1"]),
        ):
            yield TemplateContext(earlier=earlier, later=later, commits=commits, commit_urls=urls)
