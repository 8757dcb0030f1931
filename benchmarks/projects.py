"""The CPU of a quiet round beside 0, 99 and 499 other projects: it should not grow with them.

python benchmarks/projects.py
python benchmarks/projects.py --python ../other/.venv/bin/python      another tree's
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from patchsync.config import FILE_VARIABLE, Config, load
from patchsync.fleet.supervisor import Supervisor
from patchsync.store.layout import ContainerPaths
from patchsync.sync.projects import Project, settle
from standin.instance import Standin, generated
from standin.instance import add_project as add_to
from standin.server import application

NUMBERS = (1, 100, 500)
PATCHES = 3
CALLS = 300
# Run by the tree that is measured, as its one probe worker and its beat: prints seconds of CPU.
PROGRAM = f"""
import json, sys, time
from celery.utils.imports import symbol_by_name
from workers.celery import app
app.loader.import_default_modules()
probe = app.tasks["workers.fetch.probe"]
keys, most = sys.argv[2:], float(sys.argv[1])

def measured(work, arguments):
    began, number = time.process_time(), 0
    for argument in arguments:
        work(argument)
        number += 1
        if time.process_time() - began > most:
            break
    return (time.process_time() - began) / number

measured(probe, keys[-1:] * 10)
one = measured(probe, keys[-1:] * {CALLS})
measured(probe, keys)
sweep = measured(probe, keys * ({CALLS} // len(keys) + 1))
beat = symbol_by_name(app.conf.beat_scheduler)(app=app)
while beat.tick() == 0:
    pass  # All is due at the start.
print(json.dumps([one, sweep, measured(lambda _: beat.tick(), range({CALLS}))]))
"""


@click.command(help=__doc__)
@click.option("--python", default=sys.executable, help="Of the tree that is measured.")
@click.option("--seconds", default=20.0, show_default=True, help="Of CPU, for each figure at most.")
def main(python: str, seconds: float) -> None:
    figures: dict[str, list[float]] = {}
    for number in NUMBERS:
        with tempfile.TemporaryDirectory() as folder, patchwork(number) as (url, standin):
            config = configured(Path(folder), url, standin)
            with Supervisor(config) as fleet:
                fleet.ensure_redis()
                taken = measure(Path(python), config, seconds)
                fleet.kill()
            fleet.remove_files()
        for name, cpu in taken.items():
            figures.setdefault(name, []).append(cpu)
    click.echo(f"{'projects':<28}" + "".join(f"{number:>10}" for number in NUMBERS))
    for name, each in figures.items():
        click.echo(f"{name:<28}" + "".join(f"{1000 * cpu:7.2f} ms" for cpu in each))
        ratios = "".join(f"{cpu / each[0]:10.2f}" for cpu in each)
        click.echo(f"{'  of what it is with one':<28}{ratios}")


@contextmanager
def patchwork(number: int) -> Iterator[tuple[str, Standin]]:
    """A stand-in with so many projects in this process; their CPU is not that which is measured."""
    standin = generated(0, seed=1)
    standin.state.projects.clear()
    for n in range(number):
        add_to(standin.state, f"list{n}")
    standin.postman.fill([(project, PATCHES) for project in standin.state.projects.values()])
    sockets = bind_sockets(0, "127.0.0.1")
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        HTTPServer(application(standin)).add_sockets(sockets)

    loop.call_soon(lambda: loop.create_task(serve()))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}", standin
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def configured(folder: Path, url: str, standin: Standin) -> Config:
    """A configuration with all of its projects, in step as far as the index tells."""
    projects = standin.state.projects.values()
    file = folder / "patchsync.toml"
    file.write_text(
        f'[mbox.patchwork]\nurl = "{url}"\nproject_ids = {[p.link_name for p in projects]}\n'
    )
    config = load(file)
    for project in projects:
        paths = ContainerPaths(
            d_mbox=config.d_mbox, listaddr=project.list_email, project_id=project.id
        )
        stored = Project(key=project.link_name, name=project.link_name, paths=paths)
        settle(config, stored)
        paths.index.parent.mkdir(parents=True, exist_ok=True)
        with paths.index.open("w") as index:
            for patch in standin.state.in_order(project):
                index.write(f"2026/11/21 {patch.msgid} {'0' * 32} {patch.id}\n")
        with stored.open():
            pass  # The side index is made, as a sync does.
    return config


def measure(python: Path, config: Config, seconds: float) -> dict[str, float]:
    """Seconds of CPU: of a probe, a tick of beat that has nothing to do, and of `status`."""
    keys = [project.id for project in config.projects]
    environment = os.environ | {FILE_VARIABLE: str(config.source)}
    folder = config.source.parent
    done = subprocess.run(
        [python, "-c", PROGRAM, str(seconds), *keys],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    one, sweep, tick = json.loads(done.stdout)
    with subprocess.Popen(
        [python.with_name("patchsync"), "status"],
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    ) as process:
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return {
        "a probe, again and again": one,
        "a probe in a sweep over all": sweep,
        "beat looks what is due": tick,
        "status, for each project": (usage.ru_utime + usage.ru_stime) / len(keys),
    }


if __name__ == "__main__":
    main()
