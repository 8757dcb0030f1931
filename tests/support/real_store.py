"""A store with the real list jailhouse-dev and the groups that the real PaStA found."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from pathlib import Path

from patchsync.config import Config, load
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.patchwork.mbox import Mail
from patchsync.store.identity import Origin, claim
from patchsync.store.layout import ContainerPaths, parse_line
from patchsync.store.writer import StoreWriter
from tests.support.real_mail import ARCHIVE, JAILHOUSE, need_real_mail

LIST = "jailhouse-dev@googlegroups.com"


def real_mails() -> list[Mail]:
    """The 1,535 patches, in the order of their index; the test is skipped where they are absent."""
    need_real_mail()
    with tarfile.open(ARCHIVE) as tar:
        member = next(each for each in tar if each.name.endswith(".mbox"))
        file = tar.extractfile(member)
        assert file
        mbox = file.read()
    starts = [found.start() for found in re.finditer(rb"^From patchwork ", mbox, re.MULTILINE)]
    parts = [mbox[a:b] for a, b in zip(starts, [*starts[1:], len(mbox)], strict=True)]
    by_md5 = {hashlib.md5(part).hexdigest(): part for part in parts}
    entries = map(parse_line, (JAILHOUSE / "patchwork.1").read_bytes().splitlines())
    return [
        Mail(
            patch_id=each.patch_id,
            message_id=each.message_id,
            date=each.date,
            content=by_md5[each.md5],
        )
        for each in entries
    ]


def real_store(folder: Path, tables: str = "") -> Config:
    """A store with all of them, and its configuration; `tables`: more of that."""
    file = folder / "patchsync.toml"
    project = f'projects = [{{ id = 1, list_email = "{LIST}" }}]'
    file.write_text(
        f'[mbox.patchwork]\nurl = "https://patchwork.example.org"\n{project}\n{tables}\n'
    )
    config = load(file)
    paths = ContainerPaths(d_mbox=config.d_mbox, listaddr=LIST, project_id=1)
    with StoreWriter(paths) as writer:
        writer.apply(FetchResult(mails=tuple(real_mails())))
    claim(
        paths,
        Origin(url=config.base_url, project_id=1, link_name="jailhouse", list_email=LIST),
    )
    shutil.copyfile(JAILHOUSE / "patch-groups", config.patch_groups)
    return config
