"""`patchsync demo`: the whole circle on a sample Patchwork, from nothing."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import click

from patchsync.cli.demo_scenario import Scenario, Watch
from patchsync.cli.demo_views import USER_AGENT, PagesView, PatchworkView, StoreView
from patchsync.cli.output import echo
from patchsync.cli.signals import end_as_by_ctrl_c
from patchsync.config import FILE_VARIABLE, TOKEN_VARIABLES, Config, load
from patchsync.errors import PatchsyncError
from patchsync.fleet.services import local_url, wanted_services
from patchsync.fleet.supervisor import Supervisor
from patchsync.push.service import PushService
from patchsync.push.status import summary
from patchsync.sync.connect import connect_annotator
from standin.process import TOKEN, StandinProcess, running_standin

PATIENCE_SECONDS = 60.0
FEWEST_PATCHES = 20
OURS = "patchsync.toml"
CONFIGURATION = """[mbox.patchwork]
url = "{url}/api/"
token_file = "token"
projects = [{{ id = "sample" }}, {{ id = "neighbour" }}]

[store]
mbox = "resources/mbox"

[push]
sinks = ["check", "relation"]

[schedule]
probe_seconds = 2
push_seconds = 5

[flower]
port = {flower_port}

[web]
port = {web_port}
url = "http://127.0.0.1:{web_port}"
"""


@click.command()
@click.option(
    "--patches",
    default=300,
    show_default=True,
    type=click.IntRange(min=FEWEST_PATCHES),
    help="Patches in the sample Patchwork.",
)
@click.option(
    "--folder",
    default=Path("run/demo"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the store is made; a store of an earlier demo there is removed.",
)
@click.option(
    "--stay/--end",
    default=None,
    help="Go on until Ctrl-C, so that one can look around, or end. Default: --stay on a terminal.",
)
def demo(patches: int, folder: Path, stay: bool | None) -> None:
    """Show the whole circle at work on a sample Patchwork.

    From nothing, in about a minute. A small stand-in for Patchwork with generated patches of two
    projects, and the whole fleet, as `patchsync up` starts it: it brings the patches into a store
    that PaStA reads, groups those that are revisions of one another, and shows the groups as
    relations and checks. Then, while you watch, a revision of a patch arrives, another one arrives
    late, and a patch is deleted. At the end it says where that story stands on a page.

    All that is told was seen: in the store, in patch-groups, in the answers of Patchwork's API.
    Exit status 1 if something that should come does not.
    """
    _forget_environment()
    if stay is None:
        stay = sys.stdout.isatty()
    _make_empty(folder)
    end_as_by_ctrl_c()
    with running_standin("--patches", str(patches)) as sample:
        config = _configure(folder, sample.url)
        with Supervisor(config) as fleet:
            try:
                _show(config, fleet, sample, stay=stay)
            except (click.ClickException, PatchsyncError):
                echo(f"what the fleet said: {' '.join(map(str, fleet.logs()))}", err=True)
                raise
            except KeyboardInterrupt:
                _end(config, fleet)
                raise
            _end(config, fleet)


def _end(config: Config, fleet: Supervisor) -> None:
    fleet.kill()  # What it has in hand is of no use to anybody any more.
    shutil.rmtree(config.run_dir, ignore_errors=True)


def _show(config: Config, fleet: Supervisor, sample: StandinProcess, *, stay: bool) -> None:
    services = wanted_services(config)

    def keep_running() -> None:
        fleet.ensure_redis()
        fleet.ensure(services)

    def watch() -> Watch:
        return Watch(keep_running, PATIENCE_SECONDS)

    store, patchwork = StoreView(config), PatchworkView(sample.url, config.push.check.context)
    count = len(patchwork.all())
    echo(f"A sample Patchwork with {count} patches answers on {sample.url}\n")
    echo(f"The fleet starts, as by `patchsync up`: Redis, {', '.join(services)}.")
    pages = PagesView(local_url(config, "web"))
    scenario = Scenario(store, patchwork, pages, sample.control, watch)
    scenario.begins()
    _agree(config)
    scenario.first_push()
    scenario.revision_arrives()
    scenario.late_one_arrives()
    scenario.patch_is_deleted()
    scenario.page_shows_it()
    _sum_up(config, store, patchwork, sample, scenario.newest_pair)
    if stay:
        _stay(config, sample, watch(), pages.of(scenario.newest_pair[1]))
    else:
        echo("To click through it:      patchsync demo --stay")


def _agree(config: Config) -> None:
    """What somebody does once who answers `patchsync push`, or says --yes."""
    with PushService(config, connect_annotator(config)) as service:
        for _ in service.learn():
            pass
        service.plan()
        projects = service.identity.projects
        pending = sum((service.status(number).pending for number in projects), Counter[str]())
        names = " and ".join(project.link_name for project in projects.values())
        echo(
            f"\nThe first push to a project wants somebody's agreement. To {names}, as user\n"
            f"{service.identity.user.username}: {summary(pending)}. The demo agrees, as\n"
            "`patchsync push --yes` does; from then on the fleet pushes by itself."
        )
        service.confirm(set(projects))


def _sum_up(
    config: Config,
    store: StoreView,
    patchwork: PatchworkView,
    sample: StandinProcess,
    pair: tuple[int, int],
) -> None:
    groups, patches = store.groups(), patchwork.all()
    relations = {patch.related | {id_} for id_, patch in patches.items() if patch.related}
    user_agents = sample.control.stats()["user_agents"]
    requests = sum(count for agent, count in user_agents.items() if agent != USER_AGENT)
    left, right = pair
    echo(
        f"\nIn Patchwork stand {len(relations)} relations, and checks on "
        f"{sum(patch.checked for patch in patches.values())} of {len(patches)} patches; PaStA has "
        f"{len(groups)} groups.\n"
        f"The fleet made {requests} requests.\n\n"
        f"PaStA's store      {config.d_mbox}\n"
        f"its patch-groups   {config.patch_groups}\n"
        f"the configuration  {config.source}\n\n"
        f"Why two patches are one:  patchsync -c {_near(config.source)} explain {left} {right}\n"
        "For a real Patchwork:     write your own patchsync.toml (see the README), then\n"
        "                          patchsync check && patchsync up"
    )


def _stay(config: Config, sample: StandinProcess, watch: Watch, page: str) -> None:
    echo(
        f"\nWhat became of that patch, to click through:  {page}\n\n"
        f"All of it goes on until Ctrl-C.\n"
        f"  Patchwork's API   {sample.url}/api/1.3/patches/?order=-id\n"
        f"  Flower            {local_url(config, 'flower')}\n"
        f"  The pages         {local_url(config, 'web')}/\n"
        f"  What is so        patchsync -c {_near(config.source)} status\n"
        f"  Another revision  curl -d '{{\"id\": 1}}' {sample.url}/_control/patches/revise"
    )
    with suppress(KeyboardInterrupt):
        while True:
            watch.look_after()
            time.sleep(0.5)


def _near(path: Path) -> Path:
    """As one types it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _forget_environment() -> None:
    """Nothing set for a real Patchwork reaches the demo: the environment goes before the file."""
    for name in list(os.environ):
        if name.upper().startswith("PATCHSYNC_") or name.upper() in TOKEN_VARIABLES:
            del os.environ[name]


def _make_empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / OURS).exists():
        raise click.ClickException(f"{folder} holds something else than an earlier demo")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _configure(folder: Path, url: str) -> Config:
    file = folder.absolute() / OURS
    ports = {"flower_port": _free_port(), "web_port": _free_port()}
    file.write_text(CONFIGURATION.format(url=url, **ports), encoding="utf-8")
    token = file.with_name("token")
    token.touch(mode=0o600)
    token.write_text(f"{TOKEN}\n", encoding="utf-8")
    os.environ[FILE_VARIABLE] = str(file)
    return load()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
