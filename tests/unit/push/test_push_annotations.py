"""What is desired of a group: told once per patch, the same for any order of what is known."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchsync.config.push_tables import CHECK_STATE, COMMENT, DESCRIPTION, PushTable
from patchsync.errors import ConfigError
from patchsync.push.annotations import PatchRef, ProjectFacts, Revision, Rules, annotate
from patchsync.push.authorship import Origin
from patchsync.push.entries import CheckValue, CommentValue, StateValue
from patchsync.push.kept_checks import FORMER_DESCRIPTION
from patchsync.push.templates import Mention, TemplateContext, Templates

COMMIT, OTHER = "1a2b3c4d5e6f" + "0" * 28, "f" * 40
ALL: dict[str, Any] = {
    "sinks": ["check", "relation", "state", "comment"],
    "comment": {"projects": ["1", "2"], "smtp_host": "h", "sender": "me@example.org"},
}
ARCHIVE = ProjectFacts(list_archive_url_format="https://lore.example.org/r/{}")
GIT = ProjectFacts(
    commit_url_format="https://git.example.org/?id={}",
    list_archive_url_format="https://lore.example.org/r/{}",
)


class Annotation(NamedTuple):
    """What is desired on a patch, by sink."""

    check: CheckValue | None = None
    relation: frozenset[int] | None = None
    state: StateValue | None = None
    comment: CommentValue | None = None


def revision(date: str, *patch_ids: int, project: int = 1, message_id: str = "") -> Revision:
    """A mail of this day: the first patch is in `project`, the next in the one after."""
    return Revision(
        message_id=message_id or f"<{patch_ids[0]}@example.org>",
        date=f"2020/01/{date}",
        patches=tuple(
            PatchRef(patch_id, number) for number, patch_id in enumerate(patch_ids, project)
        ),
        origin=Origin(authors=frozenset({"author@example.org"})),
    )


def desired(
    revisions: Sequence[Revision],
    commits: Sequence[str] = (),
    facts: dict[int, ProjectFacts] | None = None,
    push: dict[str, Any] | None = None,
    web_url: str = "",
    shown: dict[int, CheckValue] | None = None,
) -> dict[int, Annotation]:
    """What is desired with all sinks on, unless `push` says otherwise."""
    table = PushTable.model_validate(push or ALL)
    commented = {int(number) for number in table.comment.projects}
    rules = Rules(
        push=table,
        templates=Templates(table),
        facts=facts or {},
        web_url=web_url,
        commented=commented,
    )
    values: dict[int, dict[str, Any]] = {}
    for row in annotate(revisions, commits, rules, shown):
        values.setdefault(row.patch_id, {})[row.sink] = row.value
    return {patch_id: Annotation(**of_patch) for patch_id, of_patch in values.items()}


def with_check(**texts: str) -> dict[str, Any]:
    return {"sinks": ["check"], "check": texts}


def descriptions(annotations: dict[int, Annotation]) -> dict[int, str]:
    return {patch: a.check.description for patch, a in annotations.items() if a.check}


FOUR = [revision("01", 17), revision("02", 23), revision("03", 40), revision("04", 90)]


# --- the check -------------------------------------------------------------------------------


def test_the_check_tells_neighbours_and_commits() -> None:
    """The parts that are empty are left out; of many revisions the nearest two are named."""
    assert descriptions(desired(FOUR)) == {
        17: "later revision: 23",
        23: "earlier revision: 17; later revision: 40",
        40: "earlier revision: 23; later revision: 90",
        90: "earlier revision: 40",
    }
    upstream = descriptions(desired(FOUR, [COMMIT]))
    assert upstream[17] == "later revision: 23; upstream in 1a2b3c4d5e6f"
    assert upstream[90] == "earlier revision: 40; upstream in 1a2b3c4d5e6f"
    assert descriptions(desired(FOUR[:1], [OTHER, COMMIT])) == {
        17: "upstream in 1a2b3c4d5e6f, ffffffffffff"
    }


def test_one_mail_that_is_not_upstream_gets_nothing() -> None:
    """There is nothing to say of it, whatever the templates say."""
    push = ALL | {"check": {"description": "always"}}
    assert desired([revision("01", 17)], push=push) == {17: Annotation()}


def test_revisions_are_in_order_of_date_then_of_id() -> None:
    """Ids alone do not tell: an old archive may come in late."""
    late = [revision("02", 5), revision("01", 9), revision("02", 4)]
    assert descriptions(desired(late)) == {
        9: "later revision: 4",
        4: "earlier revision: 9; later revision: 5",
        5: "earlier revision: 4",
    }


def test_a_revision_is_a_mail_and_not_a_patch() -> None:
    """On two lists it counts once, and is called by its patch of the same project."""
    crossposted = [revision("01", 10, 11), revision("02", 20, 21), revision("03", 30, project=2)]
    assert descriptions(desired(crossposted)) == {
        10: "later revision: 20",
        11: "later revision: 21",
        20: "earlier revision: 10; later revision: 30",
        21: "earlier revision: 11; later revision: 30",
        30: "earlier revision: 21",
    }


def test_a_mail_that_is_no_patch_here_does_not_count() -> None:
    """It has no date that we know, and nothing to link to."""
    nowhere = Revision(message_id="<n@example.org>", date="", patches=())
    assert desired([*FOUR[:2], nowhere]) == desired(FOUR[:2])


def test_an_outdated_revision_that_is_not_upstream_is_a_warning() -> None:
    """All others are a success."""
    states = {p: a.check.state for p, a in desired(FOUR[:2]).items() if a.check}
    assert states == {17: "warning", 23: "success"}
    states = {p: a.check.state for p, a in desired(FOUR[:2], [COMMIT]).items() if a.check}
    assert states == {17: "success", 23: "success"}


def test_the_description_is_one_line_of_bounded_length() -> None:
    """White space is folded; what is too long loses its end."""
    push = with_check(description="a\n\t b  {{ 'x ' * 2000 * number }}")
    shown = descriptions(desired(FOUR[:2], push=push))[17]
    assert shown.startswith("a b x x ")
    assert len(shown) in (999, 1000)
    assert shown.endswith("x…")


def test_a_check_can_be_left_out_by_its_state() -> None:
    """A template that gives nothing wants none."""
    push = with_check(state="{% if newest %}success{% endif %}\n")
    assert list(descriptions(desired(FOUR, push=push))) == [90]


# --- the target ------------------------------------------------------------------------------


def target(facts: ProjectFacts, commits: Sequence[str] = (), name: str = "b@example.org") -> str:
    """Where the check of the first of three revisions leads; the next is `name`."""
    group = [revision("01", 17), revision("02", 23, message_id=f"<{name}>"), revision("03", 40)]
    check = desired(group, commits, {1: facts})[17].check
    assert check
    return check.target_url


def test_the_target_is_the_commit_or_the_next_mail() -> None:
    """By the project's formats, as Patchwork itself fills them in."""
    assert target(GIT, [OTHER, COMMIT]) == f"https://git.example.org/?id={COMMIT}"
    assert target(GIT) == "https://lore.example.org/r/b@example.org"
    assert target(ARCHIVE, [COMMIT]) == "https://lore.example.org/r/b@example.org"
    assert target(ProjectFacts(), [COMMIT]) == ""
    assert target(GIT, name="a/b?c#%@x") == "https://lore.example.org/r/a%2Fb%3Fc%23%25@x"


