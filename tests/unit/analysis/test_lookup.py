"""What people call a mail or a commit is found in the store or the repository, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pygit2
import pytest
from click.testing import CliRunner, Result

from patchsync.analysis.lookup import look_up
from patchsync.cli.mark_false import mark_false_command
from patchsync.config import Config, load
from patchsync.config.loading import FILE_VARIABLE
from patchsync.errors import ConfigError, GiveUp
from patchsync.patchwork.fetch_result import FetchResult
from patchsync.store.writer import StoreWriter
from patchsync.sync.projects import find_project, locate_project_offline, settle

TABLES = """
[mbox.patchwork]
url = "https://patchwork.example.org"
projects = [{ id = 1, list_email = "one@example.org" }, { id = 2, list_email = "two@example.org" }]
"""


class FakeMail(NamedTuple):
    """A mail to store."""

    patch_id: int
    message_id: str
    date: str = "2020/01/02"

    @property
    def content(self) -> bytes:
        """Another one for each."""
        return f"{self.patch_id} {self.message_id}\n".encode()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two projects, `one` and `two`, with mails; 7 is a patch of both."""
    (tmp_path / "patchsync.toml").write_text(TABLES)
    config = load(tmp_path / "patchsync.toml")
    for key, name in (("1", "one"), ("2", "two")):
        settle(config, locate_project_offline(config, key, name))
    store(config, "1", FakeMail(5, "<a@x>"), FakeMail(6, "<b@x>"), FakeMail(7, "<c@x>"))
    store(config, "2", FakeMail(7, "<d@x>"), FakeMail(1234567, "<e@x>"), FakeMail(9, "5"))
    return config


@pytest.fixture
def commit(config: Config) -> str:
    """A commit of the repository that the configuration names."""
    folder = config.source.parent
    repo = pygit2.init_repository(str(folder / "linux"))
    who = pygit2.Signature("A", "a@example.org", 0, 0)
    made = repo.create_commit("HEAD", who, who, "a commit", repo.TreeBuilder().write(), [])
    tables = f'[analysis]\nrepo = "linux"\nupstream = "HEAD"\n{TABLES}'
    config.source.write_text(tables)
    return str(made)


def store(config: Config, key: str, *mails: FakeMail) -> None:
    """Have a project hold these."""
    site = find_project(config, key)
    assert site
    with StoreWriter(site.paths) as writer:
        writer.apply(FetchResult(mails=mails))


@pytest.mark.parametrize(
    ("text", "message_id"),
    [
        ("<a@x>", "<a@x>"),
        ("a@x", "<a@x>"),
        ("d@x", "<d@x>"),
        ("6", "<b@x>"),
        ("1234567", "<e@x>"),
        ("<5>", "5"),
        # A message-id, though it looks like a patchwork id
        ("5", "5"),
    ],
)
def test_a_mail_is_named_by_its_message_id_or_its_patch(
    config: Config, text: str, message_id: str
) -> None:
    """With or without angle brackets; as the store has it."""
    assert look_up(config, text) == message_id


def test_a_patch_of_several_projects_wants_one(config: Config) -> None:
    """By number or link name."""
    with pytest.raises(GiveUp, match=r"7 is a patch in several .*one: <c@x>, two: <d@x>"):
        look_up(config, "7")
    assert look_up(config, "7", "1") == "<c@x>"
    assert look_up(config, "7", "two") == "<d@x>"
    assert look_up(config, "5", "one") == "<a@x>"


@pytest.mark.parametrize("text", ["<z@x>", "z@x", "8", "", "<>", "9" * 19, "9" * 5000, "HEAD"])
def test_what_is_not_there_is_refused(config: Config, commit: str, text: str) -> None:
    """Neither a mail that is not fetched, nor a word that git would understand."""
    assert commit
    with pytest.raises(GiveUp):
        look_up(load(config.source), text)


def test_a_mail_of_another_project_is_refused(config: Config) -> None:
    """Who names a project means it; one that is not configured is named."""
    with pytest.raises(GiveUp, match="no mail in the store of two"):
        look_up(config, "<a@x>", "two")
    with pytest.raises(ConfigError, match="'three' is not in"):
        look_up(config, "<a@x>", "three")


def test_a_project_without_a_place_in_the_store_is_passed_over(config: Config) -> None:
    """The others may have it."""
    config.source.write_text(TABLES.replace("projects = [", "projects = [{ id = 3 }, "))
    assert look_up(load(config.source), "a@x") == "<a@x>"


def test_a_commit_is_named_by_its_hash(config: Config, commit: str) -> None:
    """Shortened and in capitals, too; it is the whole hash that PaStA knows."""
    config = load(config.source)
    assert look_up(config, commit) == commit
    assert look_up(config, commit[:9].upper()) == commit
    with pytest.raises(GiveUp, match="nor one commit in"):
        look_up(config, "0123456789" * 4)


def test_a_commit_wants_a_repository(config: Config) -> None:
    """Where none is configured, or none is there."""
    with pytest.raises(ConfigError, match=r"\[analysis\] repo has to be set"):
        look_up(config, "abcdef0")
    config.source.write_text(f'[analysis]\nrepo = "none"\nupstream = "HEAD"\n{TABLES}')
    with pytest.raises(ConfigError, match="Repository not found"):
        look_up(load(config.source), "abcdef0")


class TestMarkFalse:
    """`patchsync mark-false`."""

    @pytest.fixture(autouse=True)
    def _configured(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(FILE_VARIABLE, str(config.source))
        self.file = config.source.parent / "resources/false-positives/mbox-patch-stack"

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(mark_false_command, arguments)

    def test_it_says_what_it_wrote(self) -> None:
        """Where, of which mails, and what follows; again, that it stands there."""
        result = self.run("6", "a@x")
        assert result.exit_code == 0
        assert result.output.startswith(f"wrote to {self.file.parent}: <b@x> and <a@x> are not")
        assert "`patchsync analyse`" in result.output
        assert self.file.read_text() == "<a@x> <b@x>\n<b@x> <a@x>\n"
        assert "has it already: <a@x> and <b@x>" in self.run("a@x", "b@x").output

    def test_a_dry_run_writes_nothing(self) -> None:
        """It says what would be."""
        result = self.run("--dry-run", "-p", "one", "7", "a@x")
        assert result.output.startswith("would write to ")
        assert "<c@x> and <a@x>" in result.output
        assert not self.file.parent.exists()

    def test_a_commit_goes_to_upstream(self, commit: str) -> None:
        """To the other of PaStA's files."""
        assert self.run(commit[:10], "a@x").exit_code == 0
        assert self.file.with_name("mbox-upstream").read_text() == f"<a@x> {commit}\n"

    def test_an_unknown_one_is_refused(self) -> None:
        """Nothing is written."""
        assert isinstance(self.run("a@x", "8").exception, GiveUp)
        assert not self.file.parent.exists()
