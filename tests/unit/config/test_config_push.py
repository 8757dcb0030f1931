"""What the configuration says about push: nothing by default, and all that a sink needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsync.config import Config, load
from patchsync.errors import ConfigError

COMMENT = """
[push]
sinks = ["comment"]
[push.comment]
projects = ["netdev"]
smtp_host = "mail.example.org"
sender = "pasta@example.org"
"""


def written(folder: Path, tables: str = "") -> Config:
    """The configuration with two projects and these tables."""
    file = folder / "patchsync.toml"
    file.write_text(
        f'{tables}\n[mbox.patchwork]\nurl = "https://patchwork.example.org"\n'
        'project_ids = [1, "netdev"]\n'
    )
    return load(file)


def test_nothing_is_pushed_unless_it_is_switched_on(tmp_path: Path) -> None:
    """Without a table there is no sink; the rest has usable defaults."""
    push = written(tmp_path).push
    assert push.sinks == ()
    assert push.check.context == "pasta"
    assert (push.answer_seconds, push.audit_pages) == (120, 2)
    assert (push.relation.most, push.relation.foreign) == (100, "join")
    assert push.state.only_from == ("new", "under-review")
    assert push.comment.projects == ()


def test_the_groups_are_beside_the_mbox(tmp_path: Path) -> None:
    """As PaStA has them; another file is relative to the configuration's folder."""
    assert written(tmp_path).patch_groups == tmp_path / "resources/patch-groups"
    moved = written(tmp_path, '[store]\nmbox = "/elsewhere/mbox"')
    assert moved.patch_groups == Path("/elsewhere/patch-groups")
    named = written(tmp_path, '[push]\ngroups = "result/groups"')
    assert named.patch_groups == tmp_path / "result/groups"


def test_pastas_own_key_of_the_groups_counts(tmp_path: Path) -> None:
    """In PaStA's file `PATCH_GROUPS` says where they are; ours goes before it."""
    pasta = '[PaStA]\nMBOX = "m/mbox"\nPATCH_GROUPS = "g/groups"\n'
    assert written(tmp_path, pasta).patch_groups == tmp_path / "g/groups"
    both = pasta + '[push]\ngroups = "ours"\n'
    assert written(tmp_path, both).patch_groups == tmp_path / "ours"


def test_the_environment_sets_push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables within tables too, over the file."""
    monkeypatch.setenv("PATCHSYNC_PUSH__SINKS", '["check", "relation"]')
    monkeypatch.setenv("PATCHSYNC_PUSH__CHECK__CONTEXT", "revisions")
    push = written(tmp_path, '[push]\nsinks = ["state"]').push
    assert push.sinks == ("check", "relation")
    assert push.check.context == "revisions"


@pytest.mark.parametrize(
    ("security", "port"), [("", 587), ("starttls", 587), ("tls", 465), ("none", 25)]
)
def test_the_port_goes_with_the_security(tmp_path: Path, security: str, port: int) -> None:
    """Where none is set it is the usual one."""
    line = f'smtp_security = "{security}"\n' if security else ""
    assert written(tmp_path, COMMENT + line).push.comment.port == port
    assert written(tmp_path, f"{COMMENT}{line}smtp_port = 2525").push.comment.port == 2525


def test_comments_name_a_project_by_its_number_too(tmp_path: Path) -> None:
    """As `project_ids` does; what is neither number nor name is refused."""
    numbered = COMMENT.replace('["netdev"]', '[1, "netdev"]')
    assert written(tmp_path, numbered).push.comment.projects == ("1", "netdev")
    for wrong in ("[7]", "[true]", "[1.5]", "1"):
        with pytest.raises(ConfigError, match=r"push\.comment"):
            written(tmp_path, COMMENT.replace('["netdev"]', wrong))


@pytest.mark.parametrize("key", ["projects", "smtp_host", "sender"])
def test_a_comment_needs_its_keys(tmp_path: Path, key: str) -> None:
    """Who switches the sink on without them is told which is missing."""
    lines = [line for line in COMMENT.splitlines() if not line.startswith(key)]
    with pytest.raises(ConfigError, match=rf"\[push\.comment\] {key}"):
        written(tmp_path, "\n".join(lines))
    off = "\n".join(lines).replace('"comment"', "")
    assert written(tmp_path, off).push.sinks == ()


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ('[push]\nsinks = ["checks"]', "[push] sinks, entry 1: "),
        ("[push]\nsink = []", "[push] sink: is no setting of patchsync"),
        ("[push.check]\ncontext = 'pasta bot'", "[push.check] context: "),
        ("[push.check]\ncontext = ''", "[push.check] context: "),
        ("[push.relation]\nmost = 1", "[push.relation] most: "),
        ("[push.relation]\nforeign = 'take'", "[push.relation] foreign: "),
        ("[push.state]\naccepted = 'Under Review'", "[push.state] accepted: "),
        ("[push.comment]\nsender = 'me'", "[push.comment] sender: "),
        ("[push.comment]\nsmtp_user = 'me'", "smtp_user and smtp_password_file"),
        ("[push.comment]\nprojects = ['other']", "[push.comment] projects with 'other'"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, tables: str, complaint: str) -> None:
    """Refused in the words of the file."""
    with pytest.raises(ConfigError) as raised:
        written(tmp_path, tables)
    assert complaint in str(raised.value)


def test_the_smtp_password_comes_from_a_file(tmp_path: Path) -> None:
    """It shows nowhere; a file that is of no use is named."""
    assert written(tmp_path, COMMENT).smtp_password() is None
    login = "smtp_user = 'pasta'\nsmtp_password_file = 'password'\n"
    config = written(tmp_path, COMMENT + login)
    with pytest.raises(ConfigError, match=r"\[push\.comment\] smtp_password_file: .*password"):
        config.smtp_password()
    (tmp_path / "password").write_text("s3cret\n")
    password = config.smtp_password()
    assert password is not None and password.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(config) + repr(password)
