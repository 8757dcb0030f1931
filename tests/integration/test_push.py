"""`patchsync push` and the service `push` against a Patchwork over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from beat_schedule import entries
from patchsync.fleet.supervisor import Supervisor
from patchsync.push.ledger import Ledger
from patchsync.push.relation.under_way import UnderWay
from patchsync.push.status import summary
from standin.process import NEIGHBOUR_TOKEN, NOBODY_TOKEN, TOKEN, StandinProcess
from tests.support.inprocess import Workers, process_of_its_own
from tests.support.installation import processes_of, wait_until
from tests.support.pushing import COMMIT, SINKS, Pushing, placed_store


@pytest.fixture
def extra(request: pytest.FixtureRequest) -> str:
    """What else stands in the configuration."""
    text = getattr(request, "param", SINKS)
    assert isinstance(text, str)
    return text


@pytest.fixture
def pushing(
    synced: Path, tmp_path: Path, shared_standin: StandinProcess, extra: str, workers: Workers
) -> Pushing:
    return Pushing(installation=placed_store(synced, tmp_path, shared_standin, extra, workers))


STATES = SINKS.replace('"relation"', '"relation", "state"')
# Of the sample's mails any are put into one group.
STATES += '[push.state]\nsuperseded_by = "anyone"\n'
with_states = pytest.mark.parametrize("extra", [STATES], indirect=True)


# A round


def test_the_first_push_wants_an_agreement(pushing: Pushing) -> None:
    """Without a terminal and --yes it says what it would do, and writes nothing."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b, c])
    done = pushing.run()
    assert done.returncode == 1
    assert "3 x check, 3 x relation" in done.stdout
    assert "--yes" in done.stderr
    assert pushing.written() == {}


