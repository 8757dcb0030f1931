"""Where a patch is to be read: on our own page, in Patchwork, and in the archive of its list."""

from __future__ import annotations

from urllib.parse import quote

from patchsync.config import Config
from patchsync.config.addresses import archive_address, page_address
from patchsync.revisions.model import PatchInProject, PatchMail


def page_url(config: Config, name: str) -> str | None:
    """The page of a mail or commit; None where `[web] url` is not set."""
    return page_address(config.web.url, name) if config.web.url else None


def patchwork_url(config: Config, mail: PatchMail, patch: PatchInProject) -> str:
    """The page of a patch in Patchwork.

    By its message-id, as Patchwork itself links it; where that holds a slash, by its number.
    """
    name = mail.message_id.removeprefix("<").removesuffix(">")
    if "/" in name:
        return f"{config.base_url}/patch/{patch.patch_id}/"
    project = quote(patch.project_name, safe="")
    return f"{config.base_url}/project/{project}/patch/{quote(name, safe='@')}/"


def archive_url(config: Config, mail: PatchMail) -> str | None:
    """The mail in the archive that `[web] archive` names; None where none is set."""
    return archive_address(config.web.archive, mail.message_id) or None
