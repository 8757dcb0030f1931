"""A checkout of PaStA's whose program behaves as the real one was seen to, and may misbehave."""

from __future__ import annotations

import hashlib
import json
import runpy
import sys
import traceback
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO
from unittest import mock

import pygit2

from patchsync.analysis.engine import OnProgress, Updated
from patchsync.analysis.pasta.engine import PastaEngine
from patchsync.config import Config, load
from patchsync.store.layout import ContainerPaths, IndexEntry, format_line

# That of the real mails, with which the real PaStA is tried
NAME, HOST = "jailhouse-dev", "googlegroups.com"
# Three patches, two of which are one, and a mail without a patch; groups before and after.
A, B, C, BAD = "<a@x>", "<b@x>", "<c@x>", "<bad@x>"
OLD = b"<a@x>\n<c@x>\n"
NEW = b"<a@x> <b@x>\n<c@x>\n"
# Two mails are one patch where their subjects are the same; "?" in both is for a person to say.
PROGRAM = """
import json, os, pickle, subprocess, sys, termios, time, tomllib
from pathlib import Path

def log(text):
    print(text)
    with open("./log", "a") as file:
        print(text, file=file)

log("Cmdline: " + " ".join(sys.argv))
print(dict(os.environ))
here, argv, project = Path(__file__).parent, sys.argv[1:], None
while argv and argv[0].startswith("-"):
    if argv.pop(0) == "-c" and argv:
        project = argv.pop(0)
conduct = json.loads((here / "conduct.json").read_text())
how = conduct.get(" ".join(argv[:1]))
if how == "no package":
    import networkx_that_is_not_there
if not argv:
    sys.exit("usage: pasta sub")
if how == "echo":
    print(sys.stdin.read().upper())
    log("Shutting down")
    sys.exit(int(argv[-1]))
folder = Path("resources", project).resolve()
settings = tomllib.loads((folder / "config").read_text())
pasta = settings["PaStA"]
groups, evaluation, cache, mbox, hashes = (folder / pasta[key] for key in (
    "PATCH_GROUPS", "EVALUATION_RESULT", "COMMIT_CACHE_MBOX", "MBOX", "STACK_HASHES"))
if how == "die":
    raise RuntimeError("it went wrong")
if how == "fail":
    log("Shutting down")
    sys.exit(7)
if how == "quit":
    log("Unable to find shard 0 of list linux@vger")
    quit()
if how == "hang":
    groups.write_text("")
    child = subprocess.Popen(["sleep", "1000"])
    (here / "child").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(1000)
if not hashes.exists():
    git = ["git", "-C", folder / pasta["REPO"], "log", "--format=%H", pasta["UPSTREAM"]]
    hashes.write_text(subprocess.run(git, capture_output=True, text=True, check=True).stdout)
subjects = {}
for host, lists in settings["mbox"]["raw"].items():
    for name, files in lists.items():
        for line in (mbox / "index" / f"raw.{name}@{host}.{files[0]}").read_text().splitlines():
            date, message_id, md5 = line.split(" ")[:3]
            subjects[message_id] = (mbox / "raw" / date / md5).read_text()
known = [line.split() for line in groups.read_text().splitlines()]
members = [line for line in known if line[0] != "=>"]
commits = [line[1] for line in known if line[0] == "=>"]
bad = set((mbox / "invalid").read_text().split())
if argv[0] == "sync":
    if cache.exists():
        pickle.loads(cache.read_bytes())
    cache.write_bytes(pickle.dumps(subjects))
    bad |= {name for name, subject in subjects.items() if "no patch" in subject}
if argv[0] == "analyse":
    if argv[1] == "upstream":
        commits = hashes.read_text().split()
    bad |= {name for group in members for name in group} - set(subjects)
    members = [[name for name in group if name not in bad] for group in members]
    in_groups = {name for group in members for name in group}
    members += [[name] for name in subjects if name not in in_groups | bad]
    if how == "lose":
        members.pop()
    evaluation.write_bytes(b"ratings")
if argv[0] == "rate":
    evaluation.read_bytes()
    if float(argv[2]) < pasta["AUTOACCEPT_THRESHOLD"] and "?" in str(subjects):
        termios.tcgetattr(sys.stdin.fileno())
    for file in (folder / pasta["FALSE_POSTITIVES"]).glob("mbox*"):
        file.write_text("<x@x> <y@x>\\n" + file.read_text())
    joined = {}
    for group in members:
        subject = subjects[group[0]]
        joined.setdefault(group[0] if "?" in subject else subject, []).extend(group)
    members = list(joined.values())
lines = sorted(" ".join(sorted(group)) for group in members if group)
groups.write_text("".join(f"{line}\\n" for line in [*lines, *(f"=> {c}" for c in commits)]))
(mbox / "invalid").write_text("".join(f"{name}\\n" for name in sorted(bad)))
log("Shutting down")
"""


