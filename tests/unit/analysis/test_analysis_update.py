"""How updates ended is noted, and what went wrong stays until one goes through."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchsync.analysis import update as module
from patchsync.analysis.engine import OnProgress, Updated
from patchsync.analysis.update import last_update, update_groups
from patchsync.config import Config, load
from patchsync.errors import GiveUp, LockHeld, PatchsyncError, StoreDamaged

UPDATED = Updated(groups=2, mails=3, commits=0, summary="3 new mails; 2 groups changed")


class Fake:
    """An engine that ends as it is told to."""

    def __init__(self) -> None:
        self.error: PatchsyncError | None = None
        self.trouble: str | None = None
        self.given: dict[str, bool] = {}

    def update(self, on_progress: OnProgress) -> Updated:
        on_progress("comparing", 1, 3)
        if self.error:
            raise self.error
        return UPDATED._replace(trouble=self.trouble)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()

    def opened(_: Config, **given: bool) -> Fake:
        fake.given = given
        return fake

    monkeypatch.setattr(module, "open_engine", opened)
    return fake


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "patchsync.toml"
    file.write_text("[mbox.patchwork]\nurl = 'http://127.0.0.1:1'\nproject_ids = [1]\n")
    return load(file)


def ignored(*_: object) -> None:
    """Nobody looks on."""


def test_what_was_done_is_noted(config: Config, engine: Fake) -> None:
    """Its summary, when it ended, and by which engine; before the first there is none."""
    assert last_update(config) is None
    told: list[object] = []
    assert update_groups(config, lambda *what: told.append(what), rebuild=True) == UPDATED
    assert told == [("comparing", 1, 3)]
    assert engine.given == {"overwrite": False, "rebuild": True}
    found = last_update(config)
    assert found
    assert (found.engine, found.story, found.trouble) == ("builtin", UPDATED.summary, None)
    assert found.at
    assert found.at > 1e9


def test_what_failed_is_noted_until_one_goes_through(config: Config, engine: Fake) -> None:
    """Beside what the last good one did."""
    update_groups(config, ignored)
    good = last_update(config)
    engine.error = GiveUp("patch-groups was changed")
    with pytest.raises(GiveUp):
        update_groups(config, ignored)
    failed = last_update(config)
    assert good and failed
    assert (failed.at, failed.story) == (good.at, good.story)
    assert (failed.trouble, failed.failed_at is not None) == ("patch-groups was changed", True)
    engine.error = None
    update_groups(config, ignored)
    after = last_update(config)
    assert after
    assert after.trouble is None


def test_what_failed_in_part_is_noted_too(config: Config, engine: Fake) -> None:
    """Beside what was done."""
    engine.trouble = "the index is damaged"
    update_groups(config, ignored)
    noted = last_update(config)
    assert noted
    assert (noted.story, noted.trouble) == (UPDATED.summary, "the index is damaged")
    assert noted.failed_at == noted.at
    engine.trouble = None
    update_groups(config, ignored)
    noted = last_update(config)
    assert noted
    assert noted.trouble is None


def test_one_that_finds_another_at_work_notes_nothing(config: Config, engine: Fake) -> None:
    """It is no trouble: the other one notes how it ends."""
    engine.error = LockHeld("another update is under way")
    with pytest.raises(LockHeld):
        update_groups(config, ignored)
    assert last_update(config) is None


def test_a_record_of_another_version_is_as_none(config: Config, engine: Fake) -> None:
    """It is only a note; what is no record at all is told with what to do."""
    update_groups(config, ignored)
    file = config.d_mbox / "patchsync" / "analysis.json"
    file.write_text('{"engine": "builtin", "of_tomorrow": 1}')
    assert last_update(config) is None
    file.write_text("not JSON")
    with pytest.raises(StoreDamaged, match=r"analysis\.json"):
        last_update(config)