@pytest.mark.parametrize(
    "usable",
    [
        "https://git.example.org/{}",
        "http://192.0.2.1:8080/{0}",
        "http://[2001:db8::1]/c/{}",
        "http://localhost/{}",
        "https://GIT.example.org?id={}",
        "https://git.xn--p1ai/{}/{{}}",
    ],
)
def test_a_good_address_is_used(usable: str) -> None:
    """Names with a dot, addresses, ports; the doubled brace is one."""
    filled = usable.replace("{{}}", "!").replace("{0}", "{}").replace("{}", COMMIT)
    assert target(ProjectFacts(commit_url_format=usable), [COMMIT]) == filled.replace("!", "{}")


@pytest.mark.parametrize(
    "bad",
    [
        "http://ci:8080/{}",
        "ftp://git.example.org/{}",
        "git.example.org/{}",
        "http://300.1.1.1/{}",
        "http://[::g]/{}",
        "http://[1:2]/{}",
        "http://me@git.example.org/{}",
        "http://git.example.org:/{}",
        "http://-git.example.org/{}",
        "https://git.example.org/a b/{}",
        "https://git.example.org/{}\n",
        "https://git.example.org/ä/{}",
        "https://git.example.org/{}/" + "x" * 150,
        "https://git.example.org/{:>100}",
        "https://git.example.org/{0.__class__}",
        "https://git.example.org/{commit}",
        "https://git.example.org/{",
    ],
)
def test_an_address_that_patchwork_refuses_is_not_sent(bad: str) -> None:
    """It would cost the whole check; the list archive's is taken instead."""
    facts = ProjectFacts(commit_url_format=bad, list_archive_url_format="https://a.example.org/{}")
    assert target(facts, [COMMIT]) == "https://a.example.org/b@example.org"
    assert target(ProjectFacts(commit_url_format=bad), [COMMIT]) == ""


