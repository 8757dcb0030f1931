"""`patchsync show`, `diff` and `triage`: what they print, and that no mail steers a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import click
import pygit2
import pytest
from catalog_fakes import BEGAN, DAY, FakeStore, mail, name
from click.testing import CliRunner, Result

from patchsync.cli import main, reading
from patchsync.config import FILE_VARIABLE
from patchsync.errors import StoreDamaged
from patchsync.patchwork.shown_patch import ShownPatch
from patchsync.store.patch_views import PatchViews

COMMIT = "1a2b3c4d5e6f" + "0" * 28
# What steers a terminal, or turns the text around it
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
EVIL = "\x1b[2J\x1b]0;evil\x07\x9b31m\u202e\r"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    """Two revisions on two lists, the second upstream."""
    monkeypatch.setenv(FILE_VARIABLE, "")  # The command sets it, for its workers.
    store = FakeStore(
        tmp_path / "store", '[web]\narchive = "https://lore.kernel.org/r/{message_id}"\n'
    )
    store.put(1, mail("[PATCH] a change"))
    store.put(2, mail("[PATCH v2 2/3] a change", at=DAY, files=["b.c"], answers=["cover"]))
    store.put(12, mail("[PATCH v2 2/3] a change", at=DAY, files=["b.c"]), name(2), project=2)
    store.group(f"1 2 => {COMMIT}")
    with PatchViews(store.paths()) as views:
        views.record([ShownPatch(patch_id=1, state="new", check="warning", delegate="ada")], BEGAN)
    return store


class Terminal:
    """What is told that it is one."""

    def isatty(self) -> bool:
        return True


def run(store: FakeStore, *arguments: str) -> Result:
    command = ["-c", str(store.config.source), *arguments]
    return CliRunner().invoke(main, command, catch_exceptions=False)


def said(store: FakeStore, *arguments: str) -> list[str]:
    """The lines of a command that succeeds."""
    result = run(store, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_show(store: FakeStore) -> None:
    """All revisions, oldest first; the one that was asked for is marked."""
    lines = said(store, "show", "2")
    assert lines[0] == "a change"
    assert [line for line in lines if "[PATCH" in line] == [
        "   1  2020-09-13 12:26  A: [PATCH] a change",
        "*  2  2020-09-14 12:26  A: [PATCH v2 2/3] a change",
    ]
    text = "\n".join(lines)
    assert "sample 1: new, checks warning, delegate ada; seen " in text
    assert "other 12: its state was not seen yet" in text
    assert "part 2 of 3 of 'a change', 2 missing" in text
    assert "https://patchwork.example.org/project/sample/patch/2@example.org/" in text
    assert "https://lore.kernel.org/r/2@example.org" in text
    assert "patchsync diff 1 2" in text
    assert lines[-2:] == ["upstream", "  1a2b3c4d5e6f"]


def test_show_on_a_narrow_terminal(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subjects are cut; what one copies is whole."""
    monkeypatch.setattr("patchsync.cli.reading.sys", SimpleNamespace(stdout=Terminal()))
    monkeypatch.setenv("COLUMNS", "30")
    lines = said(store, "show", "1")
    assert "*  1  2020-09-13 12:26  A: [P…" in lines
    assert "      https://lore.kernel.org/r/1@example.org" in lines


def test_a_copy_is_told(store: FakeStore) -> None:
    """The same mail under the id that another list gave it: no revision of its own."""
    store.put(13, mail("[PATCH] a change"), "<1-again@list>", project=2)
    store.config.patch_groups.write_text(f"{name(1)} <1-again@list> {name(2)}\n")
    lines = said(store, "show", "1")
    assert "      a copy of <1-again@list>" in lines
    found = json.loads("".join(said(store, "show", "1", "--json")))["revisions"]
    assert [each["copy_of"] is None for each in found].count(False) == 1
    assert [each["previous"] is None for each in found] == [True, True, False]


def test_show_why(store: FakeStore) -> None:
    """What `explain` finds of each pair, or why it does not."""
    lines = said(store, "show", "--why", "1")
    assert lines[lines.index("why they are one") + 1 :] == [
        "  <1@example.org> and <2@example.org>",
        "    not compared: they touch no file of the same name (FILENAME_THRESHOLD 1)",
        f"  <2@example.org> and {COMMIT}",
        f"    {COMMIT} is a commit, but [analysis] repo is not set",
    ]
    found = json.loads("".join(said(store, "show", "--why", "--json", "1")))
    assert [reason["rating"] is None for reason in found["reasons"]] == [False, True]


def test_explain_finds_the_one_before(store: FakeStore) -> None:
    """As `diff` does."""
    lines = said(store, "explain", "2")
    assert lines == said(store, "explain", "1", "2")
    assert [line.partition(" ")[0] for line in lines[:2]] == [name(1), name(2)]
    result = run(store, "explain", "1")
    assert (result.exit_code, "first revision that is known" in result.stderr) == (1, True)


