"""The JSON of Patchwork 3.2.1, field by field and by API version (docs/api/schemas of Patchwork).

Fields come and go with the version in the URL: `web_url` and `comments` since 1.1, `related`,
`list_archive_url` and its kin since 1.2. Links to checks and comments of a patch carry no version.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from standin import render
from standin.messages import Request, to_json
from standin.records import Check, Comment, Event, Patch, Person, Project, Series, User

Json = dict[str, object]

_PREFIXES = re.compile(r"^\[([^\]]*)\]")

_DJANGO_SAFE = "!$&'()*+,;=/~:@"
"""What Django leaves as it is in a path; a slash in a message-id was written as %2F before."""


def patch_path(patch: Patch) -> str:
    """The path of a patch's page. A slash in the message-id ends up as %252F."""
    msgid = patch.msgid.strip("<>").replace("/", "%2F")
    return f"/project/{patch.project.link_name}/patch/{quote(msgid, safe=_DJANGO_SAFE)}/"


def project(request: Request, project: Project) -> Json:
    """A project as it is embedded in other objects."""
    out: Json = {
        "id": project.id,
        "url": f"{request.api}projects/{project.id}/",
        "name": project.name,
        "link_name": project.link_name,
        "list_id": project.list_id,
        "list_email": project.list_email,
        "web_url": "",
        "scm_url": "",
        "webscm_url": "",
    }
    if request.has_version("1.2"):
        out |= {"list_archive_url": "", "list_archive_url_format": "", "commit_url_format": ""}
    return out


def project_detail(request: Request, project: Project, maintainers: list[User]) -> Json:
    """A project as GET projects/ and projects/<id>/ show it."""
    out: Json = {
        "id": project.id,
        "url": f"{request.api}projects/{project.id}/",
        "name": project.name,
        "link_name": project.link_name,
        "list_id": project.list_id,
        "list_email": project.list_email,
        "web_url": "",
        "scm_url": "",
        "webscm_url": "",
        "maintainers": [user(request, maintainer) for maintainer in maintainers],
    }
    if request.has_version("1.1"):
        out["subject_match"] = ""
    if request.has_version("1.2"):
        out |= {"list_archive_url": "", "list_archive_url_format": "", "commit_url_format": ""}
    return out


def user(request: Request, user: User) -> Json:
    """An account."""
    return {
        "id": user.id,
        "url": f"{request.api}users/{user.id}/",
        "username": user.username,
        "first_name": "",
        "last_name": "",
        "email": user.email,
    }


def person(request: Request, person: Person) -> Json:
    """A submitter."""
    return {
        "id": person.id,
        "url": f"{request.api}people/{person.id}/",
        "name": person.name,
        "email": person.email,
    }


def embedded_patch(request: Request, patch: Patch) -> Json:
    """A patch as series, relations and events name it."""
    path = patch_path(patch)
    out: Json = {"id": patch.id, "url": f"{request.api}patches/{patch.id}/"}
    if request.has_version("1.1"):
        out["web_url"] = request.base + path
    out["msgid"] = patch.msgid
    if request.has_version("1.2"):
        out["list_archive_url"] = None
    out |= {
        "date": patch.date.isoformat(),
        "name": patch.name,
        "mbox": f"{request.base}{path}mbox/",
    }
    return out


def embedded_series(request: Request, series: Series) -> Json:
    """A series as patches and events name it."""
    out: Json = {"id": series.id, "url": f"{request.api}series/{series.id}/"}
    if request.has_version("1.1"):
        out["web_url"] = _series_page(request, series)
    out |= {
        "date": series.date.isoformat(),
        "name": series.name,
        "version": series.version,
        "mbox": f"{request.base}/series/{series.id}/mbox/",
    }
    return out


def _series_page(request: Request, series: Series) -> str:
    return f"{request.base}/project/{series.project.link_name}/list/?series={series.id}"


def series(request: Request, series: Series) -> Json:
    """A series as GET series/ and series/<id>/ show it. Cover letters are not kept."""
    out: Json = {"id": series.id, "url": f"{request.api}series/{series.id}/"}
    if request.has_version("1.1"):
        out["web_url"] = _series_page(request, series)
    return out | {
        "project": project(request, series.project),
        "name": series.name,
        "date": series.date.isoformat(),
        "submitter": person(request, series.submitter),
        "version": series.version,
        "total": series.total,
        "received_total": len(series.patches),
        "received_all": series.total <= len(series.patches),
        "mbox": f"{request.base}/series/{series.id}/mbox/",
        "cover_letter": None,
        "patches": [embedded_patch(request, patch) for patch in series.patches],
    }