PAGES = "https://patches.example.org"


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("a@example.org", "a@example.org"),
        ("a/../b?c#%@x", "a%2F..%2Fb%3Fc%23%25@x"),
        ('"><script>@x', "%3C%22%3E%3Cscript%3E@x%3E"),
        # What would be taken for a patch, a commit or a format keeps its brackets.
        ("123", "%3C123%3E"),
        ("..", "%3C..%3E"),
        ("a@example.json", "%3Ca@example.json%3E"),
        # Too long for a check by its name
        ("x" * 170 + "@example.org", "17"),
    ],
)
def test_the_target_is_the_page_where_there_are_pages(name: str, page: str) -> None:
    """Of the revision itself, whatever its project has for links."""
    group = [revision("01", 17, message_id=f"<{name}>"), revision("02", 23)]
    check = desired(group, [COMMIT], {1: GIT}, web_url=PAGES)[17].check
    assert check and check.target_url == f"{PAGES}/r/{page}"


def test_without_room_for_a_page_the_target_is_as_ever() -> None:
    """Patchwork refuses a check whose link is longer than 200."""
    check = desired(FOUR, [COMMIT], {1: GIT}, web_url=f"{PAGES}/{'x' * 170}")[17].check
    assert check and check.target_url == f"https://git.example.org/?id={COMMIT}"


@pytest.mark.parametrize("web_url", [PAGES, "", "https://elsewhere.example.org"])
@pytest.mark.parametrize("url", ["", "https://lore.example.org/r/23@example.org", f"{PAGES}/r/17"])
def test_a_check_that_is_right_but_for_its_link_stays(url: str, web_url: str) -> None:
    """Pages that come, move or go are worth none: each stays in Patchwork for ever."""
    if not web_url and not url:
        return
    before = desired(FOUR, facts={1: ARCHIVE})[17].check
    assert before
    shown = replace(before, target_url=url)
    assert desired(FOUR, facts={1: ARCHIVE}, web_url=web_url, shown={17: shown})[17].check == shown


def test_a_check_that_is_wrong_gets_the_page() -> None:
    """By its state or its words."""
    right = desired(FOUR, web_url=PAGES)[17].check
    assert right and right.target_url == f"{PAGES}/r/17@example.org"
    for change in ({"state": "success"}, {"description": "earlier revision: 3"}):
        shown = replace(right, target_url="", **change)
        assert desired(FOUR, web_url=PAGES, shown={17: shown})[17].check == right


def test_without_pages_a_link_elsewhere_is_put_right() -> None:
    """As ever: to its own mail in the archive, which is not where it leads now."""
    right = desired(FOUR, facts={1: ARCHIVE})[17].check
    assert right
    for url in ("", "https://lore.example.org/r/17@example.org", "https://example.org/r/18"):
        shown = replace(right, target_url=url)
        assert desired(FOUR, facts={1: ARCHIVE}, shown={17: shown})[17].check == right


# --- relation, state, comment ----------------------------------------------------------------


def test_the_relation_is_all_patches_in_all_projects() -> None:
    """Each has the whole; one alone has none."""
    crossposted = [revision("02", 20, 21), revision("01", 10, 11)]
    relations = {a.relation for a in desired(crossposted).values()}
    assert relations == {frozenset({10, 11, 20, 21})}
    assert desired([revision("01", 10)], [COMMIT])[10].relation is None
    assert desired([revision("01", 10, 11)])[11] == Annotation(relation=frozenset({10, 11}))


def test_states_tell_superseded_and_upstream() -> None:
    """Older ones are superseded, the newest is accepted once it is upstream, else left alone."""
    open_, upstream = desired(FOUR[:2]), desired(FOUR[:2], [OTHER, COMMIT])
    assert open_[17].state == StateValue(state="superseded", commit_ref=None)
    assert open_[23].state is None
    assert upstream[17].state == StateValue(state="superseded", commit_ref=None)
    assert upstream[23].state == StateValue(state="accepted", commit_ref=COMMIT)
    named = {"sinks": ["state"], "state": {"superseded": "old", "accepted": "merged"}}
    states = [a.state.state for a in desired(FOUR[:2], [COMMIT], push=named).values() if a.state]
    assert states == ["old", "merged"]


