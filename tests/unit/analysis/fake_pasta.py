"""A checkout of PaStA's whose program behaves as the real one was seen to, and may misbehave."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import traceback
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import BinaryIO
from unittest import mock

import pygit2

from patchsync.analysis.engine import Updated
from patchsync.analysis.pasta.engine import PastaEngine
from patchsync.config import Config, load
from patchsync.store.layout import ContainerPaths, IndexEntry, format_line

LIST = "list@example.org"
# Two mails are one patch where their subjects are the same; "?" in both is for a person to say.
PROGRAM = """
import errno, json, os, pickle, subprocess, sys, termios, time, tomllib
from pathlib import Path

argv = sys.argv[1:]
project = None
while argv and argv[0].startswith("-"):
    if argv.pop(0) == "-c":
        if not argv:
            print("usage: pasta sub", file=sys.stderr)
            sys.exit(errno.EINVAL)
        project = argv.pop(0)
here = Path(__file__).parent
conduct = json.loads((here / "conduct.json").read_text())
how = conduct.pop(" ".join(argv[:2]), conduct.pop(argv[0], None))

def log(text, level="INFO"):
    with open("./log", "a") as file:
        for each in (sys.stdout, file):
            print(f"{level:8} {text}", file=each)

log("Cmdline: " + " ".join(sys.argv))
if how == "no package":
    import networkx_that_is_not_there
folder = Path("resources", project).resolve()

def over(below, above):
    return {**below, **above, **{k: over(v, above[k]) for k, v in below.items()
                                 if isinstance(v, dict) and isinstance(above.get(k), dict)}}

settings = over(tomllib.loads(Path("resources/common/default.cfg").read_text()),
                tomllib.loads((folder / "config").read_text()))
pasta = settings["PaStA"]
groups, mbox = folder / pasta["PATCH_GROUPS"], folder / pasta["MBOX"]
evaluation, cache = folder / pasta["EVALUATION_RESULT"], folder / pasta["COMMIT_CACHE_MBOX"]
invalid = mbox / "invalid"
hashes = folder / pasta["STACK_HASHES"] / "upstream"
hashes.parent.mkdir(exist_ok=True, parents=True)
if not hashes.exists():
    found = subprocess.run(["git", "-C", folder / pasta["REPO"], "log", "--format=%H",
                            pasta["UPSTREAM"]], capture_output=True, text=True, check=True)
    hashes.write_text(found.stdout)
mails = {}
for host, lists in settings["mbox"]["raw"].items():
    for name, files in lists.items():
        for file in files:
            index = mbox / "index" / f"raw.{name}@{host}.{file}"
            for line in index.read_text().rstrip().split("\\n") if index.exists() else []:
                date, message_id, md5 = line.split(" ")[:3]
                mails[message_id] = mbox / "raw" / date / md5
known = groups.read_text().splitlines() if groups.exists() else []
members = [line.split(" => ")[0].split() for line in known if not line.startswith("=> ")]
commits = sorted({c for line in known for c in line.partition("=> ")[2].split()})

def write():
    lines = sorted(" ".join(sorted(group)) for group in members if group)
    groups.write_text("".join(f"{line}\\n" for line in [*lines, *(f"=> {c}" for c in commits)]))

if how == "die":
    log("Half way")
    raise RuntimeError("it went wrong")
if how == "quit":
    log("Unable to find shard 0 of list linux@vger", "ERROR")
    quit()
if how == "hang":
    groups.write_text("")
    child = subprocess.Popen(["sleep", "1000"])
    (here / "child").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(1000)
if how == "status":
    sys.exit(int(argv[-1]))
if how == "echo":
    print(sys.stdin.read().upper())
subjects = {each: file.read_text() for each, file in mails.items() if file.exists()}
if argv[0] == "sync":
    if cache.exists():
        pickle.loads(cache.read_bytes())
    cache.write_bytes(pickle.dumps(subjects))
    bad = {each for each in mails if "no patch" in subjects.get(each, "no patch")}
    bad |= set(invalid.read_text().split()) if invalid.exists() else set()
    if bad:
        invalid.write_text("".join(f"{each}\\n" for each in sorted(bad)))
if argv[0] == "analyse":
    bad = set(invalid.read_text().split()) if invalid.exists() else set()
    if argv[1] == "upstream":
        commits = hashes.read_text().split()
    bad |= {each for group in members for each in group} - set(mails)
    invalid.write_text("".join(f"{each}\\n" for each in sorted(bad)))
    members = [[each for each in group if each not in bad] for group in members]
    in_groups = {each for group in members for each in group}
    members += [[each] for each in mails if each not in in_groups | bad]
    if how == "lose":
        members.pop()
    write()
    evaluation.write_bytes(b"ratings")
if argv[0] == "rate":
    evaluation.read_bytes()
    ask = float(argv[argv.index("-ti") + 1] if "-ti" in argv else pasta["INTERACTIVE_THRESHOLD"])
    if ask < pasta["AUTOACCEPT_THRESHOLD"] and any("?" in each for each in subjects.values()):
        termios.tcgetattr(sys.stdin.fileno())
    joined = {}
    for group in members:
        subject = subjects[group[0]]
        joined.setdefault(group[0] if "?" in subject else subject, []).extend(group)
    members = list(joined.values())
    write()
    if how == "meanwhile":
        (here / "meanwhile").rename(pasta["THEIRS"])
