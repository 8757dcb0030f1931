"""The pages as people have them: in a browser, by keyboard, on a phone, dark, and under attack."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from axe_playwright_python.base import AXE_SCRIPT, AxeResults

from patchsync.config.addresses import quoted_name
from tests.browser.conftest import DESKTOP, PHONE, Window
from tests.browser.world import HOSTILE, HOSTILE_IDS, RUNS, World
from tests.support.installation import wait_until

# What axe looks for: WCAG 2.2, A and AA; and what of it other colours, or less room, may change
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],
    "preload": False,
}
COLOURS = RULES | {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
ROOM = RULES | {"runOnly": {"type": "rule", "values": ["target-size", "color-contrast"]}}
ON_A_PHONE = {"viewport": PHONE, "is_mobile": True, "has_touch": True}


def paths(world: World) -> dict[str, str]:
    """A path for each kind of page, and of those that show hostile text."""
    *_, before, newest = (world.pushing.message_ids[number] for number in world.story)
    hostile_before, hostile = map(quoted_name, HOSTILE_IDS)
    return {
        "front": "/",
        "project": "/p/sample",
        "search": f"/p/sample?search={quote('drivers')}",
        "nothing found": f"/p/sample?search={quote(HOSTILE)}",
        "triage": "/p/sample/triage",
        "patch": f"/r/{world.newest}",
        "why": f"/r/{quoted_name(newest)}/why",
        "diff": f"/diff/{quoted_name(before)}/{quoted_name(newest)}",
        "series": f"/series/{quoted_name(newest)}",
        "hostile patch": f"/r/{hostile}",
        "hostile why": f"/r/{hostile}/why",
        "hostile diff": f"/diff/{hostile_before}/{hostile}",
        "hostile series": f"/series/{hostile}",
    }


def window_of(**settings: object) -> pytest.MarkDecorator:
    """Run a test in such a window."""
    return pytest.mark.parametrize("window", [settings], ids=[""], indirect=True)


def test_everybody_can_read_it(window: Window, world: World) -> None:
    """axe finds nothing: contrast, names, structure; light and dark, and on a phone."""
    for name, path in {**paths(world), "no page": "/nosuch"}.items():
        page = window.open(path, status=404 if name == "no page" else 200)
        for details in page.query_selector_all("summary"):
            details.click()
        page.evaluate(AXE_SCRIPT)
        for settings, look in (({}, RULES), ({"color_scheme": "dark"}, COLOURS), (PHONE, ROOM)):
            if settings is PHONE:
                page.set_viewport_size(PHONE)
            else:
                page.emulate_media(**settings)
            found = AxeResults(page.evaluate("options => axe.run(options)", look))
            assert found.violations_count == 0, f"{name}, {settings}: {found.generate_report()}"
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")


# What of a page the Tab key should reach, and of what has the focus: which of these it is, whether
# one sees that, and whether it is in sight.
REACHABLE = """
[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
    .filter(each => each.checkVisibility())
"""
FOCUSED = f"""
() => {{
    const focused = document.activeElement, style = getComputedStyle(focused)
    const box = focused.getBoundingClientRect()
    return [
        {REACHABLE}.indexOf(focused),
        style.outlineStyle != 'none' && parseFloat(style.outlineWidth) >= 2,
        box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
        focused.outerHTML.slice(0, 200),
    ]
}}
"""


def test_the_keyboard_reaches_everything(window: Window, world: World) -> None:
    """Tab goes through all that can be used, in its order, and one sees where one is."""
    for name, path in paths(world).items():
        page = window.open(path)
        number = page.evaluate(f"() => {REACHABLE}.length")
        assert number > 2, name
        reached = []
        # A box that scrolls is reached in between.
        while len(reached) < number:
            page.keyboard.press("Tab")
            index, is_seen, is_in_sight, element = page.evaluate(FOCUSED)
            assert is_seen, f"{name}: no focus is seen on {element}"
            assert is_in_sight, f"{name}: not in sight: {element}"
            if index >= 0:
                reached.append(index)
        assert reached == list(range(number)), name


def test_the_keyboard_skips_to_the_content(window: Window, world: World) -> None:
    """The first Tab offers it, Enter does it, and the next Tab is in the content."""
    page = window.open("/p/sample")
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "To the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.locator("main :focus").count() == 1


@window_of(**ON_A_PHONE)
def test_a_page_is_no_wider_than_a_phone(window: Window, world: World) -> None:
    """360 pixels: what is wider scrolls in a box of its own."""
    for name, path in paths(world).items():
        page = window.open(path)
        wide, has = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= has == PHONE["width"], name


def test_hostile_mail_is_only_text(window: Window, world: World) -> None:
    """What a mail has in its fields is shown as it is written; it runs, loads and moves nothing.

    That nothing was asked for, run or complained of the window looks at.
    """
    for name, path in paths(world).items():
        page = window.open(path)
        assert page.locator("script, iframe, object, embed, base, style").count() == 0, name
        assert page.locator("[onerror], [onload], [style], [href^='javascript:']").count() == 0, (
            name
        )
        for image in page.locator("img").all():
            assert str(image.get_attribute("src")).startswith("/chart/"), name
        assert page.locator("main").count() == 1, name
        if name.startswith("hostile"):
            assert RUNS in page.inner_text("main"), name
    # The words that turn a line around, or a terminal's colours, are shown as what they are.
    page = window.open(paths(world)["hostile patch"])
    text = page.inner_text("main")
    assert "\u202e" not in text
    assert "\x1b" not in text
    assert r"\u202egnp.exe" in text
    assert HOSTILE in page.inner_text("main")


def test_from_a_check_to_what_changed_in_two_clicks(window: Window, world: World) -> None:
    """Patchwork's page of a patch shows the check of ours; behind it the diff is one click away."""
    page = window.page
    # As Patchwork shows a check
    page.set_content(f'<a href="{world.target_url(world.newest)}">pasta</a>')
    page.get_by_role("link", name="pasta").click()
    assert page.url.startswith(f"{world.url}/r/")
    revisions = page.locator("main ol > li")
    assert [each.split(",")[0] for each in revisions.locator("h3").all_inner_texts()] == [
        "v1",
        "v2",
        "v3",
    ]
    for number, revision in zip(world.story, revisions.all(), strict=True):
        assert f"sample {number}" in revision.inner_text()
    # Its card is the last of all: the link stands above them, too.
    changed = page.get_by_role("link", name="What changed since v2").first
    assert changed.locator("xpath=following::h2").count() > 0
    changed.click()
    assert page.url == f"{world.url}{paths(world)['diff']}"
    assert page.locator(".diff .left").count() > 0
    assert page.locator(".diff .right").count() > 0


def test_a_search_needs_no_script(window: Window, world: World) -> None:
    """Typed and sent by Enter, it finds by words of subject, author and file; Back is as before."""
    page = window.open("/p/sample")
    everything = page.locator("ol.patches > li").count()
    page.get_by_role("searchbox").fill("mallory")
    page.keyboard.press("Enter")
    page.wait_for_url("**/p/sample?search=mallory")
    assert page.locator("ol.patches > li").count() == len(HOSTILE_IDS) < everything
    assert page.get_by_role("searchbox").input_value() == "mallory"
    page.go_back()
    assert page.locator("ol.patches > li").count() == everything


def test_charts_are_drawn_and_told(window: Window, world: World) -> None:
    """Each is drawn; what it shows stands in its alternative text, and in a table."""
    page = window.open("/")
    images = page.locator("main img")
    assert images.count() >= 3
    for image in images.all():
        wait_until(lambda image=image: image.evaluate("each => each.complete"), "it is loaded")
        assert image.evaluate("each => each.naturalWidth") > 0
        assert image.get_attribute("alt")
    page.get_by_text("In numbers").first.click()
    assert page.get_by_role("table").first.is_visible()
    # By itself a drawing complains of nothing either.
    assert window.open("/chart/patches.svg").locator("svg").count() == 1