def test_a_dry_run_only_says(pushing: Pushing) -> None:
    """It names what would be written, and asks the server with GET alone."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b, c])
    done = pushing.run("--dry-run")
    assert done.returncode == 0
    assert "would write: 3 x check, 3 x relation" in done.stdout
    assert pushing.written() == {}
    assert pushing.writes() == {"POST": 3, "PATCH": 1}


@pytest.mark.parametrize("extra", [f"{SINKS}[push.check]\nper_group_and_day = 2\n"], indirect=True)
def test_a_dry_run_counts_as_status_does(pushing: Pushing, monkeypatch: pytest.MonkeyPatch) -> None:
    """By patch, with what waits for another day; rows that are left out are told, and to be had."""
    monkeypatch.setattr("patchsync.cli.push.MOST_ROWS", 4)
    a, b, c, d, e, f, *_ = pushing.ids()

    def pending() -> str:
        sinks = pushing.installation.status("sample")["push"]["sinks"]
        return summary({sink: counts["pending"] for sink, counts in sinks.items()})

    for groups in ([[a, b], [c, d, e]], [[a, b, c], [d, e, f]], [[a], [b], [c, d], [e, f]]):
        pushing.group(*groups)
        done = pushing.run("--dry-run")
        assert f"would write: {pending()}\n" in done.stdout
        assert "more; --all shows them" in done.stdout
        whole = pushing.run("--dry-run", "--all").stdout
        assert "more; " not in whole
        assert len(whole.splitlines()) > len(done.stdout.splitlines())
        pushing.run("--yes")
    assert "of these wait" in pushing.run("--dry-run").stderr


def test_a_dry_run_decides_nothing(pushing: Pushing) -> None:
    """What --fewer-groups lets through wants a real push: until then it is refused."""
    ids = pushing.ids()
    pushing.group(*zip(ids[:24:2], ids[1:24:2], strict=True))
    pushing.push()
    lines = pushing.groups_file.read_text().splitlines(keepends=True)
    pushing.groups_file.write_text("".join(lines[12:]))
    done = pushing.run("--dry-run", "--fewer-groups")
    assert done.returncode == 2
    assert "leave --fewer-groups and --retry out" in " ".join(done.stderr.split())
    assert "is it whole?" in pushing.run("--yes").stderr
    assert len(pushing.relations()) == 12


def test_what_is_pushed_is_pushed_once(pushing: Pushing) -> None:
    """Relations are those of the groups, each check is there once; again: nothing is written."""
    a, b, c, d, e, f, *_ = pushing.ids()
    pushing.group([a, b, c], [d, e], upstream={f: COMMIT})
    assert pushing.writes() == {"POST": 6, "PATCH": 2}
    assert pushing.relations() == {frozenset({a, b, c}), frozenset({d, e})}
    assert pushing.rows() == dict.fromkeys([a, b, c, d, e, f], 1)
    ((state, text),) = pushing.checks(f)
    assert (state, text) == ("success", f"upstream in {COMMIT[:12]}")
    pushing.assert_settled()


def test_a_change_of_groups_is_followed(pushing: Pushing) -> None:
    """Merged, split, grown, upstream: relations follow, and only changed checks get a new row."""
    a, b, c, d, e, f, g, h, i, j, *_ = pushing.ids()
    pushing.group([a, b], [c, d], [e, f, g], [h, i])
    pushing.push()
    before = {number: pushing.checks(number) for number in pushing.message_ids}
    pushing.group([a, b, c, d], [e, f], [h, i, j], upstream={e: COMMIT})
    pushing.push()
    assert pushing.relations() == {frozenset(group) for group in ({a, b, c, d}, {e, f}, {h, i, j})}
    for number, rows in before.items():
        now = pushing.checks(number)
        assert now[: len(rows)] == rows
        assert len(now) <= len(rows) + 1
    pushing.assert_checks_once()
    assert pushing.checks(g)[-1] == ("pending", "withdrawn")
    pushing.assert_settled()


def test_a_group_that_is_no_more_is_withdrawn(pushing: Pushing) -> None:
    """Its relation is taken apart, and its checks say so."""
    a, b, c, d, *_ = pushing.ids()
    pushing.group([a, b], [c, d])
    pushing.push()
    pushing.group([a, b])
    pushing.push()
    assert pushing.relations() == {frozenset({a, b})}
    assert [pushing.checks(number)[-1][1] for number in (c, d)] == ["withdrawn"] * 2
    pushing.assert_settled()


def test_a_mail_that_groups_name_no_more(pushing: Pushing) -> None:
    """It leaves its relation, and the rest of its group goes on."""
    a, b, c, d, *_ = pushing.ids()
    pushing.group([a, b, c])
    pushing.push()
    pushing.group([a, b, d])
    lines = pushing.groups_file.read_text().splitlines()
    pushing.groups_file.write_text(
        "".join(f"{line}\n" for line in lines if line != pushing.message_ids[c])
    )
    pushing.push()
    assert pushing.relations() == {frozenset({a, b, d})}
    assert pushing.checks(c)[-1][1] == "withdrawn"
    pushing.assert_settled()


def test_a_mail_in_two_projects_is_annotated_in_both(pushing: Pushing) -> None:
    """It is one revision; the relation goes across the projects."""
    first, second = pushing.ids()[-1], pushing.ids("neighbour")[-1]
    assert pushing.message_ids[first] == pushing.message_ids[second]
    other, third = pushing.ids()[5], pushing.ids("neighbour")[4]
    pushing.group([first, other], [third])
    pushing.push()
    assert pushing.relations() == {frozenset({first, second, other})}
    assert pushing.rows() == dict.fromkeys([first, second, other], 1)
    assert "revision: " in pushing.checks(first)[0][1]
    pushing.assert_settled()


def test_the_limit_holds(pushing: Pushing) -> None:
    """So many are annotated; the next rounds go on to the end."""
    ids = pushing.ids()[:12]
    pushing.group(*zip(ids[::2], ids[1::2], strict=True))
    assert pushing.writes("--limit", "5") == {"POST": 5}
    for _ in range(6):
        pushing.push("--limit", "5")
    assert pushing.rows() == dict.fromkeys(ids, 1)
    assert len(pushing.relations()) == 6
    pushing.assert_settled()


def test_one_project_alone(pushing: Pushing) -> None:
    """--project leaves the others alone, also where they were never agreed to."""
    (a, b, *_), (x, y, *_) = pushing.ids(), pushing.ids("neighbour")
    pushing.group([a, b], [x, y])
    pushing.push("--project", "sample")
    assert pushing.relations() == {frozenset({a, b})}
    assert pushing.rows() == {a: 1, b: 1}
    done = pushing.run()
    assert "neighbour: first push" in done.stdout
    assert done.returncode == 1
    assert pushing.rows() == {a: 1, b: 1}


@pytest.mark.parametrize(
    "extra", [SINKS + '[push.check]\ndescription = "see [/x] [bold] {{ number }}"'], indirect=True
)
def test_square_brackets_are_shown_as_they_are(pushing: Pushing) -> None:
    """What stands in a check or in a server's answer is no markup."""
    a, b, *_ = pushing.ids()
    pushing.group([a, b])
    assert "see [/x] [bold] 1" in pushing.push()
    assert pushing.checks(a)[0][1] == "see [/x] [bold] 1"