log("Shutting down")
"""


@dataclass(frozen=True)
class Ended:
    """Stands for the process of a command that was run in this one."""

    status: int
    pid: int = 2**30  # nobody's

    def wait(self, timeout: float | None = None) -> int:
        """How it ended."""
        return self.status


def run_here(command: list[str], root: Path, output: BinaryIO) -> Ended:
    """As `start_pasta` starts it, but in this process, which is ten times as fast."""
    program = root / "pasta"
    said = StringIO()
    status: object = 0
    with (
        chdir(root),
        redirect_stdout(said),
        Path(os.devnull).open() as nobody,
        mock.patch.multiple(sys, argv=command[command.index(str(program)) :], stdin=nobody),
    ):
        try:
            code = compile(program.read_text(), program, "exec")
            exec(code, {"__file__": str(program), "__name__": "__main__"})
        except SystemExit as end:
            status = end.code or 0
        except Exception:
            traceback.print_exc(file=said)
            status = 1
    output.write(said.getvalue().encode())
    output.flush()
    assert isinstance(status, int)
    return Ended(status)


@dataclass(frozen=True)
class FakePasta:
    """A checkout, a store, a repository with one commit, and a configuration that names them."""

    folder: Path

    @property
    def root(self) -> Path:
        """PaStA's checkout."""
        return self.folder / "pasta"

    @property
    def project(self) -> Path:
        """PaStA's own configuration of the project."""
        return self.root / "resources" / "list" / "config"

    @property
    def paths(self) -> ContainerPaths:
        """Where the mails are."""
        return ContainerPaths(d_mbox=self.folder / "mbox", listaddr=LIST, project_id=1)

    def conduct(self, **ways: str) -> None:
        """How PaStA's commands are to behave; without: well."""
        named = {key.replace("_", " "): way for key, way in ways.items()}
        (self.root / "conduct.json").write_text(json.dumps(named))

    def add(self, message_id: str, subject: str) -> None:
        """Put a mail into the store."""
        content = f"{subject}\n".encode()
        entry = IndexEntry(1, "2024/05/06", message_id, hashlib.md5(content).hexdigest())
        mail = self.paths.mail(entry.date, entry.md5)
        mail.parent.mkdir(parents=True, exist_ok=True)
        mail.write_bytes(content)
        self.paths.index.parent.mkdir(exist_ok=True)
        with self.paths.index.open("ab") as index:
            index.write(format_line(entry))

    def commit(self, message: str) -> None:
        """Put an empty commit on the branch that is upstream."""
        repo = pygit2.Repository(str(self.folder / "repo"))
        who = pygit2.Signature("A", "a@example.org", 0, 0)
        parents = [] if repo.head_is_unborn else [repo.head.target]
        repo.create_commit(
            "refs/heads/main", who, who, message, repo.TreeBuilder().write(), parents
        )

    def config(self, analysis: str = "", more: str = "") -> Config:
        """Our configuration, with more keys of `[analysis]` and more tables."""
        file = self.folder / "patchsync.toml"
        file.write_text(
            f"""
            [mbox.patchwork]
            url = "http://127.0.0.1:9/api/"
            projects = [{{ id = 1, list_email = "{LIST}" }}]
            [store]
            mbox = "mbox"
            [analysis]
            engine = "pasta"
            pasta_root = "pasta"
            pasta_project = "list"
            {analysis}
            {more}
            """
        )
        return load(file)


def make_fake_pasta(folder: Path) -> FakePasta:
    """Make all of it in an empty folder."""
    fake = FakePasta(folder)
    fake.project.parent.mkdir(parents=True)
    (fake.root / "pasta").write_text(f"#!{sys.executable}{PROGRAM}")
    (fake.root / "pasta").chmod(0o755)
    fake.conduct()
    fake.project.write_text(
        """
        [PaStA]
        MODE = "mbox"
        REPO = "../../../repo"
        UPSTREAM = "main"
        INTERACTIVE_THRESHOLD = 0.8
        AUTOACCEPT_THRESHOLD = 0.9
        [mbox.raw."example.org"]
        list = ["patchwork.1"]
        """
    )
    common = fake.root / "resources" / "common" / "default.cfg"
    common.parent.mkdir()
    common.write_text(
        """
        [PaStA]
        MBOX = "resources/mbox/"
        PATCH_GROUPS = "resources/patch-groups"
        EVALUATION_RESULT = "resources/evaluation-result.pkl"
        STACK_HASHES = "resources/stack-hashes"
        COMMIT_CACHE_MBOX = "resources/commit_cache_mbox.pkl"
        [mbox]
        MINDATE = 1970-01-01
        MAXDATE = 2030-01-01
        [mbox.raw]
        """
    )
    pygit2.init_repository(str(folder / "repo"), bare=True, initial_head="main")
    fake.commit("one")
    return fake


# Three patches, two of which are one, and a mail without a patch; groups before and after.
A, B, C, BAD = "<a@x>", "<b@x>", "<c@x>", "<bad@x>"
OLD = b"<a@x>\n<c@x>\n"
NEW = b"<a@x> <b@x>\n<c@x>\n"


def fake_pasta_with_patches(folder: Path) -> FakePasta:
    """Make all of it with these mails in the store."""
    fake = make_fake_pasta(folder)
    for message_id, subject in ((A, "one"), (B, "one"), (C, "two"), (BAD, "no patch")):
        fake.add(message_id, subject)
    return fake


def update(config: Config) -> Updated:
    """An update by the engine."""
    return PastaEngine(config).update(lambda *_: None)
