"""What is to become of each mail of an mbox."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from import_fakes import (
    FakeRemote,
    config_in,
    listing,
    mbox_of,
    project_in,
    project_mbox_of,
    rendered,
    store,
)

from patchsync.errors import GiveUp
from patchsync.imports import judge
from patchsync.imports.judge import ProjectMbox

LIMIT = "[patchwork]\nmax_mail_bytes = 2000\n"


def verdicts(mbox: ProjectMbox) -> dict[int, str]:
    return {mail.patch_id: verdict for mail, verdict in mbox.verdicts()}


def test_each_mail_has_its_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the store; not listed, and the one before it; at fault, or too large; and new."""
    monkeypatch.setattr(judge, "NEWEST", 0)
    config = config_in(tmp_path, LIMIT)
    store(project_in(config), rendered(1))
    mails = [rendered(1), rendered(2), rendered(3), rendered(4), rendered(5), rendered(6, 2001)]
    mails += [rendered(7, 2000), rendered(8).replace(b"Message-Id", b"Other"), rendered(9)]
    with project_mbox_of(config, mbox_of(*mails)) as mbox:
        mbox.judge(listing(1, 2, 3, 5, 6, 7, 8, 9), bare=False)
        assert verdicts(mbox) == {
            1: "stored", 2: "new", 3: "in doubt", 4: "not listed", 5: "new",
            6: "quarantined", 7: "new", 8: "quarantined", 9: "new",
        }  # fmt: skip
        assert mbox.ids_to_fetch() == [3]
        tally = mbox.tally()
        assert (tally.mails, tally.stored, tally.new) == (9, 1, 4)
        assert (tally.quarantined, tally.in_doubt, tally.not_listed) == (2, 1, 1)
        assert tally.new_bytes == sum(len(mails[n - 1]) + 1 for n in (2, 5, 7, 9))
        assert tally.disk_bytes >= 4 * 4096
        reasons = {reason.patch_id: reason.text for reason in mbox.reasons()}
        assert "Patchwork does not list it" in reasons[4]
        assert "2000" in reasons[6]
        assert "Message-Id" in reasons[8]
        assert reasons.keys() == {3, 4, 6, 8}


def test_the_highest_ids_are_in_doubt(tmp_path: Path) -> None:
    """A body may imitate a patch that came after the archive was made; so the mail before it too.

    Where Patchwork is asked, from where they come then.
    """
    numbers = range(1, 11)
    with project_mbox_of(config_in(tmp_path), mbox_of(*map(rendered, numbers))) as mbox:
        mbox.judge(listing(*numbers), bare=False)
        assert mbox.ids_to_fetch() == [6, 7, 8, 9, 10]
        assert mbox.tally().new == 5
        mbox.judge(None, bare=False)
        assert mbox.tally().new == 10


def test_the_end_of_a_bare_mbox_is_in_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing tells whether it is cut off between two lines; Patchwork has it, if it is asked."""
    monkeypatch.setattr(judge, "NEWEST", 0)
    with project_mbox_of(config_in(tmp_path), mbox_of(*map(rendered, (1, 2, 3)))) as mbox:
        mbox.judge(listing(1, 2, 3), bare=True)
        assert verdicts(mbox) == {1: "new", 2: "new", 3: "in doubt"}
        mbox.judge(listing(1, 2, 3), bare=False)
        assert set(verdicts(mbox).values()) == {"new"}


def test_what_the_store_has_quarantined_is_told_with_its_reason(tmp_path: Path) -> None:
    """The one that it was quarantined for."""
    config = config_in(tmp_path)
    store(project_in(config), rendered(1), quarantined=((2, "it is odd"),))
    with project_mbox_of(config, mbox_of(*map(rendered, (1, 2)))) as mbox:
        mbox.judge(None, bare=False)
        assert mbox.tally().quarantined == 1
        assert [(reason.patch_id, reason.text) for reason in mbox.reasons()] == [(2, "it is odd")]
        assert verdicts(mbox)[2] == "new", "it is tried again"


WRONG = [(n, f"<{n}@elsewhere.org>") for n in range(1, 9)]


@pytest.mark.parametrize("asked", [True, False])
def test_another_projects_archive_is_refused(tmp_path: Path, asked: bool) -> None:
    """All its ids are another message's at the server, or most of them in the store."""
    config = config_in(tmp_path)
    if not asked:
        store(project_in(config), *(rendered(n, message_id=other) for n, other in WRONG))
    with (
        project_mbox_of(config, mbox_of(*map(rendered, (3, 4, 5, 50)))) as mbox,
        pytest.raises(GiveUp, match="this is not the archive of sample"),
    ):
        mbox.judge(FakeRemote(dict(WRONG)) if asked else None, bare=False)


def test_who_quotes_a_stored_id_is_in_doubt(tmp_path: Path) -> None:
    """The store has another message-id for it."""
    config = config_in(tmp_path)
    store(project_in(config), rendered(1), rendered(9))
    mails = [rendered(1), rendered(2), rendered(9, message_id="<x@example.org>"), rendered(10)]
    with project_mbox_of(config, mbox_of(*mails)) as mbox:
        mbox.judge(None, bare=False)
        assert verdicts(mbox) == {1: "stored", 2: "in doubt", 9: "stored", 10: "new"}


@pytest.mark.parametrize(
    ("stored", "archived", "same"),
    [
        (range(1, 9), range(20, 40), False),
        (range(1, 9), range(6, 40), False),
        (range(1, 9), range(5, 40), True),
        (range(1, 40), range(1, 4), True),
        (range(1, 40), range(39, 42), False),
        ((), range(20, 40), True),
    ],
)
def test_offline_the_store_tells_whose_archive_it_is(
    tmp_path: Path, stored: Iterable[int], archived: Iterable[int], same: bool
) -> None:
    """A dumparchive holds the whole project: also ids that the store lacks speak against it."""
    config = config_in(tmp_path)
    store(project_in(config), *map(rendered, stored))
    with project_mbox_of(config, mbox_of(*map(rendered, archived))) as mbox:
        if same:
            mbox.judge(None, bare=False)
        else:
            with pytest.raises(GiveUp, match=r"not the archive of sample.* in the store"):
                mbox.judge(None, bare=False)
        mbox.judge(listing(*archived), bare=False)  # Patchwork knows better.


def test_offline_what_is_gone_from_patchwork_does_not_count(tmp_path: Path) -> None:
    """An archive that was made after it went cannot hold it."""
    config = config_in(tmp_path)
    project = project_in(config)
    store(project, *map(rendered, range(1, 9)))
    project.paths.gone.write_text("".join(f"{n}\n" for n in range(1, 8)))
    with project_mbox_of(config, mbox_of(*map(rendered, range(8, 20)))) as mbox:
        mbox.judge(None, bare=False)
