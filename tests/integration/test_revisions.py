"""From a Patchwork to a terminal: what was synced and pushed is what show and triage say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from standin.process import StandinProcess
from tests.support.inprocess import Workers
from tests.support.pushing import COMMIT, SINKS, Pushing, placed_store


@pytest.fixture
def pushing(
    synced: Path, tmp_path: Path, shared_standin: StandinProcess, workers: Workers
) -> Pushing:
    return Pushing(installation=placed_store(synced, tmp_path, shared_standin, SINKS, workers))


def said(pushing: Pushing, *arguments: str) -> Any:
    """The JSON of a command."""
    done = pushing.installation.patchsync(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_story_of_a_patch(pushing: Pushing) -> None:
    """Its revisions in order, each as Patchwork has it; what changed; and that it is done."""
    # Of different series: parts of one are no revisions of each other.
    by_series = {pushing.patch(number)["series"][0]["id"]: number for number in pushing.ids()[:20]}
    first, second, third, alone = sorted(by_series.values())[:4]
    pushing.group([first, second], [third], upstream={third: COMMIT})
    pushing.push()
    pushing.push()  # It reads the lists again, which now show our checks.

    history = said(pushing, "show", str(second))
    patches = [revision["patches"][0] for revision in history["revisions"]]
    assert sorted(patch["id"] for patch in patches) == [first, second]
    for patch in patches:
        there = pushing.patch(patch["id"])
        assert (patch["state"], patch["check"]) == (there["state"], there["check"])
        assert patch["url"] == there["web_url"]
        assert patch["seen_at"]
    dates = [revision["date"] for revision in history["revisions"]]
    assert dates == sorted(dates)

    last = history["revisions"][-1]
    assert last["previous"] == history["revisions"][0]["message_id"]
    diff = said(pushing, "diff", last["message_id"])
    assert (diff["left"]["message_id"], diff["sign"]) == (last["previous"], "!")

    (project,) = said(pushing, "triage", "-p", "sample", "--limit", "100")["projects"]
    done = {waiting["patch"]["id"]: waiting for waiting in project["done"]["patches"]}
    assert done.keys() == {patches[0]["id"], third}
    assert done[patches[0]["id"]]["later"] == last["message_id"]
    assert done[third]["commits"] == [COMMIT]
    unanswered = [waiting["patch"]["id"] for waiting in project["unanswered"]["patches"]]
    assert alone in unanswered
    assert not done.keys() & set(unanswered)