def test_a_copy_by_a_stranger_leaves_the_author_s_state() -> None:
    """Only what the setting says supersedes; what is upstream is accepted if it is one work."""
    stranger = Origin(authors=frozenset({"stranger@example.net"}))
    group = [FOUR[0], replace(FOUR[1], origin=stranger)]
    assert [each.state for each in desired(group).values()] == [None, None]
    states = [each.state.state for each in desired(group, [COMMIT]).values() if each.state]
    assert states == ["accepted", "accepted"]
    group[1] = replace(FOUR[1], origin=replace(stranger, title="like another patch, too"))
    assert [each.state for each in desired(group, [COMMIT]).values()] == [None, None]
    anyone = {"sinks": ["state"], "state": {"superseded_by": "anyone"}}
    states = [a.state.state for a in desired(group, [COMMIT], push=anyone).values() if a.state]
    assert states == ["superseded", "accepted"]


def test_a_comment_is_for_the_newest_in_the_projects_named() -> None:
    """One mail for a group and list, with links where the archive has them."""
    group = [revision("01", 10, 11, 12), revision("02", 20, 21, 22)]
    found = {p: a.comment for p, a in desired(group, [COMMIT], {1: GIT}).items() if a.comment}
    assert list(found) == [20, 21]
    assert found[20].about == (COMMIT, "<10@example.org>")
    assert found[20].text == (
        "PaStA finds that this is revision 2 of a patch. Earlier revisions:\n"
        "  2020/01/01  https://lore.example.org/r/10@example.org\n"
        "PaStA finds that this is upstream:\n"
        f"  https://git.example.org/?id={COMMIT}"
    )
    assert "<10@example.org>" in found[21].text


def test_an_empty_comment_is_none() -> None:
    """So a template can choose what is worth a mail."""
    push = ALL | {"comment": ALL["comment"] | {"template": "{% if commits %}in{% endif %}\n"}}
    assert desired(FOUR, push=push)[90].comment is None
    comment = desired(FOUR, [COMMIT], push=push)[90].comment
    assert comment and comment.text == "in"


def test_sinks_that_are_off_want_nothing() -> None:
    """Only what is switched on is computed."""
    only = desired(FOUR, [COMMIT], push={"sinks": ["relation"]})[90]
    assert only == Annotation(relation=frozenset({17, 23, 40, 90}))


# --- templates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"check": {"description": "{{ numbr }}"}}, "[push.check] description"),
        ({"check": {"description": "{% if %}"}}, "[push.check] description"),
        ({"check": {"description": "{{ commits[7] }}"}}, "[push.check] description"),
        ({"check": {"description": "{{ 1 // 0 }}"}}, "[push.check] description"),
        ({"check": {"description": "{{ number.__class__ }}"}}, "[push.check] description"),
        ({"check": {"state": "{% if later %}outdated{% endif %}"}}, "[push.check] state"),
        ({"comment": {"template": "{{ earlier | nosuch }}"}}, "[push.comment] template"),
        (
            {"comment": {"template": "{% if commits %}{{ x }}{% endif %}"}},
            "[push.comment] template",
        ),
    ],
)
def test_a_template_that_fails_is_named_at_once(table: dict[str, Any], key: str) -> None:
    """Before any group is looked at: every kind of group is tried."""
    with pytest.raises(ConfigError) as raised:
        Templates(PushTable.model_validate(table))
    assert str(raised.value).startswith(f"{key}: ")


def test_templates_see_all_that_is_known() -> None:
    """All names, in one template."""
    text = (
        "{{ number }}/{{ total }} {{ newest }} {{ commits[0] | short }} {{ commit_urls[0] }}"
        "{% for r in earlier %} -{{ r.message_id }} {{ r.date }} {{ r.patch_id }} {{ r.url }}"
        "{% endfor %}{% for r in later %} +{{ r.patch_id }}{% endfor %}"
    )
    # Examples have no commit at times: a template says so itself.
    text = "{% if commit_urls %}" + text + "{% endif %}"
    shown = descriptions(desired(FOUR, [COMMIT], {1: GIT}, with_check(description=text)))
    assert shown[23] == (
        f"2/4 False 1a2b3c4d5e6f https://git.example.org/?id={COMMIT} -<17@example.org> 2020/01/01"
        " 17 https://lore.example.org/r/17@example.org +40 +90"
    )


