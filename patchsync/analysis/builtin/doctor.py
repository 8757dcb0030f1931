"""Whether the builtin engine will work: what `patchsync check` says of it."""

from __future__ import annotations

import shutil

from patchsync.analysis.commits import open_repository, read_blacklist, resolve_range
from patchsync.analysis.false_positives import OF_COMMITS, OF_MAILS, read_false_positives
from patchsync.analysis.groups import read_content
from patchsync.analysis.groups_record import GroupsRecord
from patchsync.analysis.settings import read_settings
from patchsync.config import Config
from patchsync.errors import GiveUp


def check_builtin(config: Config) -> str:
    """What it will do, in one line. Raises ConfigError, GiveUp or StoreDamaged where it fails."""
    settings = read_settings(config)
    accept = settings.thresholds.autoaccept
    findings = [
        f"builtin: two patches rated {accept:g} or more are one; its result goes to"
        f" {settings.groups}"
    ]
    record = GroupsRecord(config)
    content = read_content(settings.groups) if record.ever_wrote and not record.version else None
    if content is not None and not record.is_ours(content):
        raise GiveUp(
            f"{settings.groups} was written by somebody else since; `patchsync analyse"
            " --overwrite` has it written by patchsync again"
        )
    folder = settings.false_positives
    marked = [read_false_positives(folder / name) for name in (OF_MAILS, OF_COMMITS)]
    if number := sum(map(len, marked)):
        findings.append(f"false positives of {number} mails in {folder}")
    if settings.repo and settings.upstream:
        resolve_range(open_repository(settings.repo), settings.upstream)
        findings.append(f"upstream commits are those of {settings.upstream} in {settings.repo}")
    if settings.blacklist:
        findings.append(f"but {len(read_blacklist(settings.blacklist))} in {settings.blacklist}")
    if not shutil.which("filterdiff"):
        findings.append(
            "context diffs are no patches: there is no filterdiff (Debian's patchutils)"
        )
    return "; ".join(findings)
