"""The controls below /_control/: faults, counts and changes of state, for tests and the demo."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tornado.web import RequestHandler

from standin.faults import Fault
from standin.instance import Standin
from standin.records import Patch, Project

Arguments = dict[str, Any]
Control = Callable[[Standin, Arguments], dict[str, object]]


def stats(standin: Standin, _: Arguments) -> dict[str, object]:
    """GET: what was counted."""
    return standin.stats.report()


def reset_stats(standin: Standin, _: Arguments) -> dict[str, object]:
    """POST: count from zero again; answers what was counted before."""
    report = standin.stats.report()
    standin.stats.reset()
    return report


def reset(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {patches, seed}: as just started with these; see `Standin.reset`."""
    standin.reset(int(arguments["patches"]), int(arguments.get("seed", 1)))
    return state(standin, {})


def faults(standin: Standin, _: Arguments) -> dict[str, object]:
    """GET: the faults that are not used up, and the latency."""
    pending = [asdict(fault) for fault in standin.faults.pending()]
    return {"latency": standin.faults.latency, "pending": pending}


def add_fault(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {kind, times, match, method, status, retry_after, after}: see `faults.Fault`."""
    standin.faults.add(Fault(**arguments))
    return faults(standin, {})


def clear_faults(standin: Standin, _: Arguments) -> dict[str, object]:
    """POST: no faults, no latency."""
    standin.faults.clear()
    return faults(standin, {})


def latency(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {seconds}: every request from now on waits that long."""
    standin.faults.latency = float(arguments["seconds"])
    return faults(standin, {})


def state(standin: Standin, _: Arguments) -> dict[str, object]:
    """GET: the ids of each project, of the reserved patches, of the relations; the tokens."""
    relations = {
        tuple(sorted(member.id for member in patch.relation.members))
        for patch in standin.state.in_order()
        if patch.relation is not None
    }
    return {
        "projects": {
            project.link_name: [patch.id for patch in standin.state.in_order(project)]
            for project in standin.state.projects.values()
        },
        "reserved": sorted(standin.state.reserved),
        "relations": sorted(relations),
        "tokens": {user.username: token for token, user in standin.state.tokens.items()},
    }


def add(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {project, count, days_back, in_series, visible}: new patches; see `Postman.deliver`."""
    given = {"count": 1, **arguments}
    patches = standin.postman.deliver(_project(standin, given.pop("project")), **given)
    return {"ids": [patch.id for patch in patches]}


def revise(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {id, days_back, visible}: the next version of a patch; see `Postman.revise`."""
    given = dict(arguments)
    patches = standin.postman.revise(int(given.pop("id")), **given)
    return {"ids": [patch.id for patch in patches]}


def commit(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {ids}: reserved patches become visible; without ids, all of them."""
    ids = arguments.get("ids", sorted(standin.state.reserved))
    standin.state.commit(ids)
    return {"ids": ids}


def delete(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {ids}: delete patches."""
    standin.state.delete(arguments["ids"])
    return {"ids": arguments["ids"]}


def move(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {ids, project}: put patches into another project."""
    standin.state.move(arguments["ids"], _project(standin, arguments["project"]))
    return {"ids": arguments["ids"]}


def rename(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {project, link_name}: an admin gives a project another link name."""
    project = _project(standin, arguments["project"])
    standin.state.rename(project, str(arguments["link_name"]))
    return {"id": project.id}


def reply(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {id, tag}: a reply such as "Acked-by: A <a@example.org>" comes in; the mbox changes."""
    patch = _patch(standin, arguments["id"])
    sender = standin.state.person("Ada Brandt", "ada.brandt@example.org")
    standin.state.reply(patch, arguments["tag"], sender)
    return {"id": patch.id}


def replace(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {id, msgid}: the id now belongs to another message, as after a restore."""
    patch = _patch(standin, arguments["id"])
    standin.state.replace_message(patch, arguments["msgid"])
    return {"id": patch.id}


def rewrite(standin: Standin, arguments: Arguments) -> dict[str, object]:
    """POST {id, body}: the mail of a patch has this body; its headers stay."""
    patch = _patch(standin, arguments["id"])
    head, separator, _ = patch.mbox.partition(b"\n\n")
    patch.mbox = head + separator + str(arguments["body"]).encode()
    return {"id": patch.id}


def _project(standin: Standin, key: str) -> Project:
    project = standin.state.project(str(key))
    if project is None:
        raise KeyError(f"no project {key!r}")
    return project


def _patch(standin: Standin, patch_id: int) -> Patch:
    return standin.state.patches[patch_id]


class ControlHandler(RequestHandler):
    """Runs one control; a wrong argument is a 400 that names it."""

    def initialize(
        self, standin: Standin, get: Control | None = None, post: Control | None = None
    ) -> None:
        """Take in the server's state and what GET and POST do here."""
        self._standin = standin
        self._controls = {"GET": get, "POST": post}

    def get(self) -> None:
        """Look."""
        self._run("GET", {})

    def post(self) -> None:
        """Change."""
        self._run("POST", json.loads(self.request.body or b"{}"))

    def _run(self, method: str, arguments: Arguments) -> None:
        control = self._controls[method]
        if control is None:
            self.set_status(405)
            self.finish({"error": f"no {method} here"})
            return
        try:
            self.finish(control(self._standin, arguments))
        except (KeyError, TypeError, ValueError) as error:
            self.set_status(400)
            self.finish({"error": f"{type(error).__name__}: {error}"})


CONTROLS: tuple[tuple[str, dict[str, Control]], ...] = (
    (r"/_control/stats", {"get": stats}),
    (r"/_control/stats/reset", {"post": reset_stats}),
    (r"/_control/reset", {"post": reset}),
    (r"/_control/faults", {"get": faults, "post": add_fault}),
    (r"/_control/faults/clear", {"post": clear_faults}),
    (r"/_control/latency", {"post": latency}),
    (r"/_control/state", {"get": state}),
    (r"/_control/patches/add", {"post": add}),
    (r"/_control/patches/revise", {"post": revise}),
    (r"/_control/patches/commit", {"post": commit}),
    (r"/_control/patches/delete", {"post": delete}),
    (r"/_control/patches/move", {"post": move}),
    (r"/_control/projects/rename", {"post": rename}),
    (r"/_control/patches/reply", {"post": reply}),
    (r"/_control/patches/replace", {"post": replace}),
    (r"/_control/patches/rewrite", {"post": rewrite}),
)
