"""The configuration: what it accepts, and how it says what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsync.config import Config, load
from patchsync.errors import ConfigError

MINIMAL = """
[mbox.patchwork]
url = "https://patchwork.example.org/api/"
projects = [{ id = 1, list_email = "list@example.org" }, { id = "linuxppc-dev" }]
"""


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's environment reaches a test."""
    for name in ("PATCHSYNC_CONFIG", "PATCHWORK_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def written(tmp_path: Path, text: str) -> Config:
    """The configuration that `text` makes."""
    file = tmp_path / "patchsync.toml"
    file.write_text(text)
    return load(file)


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    """Url and projects suffice; the store is beside the file, in today's layout."""
    config = written(tmp_path, MINIMAL)
    assert [project.id for project in config.projects] == ["1", "linuxppc-dev"]
    assert config.projects[0].list_email == "list@example.org"
    assert config.d_mbox == tmp_path / "resources/mbox"
    assert config.store.layout == "raw"
    assert config.embedded_redis


def test_pastas_own_config_works_as_built(tmp_path: Path) -> None:
    """The spelling of PaStA's former backend, in PaStA's own file with its other tables."""
    config = written(
        tmp_path,
        """
        [PaStA]
        MODE = "mbox"
        UPSTREAM = "HEAD^..HEAD"
        MBOX = "elsewhere/mbox"
        [mbox]
        MINDATE = "2019-01-01"
        [mbox.raw."example.org"]
        list = ["file"]
        [mbox.patchwork]
        url = 'http://localhost:8000/api/'
        page_size = 10
        projects = [{id=1, initial_archive="", list_email="list@domain.org"}]
        """,
    )
    assert config.d_mbox == tmp_path / "elsewhere/mbox"
    assert [project.id for project in config.projects] == ["1"]


def test_the_design_s_spelling_works_too(tmp_path: Path) -> None:
    """`uri, token, project_ids, initial_archives`, as the integration was first designed."""
    config = written(
        tmp_path,
        """
        [mbox.patchwork]
        uri = "https://patchwork.example.org"
        token = "s3cret"
        project_ids = [1, "netdev"]
        initial_archives = [[1, "/dump.tar"]]
        """,
    )
    token = config.token()
    assert [project.id for project in config.projects] == ["1", "netdev"]
    assert token is not None and token.get_secret_value() == "s3cret"


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key can be set from the environment, over the file's."""
    monkeypatch.setenv("PATCHSYNC_REDIS__URL", "redis://redis:6379/1")
    monkeypatch.setenv("PATCHSYNC_MBOX__PATCHWORK__URL", "https://other.example.org/api")
    monkeypatch.setenv("PATCHSYNC_STORE__LAYOUT", "patchwork")
    config = written(tmp_path, MINIMAL + '[store]\nlayout = "raw"\n')
    assert config.redis_url == "redis://redis:6379/1"
    assert config.url == "https://other.example.org/api"
    assert config.store.layout == "patchwork"


def test_the_token_comes_from_the_environment_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`PATCHWORK_TOKEN` is used before the file that the configuration names."""
    (tmp_path / "token").write_text("from-file\n")
    config = written(tmp_path, MINIMAL.replace("projects", 'token_file = "token"\nprojects'))
    token = config.token()
    assert token is not None and token.get_secret_value() == "from-file"
    monkeypatch.setenv("PATCHWORK_TOKEN", "from-environment")
    token = config.token()
    assert token is not None and token.get_secret_value() == "from-environment"


def test_the_token_shows_nowhere(tmp_path: Path) -> None:
    """Neither the configuration's text nor an error's holds the token or Redis' password."""
    text = MINIMAL.replace("projects", 'token = "s3cret"\nprojects')
    config = written(tmp_path, text + '[redis]\nurl = "redis://:s3cret@redis/0"\n')
    assert "s3cret" not in repr(config) + str(config)
    with pytest.raises(ConfigError) as raised:
        written(tmp_path, text.replace("url =", "urll ="))
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "[mbox.patchwork]: is missing"),
        ("[mbox.patchwork]\nprojects = [{id = 1}]", "[mbox.patchwork] url: is missing"),
        ('[mbox.patchwork]\nurl = "https://p.example.org"', "names no project"),
        (MINIMAL.replace("https:", "ftp:"), "[mbox.patchwork] url: wants an address"),
        (MINIMAL.replace("https://", "https://me:pw@"), "must not hold a user or password"),
        (MINIMAL.replace('"linuxppc-dev"', "1"), "names a project twice: 1"),
        (MINIMAL.replace('"linuxppc-dev"', '"../x"'), "[mbox.patchwork] projects, entry 2, id"),
        (MINIMAL + "[stoer]\n", "stoer: is no setting of patchsync"),
        ('source = "x"\n' + MINIMAL, "source: is no setting of patchsync"),
        ("PaStA = 3\n" + MINIMAL, "PaStA: is no setting of patchsync"),
        ('store = 3\n[PaStA]\nMBOX = "m"\n' + MINIMAL, "[store]: wants a table"),
        (f'name = "{65 * "n"}"\n' + MINIMAL, "name: wants at most 64 letters"),
        ('name = "a\\nb"\n' + MINIMAL, "name: wants at most 64 letters"),
        (MINIMAL.replace("linuxppc-dev", 256 * "p"), "entry 2, id: wants a project's number"),
        (MINIMAL.replace("list@", 200 * "l" + "@"), "entry 1, list_email: wants an address of"),
        (MINIMAL.replace("list@", "../list@"), "entry 1, list_email: wants an address of"),
        (MINIMAL + '[store]\nlayout = "other"', "[store] layout"),
        (MINIMAL + '[redis]\nurl = "http://redis"', "[redis] url: wants redis://"),
        (MINIMAL + "[fleet]\nwindow = 0", "[fleet] window"),
        ("[mbox", "patchsync.toml is no TOML: "),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, expected: str) -> None:
    """Bad input is refused with the file, the table and the key."""
    with pytest.raises(ConfigError) as raised:
        written(tmp_path, text)
    assert expected in str(raised.value)
    assert str(tmp_path / "patchsync.toml") in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing comes first, with what to do; what the environment sets is looked at too."""
    with pytest.raises(ConfigError, match=r"^there is no .*/absent\.toml: write one .* by -c or"):
        load(tmp_path / "absent.toml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^there is no .*/patchsync\.toml: .*CONFIG$"):
        load()
    monkeypatch.setenv("PATCHSYNC_FLEET__WINDOW", "many")
    with pytest.raises(ConfigError, match=r"^there is no (?s:.*)\[fleet\] window: wants a whole"):
        load()


def test_what_is_no_toml_is_said_plainly(tmp_path: Path) -> None:
    """In a sentence with the file's name, whatever stands in it; a mark before it is no fault."""
    file = tmp_path / "patchsync.toml"
    for content, expected in (
        (MINIMAL.encode("utf-16"), "is no UTF-8 text: see byte 0"),
        (b"x = " + b"[" * 100_000, "is no TOML that can be read"),
        (b"url https://", "is no TOML: Expected '=' after a key"),
    ):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=f"^{file} {expected}"):
            load(file)
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load(file).url == "https://patchwork.example.org/api/"


