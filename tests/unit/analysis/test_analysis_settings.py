"""What PaStA's configuration and ours say together of a project."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsync.analysis.settings import AnalysisSettings, Thresholds, read_settings
from patchsync.config import load
from patchsync.errors import ConfigError

PASTA_DEFAULTS = Thresholds(
    autoaccept=1.0, interactive=0.95, diff_lines_ratio=0.9, message_diff_weight=0.33333
)
CHECKOUT = 'pasta_root = "PaStA"\npasta_project = "netdev"\n'
PATCHWORK = '[mbox.patchwork]\nurl = "https://patchwork.example.org"\nproject_ids = [1]\n'


def put(file: Path, text: str) -> Path:
    """The file with this text."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def ours(folder: Path, tables: str = "") -> AnalysisSettings:
    """What a configuration of ours with these tables makes of it."""
    return read_settings(load(put(folder / "patchsync.toml", f"{tables}\n{PATCHWORK}")))


def beside(folder: Path, pasta: str, tables: str = "", more: str = "") -> AnalysisSettings:
    """The same, with PaStA's configuration in its checkout."""
    put(folder / "PaStA/resources/netdev/config", pasta)
    return ours(folder, f"[analysis]\n{CHECKOUT}{more}\n{tables}")


def test_without_pastas_configuration(tmp_path: Path) -> None:
    """PaStA's usual thresholds for mail, no limit of time, its files beside the mbox."""
    assert ours(tmp_path) == AnalysisSettings(
        thresholds=Thresholds(),
        since="0001/01/01",
        until="9999/12/31",
        groups=tmp_path / "resources/patch-groups",
        false_positives=tmp_path / "resources/false-positives",
        repo=None,
        upstream=None,
        blacklist=None,
    )


def test_without_a_file_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it may stand in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATCHSYNC_MBOX__PATCHWORK__URL", "https://patchwork.example.org")
    monkeypatch.setenv("PATCHSYNC_MBOX__PATCHWORK__PROJECT_IDS", "[1]")
    assert read_settings(load()).thresholds == Thresholds()


def test_pastas_configuration_in_its_checkout(tmp_path: Path) -> None:
    """Its thresholds, and for those it leaves out the defaults that PaStA ships."""
    pasta = (
        '[PaStA]\nAUTOACCEPT_THRESHOLD = 0.82\nAUTHOR_DATE_INTERVAL = 365\nUPSTREAM = "master"\n'
    )
    project = beside(tmp_path, pasta)
    assert project.thresholds == PASTA_DEFAULTS._replace(autoaccept=0.82, author_date_interval=365)
    assert (project.since, project.until) == ("1970/01/01", "2030/01/01")
    folder = tmp_path / "PaStA/resources/netdev"
    assert project.false_positives == folder / "resources/false-positives"
    assert project.repo is None


def test_pastas_defaults_are_below_its_configuration(tmp_path: Path) -> None:
    """Key by key, as PaStA merges the two."""
    put(
        tmp_path / "PaStA/resources/common/default.cfg",
        "[PaStA]\nAUTOACCEPT_THRESHOLD = 0.5\nHEADING_THRESHOLD = 0.6\n"
        'FALSE_POSTITIVES = "fp"\n[mbox]\nMINDATE = 2001-02-03\nMAXDATE = 2020-01-01\n',
    )
    pasta = '[PaStA]\nAUTOACCEPT_THRESHOLD = 0.82\n[mbox]\nMAXDATE = "2040-01-01"\n'
    project = beside(tmp_path, pasta)
    assert project.thresholds == PASTA_DEFAULTS._replace(autoaccept=0.82, heading=0.6)
    assert (project.since, project.until) == ("2001/02/03", "2040/01/01")
    assert project.false_positives == tmp_path / "PaStA/resources/netdev/fp"


def test_our_file_may_be_pastas(tmp_path: Path) -> None:
    """Its table counts, not that of another checkout; the defaults lie where PaStA has them."""
    put(tmp_path / "common/default.cfg", "[PaStA]\nDIFF_LINES_RATIO = 0.7\n")
    folder = tmp_path / "netdev"
    pasta = (
        '[PaStA]\nFILENAME_THRESHOLD = 0.5\nFALSE_POSTITIVES = "fp"\n[mbox]\nMINDATE = 2011-01-02'
    )
    project = beside(folder, "[PaStA]\nFILENAME_THRESHOLD = 0.25\n", pasta)
    assert project.thresholds == PASTA_DEFAULTS._replace(filename=0.5, diff_lines_ratio=0.7)
    assert (project.since, project.until) == ("2011/01/02", "2030/01/01")
    assert project.false_positives == folder / "fp"


def test_what_we_set_goes_first(tmp_path: Path) -> None:
    """A threshold of ours, also 0, over PaStA's; those that are not set stay."""
    tables = (
        "[analysis.thresholds]\nautoaccept = 0.7\ninteractive = 0\ndiff_lines_ratio = 0.1\n"
        "heading = 0.2\nfilename = 0.3\nmessage_diff_weight = 0.4\nauthor_date_interval = 5\n"
    )
    expected = Thresholds(0.7, 0, 0.1, 0.2, 0.3, 0.4, 5)
    assert ours(tmp_path, tables).thresholds == expected
    assert beside(tmp_path, "[PaStA]\nHEADING_THRESHOLD = 0.9\n", tables).thresholds == expected
    few = beside(tmp_path, "[PaStA]\n", "[analysis.thresholds]\nheading = 0.2\n")
    assert few.thresholds == PASTA_DEFAULTS._replace(heading=0.2)


