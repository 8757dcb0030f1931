"""The REST API: what each address answers. Writing is in `writes`."""

from __future__ import annotations

from standin import filters, serialize
from standin.messages import Request, Response, detail, json_answer, not_found
from standin.records import Patch, Project
from standin.state import PatchworkState


def root(state: PatchworkState, request: Request) -> Response:
    """GET /: the resources."""
    names = ("projects", "users", "people", "patches", "covers", "series", "events", "bundles")
    return json_answer({name: f"{request.api}{name}/" for name in names})


def projects(state: PatchworkState, request: Request) -> Response:
    """GET projects/."""
    found, headers = filters.page(list(state.projects.values()), request)
    return json_answer([_project(state, request, p) for p in found], headers=headers)


def project(state: PatchworkState, request: Request) -> Response:
    """GET projects/<id or link name>/, with its maintainers."""
    found = state.project(request.args["key"])
    if found is None:
        raise not_found("Project")
    return json_answer(_project(state, request, found))


def project_options(state: PatchworkState, request: Request) -> Response:
    """OPTIONS projects/<id or link name>/: it names PUT to those who maintain the project."""
    found = state.project(request.args["key"])
    if found is None:
        raise not_found("Project")
    told: serialize.Json = {"name": "Project Detail"}
    if request.user is not None and found.id in request.user.maintains:
        told["actions"] = {"PUT": {}}
    return json_answer(told)


def _project(state: PatchworkState, request: Request, project: Project) -> serialize.Json:
    maintainers = [user for user in state.users.values() if project.id in user.maintains]
    return serialize.project_detail(request, project, maintainers)


def patches(state: PatchworkState, request: Request) -> Response:
    """GET patches/."""
    found, headers = filters.page(filters.patches(state, request), request)
    entries = (serialize.listed_patch(request, entry) for entry in found)
    return Response(body=b"[" + b",".join(entries) + b"]", headers=headers)


def patch(state: PatchworkState, request: Request) -> Response:
    """GET patches/<id>/."""
    return json_answer(serialize.patch_detail(request, patch_named(state, request)))


def patch_named(state: PatchworkState, request: Request) -> Patch:
    """The patch whose id is in the path; ApiError 404 if there is none."""
    found = state.patches.get(int(request.args["id"]))
    if found is None:
        raise not_found("Patch")
    return found


def checks(state: PatchworkState, request: Request) -> Response:
    """GET patches/<id>/checks/."""
    patch = patch_named(state, request)
    found, headers = filters.page(filters.checks(state, patch, request), request)
    return json_answer([serialize.check(request, patch, c) for c in found], headers=headers)


def check(state: PatchworkState, request: Request) -> Response:
    """GET patches/<id>/checks/<id>/."""
    patch = patch_named(state, request)
    wanted = int(request.args["check"])
    found = next((c for c in patch.checks if c.id == wanted), None)
    if found is None:
        raise not_found("Check")
    return json_answer(serialize.check(request, patch, found))


def comments(state: PatchworkState, request: Request) -> Response:
    """GET patches/<id>/comments/."""
    patch = patch_named(state, request)
    found, headers = filters.page(patch.comments, request)
    return json_answer([serialize.comment(request, patch, c) for c in found], headers=headers)


def series_list(state: PatchworkState, request: Request) -> Response:
    """GET series/."""
    found, headers = filters.page(filters.series(state, request), request)
    return json_answer([serialize.series(request, entry) for entry in found], headers=headers)


def series(state: PatchworkState, request: Request) -> Response:
    """GET series/<id>/."""
    found = state.series.get(int(request.args["id"]))
    if found is None:
        raise not_found("Series")
    return json_answer(serialize.series(request, found))


def events(state: PatchworkState, request: Request) -> Response:
    """GET events/."""
    found, headers = filters.page(filters.events(state, request), request)
    return json_answer([serialize.event(request, event) for event in found], headers=headers)


def users(state: PatchworkState, request: Request) -> Response:
    """GET users/, for those who have a token."""
    _require_token(request)
    found, headers = filters.page(list(state.users.values()), request)
    return json_answer([serialize.user(request, user) for user in found], headers=headers)


def user(state: PatchworkState, request: Request) -> Response:
    """GET users/<id>/, for those who have a token; settings are shown to oneself."""
    _require_token(request)
    found = state.users.get(int(request.args["id"]))
    if found is None:
        raise not_found("User")
    told = serialize.user(request, found)
    if found is request.user and request.has_version("1.2"):
        told["settings"] = {"send_email": False, "items_per_page": 100, "show_ids": False}
    return json_answer(told)


def people(state: PatchworkState, request: Request) -> Response:
    """GET people/, for those who have a token."""
    _require_token(request)
    found, headers = filters.page([p for _, p in sorted(state.people.items())], request)
    entries = [serialize.person(request, person) | {"user": None} for person in found]
    return json_answer(entries, headers=headers)


def nothing(state: PatchworkState, request: Request) -> Response:
    """GET covers/ and bundles/: the stand-in keeps none."""
    none: list[object] = []
    found, headers = filters.page(none, request)
    return json_answer(found, headers=headers)


def _require_token(request: Request) -> None:
    if request.user is None:
        raise detail(403, "Authentication credentials were not provided.")
