"""What PaStA would fail of is said before it is started, with the key to change."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_pasta import (
    LIST,
    NEW,
    FakePasta,
    make_fake_pasta,
    update,
)

from patchsync.errors import ConfigError, TryAgainLater


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('REPO = "../../../repo"', 'REPO = "nowhere"', r"\[PaStA\] REPO: .* no git repository"),
        ('UPSTREAM = "main"', 'UPSTREAM = "v1..v2"', r"\[PaStA\] UPSTREAM: 'v1..v2' is no range"),
        ('MODE = "mbox"', 'MODE = "patchstack"', "MODE"),
        ('["patchwork.1"]', '["other"]', f'read the mails of {LIST}; add "patchwork.1"'),
        ('"example.org"', '"example.net"', "patchwork.1"),
        ("[PaStA]", "[Pasta]", r"no table \[PaStA\]"),
    ],
)
def test_what_pasta_would_die_of_is_said_before(
    pasta: FakePasta, old: str, new: str, told: str
) -> None:
    """The message names the key to change; PaStA is not started."""
    pasta.project.write_text(pasta.project.read_text().replace(old, new))
    pasta.conduct(sync="die")
    with pytest.raises(ConfigError, match=told):
        update(pasta.config())


def test_a_wrong_checkout_is_named(pasta: FakePasta) -> None:
    """Root, project and Python are each looked at."""
    config = pasta.config()
    (pasta.root / "pasta").chmod(0o644)
    with pytest.raises(ConfigError, match="pasta_python"):
        update(config)
    with pytest.raises(ConfigError, match=r"pasta_python: .*nothing is no program"):
        update(pasta.config('pasta_python = "nothing"'))
    pasta.project.unlink()
    with pytest.raises(ConfigError, match="pasta_project"):
        update(pasta.config(f'pasta_python = "{sys.executable}"'))
    (pasta.root / "pasta").unlink()
    with pytest.raises(ConfigError, match="pasta_root"):
        update(config)


def test_a_python_may_be_named(started_pasta: FakePasta) -> None:
    """With `pasta_python` PaStA need not be executable."""
    (started_pasta.root / "pasta").chmod(0o644)
    config = started_pasta.config(f'pasta_python = "{sys.executable}"')
    update(config)
    assert config.patch_groups.read_bytes() == NEW


def test_an_empty_store_is_waited_for(tmp_path: Path) -> None:
    """Without mails there are no groups to write."""
    config = make_fake_pasta(tmp_path).config()
    config.d_mbox.mkdir()
    with pytest.raises(TryAgainLater, match="no mails yet"):
        update(config)


def test_resources_may_be_a_link(pasta: FakePasta) -> None:
    """PaStA follows links on its way to the project, so the way back starts behind them."""
    real = pasta.folder / "far" / "away" / "resources"
    real.parent.mkdir(parents=True)
    (pasta.root / "resources").rename(real)
    (pasta.root / "resources").symlink_to(real)
    pasta.project.write_text(
        pasta.project.read_text().replace("../../../repo", str(pasta.folder / "repo"))
    )
    config = pasta.config()
    update(config)
    assert config.patch_groups.read_bytes() == NEW
