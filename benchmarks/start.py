"""The CPU of commands that are started often, from start to end, beside another tree's.

python benchmarks/start.py --beside ../other/.venv/bin/python
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import redis

from patchsync.config import FILE_VARIABLE, Config, load
from patchsync.fleet.heartbeat import Heartbeats, Member
from patchsync.fleet.supervisor import Supervisor

# What is run in turn, and whether Redis answers
COMMANDS: dict[str, tuple[list[str], bool]] = {
    "import patchsync.cli": (["python", "-c", "import patchsync.cli"], True),
    "--help": (["patchsync", "--help"], True),
    "health, alive": (["patchsync", "health", "fetch"], True),
    "health, not alive": (["patchsync", "health", "index"], True),
    "health, no Redis": (["patchsync", "health", "fetch"], False),
    "status": (["patchsync", "status"], True),
}


@click.command(help=__doc__)
@click.option("--beside", metavar="PYTHON", help="Of another tree with its environment.")
@click.option("--runs", default=15, show_default=True, help="Of each command; the least counts.")
def main(beside: str | None, runs: int) -> None:
    pythons = [Path(sys.executable), *([Path(beside).absolute()] if beside else [])]
    with tempfile.TemporaryDirectory() as folder:
        config = configured(Path(folder))
        with Supervisor(config) as fleet:
            fleet.ensure_redis()
            with redis.Redis.from_url(config.redis_url) as client:
                heartbeats = Heartbeats(client, config.namespace)
                for name, (command, redis_answers) in COMMANDS.items():
                    seconds = {python: float("inf") for python in pythons}
                    for _ in range(runs):
                        heartbeats.note(Member(service="fetch"))
                        for python in pythons:
                            taken = cpu_seconds(python, command, config, redis_answers)
                            seconds[python] = min(seconds[python], taken)
                    click.echo(line(name, list(seconds.values())))
            fleet.kill()
        fleet.remove_files()


def configured(folder: Path) -> Config:
    """A configuration with two projects, and nothing in its store."""
    file = folder / "patchsync.toml"
    file.write_text('[mbox.patchwork]\nurl = "http://127.0.0.1:1"\nproject_ids = [1, 2]\n')
    return load(file)


def cpu_seconds(python: Path, command: list[str], config: Config, redis_answers: bool) -> float:
    """User and system time of a command of the environment that `python` is of."""
    # Compiled by the first run, as what is installed is.
    environment = os.environ | {FILE_VARIABLE: str(config.source), "PYTHONDONTWRITEBYTECODE": ""}
    if not redis_answers:
        environment["PATCHSYNC_REDIS__URL"] = "unix:///nowhere"
    program, *arguments = command
    with subprocess.Popen(
        [python.with_name(program), *arguments],
        env=environment,
        cwd=config.source.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return usage.ru_utime + usage.ru_stime


def line(name: str, seconds: list[float]) -> str:
    """The CPU of each, and what the first one takes of the second one's."""
    figures = "".join(f"{1000 * cpu:6.0f} ms" for cpu in seconds)
    return f"{name:<22}{figures}" + (f"{seconds[0] / seconds[1]:7.2f}" if len(seconds) > 1 else "")


if __name__ == "__main__":
    main()
