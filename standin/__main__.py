"""`python -m standin`: run the stand-in Patchwork."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import click
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from standin import archive, instance
from standin.instance import Standin
from standin.server import application

LOOPBACK = "127.0.0.1"


@click.command()
@click.option("--port", default=0, show_default=True, help="Port on the loopback; 0: a free one.")
@click.option(
    "--port-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the port to this file once the server listens.",
)
@click.option(
    "--patches",
    "--sample",
    default=300,
    show_default=True,
    help="Generated patches: two thirds in the project `sample`, one third in `neighbour`.",
)
@click.option(
    "--long",
    default=0,
    show_default=True,
    help="Patches in a third project, `long`, whose mails are made when they are read.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed, the same patches.")
@click.option("--latency", default=0.0, show_default=True, help="Seconds each request waits.")
@click.option(
    "--archive",
    "archive_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Serve the mails of this Patchwork dumparchive instead of generated ones.",
)
@click.option(
    "--patches-json",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --archive: what GET patches/ listed of the same project, as JSON, gzipped or not.",
)
def main(
    *,
    port: int,
    port_file: Path | None,
    patches: int,
    long: int,
    seed: int,
    latency: float,
    archive_file: Path | None,
    patches_json: Path | None,
) -> None:
    """A small Patchwork to try patchsync against.

    It answers as Patchwork 3.2.1 does, keeps everything in memory, and is reached from this machine
    only. It prints its URL and runs until it is interrupted. Reading needs no token; to write, use
    `sample-token` (maintains every project), `neighbour-token` (the second project only) or
    `nobody-token` (none).

    \b
    Try it:
      curl URL/api/1.3/patches/?project=sample&order=-id&per_page=1
      curl -X POST URL/_control/patches/add -d '{"project": "sample", "count": 5}'
      curl -X POST URL/_control/faults -d '{"kind": "status", "status": 503, "times": 3}'
      curl URL/_control/stats
    """
    if (archive_file is None) != (patches_json is None):
        raise click.UsageError("--archive and --patches-json need each other.")
    if archive_file is not None and patches_json is not None:
        try:
            standin = instance.archived(archive_file, patches_json, seed)
        except archive.UnreadableArchive as error:
            raise click.ClickException(str(error)) from error
    else:
        standin = instance.generated(patches, seed, long)
    standin.faults.latency = latency
    asyncio.run(_serve(standin, port, port_file))


async def _serve(standin: Standin, port: int, port_file: Path | None) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    sockets = bind_sockets(port, LOOPBACK)
    server = HTTPServer(application(standin))
    server.add_sockets(sockets)
    listening_on = sockets[0].getsockname()[1]
    if port_file is not None:
        half_written = port_file.with_name(f"{port_file.name}.{os.getpid()}")
        half_written.write_text(f"{listening_on}\n")
        half_written.replace(port_file)
    click.echo(f"http://{LOOPBACK}:{listening_on}")
    await stopped.wait()
    server.stop()
    await server.close_all_connections()


if __name__ == "__main__":
    main()