def test_a_commit_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the maintainer changed is a command away; a commit of no patch is told as that."""
    monkeypatch.setenv(FILE_VARIABLE, "")
    folder = tmp_path / "repo"
    repository = pygit2.init_repository(folder, bare=True)
    who = pygit2.Signature("C", "c@example.org", BEGAN + 3 * DAY, 0)
    tree = repository.TreeBuilder().write()
    first = str(repository.create_commit("refs/heads/main", who, who, "First", tree, []))
    commit = str(repository.create_commit("refs/heads/main", who, who, "It is in", tree, [first]))
    tables = f'[analysis]\nrepo = "{folder}"\nupstream = "main"\n'
    store = FakeStore(tmp_path / "store", tables)
    store.put(1, mail("[PATCH] a change"))
    store.group(f"1 => {commit}")
    assert said(store, "show", "1")[-2:] == [
        f"  {commit[:12]}  2020-09-16  It is in",
        f"      patchsync diff {commit[:12]}",
    ]
    assert said(store, "diff", commit[:12])[0] == f"1:  1 ! 1:  {commit[:12]} a change"
    assert said(store, "show", first[:12]) == [
        "no patch is known that became this commit",
        "",
        "upstream",
        f"* {first[:12]}  2020-09-16  First",
    ]


def test_show_as_json(store: FakeStore) -> None:
    """The same, for scripts."""
    found = json.loads("\n".join(said(store, "show", "--json", COMMIT)))
    assert found["asked"] == COMMIT
    assert [each["message_id"] for each in found["revisions"]] == [name(1), name(2)]


@pytest.mark.parametrize("command", ["show", "diff"])
def test_what_nobody_knows(store: FakeStore, command: str) -> None:
    """One line that says so, and an exit status."""
    result = run(store, command, "99")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: '99' is no patch in the store; is it fetched yet?\n"


@pytest.mark.parametrize("command", ["show", "diff", "explain"])
@pytest.mark.parametrize("text", ["", "zzz", "12ab", "0"])
def test_what_is_no_name(store: FakeStore, command: str, text: str) -> None:
    """Which kinds of names are taken."""
    result = run(store, command, text)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: '{text}' is no ")
    kinds = "give a message-id, a patchwork id, or a commit's hash of at least 7 digits\n"
    assert result.stderr.endswith(f" in the store; {kinds}")


def test_diff(store: FakeStore) -> None:
    """In git's form; with one name since its predecessor."""
    lines = said(store, "diff", "2")
    assert lines == said(store, "diff", "1", "2")
    assert lines[0] == "1:  1 ! 1:  2 a change"
    assert "    - ## a.c ##" in lines
    assert "    + ## b.c ##" in lines
    assert said(store, "diff", "2", "2") == ["1:  2 = 1:  2 a change"]


def test_diff_in_colour(store: FakeStore) -> None:
    """Where it is wanted: no terminal is at hand."""
    plain = said(store, "diff", "2")
    coloured = said(store, "diff", "2", "--color", "always")
    assert "\x1b[" in coloured[0]
    assert [click.unstyle(line) for line in coloured] == plain


def test_diff_as_json(store: FakeStore) -> None:
    """Who both are, and the lines."""
    found = json.loads("".join(said(store, "diff", "2", "--json")))
    assert (found["sign"], found["left"]["message_id"], found["right"]["part"]) == ("!", name(1), 2)


def test_diff_of_series(store: FakeStore) -> None:
    """What is not git's begins with #."""
    lines = said(store, "diff", "--series", "2")
    assert lines[0] == "# v1 of 2020-09-13: a change -> v2 of 2020-09-14: a change"
    assert lines[1] == "1:  1 ! 2:  2 a change"
    assert lines[-1] == "# of 3 parts now these are not in the store: 1, 3"
    found = json.loads("".join(said(store, "diff", "--series", "2", "--json")))
    assert (found["left"]["version"], found["right"]["missing"]) == (1, [1, 3])
    result = run(store, "diff", "--series", "1")
    assert (result.exit_code, "no series before" in result.stderr) == (1, True)
    store.group("1", "98 99")
    lines = said(store, "diff", "--series", "1", "2")
    assert lines[-1] == "# part 2: new; not grouped yet"


def test_triage(store: FakeStore) -> None:
    """What is done, and what nobody answered; of all projects, or of one."""
    store.put(3, mail("[PATCH] quiet", at=2 * DAY))
    with PatchViews(store.paths()) as views:
        views.record([ShownPatch(patch_id=3, state="new")], BEGAN)
    lines = said(store, "triage", "-p", "sample")
    assert lines[0].startswith("sample: shown as open")
    assert re.fullmatch(r"  1  2020-09-13, \d+ days ago, new  A: \[PATCH\] a change", lines[1])
    assert lines[2:5] == ["      upstream in 1a2b3c4d5e6f", "", "sample: nobody answered"]
    assert lines[5].endswith("new  A: [PATCH] quiet")
    assert "other: nobody answered" in said(store, "triage")
    assert said(store, "triage", "-p", "1", "--state", "fresh")[1] == "  none"
    assert said(store, "triage", "-p", "1", "--before", "3")[-1] == "  none"


