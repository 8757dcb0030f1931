"""A sync from nothing, beside a pull page by page in one thread with a request per patch.

python benchmarks/sync.py                                     on the sample Patchwork
python benchmarks/sync.py --url http://127.0.0.1:8000 --project 1      on yours
"""

from __future__ import annotations

import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
import requests

from standin.process import running_standin


@click.command(help=__doc__)
@click.option("--url", help="A Patchwork on this machine; without it, the sample one.")
@click.option("--project", default="sample", show_default=True, help="Number or link name.")
@click.option("--patches", default=2000, show_default=True, help="In the sample Patchwork.")
@click.option(
    "--latency", default=0.02, show_default=True, help="Seconds, of the sample Patchwork."
)
@click.option("--rounds", default=3, show_default=True, help="Each is one run of either.")
def main(url: str | None, project: str, patches: int, latency: float, rounds: int) -> None:
    with ExitStack() as stack:
        if url is None:
            arguments = ("--patches", str(patches), "--latency", str(latency))
            url = stack.enter_context(running_standin(*arguments)).url
        ratios = []
        for number in range(1, rounds + 1):
            with tempfile.TemporaryDirectory() as folder:
                ours, pulled = time_patchsync(Path(folder), url, project)
            theirs, in_one_thread = time_one_thread(url, project)
            if pulled != in_one_thread:
                raise click.ClickException(f"{pulled} patches, but {in_one_thread} in one thread")
            ratios.append(theirs / ours)
            click.echo(
                f"{number}: patchsync {ours:.1f} s ({pulled / ours:.0f} patches/s),"
                f" one thread {theirs:.1f} s ({in_one_thread / theirs:.0f} patches/s):"
                f" {ratios[-1]:.2f} times as fast"
            )
        click.echo(f"median of {rounds}: {statistics.median(ratios):.2f} times as fast")


def time_patchsync(folder: Path, url: str, project: str) -> tuple[float, int]:
    """Seconds of the whole command, from starting workers to the audit; patches in the store."""
    file = folder / "patchsync.toml"
    file.write_text(f'[mbox.patchwork]\nurl = "{url}"\nprojects = [{{ id = "{project}" }}]\n')
    program = str(Path(sys.executable).with_name("patchsync"))
    begin = time.monotonic()
    subprocess.run([program, "-c", str(file), "sync"], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begin
    (index,) = (folder / "resources/mbox/index").iterdir()
    return seconds, len(index.read_text().splitlines())


def time_one_thread(url: str, project: str) -> tuple[float, int]:
    """Seconds and number of patches of the simplest pull there is, which keeps no store."""
    begin = time.monotonic()
    digests = set()
    session = requests.Session()
    next_page: str | None = f"{url}/api/patches/?project={project}&order=id&per_page=50"
    while next_page:
        page = session.get(next_page, timeout=60)
        page.raise_for_status()
        for patch in page.json():
            mail = requests.get(patch["mbox"], timeout=60)
            mail.raise_for_status()
            digests.add((patch["id"], hashlib.md5(mail.content).hexdigest()))
        next_page = page.links.get("next", {}).get("url")
    return time.monotonic() - begin, len(digests)


if __name__ == "__main__":
    main()
