"""Two machines in one: each has a network and a host name of its own, joined by a cable.

They vanish with the processes that live in them, and nothing listens on a real interface. Linux'
`unshare` and `nsenter` make them, `ip` the cable.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from patchsync.fleet.parent_death import die_with_parent

FIRST, SECOND = "192.0.2.1", "192.0.2.2"  # Of the range that is for documentation (RFC 5737)
HOLD = """
import signal, socket, sys
socket.sethostname(sys.argv[1])
print("ready", flush=True)
signal.pause()
"""


class NoMachines(Exception):
    """This machine allows no such thing; says why."""


@dataclass
class Machine:
    """A machine, as long as its first process lives."""

    name: str
    # What comes before a command for it to run there
    entry: list[str]
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end."""
        return subprocess.run(
            [*self.entry, *command],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *command: str, **environment: str) -> None:
        """Start a process there, which ends with the machine."""
        self._started.append(
            subprocess.Popen(
                [*self.entry, *die_with_parent(list(command))],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def end(self) -> None:
        """End what was started there."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._started:
            process.wait()


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Two machines with the addresses `FIRST` and `SECOND`, which reach each other and no other.

    Raises:
        NoMachines: there are none to be had here.
    """
    for tool in ("unshare", "nsenter", "ip"):
        if not shutil.which(tool):
            raise NoMachines(f"there is no `{tool}`")
    # Who is not root may be so in a user namespace, where the system lets him.
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    with ExitStack() as ending:
        first = _machine(ending, "first", ["unshare", *as_root])
        second = _machine(ending, "second", [*first.entry, "unshare"])
        cable = ["ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable"]
        _demand(first.run(*cable, "netns", second.entry[2]))
        for machine, address in ((first, FIRST), (second, SECOND)):
            for command in ("link set lo up", f"address add {address}/30 dev cable"):
                _demand(machine.run("ip", *command.split()))
            _demand(machine.run("ip", "link", "set", "cable", "up"))
        yield first, second


def _machine(ending: ExitStack, name: str, unshare: list[str]) -> Machine:
    process = subprocess.Popen(
        [*unshare, "--net", "--uts", "--", *die_with_parent([sys.executable, "-c", HOLD, name])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise NoMachines(f"no network namespaces: {process.communicate()[1].strip()}")
    ending.callback(process.communicate)
    ending.callback(process.kill)
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    machine = Machine(
        name, ["nsenter", "--target", str(process.pid), *user, "--net", "--uts", "--"]
    )
    ending.callback(machine.end)
    return machine


def _demand(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        raise NoMachines(f"no cable between network namespaces: {done.stderr.strip()}")
