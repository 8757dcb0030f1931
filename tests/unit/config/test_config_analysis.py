"""What the configuration says about the analysis: builtin by default, and all an engine needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsync.config import Config, load
from patchsync.errors import ConfigError

PASTA = 'engine = "pasta"\npasta_root = "PaStA"\npasta_project = "netdev"\n'


def written(folder: Path, tables: str = "") -> Config:
    """The configuration with a project and these tables."""
    file = folder / "patchsync.toml"
    file.write_text(
        f'{tables}\n[mbox.patchwork]\nurl = "https://patchwork.example.org"\nproject_ids = [1]\n'
    )
    return load(file)


def test_the_builtin_engine_needs_no_table(tmp_path: Path) -> None:
    """Without one it works, with PaStA's thresholds and without upstream commits."""
    config = written(tmp_path)
    analysis = config.analysis
    assert analysis.engine == "builtin"
    assert config.schedule.analyse_seconds == 300
    assert analysis.pasta_seconds == 14_400
    assert (analysis.repo, analysis.upstream, analysis.false_positives) == ("", "", "")
    assert set(analysis.thresholds.model_dump().values()) == {None}


def test_a_path_is_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the user's; what is empty is none."""
    monkeypatch.setenv("HOME", "/home/somebody")
    config = written(tmp_path, f'[analysis]\n{PASTA}pasta_python = "~/venv/bin/python"')
    assert config.absolute(config.analysis.pasta_root) == tmp_path / "PaStA"
    assert config.absolute(config.analysis.pasta_python) == Path("/home/somebody/venv/bin/python")
    assert config.absolute(config.analysis.repo) is None


def test_the_environment_sets_analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables within tables too, over the file."""
    monkeypatch.setenv("PATCHSYNC_ANALYSIS__ENGINE", "none")
    monkeypatch.setenv("PATCHSYNC_ANALYSIS__THRESHOLDS__AUTOACCEPT", "0.9")
    analysis = written(tmp_path, f"[analysis]\n{PASTA}").analysis
    assert analysis.engine == "none"
    assert analysis.thresholds.autoaccept == 0.9


def test_pastas_own_file_may_have_the_table(tmp_path: Path) -> None:
    """There it is ours, as the other tables that we know are."""
    tables = '[PaStA]\nMODE = "mbox"\n[analysis.thresholds]\nheading = 0.5\n'
    assert written(tmp_path, tables).analysis.thresholds.heading == 0.5


def test_a_limit_may_be_above_what_a_rating_can_be(tmp_path: Path) -> None:
    """PaStA's projects do so where nobody is to be asked."""
    tables = "[analysis.thresholds]\ninteractive = 1.1\nautoaccept = 2\n"
    thresholds = written(tmp_path, tables).analysis.thresholds
    assert (thresholds.interactive, thresholds.autoaccept) == (1.1, 2)


@pytest.mark.parametrize(
    ("tables", "complaint"),
    [
        ("[analysis]\nengine = 'own'", "[analysis] engine: "),
        ("[analysis]\nengines = 'none'", "[analysis] engines: is no setting of patchsync"),
        ("[analysis]\nengine = 'pasta'", "needs [analysis] pasta_root"),
        ("[analysis]\nengine = 'pasta'\npasta_root = 'x'", "needs [analysis] pasta_project"),
        ("[analysis]\npasta_root = 'x'", "one of pasta_root and pasta_project"),
        ("[analysis]\npasta_seconds = 0", "[analysis] pasta_seconds: "),
        ("[analysis]\nupstream = 'master'", "has upstream, which needs [analysis] repo"),
        ("[analysis]\nupstream_blacklist = 'b'", "has upstream_blacklist, which needs"),
        ("[analysis.thresholds]\nheadings = 1", "[analysis.thresholds] headings: is no setting"),
        ("[analysis.thresholds]\nautoaccept = -0.1", "[analysis.thresholds] autoaccept: "),
        ("[analysis.thresholds]\ninteractive = inf", "[analysis.thresholds] interactive: "),
        ("[analysis.thresholds]\ndiff_lines_ratio = 1.1", "[analysis.thresholds] diff_lines_ratio"),
        ("[analysis.thresholds]\nheading = 1.1", "[analysis.thresholds] heading: "),
        ("[analysis.thresholds]\nfilename = -1", "[analysis.thresholds] filename: "),
        ("[analysis.thresholds]\nmessage_diff_weight = nan", "message_diff_weight: "),
        ("[analysis.thresholds]\nauthor_date_interval = 0.5", "author_date_interval: "),
        ("[analysis.thresholds]\nauthor_date_interval = -1", "author_date_interval: "),
        ("[schedule]\nanalyse_seconds = 0", "[schedule] analyse_seconds: "),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, tables: str, complaint: str) -> None:
    """Refused in the words of the file."""
    with pytest.raises(ConfigError) as raised:
        written(tmp_path, tables)
    assert complaint in str(raised.value)