# A person's hand


def test_what_a_person_takes_out_stays_out(pushing: Pushing) -> None:
    """It is reported, and stays out when the group grows."""
    a, b, c, d, *_ = pushing.ids()
    pushing.group([a, b, c])
    pushing.push()
    pushing.by_hand(c, related=[])
    pushing.push()
    assert pushing.relations() == {frozenset({a, b})}
    assert pushing.troubles("relation") == dict.fromkeys((a, b, c), "report")
    pushing.group([a, b, c, d])
    pushing.push()
    assert pushing.relations() == {frozenset({a, b, d})}
    pushing.assert_settled()


def test_what_a_person_puts_back_stays_in(pushing: Pushing) -> None:
    """Taken out and put back by a person, it is the person's."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b, c])
    pushing.push()
    pushing.by_hand(c, related=[])
    pushing.run("--yes")
    pushing.by_hand(c, related=[a])
    pushing.run("--yes")
    assert pushing.relations() == {frozenset({a, b, c})}
    pushing.assert_settled()


@pytest.mark.parametrize("more", [1, 2])
def test_what_a_person_adds_stays(pushing: Pushing, more: int) -> None:
    """One patch or several of no group join our relation: all stay together."""
    a, b, *others = pushing.ids()
    pushing.group([a, b])
    pushing.push()
    for other in others[:more]:
        pushing.by_hand(other, related=[a])
    pushing.run("--yes")
    assert pushing.relations() == {frozenset({a, b, *others[:more]})}
    pushing.run("--yes")
    assert pushing.relations() == {frozenset({a, b, *others[:more]})}


def test_what_a_person_moves_stays_there(pushing: Pushing) -> None:
    """Out of our relation and into the person's own: neither is undone."""
    a, b, c, x, y, *_ = pushing.ids()
    pushing.group([a, b, c])
    pushing.push()
    pushing.by_hand(c, related=[])
    pushing.by_hand(x, related=[y])
    pushing.by_hand(c, related=[x])
    for _ in range(2):
        pushing.run("--yes")
        assert pushing.relations() == {frozenset({a, b}), frozenset({c, x, y})}


with_both = pytest.mark.parametrize(
    "extra",
    [f'{SINKS}[push.relation]\nforeign = "{how}"' for how in ("join", "leave")],
    indirect=True,
    ids=["join", "leave"],
)


def by_hand(pushing: Pushing, *requests: tuple[int, list[int]]) -> None:
    """A person's requests, one after another."""
    for patch_id, related in requests:
        pushing.by_hand(patch_id, related=related)


@with_both
def test_two_that_a_person_took_out_and_related_stay_two(pushing: Pushing) -> None:
    """With no push in between; also when the group grows, and when the two are parted again."""
    a, b, c, d, e, *_ = pushing.ids()
    pushing.group([a, b, c, d])
    pushing.push()
    by_hand(pushing, (c, []), (d, []), (c, [d]))
    for _ in range(2):
        pushing.run("--yes")
        assert pushing.relations() == {frozenset({a, b}), frozenset({c, d})}
    pushing.group([a, b, c, d, e])
    pushing.run("--yes")
    assert not any(relation >= {a, c} for relation in pushing.relations())
    by_hand(pushing, (c, []))
    pushing.run("--yes")
    assert not any(relation & {c, d} for relation in pushing.relations())
    pushing.assert_settled()


@with_both
def test_ours_taken_out_after_a_person_added_another_stays_out(pushing: Pushing) -> None:
    """That the relation was the person's by then says nothing else."""
    a, b, x, *_ = pushing.ids()
    pushing.group([a, b])
    pushing.push()
    by_hand(pushing, (x, [a]))
    pushing.run("--yes")
    by_hand(pushing, (b, []))
    for _ in range(2):
        pushing.run("--yes")
        assert pushing.relations() == {frozenset({a, x})}
    pushing.assert_settled()


