"""Where a patch is to be read: on our own page, in Patchwork, and in the archive of its list."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

from patchsync.config import Config
from patchsync.config.addresses import MESSAGE_ID, archive_address, as_archive, page_address
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
    """The mail in the archive that `[web] archive` names, else in that of a project that has it.

    None where none is known.
    """
    formats = [patch.archive_format for patch in mail.patches if patch.archive_format]
    for archive in (config.web.archive, *map(_as_archive, formats)):
        if archive:
            return archive_address(archive, mail.message_id)
    return None


def _as_archive(url_format: str) -> str:
    """A Patchwork's `list_archive_url_format` as `[web] archive` has it; "" where it is no such.

    Patchwork uses Python's format, of which a server's admin could ask for anything.
    """
    with suppress(ValueError):
        return as_archive(url_format.replace("{}", MESSAGE_ID))
    return ""
