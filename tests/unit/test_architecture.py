"""The house: arrows point down, the domain knows nothing of Celery, every task is bounded."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from workers.task_base import ProjectTask

ROOT = Path(__file__).parents[2]

# The rooms, from the ground up. A room imports only from rooms below its own floor. The store
# stands on `patchwork` for one shape: what a fetch brings home (`FetchResult`).
FLOORS = [
    ["patchsync.errors"],
    ["patchsync.config"],
    ["patchsync.patchwork", "patchsync.fleet"],
    ["patchsync.store"],
    ["patchsync.sync"],
    ["patchsync.imports", "patchsync.analysis"],
    ["patchsync.push", "patchsync.range_diff"],
    ["beat_schedule", "patchsync.revisions"],
    ["patchsync.status", "patchsync.doctor"],
    ["patchsync.web"],
    ["workers"],
    ["patchsync.cli"],
]
STANDALONE = "standin"


def modules() -> dict[str, Path]:
    """All modules of the project by their dotted names."""
    files = [ROOT / "beat_schedule.py"]
    for package in ("patchsync", "workers", STANDALONE):
        files += (ROOT / package).rglob("*.py")
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in names.items()}


def room(name: str) -> str | None:
    """The room of a module, by the name that `FLOORS` has; None for what is not of the house."""
    rooms = (room for rooms in FLOORS for room in rooms)
    return next((room for room in rooms if f"{name}.".startswith(f"{room}.")), None)


FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def imports(file: Path) -> set[str]:
    """The dotted names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def arrows(between: Callable[[str], str | None]) -> set[tuple[str, str]]:
    """Who imports whom, with each module called as `between` says; None leaves it out."""
    return {
        (own, other)
        for name, file in modules().items()
        for used in imports(file)
        if (own := between(name)) and (other := between(used)) and own != other
    }


def test_rooms_point_down_only() -> None:
    """No room imports from one of its own floor or of a floor above."""
    wrong = [f"{own} imports {other}" for own, other in arrows(room) if FLOOR[other] >= FLOOR[own]]
    assert wrong == []


def test_no_module_imports_itself_by_others() -> None:
    """Inside a room too there is no circle."""
    names = modules()
    uses = {name: set[str]() for name in names}
    for name, used in arrows(lambda name: name if name in names else None):
        if not name.startswith(f"{used}."):  # A package says nothing of its modules.
            uses[name].add(used)
    list(TopologicalSorter(uses).static_order())  # CycleError names the circle.


def test_every_module_has_its_room() -> None:
    """A new module takes its place in the house, or stands alone as the stand-in does."""
    homeless = [name for name in modules() if not room(name) and name.split(".")[0] != STANDALONE]
    assert homeless == ["patchsync"]


def test_the_stand_in_shares_nothing_with_what_it_tests() -> None:
    """The stand-in imports nothing of patchsync, so that no mistake is made twice alike."""
    shared = [
        f"{name} imports {used}"
        for name, file in modules().items()
        if name.split(".")[0] == STANDALONE
        for used in imports(file)
        if used.startswith(("patchsync", "workers"))
    ]
    assert shared == []


# One process for all that is to be found out in one of its own.
PROGRAM = """
import importlib, json, os, sys
domain, files = json.loads(sys.argv[1])
for name in domain:
    importlib.import_module(name)
print(json.dumps([name for name in sys.modules if name in ("celery", "kombu")]))
from workers.celery import LISTENERS, TASKS, app
for name in TASKS + LISTENERS:
    importlib.import_module(name)

def describe():
    app.loader.import_default_modules()
    tasks = {n: t for n, t in app.tasks.items() if not n.startswith("celery.")}
    return {
        "late": {n: t.acks_late for n, t in tasks.items()},
        "retries": {n: t.max_retries for n, t in tasks.items()},
        "limits": {n: t.time_limit or app.conf.task_time_limit for n, t in tasks.items()},
        "scheduled": {k: [e["task"], e["options"].get("expires")] for k, e in
                      app.conf.beat_schedule.items()},
        "queues": {n: app.amqp.router.route({}, n)["queue"].name for n in tasks},
        "bound": {q.name: [q.exchange.name, q.routing_key] for q in app.conf.task_queues},
        "visibility": app.conf.broker_transport_options["visibility_timeout"],
    }

# Nothing of a configuration was read up to here.
for file in files:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.environ["PATCHSYNC_CONFIG"] = file
        print(json.dumps(describe()), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
TABLES = {
    "as it is": "",
    "pasta": """
    [analysis]
    engine = "pasta"
    pasta_root = "pasta"
    pasta_project = "linux"
    pasta_seconds = 7200
    """,
    "none": '[analysis]\nengine = "none"\n',
}

Described = dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def found_out(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What of Celery the domain loads; then the app's tasks, schedule, routes, queues: `TABLES`."""
    domain = [
        name
        for name in modules()
        if name.startswith("patchsync") and ".cli" not in name and "__main__" not in name
    ]
    files = []
    for tables in TABLES.values():
        files.append(str(tmp_path_factory.mktemp("app") / "patchsync.toml"))
        Path(files[-1]).write_text(
            '[mbox.patchwork]\nurl = "https://patchwork.example.org"\n'
            f'project_ids = [1, "netdev"]\n{tables}'
        )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([domain, files])],
        capture_output=True,
        text=True,
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 1 + len(files), done.stderr
    return found


