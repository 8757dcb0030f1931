"""PaStA works on copies, which hold what it can take and no more."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_pasta import (
    BAD,
    NEW,
    OLD,
    FakePasta,
    update,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from patchsync.analysis.pasta import shadow
from patchsync.errors import GiveUp
from patchsync.store.lock import is_locked


def test_the_index_is_read_whole(pasta: FakePasta) -> None:
    """Lines that PaStA would misread for ever are kept from it; it never sees a writer's half."""
    pasta.add("<arrow=>commit@x>", "three")
    pasta.add("deadbeef", "four")
    with pasta.paths.index.open("ab") as index:
        index.write(b"2024/05/06 <half@x> 0123")
    locked = []
    really = shadow._digestible

    def digestible(file: Path) -> Iterator[bytes]:
        locked.append(is_locked(pasta.paths.lock))
        return really(file)

    config = pasta.config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shadow, "_digestible", digestible)
        update(config)
    assert locked == [True]
    assert config.patch_groups.read_bytes() == NEW
    assert (config.d_mbox / "invalid").read_text() == f"{BAD}\n"


def test_a_mail_that_the_store_lost_may_come_back(pasta: FakePasta) -> None:
    """PaStA drops it from the groups and calls it invalid for ever, which we do not believe."""
    config = pasta.config()
    config.patch_groups.write_bytes(b"<back@x>\n" + OLD)
    update(config)
    assert config.patch_groups.read_bytes() == NEW
    pasta.add("<back@x>", "two")
    update(config)
    assert config.patch_groups.read_bytes() == b"<a@x> <b@x>\n<back@x> <c@x>\n"


def test_commits_that_do_not_matter_cost_no_run(pasta: FakePasta) -> None:
    """Without `[analysis] repo` a new commit in PaStA's own repository changes nothing."""
    config = pasta.config()
    update(config)
    pasta.conduct(sync="die")
    pasta.commit("two")
    assert update(config).groups == 0
    config = pasta.config('repo = "repo"')
    with pytest.raises(GiveUp, match="it went wrong"):
        update(config)


def test_new_commits_are_seen(pasta: FakePasta) -> None:
    """PaStA keeps its list of commits for ever, but not in our copy."""
    config = pasta.config('repo = "repo"')
    update(config)
    pasta.commit("two")
    assert update(config).commits == 1


def test_a_stopped_run_costs_the_caches(pasta: FakePasta) -> None:
    """A cache that PaStA was writing when it was stopped is not read again."""
    config = pasta.config()
    update(config)
    (cache,) = config.d_mbox.glob("patchsync/pasta/project/resources/mails.pkl")
    cache.write_bytes(cache.read_bytes()[:5])
    config.patch_groups.unlink()
    with pytest.raises(GiveUp, match="truncated"):
        update(config)
    update(config)
    assert config.patch_groups.read_bytes() == NEW


def test_the_token_is_not_pastas(started_pasta: FakePasta, monkeypatch: pytest.MonkeyPatch) -> None:
    """PaStA needs no token, so it has none."""
    monkeypatch.setenv("PATCHWORK_TOKEN", "secret")
    program = started_pasta.root / "pasta"
    program.write_text(program.read_text().replace("argv =", "print(dict(os.environ))\nargv =", 1))
    table = '[mbox.patchwork]\nurl = "http://127.0.0.1:9"\ntoken = "secret"\n'
    started_pasta.project.write_text(started_pasta.project.read_text() + table)
    config = started_pasta.config()
    update(config)
    log = (config.d_mbox / "patchsync/pasta/log").read_text()
    assert "PYTHONUTF8" in log
    assert "secret" not in log
    settings = (config.d_mbox / "patchsync/pasta/project/config").read_text()
    assert "http://127.0.0.1:9" in settings
    assert "secret" not in settings


TEXTS = st.text(st.characters(codec="utf-8"))


VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda below: st.lists(below) | st.dictionaries(TEXTS, below),
)


@given(VALUES)
@settings(max_examples=40)
def test_what_is_written_as_toml_is_read_so(value: object) -> None:
    """Any value that TOML can hold survives."""
    assert tomllib.loads(f"key = {shadow._toml(value)}") == {"key": value}


def test_ours_go_before_pastas(pasta: FakePasta) -> None:
    """Thresholds of `[analysis.thresholds]` are those that PaStA works with."""
    config = pasta.config(more="[analysis.thresholds]\nautoaccept = 0.7\nheading = 0.5")
    update(config)
    folder = config.d_mbox / "patchsync/pasta/project"
    settings = tomllib.loads((folder / "config").read_text())["PaStA"]
    assert settings["AUTOACCEPT_THRESHOLD"] == 0.7
    assert settings["HEADING_THRESHOLD"] == 0.5
    assert settings["INTERACTIVE_THRESHOLD"] == 0.8
    assert not os.path.relpath(settings["REPO"], pasta.folder).startswith("..")
