"""Finding the mail or commit that a person names, as PaStA's files call it."""

from __future__ import annotations

import re

import pygit2

from patchsync.analysis.commits import open_repository
from patchsync.analysis.settings import read_settings
from patchsync.config import Config
from patchsync.errors import ConfigError, GiveUp
from patchsync.store.layout import LARGEST_ID
from patchsync.sync.projects import Project, configured, find_projects

_PATCH_ID = re.compile(r"[1-9][0-9]{0,18}")
# As git takes it, shortened too
_COMMIT = re.compile(r"[0-9a-f]{7,64}", re.IGNORECASE)


def why_unknown(text: str) -> str:
    """Why a name may be nobody's: it is none, or not there yet."""
    if "@" in text or _PATCH_ID.fullmatch(text) or _COMMIT.fullmatch(text):
        return "is it fetched yet?"
    return "give a message-id, a patchwork id, or a commit's hash of at least 7 digits"


def look_up(config: Config, text: str, project: str | None = None) -> str:
    """The message-id of a mail in the store, or the whole hash of a commit.

    `text` is a message-id, with or without its angle brackets, a patchwork id, or a commit's hash;
    `project` is where a mail is looked for, by number or link name: in all projects where None.

    Raises:
        GiveUp: there is none, or several; ConfigError: no such project, or no repository.
    """
    projects = find_projects(config)
    if project:
        key = configured(config, project).id
        projects = [stored for stored in projects if stored.key == key]
    message_ids = _mails(projects, text)
    if len(set(message_ids.values())) > 1:
        named = ", ".join(f"{name}: {message_id}" for name, message_id in message_ids.items())
        raise GiveUp(f"{text} is a patch in several projects ({named}); name one")
    if message_ids:
        return next(iter(message_ids.values()))
    if _COMMIT.fullmatch(text):
        return look_up_commit(config, text)
    where = f" of {project}" if project else ""
    raise GiveUp(f"{text!r} is no mail in the store{where}; {why_unknown(text)}")


def _mails(sites: list[Project], text: str) -> dict[str, str]:
    """Message-ids by project; a message-id first, since it may look like a number."""
    by_number: dict[str, str | None] = {}
    for site in sites:
        with site.open() as container:
            for message_id in (text, f"<{text}>", text.strip("<>")):
                if message_id in container:
                    return {site.name: message_id}
            if _PATCH_ID.fullmatch(text) and int(text) <= LARGEST_ID:
                by_number[site.name] = container.message_id_of(int(text))
    return {name: message_id for name, message_id in by_number.items() if message_id}


def look_up_commit(config: Config, text: str) -> str:
    """The whole hash of a commit that is no mail: `text` is its hash, maybe shortened.

    Raises:
        GiveUp: the repository has none, or several; ConfigError: there is no repository.
    """
    repo = read_settings(config).repo
    if not repo:
        raise ConfigError(
            f"{text} is no mail in the store; for a commit, [analysis] repo has to be set"
        )
    try:
        return str(open_repository(repo).revparse_single(text).peel(pygit2.Commit).id)
    except (KeyError, ValueError, pygit2.GitError) as error:
        raise GiveUp(
            f"{text} is no mail in the store, nor one commit in [analysis] repo: {error}"
        ) from None
