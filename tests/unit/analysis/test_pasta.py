"""The engine `pasta`: PaStA's result is put in place whole, or the old groups stay."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fake_pasta import (
    BAD,
    NEW,
    OLD,
    A,
    B,
    C,
    FakePasta,
    update,
)

from patchsync.analysis.false_positives import mark_false
from patchsync.analysis.pasta.engine import PastaEngine, _without_marked, only_analysis
from patchsync.analysis.settings import read_settings
from patchsync.errors import GiveUp, LockHeld, TryAgainLater
from patchsync.store.lock import is_locked
from tests.support.installation import wait_until

COMMIT = "c" * 40


def test_the_result_is_put_in_place(started_pasta: FakePasta) -> None:
    """The groups are PaStA's, counted; its list of invalid mails follows."""
    config = started_pasta.config()
    config.patch_groups.write_bytes(OLD)
    steps = []
    updated = PastaEngine(config).update(lambda *step: steps.append(step))
    assert config.patch_groups.read_bytes() == NEW
    assert updated[:3] == (1, 1, 0)
    assert (config.d_mbox / "invalid").read_text() == f"{BAD}\n"
    assert [name for name, _, _ in steps] == [
        "sync -noup -mbox -create downstream",
        "analyse rep",
        "rate -ti 0.9",
        "done",
    ]


def test_upstream_commits_are_looked_at_where_a_repository_is_set(pasta: FakePasta) -> None:
    """With `[analysis] repo` the commits of the range come in."""
    config = pasta.config('repo = "repo"')
    assert update(config)[1:3] == (3, 1)
    assert config.patch_groups.read_bytes().startswith(NEW + b"=> ")


def test_nothing_new_costs_no_run(pasta: FakePasta) -> None:
    """Only what PaStA's result follows from has it run again; then its caches serve it."""
    config = pasta.config('repo = "repo"')
    update(config)
    pasta.conduct(sync="die")
    assert update(config).groups == 0
    config.patch_groups.write_bytes(OLD)
    with pytest.raises(GiveUp, match="it went wrong"):
        update(config)


@pytest.mark.parametrize("step", ["sync", "analyse", "rate"])
@pytest.mark.parametrize(
    ("way", "told"),
    [
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


def test_a_process_that_fails(started_pasta: FakePasta) -> None:
    """Its exit status and its last words come through."""
    config = started_pasta.config()
    started_pasta.conduct(sync="die")
    with pytest.raises(GiveUp, match=r"(?s)exit status 1.*RuntimeError: it went wrong"):
        update(config)


def test_a_result_that_lacks_a_mail_is_refused(pasta: FakePasta) -> None:
    """A patch of the store that is in no group any more is PaStA's error, or its settings'."""
    config = pasta.config()
    config.patch_groups.write_bytes(OLD)
    pasta.conduct(analyse="lose")
    with pytest.raises(GiveUp, match="lacks 1 mails"):
        update(config)
    assert config.patch_groups.read_bytes() == OLD


def test_groups_of_others_are_not_trampled_on(pasta: FakePasta) -> None:
    """What somebody wrote while PaStA ran stays, and is the next run's input."""
    config = pasta.config()
    theirs = b"<a@x> <c@x>\n"
    (pasta.root / "meanwhile").write_bytes(theirs)
    named = f'MODE = "mbox"\nTHEIRS = "{config.patch_groups}"'
    pasta.project.write_text(pasta.project.read_text().replace('MODE = "mbox"', named))
    pasta.conduct(rate="meanwhile")
    with pytest.raises(TryAgainLater, match="somebody else"):
        update(config)
    assert config.patch_groups.read_bytes() == theirs
    pasta.conduct()
    update(config)
    assert config.patch_groups.read_bytes() == b"<a@x> <b@x> <c@x>\n"


def test_half_a_file_is_no_input(pasta: FakePasta) -> None:
    """PaStA by hand writes in place: groups that end within a line are not taken for all."""
    config = pasta.config()
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


def _alive(pasta: FakePasta) -> list[str]:
    """Of PaStA and its child those that live, a dead one that nobody waits for not counted."""
    file = pasta.root / "child"
    pids = file.read_text().split() if file.exists() else []
    stats = [Path("/proc", pid, "stat") for pid in pids]
    return [each.parent.name for each in stats if each.exists() and ") Z " not in each.read_text()]


def test_the_store_is_free_while_pasta_runs(pasta: FakePasta) -> None:
    """Nobody who writes mails waits for PaStA, and two updates do not run at once."""
    config = pasta.config()
    free = []

    def look(*_: object) -> None:
        free.append(not is_locked(pasta.paths.lock))
        with pytest.raises(LockHeld, match="another analysis"):
            update(config)

    PastaEngine(config).update(look)
    assert free == [True] * 4
    with only_analysis(config), pytest.raises(LockHeld):
        update(config)


def test_only_the_window_is_demanded(pasta: FakePasta) -> None:
    """Mails outside MINDATE and MAXDATE need not be in the result."""
    text = pasta.project.read_text()
    pasta.project.write_text(text + '\n[mbox]\nMINDATE = "2025-01-01"\n')
    pasta.conduct(analyse="lose")
    assert update(pasta.config()).mails == 2


def test_two_logs_are_kept(pasta: FakePasta) -> None:
    """All that PaStA said in the last run and in the one before."""
    config = pasta.config()
    for _ in range(3):
        update(config)
        config.patch_groups.unlink()
    folder = config.d_mbox / "patchsync" / "pasta"
    assert sorted(each.name for each in folder.glob("log*")) == ["log", "log.1"]
    assert (folder / "log").read_text().count("Shutting down") == 3


def test_what_is_marked_false_is_looked_at_anew(pasta: FakePasta) -> None:
    """PaStA takes nothing apart, so a group with a mark in it is not handed to it."""
    config = pasta.config()
    folder = read_settings(config).false_positives
    mark_false(folder, A, B)
    mark_false(folder, C, COMMIT)
    groups = b"<a@x> <b@x>\n<c@x> => %b\n<d@x> <e@x>\n" % COMMIT.encode()
    assert _without_marked(groups, read_settings(config)) == b"<d@x> <e@x>\n"
