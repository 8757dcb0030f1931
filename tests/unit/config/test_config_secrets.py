"""Secrets in files: Redis' password and the dashboard's login."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from patchsync.config import Config, load
from patchsync.errors import ConfigError
from patchsync.fleet.services import service_command

MINIMAL = """
[mbox.patchwork]
url = "https://patchwork.example.org/api/"
projects = [{ id = 1 }]
"""


def written(folder: Path, text: str = "", **secrets: str) -> Config:
    """The configuration that `text` makes, beside files with these secrets."""
    for name, secret in secrets.items():
        (folder / name).write_text(secret)
    file = folder / "patchsync.toml"
    file.write_text(MINIMAL + text)
    return load(file)


@pytest.mark.parametrize("password", ["plain", "p@ss:w/rd%?#", "ä 'quoted\" ü"])
def test_redis_password_comes_from_a_file(tmp_path: Path, password: str) -> None:
    """Whatever is in it reaches Redis as it is; the newline at its end does not."""
    table = "[redis]\nurl = 'redis://redis:6380/2'\npassword_file = 'password'"
    config = written(tmp_path, table, password=f"{password}\n")
    settings = redis.Redis.from_url(config.redis_url).get_connection_kwargs()
    assert settings["password"] == password
    assert (settings["host"], settings["port"], settings["db"]) == ("redis", 6380, 2)


def test_a_redis_user_and_tls_options_stay(tmp_path: Path) -> None:
    """The password is put beside the user; scheme and options are those of the url."""
    url = "rediss://fleet@redis:6380/0?ssl_cert_reqs=required"
    config = written(
        tmp_path, f"[redis]\nurl = '{url}'\npassword_file = 'password'", password="secret"
    )
    assert config.redis_url == url.replace("fleet@", "fleet:secret@")


def test_the_file_may_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container, where the configuration file does not know of it."""
    (tmp_path / "elsewhere").write_text("secret")
    monkeypatch.setenv("PATCHSYNC_REDIS__URL", "redis://redis:6379/0")
    monkeypatch.setenv("PATCHSYNC_REDIS__PASSWORD_FILE", str(tmp_path / "elsewhere"))
    assert written(tmp_path).redis_url == "redis://:secret@redis:6379/0"


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("url = 'redis://:other@redis/0'\npassword_file = 'password'", "keep one"),
        ("password_file = 'password'", "no url"),
    ],
)
def test_a_password_that_means_nothing_is_refused(
    tmp_path: Path, table: str, complaint: str
) -> None:
    """Two passwords, or one for the embedded Redis, are a mistake."""
    with pytest.raises(ConfigError, match=complaint):
        written(tmp_path, f"[redis]\n{table}", password="secret")


def test_a_password_file_that_is_of_no_use_is_named(tmp_path: Path) -> None:
    """Missing or empty: the message has the key and the file."""
    table = "[redis]\nurl = 'redis://redis/0'\npassword_file = 'password'"
    config = written(tmp_path, table)
    with pytest.raises(ConfigError, match=r"\[redis\] password_file: .*password cannot be read"):
        _ = config.redis_url
    (tmp_path / "password").write_text("\n")
    with pytest.raises(ConfigError, match="password is empty"):
        _ = config.redis_url


def test_the_configuration_does_not_show_its_passwords(tmp_path: Path) -> None:
    """Neither printed nor in a traceback."""
    config = written(tmp_path, "[redis]\nurl = 'redis://:secret@redis/0'")
    assert "secret" not in repr(config)


def test_the_dashboards_login_comes_from_a_file(tmp_path: Path) -> None:
    """One line, user:password; it is not shown."""
    config = written(tmp_path, "[flower]\nlogin_file = 'login'", login="admin:s:ecret\n")
    login = config.flower_login()
    assert login is not None
    assert login.get_secret_value() == "admin:s:ecret"
    assert "s:ecret" not in repr(login)


