"""`patchsync check` looks at all that push needs, and names the setting to change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from patchsync.config import Config, load
from patchsync.doctor import Finding, findings
from standin.process import NEIGHBOUR_TOKEN, NOBODY_TOKEN, TOKEN, StandinProcess
from tests.support.installation import free_port
from tests.support.mail_server import PASSWORD, MailServer, make_certificate, secured

COMMENT = 'sinks = ["comment"]'
MAIL = """
[push.comment]
projects = ["sample"]
sender = "pasta@example.org"
smtp_host = "localhost"
"""
LOGIN = 'smtp_user = "pasta"\nsmtp_password_file = "password"\n'


@pytest.fixture
def patchwork(shared_standin: StandinProcess) -> StandinProcess:
    """A stand-in Patchwork with a few patches."""
    shared_standin.control.reset(patches=4)
    return shared_standin


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's environment reaches a test."""
    monkeypatch.delenv("PATCHWORK_TOKEN", raising=False)


@pytest.fixture
def configured(tmp_path: Path, patchwork: StandinProcess) -> Callable[..., Config]:
    """Makes a configuration for the stand-in, with a table of `[push]`."""

    def made(push: str, projects: str = '["sample", "neighbour"]') -> Config:
        (tmp_path / "patchsync.toml").write_text(
            f'[mbox.patchwork]\nurl = "{patchwork.url}"\nproject_ids = {projects}\n'
            f"[flower]\nport = {free_port()}\n[push]\n{push}\n"
        )
        return load(tmp_path / "patchsync.toml")

    return made


def found(config: Config) -> dict[str, Finding]:
    """The report, by what was looked at."""
    return {each.subject: each for each in findings(config)}