@with_both
def test_what_a_person_merged_and_paired_otherwise_stays(pushing: Pushing) -> None:
    """Two relations of ours made one, or two and two related across."""
    a, b, c, d, e, f, g, h, *_ = pushing.ids()
    pushing.group([a, b], [c, d], [e, f, g, h])
    pushing.push()
    by_hand(pushing, (c, []), (c, [a]), (d, [a]))
    by_hand(pushing, (e, []), (f, []), (g, []), (e, [g]), (f, [h]))
    for groups in ([[a, b], [c, d], [e, f, g, h]], [[a, c], [b, d], [e, f], [g, h]]):
        pushing.group(*groups)
        pushing.run("--yes")
        assert pushing.relations() == {
            frozenset({a, b, c, d}),
            frozenset({e, g}),
            frozenset({f, h}),
        }
    pushing.assert_settled()


@with_both
def test_what_a_person_did_is_taken_back(pushing: Pushing) -> None:
    """Whoever says so by --take-back has the group whole again, and of us; nothing else of it."""
    a, b, c, d, e, f, g, *_ = pushing.ids()
    pushing.group([a, b, c, d], [e, f, g])
    pushing.push()
    by_hand(pushing, (c, []), (d, []), (c, [d]), (g, []))
    pushing.push()
    # Not seen by us yet
    by_hand(pushing, (b, []))
    names = [part for each in (a, b, c, d) for part in ("--take-back", str(each))]
    pushing.push(*names)
    assert pushing.relations() == {frozenset({a, b, c, d}), frozenset({e, f})}
    pushing.assert_settled()
    pushing.group([a, c], [b, d], [e, f, g])
    pushing.push()
    assert pushing.relations() == {frozenset({a, c}), frozenset({b, d}), frozenset({e, f})}


@with_both
def test_nothing_is_taken_back_while_a_neighbour_waits_for_its_answer(pushing: Pushing) -> None:
    """It is told, with how long, and is taken back after that."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b, c])
    pushing.push()
    by_hand(pushing, (a, []))
    with Ledger(pushing.ledger) as ledger:
        UnderWay(ledger).begin({c: frozenset({b, c})}, time.time())
    done = pushing.run("--yes", "--take-back", str(a))
    assert done.returncode == 1
    assert "nothing is taken back; try it again in" in done.stderr
    assert pushing.relations() == {frozenset({b, c})}
    pushing.let_claims_expire()
    pushing.push("--take-back", str(a))
    assert pushing.relations() == {frozenset({a, b, c})}
    pushing.assert_settled()


def test_only_what_we_maintain_is_taken_back(pushing: Pushing) -> None:
    """Another patch is named, and nothing is done."""
    a, b, *_ = pushing.ids()
    pushing.group([a, b])
    done = pushing.run("--yes", "--take-back", "4711")
    assert done.returncode == 1
    assert "no patch 4711" in done.stderr
    assert pushing.relations() == set()


@pytest.mark.parametrize(
    "extra, joined",
    [(f'{SINKS}[push.relation]\nforeign = "{how}"', how == "join") for how in ("join", "leave")],
    indirect=["extra"],
)
def test_what_a_person_related_before(pushing: Pushing, joined: bool) -> None:
    """The rest joins it, or is kept apart; it is never taken apart, also when the group splits."""
    a, b, c, d, *_ = pushing.ids("neighbour")
    pushing.by_hand(a, related=[b], token=NEIGHBOUR_TOKEN)
    pushing.group([a, b, c, d])
    assert "1 as people have them" in pushing.push()
    rest = [frozenset({a, b, c, d})] if joined else [frozenset({a, b}), frozenset({c, d})]
    assert pushing.relations() == set(rest)
    pushing.group([a, c], [b, d])
    pushing.run("--yes")
    assert any({a, b} <= relation for relation in pushing.relations())
    pushing.run("--yes", "--undo")
    assert pushing.relations() == {frozenset({a, b})}


@pytest.mark.parametrize("extra", ['[push]\nsinks = ["state"]\n'], indirect=True)
def test_a_strangers_copy_does_not_supersede(pushing: Pushing) -> None:
    """As Patchwork names the submitter in the mails that the store has."""
    by_author: dict[str, list[int]] = {}
    for number in pushing.ids():
        by_author.setdefault(pushing.patch(number)["submitter"]["email"], []).append(number)
    (a, b, c, *_), (stranger, *_) = sorted(by_author.values(), key=len, reverse=True)[:2]
    pushing.group([a, b], [c, stranger])
    pushing.push()
    assert sorted(pushing.patch(number)["state"] for number in (a, b)) == ["new", "superseded"]
    assert [pushing.patch(number)["state"] for number in (c, stranger)] == ["new", "new"]
    pushing.group([a, b, stranger, c])
    pushing.push()
    assert [pushing.patch(number)["state"] for number in (c, stranger)] == ["new", "new"]


@with_states
def test_a_state_that_a_person_chose_stays(pushing: Pushing) -> None:
    """Only from the listed states; a later choice is not overridden, also when more is known."""
    a, b, c, d, e, *_ = pushing.ids()
    pushing.by_hand(a, state="rejected")
    pushing.group([a, b, c], [d], upstream={d: COMMIT})
    pushing.run("--yes")
    states = [pushing.patch(number)["state"] for number in (a, b, c, d)]
    assert states == ["rejected", "superseded", "new", "accepted"]
    assert pushing.patch(d)["commit_ref"] == COMMIT
    pushing.by_hand(b, state="new")
    pushing.group([a, b, c, e], [d], upstream={d: COMMIT})
    pushing.run("--yes")
    assert pushing.patch(b)["state"] == "new"
    assert pushing.patch(c)["state"] == "superseded"
    pushing.assert_settled()


@with_states
@pytest.mark.parametrize("how", ["set back", "taken back"])
def test_a_state_is_left_to_us_again(pushing: Pushing, how: str) -> None:
    """Set back to what we had set, or said by --take-back."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b])
    pushing.push()
    pushing.by_hand(a, state="rejected")
    pushing.group([a], [b, c], upstream={a: COMMIT})
    assert "1 as people have them" in pushing.push()
    assert pushing.patch(a)["state"] == "rejected"
    if how == "set back":
        pushing.by_hand(a, state="superseded")
        pushing.push()
    else:
        pushing.push("--take-back", str(a))
    assert pushing.patch(a)["state"] == "accepted"
    assert pushing.patch(a)["commit_ref"] == COMMIT
    pushing.assert_settled()


