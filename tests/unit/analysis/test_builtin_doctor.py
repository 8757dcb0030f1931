"""`patchsync check` says what the builtin engine will do, and what keeps it from that."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis_fakes import Store
from upstream_fakes import Upstream

from patchsync.analysis.builtin.doctor import check_builtin
from patchsync.errors import ConfigError, StoreDamaged


def test_what_it_will_do(tmp_path: Path) -> None:
    """The threshold, where the result goes, whose commits, and how many mails are marked."""
    Upstream(tmp_path / "repo")
    store = Store(
        tmp_path / "store",
        f'[analysis]\nrepo = "{tmp_path / "repo"}"\nupstream = "HEAD"\n'
        "[analysis.thresholds]\nautoaccept = 0.77",
    )
    store.mark("<1@example.org> <2@example.org>\n")
    text = check_builtin(store.config)
    assert "rated 0.77 or more" in text
    assert str(store.config.patch_groups) in text
    assert "false positives of 1 mails" in text
    assert f"those of HEAD in {tmp_path / 'repo'}" in text


def test_what_would_fail(tmp_path: Path) -> None:
    """A range that does not resolve, a folder that is no repository, a broken list of marks."""
    Upstream(tmp_path / "repo")
    for repo, upstream in ((tmp_path / "repo", "nowhere"), (tmp_path, "HEAD")):
        store = Store(tmp_path / "store", f'[analysis]\nrepo = "{repo}"\nupstream = "{upstream}"')
        with pytest.raises(ConfigError, match=r"\[analysis\] (repo|upstream)"):
            check_builtin(store.config)
    store = Store(tmp_path / "store")
    store.mark("<1@example.org>\n")
    with pytest.raises(StoreDamaged, match="line 1"):
        check_builtin(store.config)


def test_without_filterdiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then context diffs are no patches, which is said."""
    monkeypatch.setenv("PATH", "")
    assert "no filterdiff" in check_builtin(Store(tmp_path / "store").config)
