"""Whether the builtin engine will work: what `patchsync check` says of it."""

from __future__ import annotations

import shutil

from patchsync.analysis.commits import open_repository, read_blacklist, resolve_range
from patchsync.analysis.false_positives import OF_COMMITS, OF_MAILS, read_false_positives
from patchsync.analysis.group_file import read_content
from patchsync.analysis.own_groups import fingerprint, own_groups
from patchsync.analysis.project import read_project
from patchsync.config import Config
from patchsync.errors import GiveUp


def check_builtin(config: Config) -> str:
    """What it will do. Raises ConfigError or StoreDamaged where it would fail."""
    project = read_project(config)
    accept = project.thresholds.autoaccept
    told = [
        f"builtin: two patches rated {accept:g} or more are one; its result goes to"
        f" {project.groups}"
    ]
    there = read_content(project.groups)
    own = own_groups(config)
    if there is not None and own.ever and not own.wrote(fingerprint(there)):
        raise GiveUp(
            f"{project.groups} was written by somebody else since; `patchsync analyse --overwrite`"
            " has it written by patchsync again"
        )
    marks = [
        read_false_positives(project.false_positives / name) for name in (OF_MAILS, OF_COMMITS)
    ]
    if number := sum(map(len, marks)):
        told.append(f"false positives of {number} mails in {project.false_positives}")
    if project.repo and project.upstream:
        resolve_range(open_repository(project.repo), project.upstream)
        told.append(f"upstream commits are those of {project.upstream} in {project.repo}")
    if project.blacklist:
        told.append(f"but {len(read_blacklist(project.blacklist))} in {project.blacklist}")
    if not shutil.which("filterdiff"):
        told.append("context diffs are no patches: there is no filterdiff (Debian's patchutils)")
    return "; ".join(told)
