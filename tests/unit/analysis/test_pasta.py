"""The engine `pasta`: PaStA's result is put in place whole, or the old groups stay."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from fake_pasta import BAD, NEW, OLD, A, B, C, FakePasta, update

from patchsync.analysis.false_positives import mark_false
from patchsync.analysis.pasta import shadow
from patchsync.analysis.pasta.engine import _without_marked, only_analysis
from patchsync.analysis.settings import read_settings
from patchsync.errors import ConfigError, GiveUp, LockHeld, TryAgainLater
from patchsync.store.lock import is_locked
from tests.support.installation import wait_until


def test_the_result_is_put_in_place(
    started_pasta: FakePasta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The groups are PaStA's, counted; its invalid mails follow; our token is not for PaStA."""
    monkeypatch.setenv("PATCHWORK_TOKEN", "secret")
    table = '[mbox.patchwork]\nurl = "http://127.0.0.1:9"\ntoken = "secret"\n'
    started_pasta.project.write_text(started_pasta.project.read_text() + table)
    config = started_pasta.config()
    config.patch_groups.write_bytes(OLD)
    steps: list[str] = []
    assert update(config, lambda step, *_: steps.append(step))[:3] == (1, 1, 0)
    assert config.patch_groups.read_bytes() == NEW
    assert (config.d_mbox / "invalid").read_text() == f"{BAD}\n"
    assert steps == ["sync -noup -mbox -create downstream", "analyse rep", "rate -ti 0.9", "done"]
    log = (config.d_mbox / "patchsync/pasta/log").read_text()
    told = (config.d_mbox / "patchsync/pasta/project/config").read_text()
    assert "PYTHONUTF8" in log
    assert "http://127.0.0.1:9" in told
    assert "secret" not in log + told


def test_nothing_new_costs_no_run(pasta: FakePasta) -> None:
    """All that PaStA's result follows from has it run again, and nothing else."""
    config = pasta.config('repo = "repo"')
    settings = pasta.project.read_text()
    for change in (
        lambda: pasta.add("<d@x>", "three"),
        lambda: pasta.commit("two"),
        lambda: mark_false(read_settings(config).false_positives, A, B),
        lambda: pasta.project.write_text(settings.replace("0.8", "0.7")),
        lambda: (pasta.root / "resources/common/default.cfg").write_text("[PaStA]\n"),
        lambda: config.patch_groups.write_bytes(OLD),
    ):
        pasta.conduct()
        update(config)
        pasta.conduct(sync="die")
        assert update(config).groups == 0
        change()
        with pytest.raises(GiveUp, match="it went wrong"):
            update(config)


def test_commits_matter_where_a_repository_is_set(pasta: FakePasta) -> None:
    """With `[analysis] repo` new ones come in; without it they do not even cost a run."""
    config = pasta.config()
    update(config)
    pasta.commit("two")
    pasta.conduct(sync="die")
    assert update(config).groups == 0
    pasta.conduct()
    config = pasta.config('repo = "repo"')
    assert update(config).commits == 2
    assert config.patch_groups.read_bytes().startswith(NEW + b"=> ")
    pasta.commit("three")
    assert update(config).commits == 1


@pytest.mark.parametrize("step", ["sync", "analyse", "rate"])
@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("fail", "exit status 7"),
        ("die", "exit status 1.*RuntimeError: it went wrong"),
        ("quit", r"it quit half way.*public inbox of linux@vger"),
        ("no package", "lacks networkx_that_is_not_there.*pasta_python"),
    ],
)
def test_a_failure_leaves_the_old_groups(pasta: FakePasta, step: str, way: str, told: str) -> None:
    """However PaStA fails, whatever its exit status, it is said; the next run is a good one."""
    config = pasta.config()
    config.patch_groups.write_bytes(OLD)
    pasta.conduct(**{step: way})
    with pytest.raises(GiveUp, match=f"(?s){step}.*{told}"):
        update(config)
    assert config.patch_groups.read_bytes() == OLD
    pasta.conduct()
    update(config)
    assert config.patch_groups.read_bytes() == NEW


def test_a_python_may_be_named(started_pasta: FakePasta) -> None:
    """With `pasta_python` PaStA need not be executable; its exit status and last words come."""
    (started_pasta.root / "pasta").chmod(0o644)
    config = started_pasta.config(f'pasta_python = "{sys.executable}"')
    started_pasta.conduct(analyse="die")
    with pytest.raises(GiveUp, match=r"(?s)analyse.*exit status 1.*RuntimeError: it went wrong"):
        update(config)


