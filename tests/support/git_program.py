"""The real git, to hold ours against it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def need_git() -> None:
    """Skip the test where git is not installed."""
    if not shutil.which("git"):
        pytest.skip("git is not installed; what it does is the measure here")


class Git:
    """A repository of its own, in which nothing of the machine's configuration counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self("init", "--quiet", "--initial-branch=main")

    def __call__(self, *arguments: str, stdin: bytes | None = None, **variables: str) -> bytes:
        """What git prints."""
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            env=self._environment() | variables,
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    def commit(self, message: bytes, **variables: str) -> str:
        """Commit all that is in the folder as it is; the hash."""
        self("add", "--all")
        arguments = ("--quiet", "--allow-empty", "--allow-empty-message", "--cleanup=verbatim")
        self("commit", *arguments, "--file=-", stdin=message, **variables)
        return self("rev-parse", "HEAD").decode().strip()

    def mail(self, commit: str, *options: str) -> bytes:
        """The commit as a mail."""
        return self("format-patch", "--stdout", "-1", *options, commit)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "A U Thor",
            "GIT_AUTHOR_EMAIL": "author@example.org",
            "GIT_AUTHOR_DATE": "1700000000 +0000",
            "GIT_COMMITTER_NAME": "C O Mitter",
            "GIT_COMMITTER_EMAIL": "committer@example.org",
            "GIT_COMMITTER_DATE": "1700000000 +0000",
        }