def test_a_missing_token_file_is_an_error_only_when_the_token_is_needed(tmp_path: Path) -> None:
    """Reading from Patchwork needs no token, so a fetch worker runs without the file."""
    config = written(tmp_path, MINIMAL.replace("projects", 'token_file = "token"\nprojects'))
    with pytest.raises(ConfigError, match=r"token_file: .*token cannot be read"):
        config.token()


def test_a_public_patchwork_is_asked_slowly_by_default(tmp_path: Path) -> None:
    """Unset, the pace is polite; on this machine there is no limit; 0 lifts it."""
    assert written(tmp_path, MINIMAL).rate == 5
    assert written(tmp_path, MINIMAL + "[patchwork]\nrequests_per_second = 0").rate is None
    local = MINIMAL.replace("https://patchwork.example.org", "http://127.0.0.1:8000")
    assert written(tmp_path, local).rate is None
    assert written(tmp_path, local + "[patchwork]\nrequests_per_second = 2").rate == 2


def test_two_configurations_have_two_namespaces(tmp_path: Path) -> None:
    """Queues, locks and keys carry the configuration's name: its address by default."""
    one = written(tmp_path, MINIMAL)
    other = written(tmp_path, MINIMAL.replace("patchwork.example.org", "pw.example.net:8443"))
    below = written(tmp_path, MINIMAL.replace("example.org/api/", "example.org/two/api/1.2"))
    named = written(tmp_path, 'name = "ppc"\n' + MINIMAL)
    assert [one.namespace, other.namespace, below.namespace, named.namespace] == [
        "patchwork.example.org",
        "pw.example.net-8443",
        "patchwork.example.org-two",
        "ppc",
    ]
    assert named.instance == one.instance, "one Patchwork, one rate limit"


def test_an_unknown_project_is_answered_with_those_there_are(tmp_path: Path) -> None:
    """A misspelt project is refused, and the message lists the known ones."""
    config = written(tmp_path, MINIMAL)
    assert config.project("linuxppc-dev").id == "linuxppc-dev"
    with pytest.raises(ConfigError, match=r"'nosuch' is not in .* 1, linuxppc-dev"):
        config.project("nosuch")