def test_a_result_that_lacks_a_mail_is_refused(pasta: FakePasta) -> None:
    """A patch that is in no group any more is an error, unless it is outside of the window."""
    config = pasta.config()
    config.patch_groups.write_bytes(OLD)
    pasta.conduct(analyse="lose")
    with pytest.raises(GiveUp, match="lacks 1 mails"):
        update(config)
    assert config.patch_groups.read_bytes() == OLD
    pasta.project.write_text(pasta.project.read_text() + '[mbox]\nMINDATE = "2025-01-01"\n')
    assert update(config).groups == 0
    # What was in it before has to stay.
    config.patch_groups.write_bytes(NEW)
    with pytest.raises(GiveUp, match="lacks 1 mails"):
        update(config)


def test_groups_of_others_are_not_trampled_on(pasta: FakePasta) -> None:
    """What somebody wrote while PaStA ran stays, and is the next run's input."""
    config = pasta.config()
    theirs = b"<a@x> <c@x>\n"
    with pytest.raises(TryAgainLater, match="somebody else"):
        update(config, lambda *_: config.patch_groups.write_bytes(theirs) and None)
    assert config.patch_groups.read_bytes() == theirs
    update(config)
    assert config.patch_groups.read_bytes() == b"<a@x> <b@x> <c@x>\n"
    # PaStA by hand writes in place.
    config.patch_groups.write_bytes(OLD[:-3])
    with pytest.raises(TryAgainLater, match="within a line"):
        update(config)
    assert config.patch_groups.read_bytes() == OLD[:-3]


def test_nobody_is_asked(pasta: FakePasta) -> None:
    """What lies between the thresholds stays open, its ratings where PaStA's `rate` looks."""
    pasta.add("<q@x>", "really?")
    config = pasta.config()
    update(config)
    assert config.patch_groups.read_bytes() == NEW + b"<q@x>\n"
    assert (pasta.project.parent / "resources/evaluation-result.pkl").read_bytes() == b"ratings"


def test_too_long_a_run_is_ended_with_its_children(started_pasta: FakePasta) -> None:
    """After `pasta_seconds` nothing of PaStA is left, and the message names the key."""
    config = started_pasta.config("pasta_seconds = 1")
    config.patch_groups.write_bytes(OLD)
    started_pasta.conduct(analyse="hang")
    with pytest.raises(GiveUp, match="pasta_seconds"):
        update(config)
    assert config.patch_groups.read_bytes() == OLD
    wait_until(lambda: not _alive(started_pasta), "nothing of it is left")


@pytest.mark.skipif(sys.platform != "linux", reason="a parent's end is told on Linux alone")
def test_a_killed_update_leaves_no_process(started_pasta: FakePasta) -> None:
    """Killed with SIGKILL, it takes PaStA and PaStA's own children along."""
    config = started_pasta.config()
    started_pasta.conduct(analyse="hang")
    program = (
        "from patchsync.config import load\n"
        "from patchsync.analysis.pasta.engine import PastaEngine\n"
        f"PastaEngine(load({str(config.source)!r})).update(lambda *_: None)"
    )
    updating = subprocess.Popen([sys.executable, "-c", program])
    wait_until(lambda: _alive(started_pasta) or updating.poll(), "it is at work")
    updating.kill()
    updating.wait()
    wait_until(lambda: not _alive(started_pasta), "nothing of it is left")


def _alive(pasta: FakePasta) -> list[Path]:
    """Of PaStA and its child those that live, a dead one that nobody waits for not counted."""
    file = pasta.root / "child"
    stats = (
        [Path("/proc", pid, "stat") for pid in file.read_text().split()] if file.exists() else []
    )
    return [stat for stat in stats if stat.exists() and ") Z " not in stat.read_text()]


def test_the_store_is_free_while_pasta_runs(pasta: FakePasta) -> None:
    """Nobody who writes mails waits for PaStA, and two updates do not run at once."""
    config = pasta.config()
    free = []

    def look(*_: object) -> None:
        free.append(not is_locked(pasta.paths.lock))
        with pytest.raises(LockHeld, match="another analysis"):
            update(config)

    update(config, look)
    assert free == [True] * 4
    with only_analysis(config), pytest.raises(LockHeld):
        update(config)


def test_two_logs_are_kept(pasta: FakePasta) -> None:
    """All that PaStA said in the last run and in the one before."""
    config = pasta.config()
    for _ in range(3):
        update(config)
        config.patch_groups.unlink()
    logs = sorted((config.d_mbox / "patchsync" / "pasta").glob("log*"))
    assert [log.name for log in logs] == ["log", "log.1"]
    assert logs[0].read_text().count("Shutting down") == 3