@with_states
def test_a_state_that_a_person_chose_stays_without_the_ledger(pushing: Pushing) -> None:
    """Who lost the ledger still does not override what came after us."""
    a, b, *_ = pushing.ids()
    pushing.group([a, b])
    pushing.push()
    assert pushing.patch(a)["state"] == "superseded"
    pushing.by_hand(a, state="new")
    pushing.lose_ledger()
    pushing.run("--yes")
    assert pushing.patch(a)["state"] == "new"


# The ledger


def test_a_lost_ledger_is_rebuilt(pushing: Pushing) -> None:
    """Without one write; then a round writes nothing, and what was ours still is."""
    a, b, c, d, e, *_ = pushing.ids()
    x, y, z, *_ = pushing.ids("neighbour")
    pushing.group([a, b, c], [d, e])
    pushing.push()
    pushing.by_hand(x, related=[y], token=NEIGHBOUR_TOKEN)
    pushing.by_hand(y, related=[z], token=NEIGHBOUR_TOKEN)
    pushing.lose_ledger()
    assert pushing.writes() == {}
    pushing.assert_settled()
    pushing.group([a, b], [c, d, e], [x, y])
    pushing.run("--yes")
    assert pushing.relations() == {
        frozenset({a, b}),
        frozenset({c, d, e}),
        frozenset({x, y, z}),
    }
    pushing.assert_checks_once()


def test_what_a_person_took_out_stays_out_without_the_ledger(pushing: Pushing) -> None:
    """The events tell that it was a person."""
    x, y, z, *_ = pushing.ids("neighbour")
    pushing.group([x, y, z])
    pushing.push()
    pushing.by_hand(z, related=[], token=NEIGHBOUR_TOKEN)
    pushing.lose_ledger()
    pushing.run("--yes")
    assert pushing.relations() == {frozenset({x, y})}


# Undo


def test_undo(pushing: Pushing) -> None:
    """Our relations go, our checks become pending, a person's relation stays; shown and asked."""
    a, b, c, *_ = pushing.ids()
    x, y, *_ = pushing.ids("neighbour")
    pushing.by_hand(x, related=[y], token=NEIGHBOUR_TOKEN)
    pushing.group([a, b, c])
    pushing.push()
    asked = pushing.run("--undo")
    assert asked.returncode == 1
    assert "3 patches show a check of ours" in asked.stdout
    assert "3 are in a relation by us" in asked.stdout
    pushing.push("--undo")
    assert pushing.relations() == {frozenset({x, y})}
    assert [pushing.checks(number)[-1] for number in (a, b, c)] == [("pending", "withdrawn")] * 3
    again = pushing.run()
    assert again.returncode == 1
    assert "first push" in again.stdout
    assert pushing.relations() == {frozenset({x, y})}
    pushing.push()
    assert pushing.relations() == {frozenset({a, b, c}), frozenset({x, y})}
    pushing.assert_checks_once()
    pushing.assert_settled()