def test_a_folder_of_false_positives_of_ours(tmp_path: Path) -> None:
    """Relative to our file, before PaStA's."""
    project = beside(tmp_path, "[PaStA]\n", more='false_positives = "marks"')
    assert project.false_positives == tmp_path / "marks"


def test_upstream_commits_are_wanted_where_a_repository_is_named(tmp_path: Path) -> None:
    """The range is ours, else PaStA's; PaStA's own repository counts for its own engine."""
    put(tmp_path / "PaStA/resources/common/blacklists/black", "")
    put(tmp_path / "ours", "")
    pasta = '[PaStA]\nUPSTREAM = "v1..v2"\nUPSTREAM_BLACKLIST = "black"\n'
    of_pasta = tmp_path / "PaStA/resources/common/blacklists/black"

    def found(more: str, pasta: str = pasta) -> tuple[Path | None, str | None, Path | None]:
        project = beside(tmp_path, pasta, more=more)
        return project.repo, project.upstream, project.blacklist

    assert found("") == (None, None, None)
    assert found('repo = "linux"') == (tmp_path / "linux", "v1..v2", of_pasta)
    both = 'repo = "linux"\nupstream = "master"\nupstream_blacklist = "ours"'
    assert found(both) == (tmp_path / "linux", "master", tmp_path / "ours")
    folder = tmp_path / "PaStA/resources/netdev"
    assert found('engine = "pasta"') == (folder / "repo", "v1..v2", of_pasta)
    assert found('engine = "pasta"', f'{pasta}REPO = "../git"')[0] == folder / "../git"
    alone = ours(tmp_path, '[analysis]\nrepo = "linux"\nupstream = "master"\n')
    assert (alone.repo, alone.upstream, alone.blacklist) == (tmp_path / "linux", "master", None)


@pytest.mark.parametrize("more", ['repo = "linux"', 'engine = "pasta"'])
def test_a_repository_needs_a_range(tmp_path: Path, more: str) -> None:
    """Where PaStA does not say one either."""
    with pytest.raises(ConfigError, match=r"patchsync.toml: \[analysis\] upstream is missing"):
        beside(tmp_path, "[PaStA]\n", more=more)


@pytest.mark.parametrize(
    "value",
    ["0.5", "1", '"0.5"'],
)
def test_a_number_is_what_pasta_takes_for_one(tmp_path: Path, value: str) -> None:
    """Whole, or in quotes, too."""
    project = beside(tmp_path, f"[PaStA]\nHEADING_THRESHOLD = {value}\n")
    assert project.thresholds.heading == float(value.strip('"'))


@pytest.mark.parametrize(
    ("pasta", "complaint"),
    [
        ('[PaStA]\nHEADING_THRESHOLD = "high"', "[PaStA] HEADING_THRESHOLD = 'high'"),
        ("[PaStA]\nHEADING_THRESHOLD = true", "[PaStA] HEADING_THRESHOLD = True"),
        ("[PaStA]\nHEADING_THRESHOLD = nan", "[PaStA] HEADING_THRESHOLD = nan"),
        ("[PaStA]\nAUTHOR_DATE_INTERVAL = []", "[PaStA] AUTHOR_DATE_INTERVAL = []"),
        ("[PaStA]\nAUTHOR_DATE_INTERVAL = inf", "[PaStA] AUTHOR_DATE_INTERVAL = inf"),
        ("[PaStA]\nFALSE_POSTITIVES = 1", "[PaStA] FALSE_POSTITIVES = 1"),
        ("[PaStA]\nUPSTREAM = 1", "[PaStA] UPSTREAM = 1"),
        ("[PaStA]\nUPSTREAM_BLACKLIST = 1", "[PaStA] UPSTREAM_BLACKLIST = 1"),
        ("[PaStA]\nUPSTREAM_BLACKLIST = 'b'", "[PaStA] UPSTREAM_BLACKLIST: "),
        ("[mbox]\nMINDATE = 'May'", "[mbox] MINDATE = 'May'"),
        ("[mbox]\nMAXDATE = 2020", "[mbox] MAXDATE = 2020"),
        ("PaStA = 1", "PaStA is no table"),
        ("PaStA", "at end of document"),
    ],
)
def test_a_mistake_in_pastas_configuration_is_named(
    tmp_path: Path, pasta: str, complaint: str
) -> None:
    """By file and key, in whichever of the files it stands."""
    more = 'repo = "linux"\nupstream = "master"' if "UPSTREAM =" not in pasta else 'repo = "linux"'
    with pytest.raises(ConfigError) as raised:
        beside(tmp_path, pasta, more=more)
    assert f"{tmp_path}/PaStA/resources/netdev/config: " in str(raised.value)
    assert complaint in str(raised.value)
    defaults = put(tmp_path / "PaStA/resources/common/default.cfg", pasta)
    if "BLACKLIST: " not in complaint:
        with pytest.raises(ConfigError) as raised:
            beside(tmp_path, "", more=more)
        assert f"{defaults}: " in str(raised.value)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    """The project in PaStA's checkout, and our own list of commits to leave out."""
    with pytest.raises(ConfigError, match=r"pasta_root, pasta_project: .*netdev/config is no file"):
        ours(tmp_path, f"[analysis]\n{CHECKOUT}")
    tables = '[analysis]\nrepo = "r"\nupstream = "u"\nupstream_blacklist = "absent"\n'
    with pytest.raises(ConfigError, match=r"\[analysis\] upstream_blacklist: .*absent is no file"):
        ours(tmp_path, tables)