class FakePasta:
    """A checkout, a store, a repository with one commit, and a configuration that names them."""

    def __init__(self, folder: Path) -> None:
        """Make all of it in an empty folder."""
        self.folder = folder
        self.root = folder / "pasta"
        self.paths = ContainerPaths(d_mbox=folder / "mbox", listaddr=f"{NAME}@{HOST}", project_id=1)
        # PaStA's own configuration of the project
        self.project = self.root / "resources" / "list" / "config"
        self.project.parent.mkdir(parents=True)
        (self.root / "resources/common").mkdir()
        (self.root / "resources/common/default.cfg").write_text("")
        self.project.write_text(
            '[PaStA]\nMODE = "mbox"\nREPO = "../../../repo"\nUPSTREAM = "main"\n'
            "INTERACTIVE_THRESHOLD = 0.8\nAUTOACCEPT_THRESHOLD = 0.9\n"
            f'[mbox.raw."{HOST}"]\n{NAME} = ["patchwork.1"]\n'
        )
        (self.root / "pasta").write_text(f"#!{sys.executable}{PROGRAM}")
        (self.root / "pasta").chmod(0o755)
        self.conduct()
        pygit2.init_repository(str(folder / "repo"), bare=True, initial_head="main")
        self.commit("one")

    def conduct(self, **ways: str) -> None:
        """How PaStA's commands are to behave; without: well."""
        (self.root / "conduct.json").write_text(json.dumps(ways))

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
        tree = repo.TreeBuilder().write()
        repo.create_commit("refs/heads/main", who, who, message, tree, parents)

    def config(self, analysis: str = "", engine: str = "pasta") -> Config:
        """Our configuration, with more keys of `[analysis]`."""
        file = self.folder / "patchsync.toml"
        file.write_text(
            '[mbox.patchwork]\nurl = "http://127.0.0.1:9/api/"\n'
            f'projects = [{{ id = 1, list_email = "{self.paths.listaddr}" }}]\n'
            f'[store]\nmbox = "mbox"\n[analysis]\nengine = "{engine}"\n'
            f'pasta_root = "pasta"\npasta_project = "list"\n{analysis}\n'
        )
        return load(file)


def fake_pasta_with_patches(folder: Path) -> FakePasta:
    """All of it, with these mails in the store."""
    fake = FakePasta(folder)
    for message_id, subject in ((A, "one"), (B, "one"), (C, "two"), (BAD, "no patch")):
        fake.add(message_id, subject)
    return fake


def update(config: Config, on_progress: OnProgress = lambda *_: None) -> Updated:
    """An update by the engine."""
    return PastaEngine(config).update(on_progress)


def run_here(command: list[str], root: Path, output: BinaryIO) -> SimpleNamespace:
    """As `start_pasta` starts it, but in this process, which is ten times as fast."""
    said, status = StringIO(), 0
    argv = command[command.index(str(root / "pasta")) :]
    with chdir(root), redirect_stdout(said), mock.patch.object(sys, "argv", argv):
        try:
            runpy.run_path(argv[0], run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
        except Exception:
            traceback.print_exc(file=said)
            status = 1
    output.write(said.getvalue().encode())
    return SimpleNamespace(wait=lambda *_: status, pid=2**30)  # nobody's