def test_undo_before_all_was_sent(pushing: Pushing) -> None:
    """What was not pushed yet is not pushed by it."""
    ids = pushing.ids()[:8]
    pushing.group(*zip(ids[::2], ids[1::2], strict=True))
    pushing.push("--limit", "3")
    sent = pushing.rows()
    assert len(sent) == 3
    pushing.push("--undo")
    assert pushing.rows() == dict.fromkeys(sent, 2)
    assert pushing.relations() == set()


def test_undo_after_the_ledger_was_lost(pushing: Pushing) -> None:
    """What is shown to be ours is withdrawn."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b, c])
    pushing.push()
    pushing.lose_ledger()
    pushing.push("--undo")
    assert pushing.relations() == set()
    assert [pushing.checks(number)[-1][1] for number in (a, b, c)] == ["withdrawn"] * 3


def test_undo_leaves_what_a_person_related(pushing: Pushing) -> None:
    """What joined a person's relation leaves it; the person's patches stay related."""
    a, b, c, *_ = pushing.ids("neighbour")
    pushing.by_hand(a, related=[b], token=NEIGHBOUR_TOKEN)
    pushing.group([a, b, c])
    pushing.run("--yes")
    assert pushing.relations() == {frozenset({a, b, c})}
    pushing.push("--undo")
    assert pushing.relations() == {frozenset({a, b})}


@pytest.mark.parametrize("known", [True, False])
def test_undo_passes_over_what_is_gone(pushing: Pushing, known: bool) -> None:
    """There is nothing to withdraw, and nothing is posted where that is known; all ends well."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b, c])
    pushing.push()
    pushing.standin.control.delete([b])
    if known:
        pushing.installation.sync()
    pushing.standin.control.reset_stats()
    said = pushing.push("--undo")
    assert f"to undo: {2 if known else 3} patches show a check of ours" in said
    assert pushing.written()["POST"] == (2 if known else 3)
    assert pushing.relations() == set()
    assert [pushing.checks(number)[-1] for number in (a, c)] == [("pending", "withdrawn")] * 2
    assert "wrote: nothing" in pushing.push("--undo")


# What the server refuses


def test_a_patch_that_is_gone_does_not_stop_the_rest(pushing: Pushing) -> None:
    """Deleted at the server since the last sync: the others are annotated; it is no trouble."""
    a, b, c, d, e, *_ = pushing.ids()
    pushing.group([a, b, c], [d, e])
    pushing.standin.control.delete([b])
    pushing.push()
    assert pushing.relations() == {frozenset({a, c}), frozenset({d, e})}
    assert pushing.rows().keys() == {a, c, d, e}
    assert pushing.ask_ledger("SELECT * FROM entry WHERE trouble IS NOT NULL") == []
    assert pushing.ask_ledger(f"SELECT * FROM entry WHERE patch_id = {b}") == []
    pushing.assert_settled()


def test_a_patch_that_is_gone_after_it_was_pushed(pushing: Pushing) -> None:
    """The group grows without it."""
    a, b, c, d, *_ = pushing.ids()
    pushing.group([a, b, c])
    pushing.push()
    pushing.standin.control.delete([b])
    pushing.installation.sync()
    pushing.group([a, b, c, d])
    pushing.push()
    assert pushing.relations() == {frozenset({a, c, d})}
    assert pushing.ask_ledger("SELECT * FROM entry WHERE trouble IS NOT NULL") == []
    pushing.assert_settled()


@pytest.mark.parametrize(
    "extra",
    [SINKS + "[push.check]\ndescription = \"{{ '\\\\u0000' }}{{ number }}\""],
    indirect=True,
)
def test_a_mistake_is_told_and_does_not_stop_the_rest(pushing: Pushing) -> None:
    """400 for each check: noted per patch, relations are made; --retry tries again."""
    a, b, *_ = pushing.ids()
    pushing.group([a, b])
    done = pushing.run("--yes")
    assert done.returncode == 1
    assert "Null characters" in done.stdout.replace("\n", " ")
    assert pushing.troubles("check") == {a: "mistake", b: "mistake"}
    assert pushing.relations() == {frozenset({a, b})}
    pushing.assert_settled()
    assert pushing.run("--dry-run", "--retry").returncode == 2
    assert pushing.troubles("check") == {a: "mistake", b: "mistake"}
    pushing.standin.control.reset_stats()
    pushing.run("--yes", "--retry")
    assert pushing.written() == {"POST": 2}


