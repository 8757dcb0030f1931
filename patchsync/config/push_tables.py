"""The tables of `[push]`: what of PaStA's results goes to Patchwork, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from patchsync.config.tables import ProjectKey, Table, text_like

SinkName = Literal["check", "relation", "state", "comment"]
# The slug of a state in Patchwork's REST API, as in `under-review`.
StateSlug = Annotated[
    str, text_like("[a-z0-9_-]{1,255}", "wants a state's slug: small letters, digits and _ -")
]

# By what a later revision supersedes an earlier one: `patchsync.push.authorship`.
SupersededBy = Literal["author-or-thread", "author", "anyone"]

# What templates see: `patchsync.push.templates`.
# It names neighbours only: another revision changes the checks of two others at most, wherever it
# comes to stand, and none of them can be taken back.
DESCRIPTION = """
{% if earlier %}earlier revision: {{ earlier[0].patch_id }}{% endif %}
{% if earlier and later %}; {% endif %}
{% if later %}later revision: {{ later[0].patch_id }}{% endif %}
{% if total > 1 and commits %}; {% endif %}
{% if commits %}upstream in {{ commits | map("short") | join(", ") }}{% endif %}
""".strip()

CHECK_STATE = "{% if newest or commits %}success{% else %}warning{% endif %}"

COMMENT = """
{% if earlier %}
PaStA finds that this is revision {{ number }} of a patch. Earlier revisions:
{% for revision in earlier %}
  {{ revision.date }}  {{ revision.url or revision.message_id }}
{% endfor %}
{% endif %}
{% if commits %}
PaStA finds that this is upstream:
{% for commit in commits %}
  {{ commit_urls[loop.index0] if commit_urls else commit }}
{% endfor %}
{% endif %}
""".strip()


class CheckTable(Table):
    """`[push.check]`: a check on each patch that has other revisions or is upstream."""

    context: Annotated[
        str, text_like("[A-Za-z0-9_-]{1,255}", "wants at most 255 letters, digits and _ -")
    ] = "pasta"
    description: str = Field(default=DESCRIPTION, description="template; becomes one line")
    state: str = Field(
        default=CHECK_STATE,
        description="template: pending, success, warning or fail; nothing is no check",
    )
    per_group_and_day: int = Field(
        default=50, ge=1, description="checks on the revisions of one patch in a day (UTC)"
    )


class RelationTable(Table):
    """`[push.relation]`: the revisions of a patch as `related` in Patchwork."""

    most: int = Field(default=100, ge=2, le=200, description="patches in one relation")
    foreign: Literal["join", "leave"] = Field(
        default="join", description="what a person related of a group: the rest joins it, or not"
    )


class StateTable(Table):
    """`[push.state]`: the state of a patch, in the slugs that the Patchwork has."""

    superseded: StateSlug = "superseded"
    superseded_by: SupersededBy = Field(
        default="author-or-thread", description="whose later revision makes an earlier one so"
    )
    accepted: StateSlug = "accepted"
    only_from: tuple[StateSlug, ...] = Field(
        default=("new", "under-review"), description="a patch in another state is left alone"
    )


class CommentTable(Table):
    """`[push.comment]`: a mail to the list, in reply to the patch."""

    projects: tuple[ProjectKey, ...] = Field(
        default=(), description="as they are written in [mbox.patchwork]"
    )
    smtp_host: str = ""
    smtp_port: int | None = Field(default=None, ge=1, le=65535)
    smtp_user: str = ""
    smtp_password_file: Path | None = None
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Annotated[
        str, text_like(r"([^@\s]+@[^@\s]+)?", "wants an address, like patchsync@example.org")
    ] = ""
    max_age_days: int = Field(default=30, ge=1, description="nothing is said of older patches")
    per_hour: int = Field(default=20, ge=1, description="mails, over all projects")
    template: str = Field(default=COMMENT, description="template; nothing is no mail")

    @field_validator("projects", mode="before")
    @classmethod
    def _numbers_or_names(cls, value: object) -> object:
        """A number stands for itself, as in `project_ids`."""
        if not isinstance(value, (list, tuple)):
            return value
        return [str(key) if type(key) is int else key for key in value]

    @property
    def port(self) -> int:
        """The port of the SMTP server; where none is set, the one that goes with the security."""
        return self.smtp_port or {"starttls": 587, "tls": 465, "none": 25}[self.smtp_security]

    @model_validator(mode="after")
    def _whole_login(self) -> Self:
        if bool(self.smtp_user) != bool(self.smtp_password_file):
            raise ValueError("has one of smtp_user and smtp_password_file; set both or none")
        return self


class PushTable(Table):
    """`[push]`: which sinks are on; none by default."""

    sinks: tuple[SinkName, ...] = ()
    groups: str = Field(default="", description="PaStA's patch-groups; empty: beside its mbox")
    answer_seconds: float = Field(
        default=120, ge=1, description="the server's time-out: a lost answer is waited for"
    )
    audit_pages: int = Field(default=2, ge=1, description="pages of 250 patches in a round")
    requests_share: float = Field(
        default=0.5, gt=0, lt=1, description="of requests_per_day; the rest is for sync"
    )
    check: CheckTable = CheckTable()
    relation: RelationTable = RelationTable()
    state: StateTable = StateTable()
    comment: CommentTable = CommentTable()

    @model_validator(mode="after")
    def _comment_can_be_sent(self) -> Self:
        if "comment" in self.sinks:
            for key in ("projects", "smtp_host", "sender"):
                if not getattr(self.comment, key):
                    raise ValueError(f"has the sink comment, which needs [push.comment] {key}")
        return self
