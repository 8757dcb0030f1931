"""The mbox addresses. They lie outside the REST API: no version, no token, errors in HTML."""

from __future__ import annotations

import re

from standin import render, serialize
from standin.messages import Request, Response, html_answer, redirect
from standin.state import PatchworkState


def patch_mbox(state: PatchworkState, request: Request) -> Response:
    """GET /project/<link name>/patch/<message-id>/mbox/; a slash in the message-id comes as %2F."""
    project = state.project(request.args["project"])
    msgid = f"<{request.args['msgid'].replace('%2F', '/')}>"
    patch = None if project is None else state.by_message(project, msgid)
    if patch is None:
        return _missing()
    return Response(
        body=patch.mbox,
        content_type="text/plain; charset=utf-8",
        headers=_attachment(patch.name),
    )


def patch_mbox_by_id(state: PatchworkState, request: Request) -> Response:
    """GET /patch/<id>/mbox/: a redirect to the address with the message-id."""
    patch = state.patches.get(int(request.args["id"]))
    return _missing() if patch is None else redirect(302, f"{serialize.patch_path(patch)}mbox/")


def series_mbox(state: PatchworkState, request: Request) -> Response:
    """GET /series/<id>/mbox/. Unlike a patch's, its Content-Type names no charset."""
    series = state.series.get(int(request.args["id"]))
    if series is None:
        return _missing()
    return Response(
        body=render.series_mbox(series.patches),
        content_type="text/plain",
        headers=_attachment(series.name or f"Untitled series #{series.id}"),
    )


def _missing() -> Response:
    return html_answer(404, "File not found")


def _attachment(name: str) -> dict[str, str]:
    file_name = re.sub(r"[^-_A-Za-z0-9.]+", "-", name).strip("-")
    return {"Content-Disposition": f"attachment; filename={file_name}.patch"}
