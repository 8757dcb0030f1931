"""What Patchwork's `manage.py dumparchive` would write of a stand-in's projects."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Any

import requests

from standin.process import StandinProcess

TIMEOUT = 10


def by_date(patchwork: StandinProcess, project: str) -> list[dict[str, Any]]:
    """A project's patches as the API lists them, in the order of a dumparchive."""
    listed = []
    url = f"{patchwork.url}/api/1.3/patches/?project={project}&order=id&per_page=250"
    with open_session() as session:
        while url:
            answer = session.get(url, timeout=TIMEOUT)
            listed += answer.json()
            url = answer.links.get("next", {}).get("url", "")
    return sorted(listed, key=lambda patch: (patch["date"], patch["id"]))


def mbox_of(patchwork: StandinProcess, project: str) -> bytes:
    """A project's mails in order of the patches' date, each as the API serves it and a newline."""
    with open_session() as session:
        mails = [
            session.get(patch["mbox"], timeout=TIMEOUT).content
            for patch in by_date(patchwork, project)
        ]
    return b"".join(mail + b"\n" for mail in mails)


def open_session() -> requests.Session:
    """Connections that are kept, for many requests."""
    session = requests.Session()
    session.trust_env = False
    return session


def write_tar(path: Path, mboxes: dict[str, bytes], *, compressed: bool = True) -> Path:
    """A tar of mboxes by link name; Patchwork compresses it whatever it is called."""
    with (
        tarfile.open(path, "w:gz" if compressed else "w") as tar,
        tempfile.TemporaryDirectory() as folder,
    ):
        for link_name, content in mboxes.items():
            mbox = Path(folder) / link_name
            mbox.write_bytes(content)
            # As Patchwork does: the time with its fraction makes a PAX header.
            tar.add(mbox, f"{link_name}.mbox")
    return path


def dump(path: Path, patchwork: StandinProcess, *projects: str) -> Path:
    """`manage.py dumparchive` of these projects."""
    return write_tar(path, {project: mbox_of(patchwork, project) for project in projects})


def imitation(patch_id: int, message_id: str, date: str, body: str = "Smuggled in.\n") -> str:
    """Text that begins as a mail of Patchwork does, all its headers included.

    `date` as in the first line, such as `Mon Jan  8 09:00:00 2024`.
    """
    return (
        f"From patchwork {date}\n"
        'Content-Type: text/plain; charset="utf-8"\n'
        "MIME-Version: 1.0\n"
        "Content-Transfer-Encoding: 7bit\n"
        "X-Patchwork-Submitter: Mallory <mallory@example.org>\n"
        f"X-Patchwork-Id: {patch_id}\n"
        f"Message-Id: {message_id}\n"
        "From: Mallory <mallory@example.org>\n"
        "Subject: [PATCH] not what it seems\n"
        f"\n{body}"
    )


def date_of(mail: bytes) -> str:
    """The date in the first line of a mail."""
    return mail.partition(b"\n")[0].decode().removeprefix("From patchwork ")