def test_all_is_well(
    configured: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sinks, templates and groups are told, and nothing is left behind."""
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    config = configured('sinks = ["check", "relation"]\ngroups = "patch-groups"')
    (tmp_path / "patch-groups").write_text("<a@x> <b@x>\n<c@x> => 1234567\n")
    before = sorted(tmp_path.rglob("*"))
    report = found(config)
    assert [each for each in report.values() if not each.works] == []
    assert report["[push] sinks"].text == "check, relation"
    assert report["[push] templates"].works
    assert report["[push] groups"].text == f"{tmp_path}/patch-groups, 2 groups"
    assert not report.keys() & {"[push.comment]", "[push.comment] projects"}
    assert sorted(tmp_path.rglob("*")) == before


def test_nothing_is_wanted_of_who_pushes_nothing(configured: Callable[..., Config]) -> None:
    """No token and no groups are needed, and that nothing is pushed is told."""
    report = found(configured(""))
    assert [each for each in report.values() if not each.works] == []
    assert report["[push] sinks"].text == "none: nothing is pushed"
    assert "[push] groups" not in report


@pytest.mark.parametrize(
    ("token", "projects", "expected"),
    [
        (None, '["sample"]', "none is set, which [push] sinks wants: set token_file"),
        (NOBODY_TOKEN, '["sample"]', "does not maintain sample, which [push] sinks wants"),
        (NEIGHBOUR_TOKEN, '["sample", "neighbour"]', "does not maintain sample, which"),
        (NEIGHBOUR_TOKEN, '["neighbour"]', None),
    ],
)
def test_the_token_s_user_has_to_maintain_each_project(
    configured: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    projects: str,
    expected: str | None,
) -> None:
    """What is enough to read is an error where something is pushed."""
    if token:
        monkeypatch.setenv("PATCHWORK_TOKEN", token)
    finding = found(configured('sinks = ["check"]', projects))["[mbox.patchwork] token"]
    assert finding.works is (expected is None)
    assert (expected or "maintains all projects") in finding.text
    assert found(configured("", projects))["[mbox.patchwork] token"].works


@pytest.mark.parametrize(
    ("table", "subject", "expected"),
    [
        (
            'sinks = ["check"]\n[push.check]\ndescription = "{{ nosuch }}"',
            "[push] templates",
            "[push.check] description: 'nosuch' is undefined",
        ),
        (
            'sinks = ["check"]\n[analysis]\nengine = "none"',
            "[push] groups",
            "if it is elsewhere set [push] groups",
        ),
        (
            'sinks = ["check"]\ngroups = "damaged"',
            "[push] groups",
            "damaged, line 1: not a group of mails",
        ),
        (COMMENT + MAIL.replace("sample", "other"), "[push.comment] projects", "not tell of other"),
    ],
)
def test_what_does_not_work_is_named(
    configured: Callable[..., Config], tmp_path: Path, table: str, subject: str, expected: str
) -> None:
    """Each finding fails by itself, with its key."""
    (tmp_path / "damaged").write_text("<a@x> =>\n")
    finding = found(configured(table, '["sample", "other"]'))[subject]
    assert not finding.works
    assert expected in finding.text


def test_a_patchwork_that_is_too_old(
    configured: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before the first push would fail."""
    monkeypatch.setattr("patchsync.patchwork.client.Client.api_version", "1.1")
    finding = found(configured('sinks = ["check"]'))["[push] sinks"]
    assert not finding.works
    assert "1.2 or later" in finding.text


# --- the SMTP server -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def certificate(certificate_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that this machine trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_file))
    return certificate_file


def mail_by(server: MailServer, security: str, login: str = "") -> str:
    """The configuration's lines for a server."""
    return f'{COMMENT}{MAIL}smtp_port = {server.port}\nsmtp_security = "{security}"\n{login}'


def looked(config: Config) -> Finding:
    """What is found of the mail server."""
    return found(config)["[push.comment]"]


@pytest.mark.parametrize("security", ["starttls", "tls", "none"])
@pytest.mark.parametrize("login", [True, False])
def test_the_mail_server_is_talked_to_and_gets_no_mail(
    configured: Callable[..., Config],
    certificate: Path,
    tmp_path: Path,
    security: str,
    login: bool,
) -> None:
    """As far as the login where one is set, encrypted as it is set; no mail is begun."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    with secured(security, certificate) as server:
        finding = looked(configured(mail_by(server, security, LOGIN if login else "")))
    assert finding.works, finding.text
    how = "unencrypted" if security == "none" else f"by {security}"
    assert f"localhost:{server.port} answers, {how}" in finding.text
    assert ("takes pasta" in finding.text) is login
    assert (server.begun, server.logins) == (0, [True] * login)


@pytest.mark.parametrize(("server_has", "setting"), [("none", "starttls"), ("starttls", "tls")])
def test_a_server_that_is_secured_otherwise(
    configured: Callable[..., Config], certificate: Path, server_has: str, setting: str
) -> None:
    """The setting is named."""
    with secured(server_has, certificate) as server:
        finding = looked(configured(mail_by(server, setting)))
    assert not finding.works
    assert "smtp_security" in finding.text


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_trusts(
    configured: Callable[..., Config],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    security: str,
) -> None:
    """It is refused before a password could go there."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with secured(security, certificate) as server:
        finding = looked(configured(mail_by(server, security)))
    assert not finding.works
    assert "smtp_security" in finding.text and "certificate" in finding.text


def test_a_login_that_is_refused(
    configured: Callable[..., Config], certificate: Path, tmp_path: Path
) -> None:
    """Its settings are named, and the password is not told."""
    (tmp_path / "password").write_text("guessed\n")
    with secured("starttls", certificate) as server:
        finding = looked(configured(mail_by(server, "starttls", LOGIN)))
    assert not finding.works
    assert finding.text.endswith("; see smtp_user and smtp_password_file")
    assert "535" in finding.text and "guessed" not in finding.text


def test_nobody_answers(configured: Callable[..., Config]) -> None:
    """Also a password that cannot be read is told."""
    mail = f"{COMMENT}{MAIL}smtp_port = 1\n"
    finding = looked(configured(mail))
    assert not finding.works
    assert "localhost:1" in finding.text
    assert finding.text.endswith("; see smtp_host, smtp_port and smtp_security")
    assert "smtp_password_file" in looked(configured(mail + LOGIN)).text


def test_who_may_read_a_secret(
    configured: Callable[..., Config], tmp_path: Path, patchwork: StandinProcess
) -> None:
    """All: that is a fault. A group is told of, since containers share one."""
    configured("")
    file, token = tmp_path / "patchsync.toml", tmp_path / "token"
    text = f'[mbox.patchwork]\nurl = "{patchwork.url}"\nproject_ids = ["sample"]\n'
    assert found(load(file))["secrets"].text == "none is in a file"
    file.write_text(f'{text}token = "{TOKEN}"\n')
    file.chmod(0o644)
    finding = found(load(file))["secrets"]
    assert (finding.works, finding.text) == (
        False,
        f"configuration: {file} may be read by all users of this machine; `chmod 600` it, or 640 "
        "for a group",
    )
    file.chmod(0o600)
    assert found(load(file))["secrets"].text == "read by nobody else"
    file.write_text(f'{text}token_file = "token"\n')
    token.write_text(TOKEN)
    token.chmod(0o640)
    finding = found(load(file))["secrets"]
    assert finding.works
    assert finding.text.endswith("but the group may read [mbox.patchwork] token_file")
    token.chmod(0o604)
    assert "token_file: " in found(load(file))["secrets"].text
    assert not found(load(file))["secrets"].works
