"""A repository whose commits are versions of the patches that the made-up mails are."""

from __future__ import annotations

from pathlib import Path

from analysis_fakes import code
from pygit2 import init_repository
from pygit2.enums import FileMode, ObjectType

OLD = "what was there\n"


class Upstream:
    """A bare repository; each commit adds the lines of a version to its topic's file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._repository = init_repository(folder, bare=True)
        self._seconds = 1_600_000_000
        self._files = dict.fromkeys(("file0.c", "file1.c", "file2.c"), OLD)
        self.first = self._commit("The beginning\n")

    def commit(self, topic: int = 0, *changed: int) -> str:
        """Commit a version of a topic on top."""
        file = f"file{topic % 3}.c"
        before = self._files[file]
        self._files[file] = "".join(f"{line}\n" for line in code(topic, changed)) + before
        return self._commit(f"Change of topic {topic}\n\nIt does a thing.\n")

    def rewind(self, commit: str) -> None:
        """Have the branch end there, as by a force push."""
        self._repository.references.create("refs/heads/master", commit, force=True)
        tree = self._repository[commit].tree
        self._files = {entry.name: entry.data.decode() for entry in tree}

    def _commit(self, message: str) -> str:
        tree = self._repository.TreeBuilder()
        for file, content in self._files.items():
            tree.insert(file, self._repository.create_blob(content.encode()), FileMode.BLOB)
        self._seconds += 60
        who = f"A <a@example.org> {self._seconds} +0000"
        lines = [f"tree {tree.write()}"]
        if "refs/heads/master" in self._repository.references:
            lines.append(f"parent {self._repository.references['refs/heads/master'].target}")
        lines += [f"author {who}", f"committer {who}", "", message]
        made = str(self._repository.odb.write(ObjectType.COMMIT, "\n".join(lines).encode()))
        self._repository.references.create("refs/heads/master", made, force=True)
        return made


def tables(upstream: Upstream, more: str = "", rest: str = "") -> str:
    """The configuration for it."""
    range_ = f"{upstream.first}..master"
    return f'[analysis]\nrepo = "{upstream.folder}"\nupstream = "{range_}"\n{more}\n{rest}\n'
