"""The two writes that Patchwork's REST API allows here: a patch's fields and relation, and checks.

The rules are those of api/patch.py and api/check.py in Patchwork 3.2.1, as measured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import cast
from urllib.parse import urlsplit

from standin import serialize
from standin.api import patch_named
from standin.messages import ApiError, Request, Response, detail, json_answer
from standin.records import CHECK_STATES, PATCH_STATES, CheckState, Patch, Relation, User
from standin.state import PatchworkState

NO_PERMISSION = "You do not have permission to perform this action."
NOT_AUTHENTICATED = "Authentication credentials were not provided."
NOT_MAINTAINED = "At least one patch is part of a project you are not maintaining."
CONFLICT = (
    "At least one patch is already part of another relation. You have to explicitly remove a patch "
    "from its existing relation before moving it to this one."
)
NOT_NULL = "This field may not be null."
LONGEST_URL = 200
LONGEST_CONTEXT = 255
LONGEST_COMMIT_REF = 255

_SLUG = re.compile(r"^[-a-zA-Z0-9_]+$")
_HOST = re.compile(
    r"^(localhost|\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\]"
    r"|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]\.?)$",
    re.IGNORECASE,
)


def update_patch(state: PatchworkState, request: Request) -> Response:
    """PATCH patches/<id>/: state, archived, commit_ref, related; other fields are ignored."""
    patch = patch_named(state, request)
    if request.user is None:
        raise detail(403, NOT_AUTHENTICATED)
    if patch.project.id not in request.user.maintains:
        raise detail(403, NO_PERMISSION)
    wanted = _valid_fields(state, _json_object(request))
    before = None if patch.relation is None else (patch.relation, list(patch.relation.members))
    if "related" in wanted:
        _update_relation(state, patch, cast("list[Patch]", wanted["related"]), request.user)
    if "state" in wanted:
        state.set_state(patch, str(wanted["state"]), request.user)
    if "archived" in wanted:
        patch.archived = bool(wanted["archived"])
    if "commit_ref" in wanted:
        patch.commit_ref = cast("str | None", wanted["commit_ref"])
    state.changed(patch)
    return json_answer(_answer_to_update(request, patch, before))


def _answer_to_update(
    request: Request, patch: Patch, before: tuple[Relation, list[Patch]] | None
) -> serialize.Json:
    """The patch as Patchwork answers.

    A relation that was there is shown as it was before the update; where there is none, `related`
    is left out.
    """
    answer = serialize.patch_detail(request, patch)
    if "related" not in answer:
        return answer
    if patch.relation is None:
        del answer["related"]
    elif before is not None and before[0] is patch.relation:
        answer["related"] = [
            serialize.embedded_patch(request, member) for member in before[1] if member is not patch
        ]
    return answer


def add_check(state: PatchworkState, request: Request) -> Response:
    """POST patches/<id>/checks/: always a new row."""
    patch = patch_named(state, request)
    # Without a token Patchwork's own test of rights answers here, hence the same text for both.
    if request.user is None or patch.project.id not in request.user.maintains:
        raise detail(403, NO_PERMISSION)
    body = _json_object(request)
    if body.get("state", "") == "":
        raise ApiError(400, {"state": ["A check must have a state."]})
    wrong = _wrong_check_fields(body)
    if wrong:
        raise ApiError(400, cast("dict[str, object]", wrong))
    check = state.add_check(
        patch,
        request.user,
        state=cast("CheckState", body["state"]),
        context=str(body.get("context", "default")),
        target_url=_text_or_none(body.get("target_url")),
        description=_text_or_none(body.get("description")),
    )
    answer = serialize.check(request, patch, check)
    return json_answer(answer, status=201, headers={"Location": str(answer["url"])})


def _update_relation(state: PatchworkState, patch: Patch, named: list[Patch], user: User) -> None:
    """Additive; empty takes out this patch only; a patch never changes its relation silently."""
    involved = dict.fromkeys(named)
    if patch.relation is not None:
        involved |= dict.fromkeys(patch.relation.members)
    if any(member.project.id not in user.maintains for member in involved):
        raise detail(403, NOT_MAINTAINED)
    if not named:
        state.take_out(patch, user)
        return
    relations = {member.relation for member in involved if member.relation is not None}
    if len(relations) > 1:
        raise detail(409, CONFLICT)
    # Patchwork knows the actor of the patch that is patched, not of those that it names.
    relation = state.relate(involved, next(iter(relations), None), None)
    state.relate((patch,), relation, user)


def _valid_fields(state: PatchworkState, body: dict[str, object]) -> dict[str, object]:
    """The fields that are to change, in the right types; ApiError 400 names all wrong ones."""
    wanted: dict[str, object] = {}
    wrong: dict[str, object] = {}
    for name, check in (
        ("commit_ref", _valid_commit_ref),
        ("state", _valid_state),
        ("archived", _valid_archived),
    ):
        if name in body:
            try:
                wanted[name] = check(body[name])
            except ValueError as error:
                wrong[name] = [str(error)]
    if "related" in body:
        try:
            wanted["related"] = _valid_related(state, body["related"])
        except ValueError as error:
            wrong["related"] = [str(error)]
    if wrong:
        raise ApiError(400, wrong)
    return wanted


def _valid_state(value: object) -> str:
    if value is None:
        raise ValueError(NOT_NULL)
    name = str(value).lower().replace(" ", "-")
    if name not in PATCH_STATES:
        raise ValueError(f"Invalid state {name}. Expected one of: {', '.join(PATCH_STATES)}.")
    return name


def _valid_archived(value: object) -> bool:
    if value is None:
        raise ValueError(NOT_NULL)
    if value in (True, "true", "True", "1"):
        return True
    if value in (False, "false", "False", "0"):
        return False
    raise ValueError("Must be a valid boolean.")


def _valid_commit_ref(value: object) -> str | None:
    if value is None:
        return None
    text = str(value)
    if len(text) > LONGEST_COMMIT_REF:
        raise ValueError(f"Ensure this field has no more than {LONGEST_COMMIT_REF} characters.")
    return text


def _valid_related(state: PatchworkState, value: object) -> list[Patch]:
    if value is None:
        raise ValueError(NOT_NULL)
    if not isinstance(value, list):
        raise ValueError(f'Expected a list of items but got type "{type(value).__name__}".')
    found = []
    for item in value:
        if isinstance(item, bool) or not (
            isinstance(item, int) or (isinstance(item, str) and item.isdecimal())
        ):
            kind = type(item).__name__
            raise ValueError(f"Incorrect type. Expected pk value, received {kind}.")
        patch = state.patches.get(int(item))
        if patch is None:
            raise ValueError(f'Invalid pk "{item}" - object does not exist.')
        found.append(patch)
    return found


def _wrong_check_fields(body: dict[str, object]) -> dict[str, list[str]]:
    wrong: dict[str, list[str]] = {}
    state = body["state"]
    if state is None:
        wrong["state"] = [NOT_NULL]
    elif state not in CHECK_STATES:
        wrong["state"] = [f'"{state}" is not a valid choice.']
    url = body.get("target_url") or ""
    problems = list(_problems_of_url(str(url))) if url else []
    if problems:
        wrong["target_url"] = problems
    if "context" in body:
        problems = list(_problems_of_context(body["context"]))
        if problems:
            wrong["context"] = problems
    problems = list(_problems_of_text(str(body.get("description") or "")))
    if problems:
        wrong["description"] = problems
    return wrong


def _problems_of_text(text: str) -> Iterable[str]:
    if "\0" in text:
        yield "Null characters are not allowed."
    surrogate = re.search("[\ud800-\udfff]", text)
    if surrogate:
        yield f"Surrogate characters are not allowed: U+{ord(surrogate[0]):X}."


def _problems_of_url(url: str) -> Iterable[str]:
    try:
        parts = urlsplit(url)
        host, scheme, _ = parts.hostname or "", parts.scheme, parts.port
    except ValueError:
        yield "Enter a valid URL."
        return
    bracketed = f"[{host}]" if ":" in host else host
    if scheme not in ("http", "https", "ftp", "ftps") or not _HOST.match(bracketed):
        yield "Enter a valid URL."
    if len(url) > LONGEST_URL:
        yield f"Ensure this field has no more than {LONGEST_URL} characters."


def _problems_of_context(context: object) -> Iterable[str]:
    if context is None:
        yield NOT_NULL
    elif context == "":
        yield "This field may not be blank."
    else:
        if not _SLUG.match(str(context)):
            yield ('Enter a valid "slug" consisting of letters, numbers, underscores or hyphens.')
        if len(str(context)) > LONGEST_CONTEXT:
            yield f"Ensure this field has no more than {LONGEST_CONTEXT} characters."


def _json_object(request: Request) -> dict[str, object]:
    try:
        body = json.loads(request.body or b"{}")
    except ValueError as error:
        raise detail(400, f"JSON parse error - {error}") from None
    if not isinstance(body, dict):
        kind = type(body).__name__
        text = f"Invalid data. Expected a dictionary, but got {kind}."
        raise ApiError(400, {"detail": [text]})
    return body


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value).strip()