def patch(request: Request, patch: Patch) -> Json:
    """A patch as GET patches/ lists it."""
    path = patch_path(patch)
    out: Json = {"id": patch.id, "url": f"{request.api}patches/{patch.id}/"}
    if request.has_version("1.1"):
        out["web_url"] = request.base + path
    out |= {"project": project(request, patch.project), "msgid": patch.msgid}
    if request.has_version("1.2"):
        out["list_archive_url"] = None
    out |= {
        "date": patch.date.isoformat(),
        "name": patch.name,
        "commit_ref": patch.commit_ref,
        "pull_url": None,
        "state": patch.state,
        "archived": patch.archived,
        "hash": patch.hash,
        "submitter": person(request, patch.submitter),
        "delegate": None,
        "mbox": f"{request.base}{path}mbox/",
        "series": [] if patch.series is None else [embedded_series(request, patch.series)],
    }
    if request.has_version("1.1"):
        out["comments"] = f"{request.base}/api/patches/{patch.id}/comments/"
    out |= {
        "check": combined_check(patch),
        "checks": f"{request.base}/api/patches/{patch.id}/checks/",
        "tags": {},
    }
    if request.has_version("1.2"):
        members = patch.relation.members if patch.relation is not None else []
        out["related"] = [embedded_patch(request, m) for m in members if m is not patch]
    return out


def listed_patch(request: Request, entry: Patch) -> bytes:
    """The JSON bytes of a patch in a list, rendered once until the patch changes."""
    key = (request.base, request.version)
    known = entry.rendered.get(key)
    if known is None:
        known = entry.rendered[key] = to_json(patch(request, entry))
    return known


def patch_detail(request: Request, entry: Patch) -> Json:
    """A patch as GET patches/<id>/ shows it."""
    parts = render.take_apart(entry.mbox)
    prefixes = _PREFIXES.match(entry.name)
    return patch(request, entry) | {
        "headers": parts.headers,
        "content": parts.content,
        "diff": parts.diff,
        "prefixes": prefixes.group(1).split(",") if prefixes else [],
    }


def combined_check(patch: Patch) -> str:
    """The worst of the newest checks per user and context; "pending" when there is none."""
    newest = {(check.user.id, check.context): check.state for check in patch.checks}
    states = set(newest.values())
    if not states:
        return "pending"
    return next((s for s in ("fail", "warning", "pending") if s in states), "success")


def check(request: Request, patch: Patch, check: Check) -> Json:
    """A check as GET and POST patches/<id>/checks/ show it."""
    return {
        "id": check.id,
        "url": f"{request.api}patches/{patch.id}/checks/{check.id}/",
        "user": user(request, check.user),
        "date": check.date.isoformat(),
        "state": check.state,
        "target_url": check.target_url,
        "context": check.context,
        "description": check.description,
    }


def comment(request: Request, patch: Patch, comment: Comment) -> Json:
    """A comment as GET patches/<id>/comments/ shows it."""
    out: Json = {"id": comment.id}
    if request.has_version("1.3"):
        out["url"] = f"{request.api}patches/{patch.id}/comments/{comment.id}/"
    out |= {"web_url": f"{request.base}/comment/{comment.id}/", "msgid": comment.msgid}
    if request.has_version("1.2"):
        out["list_archive_url"] = None
    out |= {
        "date": comment.date.isoformat(),
        "subject": comment.subject,
        "submitter": person(request, comment.submitter),
        "content": comment.content,
        "headers": {"Subject": comment.subject, "Message-Id": comment.msgid},
    }
    if request.has_version("1.3"):
        out["addressed"] = None
    return out


def event(request: Request, event: Event) -> Json:
    """An event as GET events/ shows it."""
    out: Json = {
        "id": event.id,
        "category": event.category,
        "project": project(request, event.project),
        "date": event.date.isoformat(),
        "actor": None if event.actor is None else user(request, event.actor),
    }
    payload: Json = {}
    if event.patch is not None:
        payload["patch"] = embedded_patch(request, event.patch)
    if event.series is not None:
        payload["series"] = embedded_series(request, event.series)
    if event.states is not None:
        payload["previous_state"], payload["current_state"] = event.states
    if event.category == "patch-relation-changed":
        payload |= {"previous_relation": None, "current_relation": None}
    if event.check is not None and event.patch is not None:
        shown = check(request, event.patch, event.check)
        payload["check"] = {k: v for k, v in shown.items() if k not in ("user", "description")}
    if event.comment is not None and event.patch is not None:
        payload["comment"] = {
            "id": event.comment.id,
            "url": f"{request.api}patches/{event.patch.id}/comments/{event.comment.id}/",
            "web_url": f"{request.base}/comment/{event.comment.id}/",
            "msgid": event.comment.msgid,
            "list_archive_url": None,
            "date": event.comment.date.isoformat(),
        }
    return out | {"payload": payload}