@pytest.mark.parametrize("login", ["admin", ":secret", "admin:", "admin:secret\nother:secret"])
def test_what_is_no_login_is_refused(tmp_path: Path, login: str) -> None:
    """The message has the key and the form that it wants, and not the secret."""
    config = written(tmp_path, "[flower]\nlogin_file = 'login'", login=login)
    with pytest.raises(ConfigError, match=r"\[flower\] login_file: .* user:password") as refusal:
        config.flower_login()
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_on_this_machine_the_dashboard_needs_no_login(tmp_path: Path, address: str) -> None:
    """Only who is on this machine reaches it."""
    assert written(tmp_path, f"[flower]\naddress = '{address}'").flower_login() is None


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "patchsync.example.org"])
def test_an_open_dashboard_without_a_login_is_refused(tmp_path: Path, address: str) -> None:
    """Who is in may stop workers and send tasks."""
    with pytest.raises(ConfigError, match="login_file"):
        written(tmp_path, f"[flower]\naddress = '{address}'").flower_login()


def test_the_key_of_messages(tmp_path: Path) -> None:
    """From a file; without one they are not signed, and one that can be guessed is refused."""
    assert written(tmp_path).signing_key() is None
    table = "[redis]\nsigning_key_file = 'key'"
    key = written(tmp_path, table, key=f"{'k' * 32}\n").signing_key()
    assert key is not None
    assert key.get_secret_value() == "k" * 32
    assert "kkk" not in repr(key)
    with pytest.raises(ConfigError, match=r"signing_key_file: key has less than 32 .*openssl"):
        written(tmp_path, table, key="short").signing_key()
    (tmp_path / "key").unlink()
    with pytest.raises(ConfigError, match="signing_key_file"):
        service_command(load(tmp_path / "patchsync.toml"), "index")


TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("https://patchwork.example.org/api/", False),
        ("http://patchwork.example.org/api/", True),
        ("HTTP://patchwork:8000", True),
        ("http://10.0.0.1/", True),
        ("http://localhost.example.org/", True),
        ("http://127.0.0.1.example.org/", True),
        ("http://localhost:8000/api/", False),
        ("http://127.0.0.1:8000/api/", False),
        ("http://[::1]:8000/api/", False),
    ],
)
@pytest.mark.parametrize("where", ["token", "token_file", "environment"])
def test_a_token_goes_unencrypted_to_this_machine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, refused: bool, where: str
) -> None:
    """Wherever it comes from, unless one says so; who needs no token is not refused."""
    monkeypatch.delenv("PATCHWORK_TOKEN", raising=False)
    (tmp_path / "token").write_text(TOKEN)
    keys = {"token": f"token = '{TOKEN}'", "token_file": "token_file = 'token'", "environment": ""}
    text = f"[mbox.patchwork]\nurl = '{url}'\nproject_ids = [1]\n"
    file = tmp_path / "patchsync.toml"
    file.write_text(text)
    assert load(file).token() is None
    if where == "environment":
        monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    file.write_text(text + keys[where])
    if refused:
        with pytest.raises(ConfigError, match="token_over_http = true") as error:
            load(file).token()
        assert TOKEN not in str(error.value)
    else:
        assert load(file).token()
    file.write_text(f"{text}{keys[where]}\ntoken_over_http = true\n")
    assert load(file).token()


def test_which_files_hold_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The configuration too, but not where the environment says what it holds."""
    assert written(tmp_path).secret_files == {}
    redis_table = "[redis]\nurl = 'redis://redis:6380/2'\n"
    files = "password_file = 'password'\nsigning_key_file = 'key'\n[flower]\nlogin_file = 'login'"
    assert written(tmp_path, f"{redis_table}{files}").secret_files == {
        "[redis] password_file": tmp_path / "password",
        "[redis] signing_key_file": tmp_path / "key",
        "[flower] login_file": tmp_path / "login",
    }
    within = {"configuration": tmp_path / "patchsync.toml"}
    assert written(tmp_path, redis_table.replace("//", "//:secret@")).secret_files == within
    (tmp_path / "patchsync.toml").write_text(f"{MINIMAL}token = '{TOKEN}'\n")
    assert load(tmp_path / "patchsync.toml").secret_files == within
    monkeypatch.setenv("PATCHSYNC_MBOX__PATCHWORK__TOKEN", TOKEN)
    assert load(tmp_path / "patchsync.toml").secret_files == {}
