"""`patchsync demo`: the main job on a sample Patchwork, from nothing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from patchsync.cli import sync as sync_command
from patchsync.config import FILE_VARIABLE, Config, load
from patchsync.sites import find_site
from patchsync.standin.process import running_standin

PATIENCE_SECONDS = 60.0
OURS = "patchsync.toml"


@click.command()
@click.option("--patches", default=300, show_default=True, help="Patches in the sample Patchwork.")
@click.option(
    "--folder",
    default=Path("run/demo"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the store is made; a store of an earlier demo there is removed.",
)
def demo(patches: int, folder: Path) -> None:
    """Show the main job at work on a sample Patchwork, from nothing.

    Real Celery workers with a real Redis pull two projects of a small stand-in for Patchwork, with
    generated patches, into a store that PaStA reads. Then patches arrive, one of them late and
    back-dated, and one is deleted: a second sync fetches only these.
    """
    _make_empty(folder)
    with running_standin("--patches", str(patches)) as patchwork:
        click.echo(f"A sample Patchwork with {patches} patches answers on {patchwork.url}")
        config = _configure(folder, patchwork.url)
        keys = [project.id for project in config.projects]

        # It has its id already, but nobody sees it yet.
        late = patchwork.control.add(keys[0], 1, days_back=400, visible=False)
        patchwork.control.add(keys[0], 1)
        click.echo("\nFirst sync, from nothing:")
        _sync(config, keys)
        first = patchwork.control.reset_stats()["requests"]

        patchwork.control.add(keys[0], 5)
        patchwork.control.commit(late)
        patchwork.control.delete(patchwork.control.ids(keys[1])[:1])
        click.echo("\nSix patches arrive, one of them back-dated, with an id below those we know;")
        click.echo("one is deleted. Second sync:")
        _sync(config, keys)
        second = patchwork.control.stats()["requests"]

    click.echo(f"\nRequests: {first} for the first sync, {second} for the second.")
    click.echo(f"PaStA's store is {config.d_mbox}; its newest lines:")
    for key in keys:
        site = find_site(config, key)
        if site:
            newest = site.paths.index.read_text(encoding="utf-8").splitlines()[-2:]
            click.echo("\n".join(f"  {line}" for line in newest))
    click.echo(f"\nThe configuration was {config.source}. For a real Patchwork, write your own:")
    click.echo("  see the README, then: patchsync check && patchsync sync")


def _make_empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / OURS).exists():
        raise click.ClickException(f"{folder} holds something else than an earlier demo")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _configure(folder: Path, url: str) -> Config:
    file = folder.absolute() / OURS
    file.write_text(
        f"""[mbox.patchwork]
url = "{url}/api/"
projects = [{{ id = "sample" }}, {{ id = "neighbour" }}]

[store]
mbox = "resources/mbox"
""",
        encoding="utf-8",
    )
    os.environ[FILE_VARIABLE] = str(file)
    return load()


def _sync(config: Config, keys: list[str]) -> None:
    if not sync_command.run(config, keys, PATIENCE_SECONDS):
        sys.exit(1)