def test_no_right_in_one_of_two_projects(pushing: Pushing) -> None:
    """Only what we maintain is annotated; a relation across is reported."""
    pushing.token = NEIGHBOUR_TOKEN
    (a, b, *_), (x, y, *_) = pushing.ids(), pushing.ids("neighbour")
    pushing.group([a, b], [x, y])
    done = pushing.run("--yes")
    assert "sample: left alone" in done.stderr
    assert pushing.relations() == {frozenset({x, y})}
    assert pushing.rows() == {x: 1, y: 1}
    refused = pushing.run("--yes", "--project", "sample")
    assert refused.returncode == 1
    assert "sample: " in refused.stderr
    assert "make it a maintainer" in refused.stderr


def test_a_right_that_was_lost(pushing: Pushing) -> None:
    """Another token is asked for its rights: what it has none for is told, the rest annotated."""
    (a, b, *_), (x, y, *_) = pushing.ids(), pushing.ids("neighbour")
    pushing.group([a, b])
    pushing.push()
    pushing.token = NEIGHBOUR_TOKEN
    pushing.group([a, b], [x, y], upstream={a: COMMIT})
    done = pushing.run("--yes")
    assert "sample: left alone: the token's user does not maintain it" in done.stderr
    assert COMMIT[:12] not in str(pushing.checks(a))
    assert pushing.relations() == {frozenset({a, b}), frozenset({x, y})}


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (None, "token_file or PATCHWORK_TOKEN"),
        ("wrong-token", "Invalid token"),
        (NOBODY_TOKEN, "maintains none of"),
    ],
)
def test_a_token_that_is_of_no_use(pushing: Pushing, token: str | None, said: str) -> None:
    """It is said in one line, and nothing is written."""
    pushing.token = token
    pushing.group(pushing.ids()[:2])
    done = pushing.run("--yes")
    assert done.returncode == 1
    assert said in done.stderr
    assert pushing.written() == {}


@pytest.mark.parametrize("extra", [""], indirect=True)
def test_nothing_is_switched_on(pushing: Pushing) -> None:
    """It names the key to set."""
    done = pushing.run("--yes")
    assert done.returncode == 1
    assert "[push] sinks" in done.stderr


def test_no_redis(synced: Path, tmp_path: Path, shared_standin: StandinProcess) -> None:
    """Where no fleet runs the command keeps a pace of its own."""
    pushing = Pushing(installation=placed_store(synced, tmp_path, shared_standin, SINKS))
    a, b, *_ = pushing.ids()
    pushing.group([a, b])
    pushing.push()
    assert pushing.relations() == {frozenset({a, b})}
    pushing.assert_settled()


def test_no_groups_yet(pushing: Pushing) -> None:
    """It names the file that is missing."""
    done = pushing.run("--yes")
    assert done.returncode == 1
    assert "patch-groups" in done.stderr


# The day's requests


@pytest.mark.parametrize(
    "extra",
    [f"{SINKS}requests_share = 0.1\n[patchwork]\nrequests_per_day = 400\n"],
    indirect=True,
)
def test_a_day_without_requests_for_push_has_some_for_sync(pushing: Pushing) -> None:
    """Push stops with the reason and its end, loses nothing, and leaves sync what is sync's."""
    ids = pushing.ids()[:40]
    pushing.group(*zip(ids[::2], ids[1::2], strict=True))
    spent = pushing.run("--yes")
    assert spent.returncode == 1
    assert "push's share of the day's requests, 40 of 400, is spent" in spent.stderr
    assert "at 00:00 UTC" in spent.stderr
    assert sum(pushing.standin.control.stats()["methods"].values()) <= 41
    pushing.standin.control.revise(ids[-1])
    pushing.installation.sync()
    assert len(pushing.ids()) > 40
    said = pushing.installation.patchsync("status")
    assert "40 of 40 for push" in said.stdout
    assert "push waits  until 00:00 UTC" in said.stdout


# The service


WORKING = f"{SINKS}\n[schedule]\npush_seconds = 1\n"


@contextmanager
def service(pushing: Pushing) -> Iterator[Supervisor]:
    """The worker `push` and beat, and a Redis of their own."""
    with Supervisor(pushing.installation.config) as fleet:
        assert fleet.ensure_redis()
        fleet.ensure(["push", "beat"])
        yield fleet
        fleet.kill()
        fleet.remove_files()