def test_triage_as_json(store: FakeStore) -> None:
    """By project and kind."""
    found = json.loads("".join(said(store, "triage", "--json", "-p", "1")))
    (project,) = found["projects"]
    (done,) = project["done"]["patches"]
    assert (done["patch"]["id"], done["later"], done["commits"]) == (1, name(2), [COMMIT])
    assert project["unanswered"] == {"patches": [], "before": None}


def keys_of(content: object) -> set[str]:
    """All keys within."""
    if isinstance(content, dict):
        return content.keys() | keys_of(list(content.values()))
    return set().union(*map(keys_of, content)) if isinstance(content, list) else set()


def test_the_shape_of_json_is_told(store: FakeStore) -> None:
    """docs/revisions.md names each key, and no other."""
    text = (Path(__file__).parents[3] / "docs" / "revisions.md").read_text()
    (shapes,) = re.findall(r"```\nshow(.*?)```", text, re.DOTALL)
    told = set(re.findall(r'"([a-z_]+)"', shapes))
    found: set[str] = set()
    for line in ("show 2 --why", "diff 2", "diff --series 2", "triage -p 1"):
        found |= keys_of(json.loads("".join(said(store, *line.split(), "--json"))))
    assert found == told


def test_a_project_that_is_not_there(store: FakeStore) -> None:
    """It says which there are."""
    result = run(store, "triage", "-p", "nothing")
    assert (result.exit_code, "it has: 1, 2" in result.stderr) == (1, True)


@pytest.mark.parametrize("may_not", [False, StoreDamaged("line 3 is torn")])
def test_where_it_cannot_be_brought_up_to_date(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch, may_not: object
) -> None:
    """It shows what there is, and of when that is."""
    store.catalog().close()
    store.put(5, mail("[PATCH] later"))

    def catch_up(*_: object) -> bool:
        if isinstance(may_not, Exception):
            raise may_not
        return False

    monkeypatch.setattr(reading, "catch_up", catch_up)
    result = run(store, "show", "1")
    assert result.exit_code == 0
    assert result.stderr.startswith("the catalog of the patches is not up to date: ")
    assert re.search(r"this is as of \d{4}-\d\d-\d\d \d\d:\d\d\n$", result.stderr)
    assert run(store, "show", "5").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "32"),
        ("show", "32", "--json"),
        ("diff", "32"),
        ("diff", "32", "--color", "always"),
        ("diff", "32", "--json"),
        ("diff", "--series", "32"),
        ("diff", "--series", "32", "--color", "always"),
        ("triage",),
        ("triage", "--json"),
    ],
    ids=" ".join,
)
def test_no_mail_steers_a_terminal(store: FakeStore, arguments: tuple[str, ...]) -> None:
    """Escapes in subject, author, files, hunks, message-id and state are shown, not obeyed."""
    evil = mail(
        f"[PATCH] a change {EVIL}".replace("\r", ""),
        author=f"{EVIL} <evil{EVIL}@x>".replace("\r", ""),
        files=[f"a{EVIL}.c".replace("\r", "")],
        body=f"body {EVIL}",
    ).replace(b"+b", f"+{EVIL}".encode())
    store.put(31, evil, "<evil\u202e@x>")
    later = evil.replace(b"body", b"other").replace(b"2020 ", b"2021 ")
    store.put(32, later, "<evil\u202eb@x>")
    store.config.patch_groups.write_text("<evil\u202e@x> <evil\u202eb@x>\n")
    with PatchViews(store.paths()) as views:
        views.record([ShownPatch(patch_id=31, state=f"new{EVIL}", delegate="\nforged")], BEGAN + 1)
        views.record([ShownPatch(patch_id=32, state="new")], BEGAN + 1)
    result = run(store, *arguments)
    text = result.stdout
    assert (result.exit_code, "evil" in text) == (0, True)
    assert not any(line.startswith("forged") for line in text.splitlines())
    # Colours are ours.
    assert STEERS.findall(re.sub(r"\x1b\[[0-9]*m", "", text)) == []
    if "--color" not in arguments:
        assert "\x1b" not in text


def test_lines_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """By columns: some characters take two; what goes to no terminal is whole."""
    text = "漢字" * 10
    assert reading.fitted(text) == text
    monkeypatch.setattr("patchsync.cli.reading.sys", SimpleNamespace(stdout=Terminal()))
    monkeypatch.setenv("COLUMNS", "11")
    assert reading.fitted(text) == "漢字漢字漢…"
    assert reading.fitted("short") == "short"


@pytest.mark.parametrize(
    ("passed", "told"),
    [
        (0, "less than a second"),
        (-5e9, "less than a second"),
        (59, "59 seconds"),
        (150, "2 minutes"),
        (7200, "2 hours"),
        (DAY * 400, "400 days"),
    ],
)
def test_age(passed: float, told: str) -> None:
    """In the unit that people would take."""
    assert reading.age(BEGAN - passed, BEGAN) == told


def test_a_moment_of_no_calendar() -> None:
    """It is shown as that."""
    assert reading.moment(2.0**38) == "????-??-?? ??:??"
    assert reading.moment(float(BEGAN)) == "2020-09-13 12:26"
