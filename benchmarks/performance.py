"""Run all benchmarks, one after the other, and write what they found to docs/performance.md.

make bench                                                     what needs nothing else
make bench ARGS="--pasta ~/PaStA --url http://127.0.0.1:8000"   beside the real ones, too
python benchmarks/performance.py --only start --to /tmp/page    a part, somewhere else
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
from claims import read
from performance_page import Found, Machine, write_page

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
# Options that name what is on this machine, and what the page has instead
NAMED = {"--pasta": "DIR", "--pasta-python": "FILE", "--token-file": "FILE", "--to": "DIR"}


@dataclass(frozen=True, kw_only=True)
class Script:
    """One benchmark."""

    # What it is given where the largest sizes are wanted
    full: tuple[str, ...] = ()
    # The options of this command that it has, too
    takes: tuple[str, ...] = ()


# In the order of the page
SCRIPTS = {
    "start": Script(),
    "sync": Script(takes=("url", "project")),
    "asking": Script(
        full=("--long", "1000", "--long", "100000", "--long", "1000000"),
        takes=("url", "project"),
    ),
    "backlog": Script(),
    "append": Script(full=("--large", "10000000")),
    "importing": Script(),
    "analysing": Script(
        full=("--middle", "40000", "--large", "100000", "--runs", "1", "--pasta-most", "40000"),
        takes=("pasta", "pasta_python"),
    ),
    "one_patch": Script(full=("--large", "1000000")),
    "planning": Script(full=("--large", "1000000")),
    "pushing": Script(takes=("url", "project", "token_file")),
    "latency": Script(),
    "idle": Script(),
    "web": Script(),
    "pages": Script(full=("--large", "1000000")),
    "beyond": Script(),
}


@click.command(help=__doc__)
@click.option("--only", multiple=True, type=click.Choice(list(SCRIPTS)), help="These scripts.")
@click.option("--full", is_flag=True, help="The sizes of the largest lists; takes hours.")
@click.option("--pasta", metavar="DIR", help="A checkout of the real PaStA.")
@click.option("--pasta-python", metavar="FILE", help="Interpreter for it.")
@click.option("--url", help="A real Patchwork on this machine, that may be written to.")
@click.option("--project", metavar="P", help="Its project.")
@click.option("--token-file", metavar="FILE", help="With the token of a maintainer of it.")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=DOCS,
    help="Where performance.md and its plots go, instead of docs/.",
)
def main(only: tuple[str, ...], full: bool, folder: Path, **beside: str | None) -> None:
    if only and folder == DOCS:
        raise click.UsageError("a part of it is no page for docs/: name another folder by --to")
    machine = Machine.this()
    found = []
    for name in only or SCRIPTS:
        script = SCRIPTS[name]
        arguments = list(script.full if full else ())
        for option in script.takes:
            if value := beside[option]:
                arguments += [f"--{option.replace('_', '-')}", value]
        found.append(run(name, arguments))
    write_page(folder, machine, found, command())
    click.echo(f"\nwrote {folder / 'performance.md'}")
    if failed := [each.script for each in found if not each.claims]:
        raise click.ClickException(f"ended with an error: {', '.join(failed)}")


def run(script: str, arguments: list[str]) -> Found:
    """What a script found; nothing where it ended with an error, which is shown."""
    click.echo(f"\n== benchmarks/{script}.py {' '.join(arguments)}")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "claims.json"
        command = [sys.executable, str(HERE / f"{script}.py"), "--json", str(file), *arguments]
        # What its fleets leave there, such as the log of a Redis, goes with it.
        subprocess.run(command, check=False, env=os.environ | {"TMPDIR": folder})
        claims = read(file) if file.exists() else []
    return Found(script, shown(arguments), claims, time.monotonic() - begin)


def command() -> str:
    """How this run was asked for."""
    arguments = " ".join(shown(sys.argv[1:]))
    return f'make bench ARGS="{arguments}"' if arguments else "make bench"


def shown(arguments: list[str]) -> list[str]:
    """Arguments without what is of this machine: what follows an option of `NAMED` is left open."""
    return [
        NAMED.get(before, argument)
        for before, argument in zip(["", *arguments], arguments, strict=False)
    ]


if __name__ == "__main__":
    main()
