"""A request as the answering functions see it, and what they return."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from standin.records import User

Query = dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request, its path already matched by the table of routes."""

    method: str
    base: str
    """Scheme and host as the client named them: every link in an answer starts with it."""
    path: str
    query: Query
    version: str
    """The API version in the path, or "" for none, which means the newest."""
    args: dict[str, str]
    user: User | None
    body: bytes

    @property
    def api(self) -> str:
        """The address of the API's root, in the version that was asked for."""
        return f"{self.base}/api/{self.version}/" if self.version else f"{self.base}/api/"

    def has_version(self, wanted: str) -> bool:
        """Whether the API version that was asked for is `wanted` or newer."""
        return not self.version or self.version >= wanted

    def first(self, name: str) -> str | None:
        """The last value of a query parameter, which is the one Django takes; None if absent."""
        values = self.query.get(name)
        return values[-1] if values else None


@dataclass(frozen=True, kw_only=True)
class Response:
    """One HTTP answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """An answer of the REST API that is not a success; `body` goes out as JSON."""

    def __init__(self, status: int, body: dict[str, object]) -> None:
        super().__init__(f"{status} {body}")
        self.status = status
        self.body = body


def detail(status: int, text: str) -> ApiError:
    """An error in the form that most of them have: {"detail": text}."""
    return ApiError(status, {"detail": text})


def not_found(what: str) -> ApiError:
    """The 404 of an unknown object; `what` is its type as Patchwork writes it."""
    return detail(404, f"No {what} matches the given query.")


def to_json(value: object) -> bytes:
    """Compact JSON in UTF-8, as Patchwork writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def json_answer(
    value: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """An answer with a JSON body."""
    return Response(status=status, body=to_json(value), headers=headers or {})


def html_answer(status: int, title: str) -> Response:
    """A page for people, as Patchwork sends where no API view is reached."""
    page = (
        f'\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="en">\n'
        f"  <head>\n    <title>{status}: {title} - Patchwork</title>\n  </head>\n"
        f"  <body>\n    <h1>{status}: {title}</h1>\n  </body>\n</html>\n"
    )
    return Response(status=status, body=page.encode(), content_type="text/html; charset=utf-8")


def redirect(status: int, location: str) -> Response:
    """A redirect; Patchwork sends the path only, without the host."""
    return Response(
        status=status, content_type="text/html; charset=utf-8", headers={"Location": location}
    )
