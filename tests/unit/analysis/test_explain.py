"""An explanation says what the engine does, and from which numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from analysis_fakes import Store, code, mail, name, patch_text, version
from click.testing import CliRunner

from patchsync.analysis.explain import explain
from patchsync.cli import main
from patchsync.config import FILE_VARIABLE
from patchsync.errors import GiveUp
from patchsync.store.identity import Origin, claim


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """1, 2, 3: each is like the one before, but the last not like the first; 4: another patch."""
    store = Store(tmp_path / "store")
    store.put(
        version(1),
        version(2, changed=range(6)),
        version(3, changed=range(12)),
        version(4, topic=3),
    )
    store.update()
    return store


def test_what_is_one_patch(store: Store) -> None:
    """The verdict names the rating and the threshold; the numbers add up."""
    found = explain(store.config, name(1), name(2))
    assert found.verdict.startswith("one patch: ")
    assert f"{found.total:.4f}" in found.verdict
    assert found.rating.message == 1
    assert found.total == pytest.approx(0.3 + 0.7 * found.rating.diff)
    [file] = found.rating.files
    [hunk] = file.hunks
    assert (hunk.kind, hunk.score) == ("insertions", round(100 * found.rating.diff))
    assert found.together


def test_what_is_together_by_way_of_another(store: Store) -> None:
    """Though their own rating is too low, the two are in one group, and it says by whom."""
    found = explain(store.config, name(1), name(3))
    assert found.verdict.startswith("not one patch: ")
    assert (found.together, found.chain) == (True, (name(1), name(2), name(3)))


def test_what_is_apart(store: Store) -> None:
    """The same file, but another patch."""
    found = explain(store.config, name(1), name(4))
    assert found.verdict.startswith("not one patch: ")
    assert (found.together, found.chain) == (False, ())


def test_before_any_update(tmp_path: Path) -> None:
    """A pair can be explained before it was grouped, and nothing is left behind."""
    store = Store(tmp_path / "store")
    store.put(version(1), version(2))
    assert explain(store.config, name(1), name(2)).together is None
    assert not store.cache.exists()


@pytest.mark.parametrize(
    ("tables", "other", "reason"),
    [
        ("", patch_text("Change of topic 0", code(), file="other.c"), "they touch no file"),
        ("", patch_text("Change of topic 0", code()[:5], file="file0.c"), "(DIFF_LINES_RATIO)"),
        (
            "[analysis.thresholds]\nauthor_date_interval = 3",
            patch_text("Change of topic 0", code(), file="file0.c"),
            "3 days or more apart",
        ),
        (
            "[analysis.thresholds]\nfilename = 0.9",
            patch_text('Revert "Change of topic 0"', code(), file="file0.c"),
            "one is a revert",
        ),
    ],
)
def test_what_is_not_compared(tmp_path: Path, tables: str, other: str, reason: str) -> None:
    """It says what keeps PaStA from looking at the pair."""
    store = Store(tmp_path / "store", tables)
    store.put(version(1), mail(2, other, seconds=4 * 24 * 60 * 60))
    store.update()
    found = explain(store.config, name(1), name(2))
    assert reason in found.verdict
    assert found.together is False


def test_a_person_decides_between_the_thresholds(tmp_path: Path) -> None:
    """A pair between INTERACTIVE and AUTOACCEPT is left to a person, and counted."""
    store = Store(tmp_path / "store", "[analysis.thresholds]\ninteractive = 0.7\nautoaccept = 0.99")
    store.put(version(1), version(2, changed=range(4)))
    assert "left to a person: 1 pair" in store.update().summary
    found = explain(store.config, name(1), name(2))
    assert "left to a person" in found.verdict
    assert found.together is False


def test_marked_false(store: Store) -> None:
    """A mark is what is told, whatever the rating."""
    store.mark(f"{name(2)} {name(1)}\n")
    assert "false positive" in explain(store.config, name(1), name(2)).verdict


def test_kept_apart_by_a_mark_between_others(store: Store) -> None:
    """Two that are alike are in different groups since others of these groups are marked."""
    store.mark(f"{name(1)} {name(3)}\n{name(3)} {name(1)}\n")
    store.update()
    [group] = [line for line in store.groups if " 2" in line or "2 " in line]
    alone = 3 if group == "1 2" else 1
    found = explain(store.config, name(2), name(alone))
    assert found.together is False
    assert set(found.false_positives) == {(name(1), name(3)), (name(3), name(1))}


def test_what_cannot_be_explained(store: Store) -> None:
    """The same twice, two commits, and a mail that is no patch."""
    store.put(mail(9, "Subject: hello\n\nno patch"))
    commits = ("a" * 40, "b" * 40)
    for pair, told in [
        ((name(1), name(1)), "both are"),
        (commits, "both are commits"),
        ((name(1), name(9)), "no patch"),
        ((name(1), commits[0]), "repo is not set"),
    ]:
        with pytest.raises(GiveUp, match=told):
            explain(store.config, *pair)


def test_the_command(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By patchwork ids; with the lines that differ marked by whose they are."""
    monkeypatch.setenv(FILE_VARIABLE, "")  # The command sets it, for its workers.
    origin = Origin(
        url=store.config.base_url, project_id=1, link_name="list", list_email="list@example.org"
    )
    claim(store.paths(), origin)
    result = CliRunner().invoke(
        main,
        ["-c", str(store.config.source), "explain", "1", "2", "--lines"],
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].startswith(name(1))
    assert "verdict: one patch" in result.output
    assert f"    1 {code()[0]}" in lines
    assert f"    2 {code(changed=[0])[0]}" in lines
    assert f"      {code()[9]}" in lines
