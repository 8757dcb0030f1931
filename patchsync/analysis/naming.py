"""What people call a mail or a commit, as PaStA's files call it."""

from __future__ import annotations

import re

import pygit2

from patchsync.analysis.commits import open_repository
from patchsync.analysis.project import read_project
from patchsync.config import Config
from patchsync.errors import ConfigError, GiveUp
from patchsync.store.layout import LARGEST_ID
from patchsync.sync.projects import Project, configured, find_project

_PATCH_ID = re.compile(r"[1-9][0-9]{0,18}")
# As git takes it, shortened too
_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.IGNORECASE)


def resolve(config: Config, text: str, project: str | None = None) -> str:
    """The message-id of a mail in the store, or the whole hash of a commit.

    `text` is a message-id, with or without its angle brackets, a patchwork id, or a commit's hash;
    `project` is where a mail is looked for, by number or link name: in all projects where None.

    Raises:
        GiveUp: there is none, or several; ConfigError: no such project, or no repository.
    """
    keys = [configured(config, project).id if project else each.id for each in config.projects]
    sites = [site for key in dict.fromkeys(keys) if (site := find_project(config, key))]
    found = _mails(sites, text)
    if len(set(found.values())) > 1:
        told = ", ".join(f"{name}: {message_id}" for name, message_id in found.items())
        raise GiveUp(f"{text} is a patch in several projects ({told}); name one")
    if found:
        return next(iter(found.values()))
    if _COMMIT.fullmatch(text):
        return _commit(config, text)
    where = f" of {project}" if project else ""
    raise GiveUp(f"{text!r} is no mail in the store{where}; is it fetched yet?")


def _mails(sites: list[Project], text: str) -> dict[str, str]:
    """Message-ids by project; a message-id first, since it may look like a number."""
    by_number: dict[str, str] = {}
    for site in sites:
        with site.open() as box:
            for name in (text, f"<{text}>", text.strip("<>")):
                if name in box:
                    return {site.name: name}
            if _PATCH_ID.fullmatch(text) and int(text) <= LARGEST_ID:
                message_id = box.message_id_of(int(text))
                if message_id:
                    by_number[site.name] = message_id
    return by_number


def _commit(config: Config, text: str) -> str:
    repo = read_project(config).repo
    if not repo:
        raise ConfigError(
            f"{text} is no mail in the store; for a commit, [analysis] repo has to be set"
        )
    try:
        found = open_repository(repo).revparse_single(text)
        return str(found.peel(pygit2.Commit).id)
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise GiveUp(f"{text} is no mail in the store, nor one commit in {repo}: {error}") from None