def test_what_is_marked_false_is_looked_at_anew(pasta: FakePasta) -> None:
    """PaStA takes nothing apart, so a group with a mark is not handed to it; the marks are."""
    config = pasta.config()
    folder = read_settings(config).false_positives
    mark_false(folder, A, C)
    mark_false(folder, C, "c" * 40)
    groups = b"<a@x> <c@x>\n<c@x> => %b\n<d@x> <e@x>\n" % (b"c" * 40)
    assert _without_marked(groups, folder) == b"<d@x> <e@x>\n"
    config.patch_groups.write_bytes(b"<a@x> <c@x>\n")
    update(config)
    assert config.patch_groups.read_bytes() == NEW
    copy = config.d_mbox / "patchsync/pasta/project/resources/false-positives/mbox-patch-stack"
    assert copy.read_bytes().endswith((folder / copy.name).read_bytes())


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"../../../repo"', '"nowhere"', r"\[PaStA\] REPO = .*: no git repository"),
        ('UPSTREAM = "main"', 'UPSTREAM = "v1..v2"', r"\[PaStA\] UPSTREAM = 'v1..v2': no range"),
        ('MODE = "mbox"', 'MODE = "patchstack"', "MODE"),
        ('["patchwork.1"]', '["other"]', 'the mails of jailhouse-dev@.*; add "patchwork.1"'),
        ('"googlegroups.com"', '"example.net"', "patchwork.1"),
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
    """Root, project and Python are each looked at, and whether there are mails."""
    config = pasta.config()
    pasta.paths.index.unlink()
    with pytest.raises(TryAgainLater, match="no mails yet"):
        update(config)
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


def test_resources_may_be_a_link(pasta: FakePasta) -> None:
    """PaStA follows links on its way to the project, so the way back starts behind them."""
    real = pasta.folder / "far" / "away" / "resources"
    real.parent.mkdir(parents=True)
    (pasta.root / "resources").rename(real)
    (pasta.root / "resources").symlink_to(real)
    config = pasta.config(f'repo = "{pasta.folder}/repo"')
    update(config)
    assert config.patch_groups.read_bytes().startswith(NEW)


def test_the_index_is_read_whole(pasta: FakePasta, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that PaStA would misread for ever are kept from it; it never sees a writer's half."""
    pasta.add("<arrow=>commit@x>", "three")
    pasta.add("deadbeef", "four")
    with pasta.paths.index.open("ab") as index:
        index.write(b"2024/05/06 <half@x> 0123")
    really, locked = shadow.read_file, {}

    def read_file(file: Path) -> bytes | None:
        locked[file] = is_locked(pasta.paths.lock)
        return really(file)

    monkeypatch.setattr(shadow, "read_file", read_file)
    config = pasta.config()
    update(config)
    assert locked[pasta.paths.index]
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


def test_a_stopped_run_costs_the_caches(pasta: FakePasta) -> None:
    """Those that PaStA was writing when it was stopped are not read again; whole ones are."""
    config = pasta.config()
    pasta.conduct(analyse="die")
    with pytest.raises(GiveUp, match="it went wrong"):
        update(config)
    (cache,) = config.d_mbox.glob("patchsync/pasta/project/caches/mails.pkl")
    cache.write_bytes(cache.read_bytes()[:5])
    pasta.conduct()
    with pytest.raises(GiveUp, match="truncated"):
        update(config)
    update(config)
    assert config.patch_groups.read_bytes() == NEW


def test_ours_go_before_pastas(pasta: FakePasta) -> None:
    """Thresholds of `[analysis.thresholds]` are PaStA's too; all else that it has is as it was."""
    other = '[ "\\u007f\\u0001\\"\\n=\U0001f600", -1e16, true, { "a b" = [] }, 2024-05-06 ]'
    text = pasta.project.read_text()
    pasta.project.write_text(text.replace("[PaStA]", f"[PaStA]\nOTHER = {other}"))
    config = pasta.config("[analysis.thresholds]\nautoaccept = 0.7\nheading = 0.5")
    update(config)
    tables = tomllib.loads((config.d_mbox / "patchsync/pasta/project/config").read_text())
    told = tables["PaStA"]
    assert (told["AUTOACCEPT_THRESHOLD"], told["INTERACTIVE_THRESHOLD"]) == (0.7, 0.8)
    assert told["HEADING_THRESHOLD"] == 0.5
    assert Path(told["REPO"]).resolve() == pasta.folder / "repo"
    assert told["OTHER"] == ['\x7f\x01"\n=\U0001f600', -1e16, True, {"a b": []}, "2024-05-06"]
    assert (tables["mbox"]["MINDATE"], tables["mbox"]["MAXDATE"]) == ("1970-01-01", "2030-01-01")