def test_a_comment_may_name_the_page() -> None:
    """As docs/push.md has it; the default template names none, so that no comment changes."""
    doc = (Path(__file__).parents[3] / "docs/push.md").read_text()
    (example,) = (
        part for part in re.findall(r"```toml\n(.*?)```", doc, re.S) if "page_url" in part
    )
    template = tomllib.loads(example)["push"]["comment"]["template"]
    push = ALL | {"comment": ALL["comment"] | {"template": template}}
    comment = desired(FOUR, push=push, web_url=PAGES)[90].comment
    assert comment
    assert comment.text.startswith("Revision 4 of a patch; ")
    assert comment.text.endswith(f": {PAGES}/r/90@example.org")
    assert desired(FOUR, push=push)[90].comment is None
    assert desired(FOUR)[90].comment == desired(FOUR, web_url=PAGES)[90].comment


# --- any order -------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=6),
    st.sets(st.sampled_from([COMMIT, OTHER])),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40)
def test_the_order_of_what_is_known_is_of_no_matter(
    shapes: list[tuple[int, int]], commits: set[str], random: Random
) -> None:
    """Revisions, their patches and commits in any order give the same, each patch once."""
    group = [
        revision(f"0{day}", *range(10 * n, 10 * n + copies))
        for n, (day, copies) in enumerate(shapes, 1)
    ]
    mixed = [
        replace(each, patches=tuple(random.sample(each.patches, len(each.patches))))
        for each in random.sample(group, len(group))
    ]
    facts = {1: GIT, 2: ARCHIVE}
    expected = desired(group, sorted(commits), facts)
    assert desired(mixed, sorted(commits, reverse=True), facts) == expected
    assert set(expected) == {patch.patch_id for each in group for patch in each.patches}


def test_a_message_id_does_not_turn_the_text_around_it() -> None:
    """What the store takes as one may hold a bidi override; a check shows its escape."""
    push = ALL | {"check": {"description": "{{ earlier[0].message_id if earlier else 'first' }}"}}
    group = [revision("01", 1, message_id="<\u202e1@b>"), revision("02", 2)]
    check = desired(group, push=push)[2].check
    assert check and check.description == r"<\u202e1@b>"


def test_a_text_that_can_say_little_is_made_anew_for_what_it_tells_apart() -> None:
    """Also past as many as are kept, and for what fails with one of them."""
    state = "{{ ['success', 'fail'][number % 2] if number != 6 else number / 0 }}"
    templates = Templates(PushTable.model_validate({"check": {"state": state}}))
    mention = Mention(message_id="<1@example.org>", date="2020/01/01", patch_id=1, url="")
    for earlier in [*range(1100), 0, 1, 5, 6]:
        context = TemplateContext(earlier=[mention] * earlier, later=(), commits=(), commit_urls=[])
        if earlier == 5:
            with pytest.raises(ConfigError, match="division by zero"):
                templates.check_state(context)
        else:
            assert templates.check_state(context) == ("success" if earlier % 2 else "fail")


@pytest.mark.parametrize("text", [DESCRIPTION, FORMER_DESCRIPTION, CHECK_STATE, COMMENT])
def test_our_own_words_are_the_same_in_the_sandbox(text: str) -> None:
    """They are read outside of it; a space behind them makes them another's."""
    ours, others = (
        Templates(
            PushTable.model_validate(
                {"check": {"description": each, "state": ""}, "comment": {"template": each}}
            )
        )
        for each in (text, f"{text} ")
    )
    mentions = [
        Mention(message_id=f"<{n}@example.org>", date="2020/01/01", patch_id=n, url=url)
        for n, url in ((1, ""), (2, "https://lists.example.org/2"), (3, ""))
    ]
    for place in range(3):
        for commits, urls in ((), []), ((COMMIT, OTHER), []), ((COMMIT,), ["https://x.org/1"]):
            context = TemplateContext(
                earlier=mentions[:place][::-1],
                later=mentions[place + 1 :],
                commits=commits,
                commit_urls=urls,
            )
            assert ours.description(context) == others.description(context)
            assert ours.comment(context) == others.comment(context)
