"""`patchsync pasta -- ARGS`: PaStA itself, while nobody else works on the store."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack
from itertools import takewhile

import click

from patchsync.analysis.pasta.checkout import PastaCheckout, environment
from patchsync.analysis.pasta.engine import only_analysis
from patchsync.config import load
from patchsync.fleet.parent_death import die_with_parent
from patchsync.store.identity import list_containers
from patchsync.store.lock import store_lock


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    options_metavar="--",
)
@click.argument("arguments", metavar="ARGS...", nargs=-1, required=True, type=click.UNPROCESSED)
def pasta(arguments: tuple[str, ...]) -> None:
    """Run a command of PaStA's under the store's lock.

    As `patchsync pasta -- rate`. PaStA is that of [analysis] pasta_root, and runs there; `-c` and
    pasta_project are put in unless ARGS have a `-c`. It can ask on the terminal, and its exit
    status becomes this one's.

    Meanwhile nothing is added to the store and patch-groups is nobody else's: the fleet goes on
    afterwards.
    """
    config = load()
    checkout = PastaCheckout(config)
    # PaStA takes its own options before the command alone.
    if "-c" not in takewhile(lambda argument: argument.startswith("-"), arguments):
        arguments = ("-c", checkout.project, *arguments)
    command = die_with_parent([*checkout.command, *arguments])
    with ExitStack() as locks:
        locks.enter_context(only_analysis(config))
        for container in list_containers(config.d_mbox):
            locks.enter_context(store_lock(container.paths.lock))
        # Ctrl-C is PaStA's to answer (it does not inherit this); we hold the locks until it ends.
        signal.signal(signal.SIGINT, lambda *_: None)
        status = subprocess.Popen(command, cwd=checkout.root, env=environment()).wait()
    sys.exit(status if status >= 0 else 128 - status)