@pytest.fixture(scope="module")
def apps(found_out: list[Any]) -> dict[str, Described]:
    """The app with each of `TABLES`."""
    return dict(zip(TABLES, found_out[1:], strict=True))


@pytest.fixture(scope="module")
def described(apps: dict[str, Described]) -> Described:
    """The app with the defaults."""
    return apps["as it is"]


def test_the_domain_loads_no_celery(found_out: list[Any]) -> None:
    """Importing all of patchsync but its command line does not load Celery."""
    assert found_out[0] == []


def test_every_task_is_late_bounded_and_routed(described: Described) -> None:
    """Each task acknowledges late, has limits of retries and of time, and its queue."""
    assert set(described["late"]) == {
        "workers.analyse.update",
        "workers.fetch.audit",
        "workers.fetch.fetch_page",
        "workers.fetch.fetch_patches",
        "workers.fetch.probe",
        "workers.index.index_mails",
        "workers.push.plan",
        "workers.push.send",
    }
    assert all(described["late"].values())
    assert all(isinstance(limit, int) for limit in described["retries"].values())
    assert described["queues"] == {
        "workers.analyse.update": "analyse",
        "workers.fetch.audit": "probe",
        "workers.fetch.fetch_page": "fetch",
        "workers.fetch.fetch_patches": "fetch",
        "workers.fetch.probe": "probe",
        "workers.index.index_mails": "index",
        "workers.push.plan": "push",
        "workers.push.send": "push",
    }
    # Redis delivers again what is not acknowledged by then, also while it runs.
    assert all(
        2 * int(str(t)) <= int(str(described["visibility"])) for t in described["limits"].values()
    )


def test_a_queue_is_bound_to_itself_alone(described: Described) -> None:
    """Queues that share an exchange and key would each get every message."""
    assert described["bound"] == {
        name: [name, name] for name in ("probe", "fetch", "index", "analyse", "push")
    }


def test_every_scheduled_name_is_a_task(described: Described) -> None:
    """Beat enqueues a probe and a step of the audit per project, and one analysis; each expires."""
    scheduled = described["scheduled"]
    assert set(scheduled) == {"probe 1", "probe netdev", "audit 1", "audit netdev", "analyse"}
    for entry in scheduled.values():
        task, expires = entry  # type: ignore[misc]
        assert task in described["late"]
        assert expires


def test_only_pasta_may_take_its_time(apps: dict[str, Described]) -> None:
    """An update by the real PaStA has the time that is set for it; no other task has more."""
    limits = dict(apps["pasta"]["limits"])
    assert int(str(limits.pop("workers.analyse.update"))) > 7200
    assert limits.items() < apps["as it is"]["limits"].items()


def test_who_wants_no_analysis_gets_none(apps: dict[str, Described]) -> None:
    """Beat does not ask for it."""
    assert "analyse" not in apps["none"]["scheduled"]


def test_no_task_option_is_misspelt() -> None:
    """Celery accepts any option in silence, so ours are held against those that it knows."""
    given = {"name"}
    for name in ("fetch", "index", "analyse", "push"):
        tree = ast.parse((ROOT / f"workers/{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "app.task":
                given |= {keyword.arg for keyword in node.keywords if keyword.arg}
    assert given <= {
        "base",
        "bind",
        "compression",
        *(name for name in dir(ProjectTask) if not name.startswith("_")),
    }