def test_the_service_goes_on_by_itself(
    synced: Path, tmp_path: Path, shared_standin: StandinProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once agreed to; only its own process has the token, and no message, log or line names it."""
    pushing = Pushing(installation=placed_store(synced, tmp_path, shared_standin, WORKING))
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    a, b, c, d, *_ = pushing.ids()
    pushing.group([a, b])
    installation = pushing.installation
    with service(pushing):
        wait_until(lambda: "nothing is pushed: " in installation.logs(), "it is told", 60)
        assert pushing.rows() == {}
        assert pushing.process("--yes").returncode == 0
        pushing.group([a, b], [c, d])
        client = redis.Redis.from_url(installation.config.redis_url)
        with client.monitor() as monitor:
            wait_until(lambda: frozenset({c, d}) in pushing.relations(), "it is pushed", 60)
            wait_until(lambda: len(pushing.rows()) == 4, "all is pushed", 60)
            client.set("last", "of all")
            said = ""
            for command in monitor.listen():
                said += command["command"]
                if "of all" in command["command"]:
                    break
        assert "workers.push.send" in said
        assert TOKEN not in said
        with_token = set()
        for pid, line in processes_of(installation).items():
            assert TOKEN not in line
            if TOKEN.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                with_token.add(pid)
                assert " worker -Q push " in line
        assert with_token
        assert TOKEN not in installation.logs()
        # A check that the service has in hand is undone by another run, as the command says.
        wait_until(lambda: pushing.process("--undo", "--yes").returncode == 0, "it is undone", 60)
        pushing.group([a, b, c, d])
        again = len(installation.logs())
        undone = "all of ours was withdrawn"
        wait_until(lambda: undone in installation.logs()[again:], "it is told", 60)
        assert pushing.relations() == set()
    pushing.assert_checks_once()


def beat(pushing: Pushing, workers: Workers) -> None:
    """Inventory once, as beat has it planned, with a service `push` in this process."""
    config = pushing.installation.config
    with process_of_its_own(config, workers), workers.running("push"):
        for entry in entries(config).values():
            if entry["task"] == "workers.push.plan":
                workers.send_task(entry["task"], entry["args"], **entry["options"])


def test_the_service_without_a_token(
    pushing: Pushing, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and counts nothing as refused."""
    a, b, c, *_ = pushing.ids()
    pushing.group([a, b])
    pushing.push()
    pushing.group([a, b, c])
    beat(pushing, workers)
    assert "to push, Patchwork wants a token" in pushing.installation.logs()
    assert pushing.troubles("check") == {}
    assert pushing.rows() == {a: 1, b: 1}
    monkeypatch.setenv("PATCHWORK_TOKEN", TOKEN)
    beat(pushing, workers)
    assert pushing.rows() == {a: 1, b: 2, c: 1}
    assert TOKEN not in f"{workers.sent} {pushing.installation.logs()}"


# Agreement, and two at once


def test_a_relation_into_a_project_that_nobody_agreed_to(pushing: Pushing) -> None:
    """Agreed is to one project: what a group has in another one stays as it is."""
    (a, b, *_), (x, *_) = pushing.ids(), pushing.ids("neighbour")
    pushing.group([a, b, x])
    pushing.run("--yes", "--project", "sample")
    assert pushing.relations() == {frozenset({a, b})}
    pushing.run("--yes")
    assert pushing.checks(x) != []


def test_an_undo_is_for_all_projects(pushing: Pushing) -> None:
    """It would be for all, whatever is named: so nothing may be named."""
    pushing.group(pushing.ids()[:2])
    pushing.push()
    done = pushing.run("--undo", "--yes", "--project", "sample")
    assert done.returncode == 2
    assert "--undo is for all projects" in done.stderr
    assert len(pushing.relations()) == 1


def test_two_commands_learn_what_is_there_at_once(pushing: Pushing) -> None:
    """The one that comes late does not overwrite what the other one pushed since."""
    a, b, c, d, *_ = pushing.ids()
    pushing.group([a, b], [c, d])
    pushing.push()
    rows = {each: len(pushing.checks(each)) for each in (a, b, c, d)}
    pushing.lose_ledger()
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: pushing.process("--yes"), range(2)))
    assert any(each.returncode == 0 for each in done), done
    pushing.push()
    pushing.assert_settled()
    assert {each: len(pushing.checks(each)) for each in (a, b, c, d)} == rows
    assert pushing.relations() == {frozenset({a, b}), frozenset({c, d})}
