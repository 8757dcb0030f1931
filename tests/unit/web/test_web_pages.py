"""The pages of patches, differences and series: from a store, by its catalog, over HTTP."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pygit2
import pytest

from patchsync.config.addresses import quoted_name
from patchsync.range_diff.pairing import MOST_PATCHES
from patchsync.web import catching_up
from tests.support.installation import wait_until
from tests.unit.web.conftest import configuration, serving
from tests.unit.web.web_fakes import Pages
from tests.unit.web.web_store import DIFF, WebStore, patch_mail

WEB = '[web]\narchive = "https://lore.example.org/r/{message_id}"\n'
# In each field something that a page, a terminal or an address could take for its own
SCRIPT = "<script>alert(1)</script>"
EVIL_ID = f'<a/b%25+"{SCRIPT}@x>'
RTL = "\u202egnp.exe"
# Seconds: what keeps the catalog leaves the processors to others, and after a failure waits 60
LONG = 140


class Parsed(HTMLParser):
    """What a browser makes of a page: its elements, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def links(self) -> list[str]:
        """Where it leads to."""
        return [value for tag, name, value in self.attributes if (tag, name) == ("a", "href")]

    @property
    def text(self) -> str:
        """All that is read of it."""
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> WebStore:
    """A patch of three revisions and a copy, a series in two versions, and a hostile mail."""
    store = WebStore(configuration(tmp_path_factory.mktemp("store"), WEB))
    second = patch_mail("<v2@x>", subject="[PATCH v2] topic", new="two2", day=3)
    store.add(
        v1=patch_mail("<v1@x>"),
        v2=second,
        copy=second.replace(b"<v2@x>", b"<copy@x>"),
        v3=patch_mail("<v3@x>", subject="[PATCH v3] topic", new="two3", day=9),
        alone=patch_mail("<alone@x>", subject="[PATCH] another", day=4),
        evil=(
            EVIL_ID,
            patch_mail(
                EVIL_ID,
                subject=f"[PATCH] {SCRIPT} {RTL} \x1b[31m",
                author=f'"{SCRIPT}{RTL}" <"{SCRIPT}"@x>',
                message=f"{SCRIPT}\n\n{{{{ 7 * 7 }}}} {RTL} \x9b31m javascript:alert(1)",
                file=f"{SCRIPT}{RTL}.c",
                new=f"</pre>{SCRIPT}{RTL}\x1b[31m",
                day=5,
            ),
        ),
    )
    for version, day in ((1, 0), (2, 7)):
        prefix = f"[PATCH v{version}" if version > 1 else "[PATCH"
        for part in (1, 2):
            name = f"s{version}p{part}"
            reply = f"In-Reply-To: <s{version}p1@x>\n" if part > 1 else ""
            mail = patch_mail(
                f"<{name}@x>",
                subject=f"{prefix} {part}/2] part {part}",
                file=f"file{part}.c",
                new=f"of version {version}" if part == 2 else "same",
                day=day,
                headers=reply,
            )
            store.add(**{name: mail})
    for part in (1, 2):
        name = f"covered{part}"
        store.add(
            **{
                name: patch_mail(
                    f"<{name}@x>",
                    subject=f"[PATCH {part}/2] covered",
                    day=8,
                    headers="In-Reply-To: <cover@x>\n",
                )
            }
        )
    store.group(
        ["<v1@x>", "<v2@x>", "<copy@x>", "<v3@x>"],
        ["<s1p1@x>", "<s2p1@x>"],
        ["<s1p2@x>", "<s2p2@x>"],
        ["<alone@x>", EVIL_ID],
    )
    store.show("<v1@x>", time.time() - 3 * 86400 - 60, state="superseded", check="success")
    store.show("<v3@x>", time.time() - 60, state="under-review", check="fail", delegate=SCRIPT)
    store.catch_up()
    return store


@pytest.fixture(scope="module")
def site(store: WebStore) -> Iterator[Pages]:
    """The server as it is, with its processes."""
    with serving(store.config, seconds=120.0) as pages:
        yield pages


@pytest.mark.parametrize("path", ["/", "/r/v2@x", "/p/sample", "/diff/v1@x/v2@x"])
def test_looking_at_a_page_does_not_change_it(site: Pages, path: str) -> None:
    """What is read to make it looks as before, so that it is 304 the next time."""
    site.ask(path)
    first = site.ask(path)
    assert first.status == 200
    assert site.ask(path, If_None_Match=first.headers["Etag"]).status == 304


def shown(site: Pages, path: str) -> Parsed:
    """A page that is there."""
    reply = site.ask(path)
    assert reply.status == 200, reply.text
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    return Parsed(reply.text)


def test_all_revisions_of_a_patch(site: Pages) -> None:
    """In order of time, each with what is known of it, and links to all that there is of it."""
    page = shown(site, "/r/v2@x")
    revisions = re.findall(r"v(\d), (\d{4}-\d\d-\d\d) \d\d:\d\d", page.text)
    assert [version for version, _ in revisions[:1]] == ["1"]
    assert page.text.index("[PATCH] topic") < page.text.index("[PATCH v2] topic")
    assert page.text.index("[PATCH v2] topic") < page.text.index("[PATCH v3] topic")
    assert "superseded checks: success as seen 3 days ago" in page.text
    assert "under-review checks: fail" in page.text
    assert "as seen less than an hour ago" in page.text
    assert "a copy on another list" in page.text
    assert "A U Thor" in page.text
    for link in (
        "/diff/v1@x/v2@x",
        "/diff/v2@x/v3@x",
        "/diff/v1@x/v3@x",
        "/r/v2@x/why",
        "/p/sample",
        "http://127.0.0.1:9/project/sample/patch/v1@x/",
        "https://lore.example.org/r/v3@x",
    ):
        assert link in page.links
    assert ("link", "href", "/r/v2@x") in page.attributes


@pytest.mark.parametrize(("name", "before"), [("v3@x", ["v2@x"]), ("v1@x", []), ("alone@x", [])])
def test_what_changed_in_the_one_asked_for_stands_first(
    site: Pages, name: str, before: list[str]
) -> None:
    """Whoever comes from the check of a late revision need not look for it below the others."""
    intro, _, _ = site.ask(f"/r/{name}").text.partition("<h2")
    assert re.findall('href="/diff/([^"]*)"', intro) == [f"{each}/{name}" for each in before]


@pytest.mark.parametrize("name", ["v2@x", "%3Cv2@x%3E", "2"])
def test_a_patch_by_any_of_its_names(site: Pages, name: str) -> None:
    """Message-id with and without brackets, and patchwork id; the link for good is one."""
    assert ("link", "href", "/r/v2@x") in shown(site, f"/r/{name}").attributes


def test_the_same_as_json(site: Pages) -> None:
    """For scripts and bots."""
    reply = site.ask("/r/v2@x.json")
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    said = json.loads(reply.body)
    ids = [each["message_id"] for each in said["revisions"]]
    assert ids[0] == "<v1@x>" and ids[-1] == "<v3@x>" and len(ids) == 4
    assert said["revisions"][0]["patches"][0]["state"] == "superseded"


def test_what_nobody_knows(site: Pages) -> None:
    """404 with a sentence, as page and as JSON; nothing is echoed as HTML."""
    reply = site.ask("/r/nosuch@x")
    assert (reply.status, "is no patch in the store" in reply.text) == (404, True)
    assert "error" in json.loads(site.ask("/r/nosuch@x.json").body)
    hostile = site.ask(f"/r/{quoted_name(f'<{SCRIPT}@nosuch>')}")
    assert hostile.status == 404
    assert "script" not in Parsed(hostile.text).tags


def test_a_difference(site: Pages) -> None:
    """As git has it, each line with the classes that colour it; by one name and by two."""
    for path in ("/diff/v1@x/v2@x", "/diff/v2@x"):
        page = shown(site, path)
        assert "-+TWO ++two2" in page.text
        assert ("span", "class", "left new") in page.attributes
        assert ("span", "class", "right new") in page.attributes
        assert "/diff/v1@x/v2@x.txt" in page.links
    text = site.ask("/diff/v2@x.txt")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert text.text.startswith("1:  1 ! 1:  2 topic\n    @@ ")
    assert "\n    -+TWO\n    ++two2\n" in text.text
    said = json.loads(site.ask("/diff/v2@x.json").body)
    assert said["left"]["message_id"] == "<v1@x>" and said["sign"] == "!"
    assert {"sign": "+", "text": "+two2"} in said["lines"]


def test_no_difference(site: Pages) -> None:
    """A copy says the same; the first revision has nothing before it."""
    assert "Nothing: message and changes are the same" in shown(site, "/diff/v2@x/copy@x").text
    first = site.ask("/diff/v1@x")
    assert first.status == 404
    assert "first revision" in first.text


def test_a_series(site: Pages) -> None:
    """Its parts beside those of the version before, by the groups; named by any part."""
    for path in ("/series/s2p1@x", "/series/s2p2@x"):
        page = shown(site, path)
        assert "What became of version 1" in page.text
        assert re.search(r"unchanged 1: +\d+ = 1: +\d+ part 1", page.text)
        assert re.search(r"changed 2: +\d+ ! 2: +\d+ part 2", page.text)
        assert "++of version 2" in page.text
        assert "/series/s1p1@x" in page.links and "/diff/s1p2@x/s2p2@x" in page.links
    text = site.ask("/series/s2p1@x.txt").text
    assert re.search(r"(?m)^2: +\d+ ! 2: +\d+ part 2\n    @@", text)
    said = json.loads(site.ask("/series/s2p1@x.json").body)
    assert [part["sign"] for part in said["parts"]] == ["=", "!"]
    assert "no series before has a patch of it" in shown(site, "/series/s1p1@x").text
    assert site.ask("/series/s1p1@x.txt").status == 404
    assert site.ask("/series/s1p1@x.json").status == 404


def test_a_series_that_is_not_grouped_yet(tmp_path: Path) -> None:
    """What came after the last analysis is paired by how alike it is, and told as that."""
    store = WebStore(configuration(tmp_path))
    store.add(v1=patch_mail("<v1@x>"))
    store.group(["<v1@x>"])
    store.add(v2=patch_mail("<v2@x>", subject="[PATCH v2] topic", day=3))
    store.catch_up()
    told = "not grouped yet: paired as git range-diff does"
    with serving(store.config, seconds=120.0) as site:
        assert told in shown(site, "/series/v2@x?before=v1@x").text
        assert (
            f"1:  1 = 1:  2 topic\n    # {told}\n" in site.ask("/series/v2@x.txt?before=v1@x").text
        )
        (part,) = json.loads(site.ask("/series/v2@x.json?before=v1@x").body)["parts"]
        assert part["remarks"] == [told]


def test_a_series_of_too_many_parts(tmp_path: Path) -> None:
    """It has its page, with all of them; only the difference is refused."""
    store = WebStore(configuration(tmp_path))
    parts = range(1, MOST_PATCHES + 2)
    mails = {}
    for version in (1, 2):
        prefix = f"PATCH v{version}"
        for part in parts:
            name = f"v{version}p{part}"
            subject = f"[{prefix} {part}/{len(parts)}] part"
            mails[name] = patch_mail(f"<{name}@x>", subject=subject, day=version)
    store.add(**mails)
    store.group(*([f"<v{version}p{part}@x>" for version in (1, 2)] for part in parts))
    store.catch_up()
    with serving(store.config, seconds=120.0) as site:
        page = shown(site, "/series/v2p1@x")
        assert {f"/r/v2p{part}@x" for part in parts} <= set(page.links)
        assert f"more than {MOST_PATCHES} patches" in page.text
        assert site.ask("/series/v2p1@x.txt").status == 422


def test_a_cover_letter(site: Pages) -> None:
    """It is no patch; asked for it leads to its series."""
    reply = site.ask("/r/cover@x")
    assert (reply.status, reply.headers["Location"]) == (302, "/series/cover@x")
    page = shown(site, "/series/cover@x")
    assert "/r/covered1@x" in page.links and "/r/covered2@x" in page.links
    assert site.ask("/r/cover@x.json").status == 404


def test_what_the_maintainer_changed(tmp_path: Path) -> None:
    """From a patch's page to its commit, and what is other in it than in the last revision."""
    repository = pygit2.init_repository(str(tmp_path / "repo"))
    author = pygit2.Signature("A U Thor", "a@example.org", 1_780_000_000, 0)
    commit = None
    for text in ("one\ntwo\nthree\n", "one\nthe maintainer's two\nthree\n"):
        tree = repository.TreeBuilder()
        tree.insert("file.c", repository.create_blob(text.encode()), pygit2.enums.FileMode.BLOB)
        message, parents = "topic\n\nWhy it is done.\n", [commit] if commit else []
        commit = repository.create_commit("HEAD", author, author, message, tree.write(), parents)
    store = WebStore(configuration(tmp_path, '[analysis]\nrepo = "repo"\nupstream = "HEAD"\n'))
    store.add(up=patch_mail("<up@x>"))
    store.group(["<up@x>", "=>", str(commit)])
    store.catch_up()
    with serving(store.config, seconds=120.0) as site:
        for name in ("up@x", str(commit), str(commit)[:12]):
            page = shown(site, f"/r/{name}")
            assert f"/diff/up@x/{commit}" in page.links
            assert "upstream" in page.text
        for path in (f"/diff/up@x/{commit}", f"/diff/{commit}"):
            assert "-+TWO ++the maintainer's two" in shown(site, path).text


def test_why_they_are_one(site: Pages) -> None:
    """Each with the one before it, rated; short mails on the page of the patch, too."""
    page = shown(site, "/r/v3@x")
    assert re.search(r"Rating [01]\.\d\d beside v1; why v2 of", page.text)
    assert "/r/v2@x/why" in page.links
    page = shown(site, "/r/v3@x/why")
    assert re.search(r"<v1@x> <v2@x> [01]\.\d\d ", page.text)


EVIL_PAGES = [
    "/r/{}",
    "/r/{}/why",
    "/diff/{}",
    "/diff/{}/v1@x",
    "/diff/v1@x/{}",
    "/series/{}",
    "/r/v3@x",
]


@pytest.mark.parametrize("path", EVIL_PAGES)
def test_a_hostile_mail_stays_text(site: Pages, path: str) -> None:
    """In each of its fields, on each page that shows them: no element, attribute or link of it."""
    name = quoted_name(EVIL_ID)
    reply = site.ask(path.format(name))
    assert reply.status == 200, reply.text
    page = Parsed(reply.text)
    usual = Parsed(site.ask(path.format("v2@x").replace("v1@x", "v3@x")).text)
    assert set(page.tags) <= set(usual.tags) | {"p", "ol", "li", "section", "time"}
    assert not {"script", "img", "style", "iframe", "form"} & set(page.tags)
    assert not [each for each in page.attributes if each[1].startswith("on")]
    assert all(
        link.startswith(("/", "#", "http://127.0.0.1:9/", "https://lore.example.org/r/"))
        for link in page.links
    )
    for character in "\u202e\x1b\x9b\x00":
        assert character not in reply.text
    assert SCRIPT in page.text
    assert "49" not in re.findall(r"(?<!\d)49(?!\d)", page.text)


def test_hostile_text_and_json(site: Pages) -> None:
    """What a terminal would obey is an escape there too."""
    name = quoted_name(EVIL_ID)
    for path in (f"/diff/{name}.txt", f"/diff/{name}.json", f"/r/{name}.json"):
        reply = site.ask(path)
        assert reply.status == 200
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert not set("\u202e\x1b\x9b") & set(reply.text)
    assert "\\u202e" in site.ask(f"/diff/{name}.txt").text


def test_a_page_that_did_not_change_since(store: WebStore, site: Pages) -> None:
    """304 until the catalog has something new."""
    etag = site.ask("/r/alone@x").headers["Etag"]
    assert site.ask("/r/alone@x", If_None_Match=etag).status == 304
    store.show("<alone@x>", time.time(), state="accepted")
    again = site.ask("/r/alone@x", If_None_Match=etag)
    assert again.status == 200
    assert "accepted" in Parsed(again.text).text


def test_a_large_difference(tmp_path: Path) -> None:
    """A page shows the beginning, and leads to the text, which is bounded too."""
    store = WebStore(configuration(tmp_path))
    body = [f"+line {number} {'x' * 200}\n" for number in range(20_000)]
    hunk = f"@@ -1,3 +1,{len(body) + 3} @@\n one\n".encode()
    for name, text in (("a", body), ("b", [line.upper() for line in body])):
        mail = patch_mail(f"<{name}@x>", subject="[PATCH] large", day=ord(name) - 97)
        diff = DIFF.format(file="file.c", new="TWO").encode()
        large = diff.partition(b"@@")[0] + hunk + "".join(text).encode() + b" two\n three\n"
        assert diff in mail
        store.add(**{name: mail.replace(diff, large)})
    store.group(["<a@x>", "<b@x>"])
    store.catch_up()
    with serving(store.config, seconds=120.0) as site:
        page = shown(site, "/diff/b@x")
        assert re.search(r"\d+ more lines are too much for this page: as text", page.text)
        assert "/diff/a@x/b@x.txt" in page.links
        text = site.ask("/diff/b@x.txt")
        assert text.status == 200 and len(text.body) < 5 << 20
        assert text.text.endswith("more is left out: it is too large\n")
        assert json.loads(site.ask("/diff/b@x.json").body)["lines"][-1]["sign"] == "@"


def test_a_catalog_that_is_being_made(tmp_path: Path) -> None:
    """Pages say that it is not whole yet, those of what is not found too."""
    store = WebStore(configuration(tmp_path))
    store.add(one=patch_mail("<one@x>"))
    store.group()
    with serving(store.config, seconds=120.0) as site:
        missing = site.ask("/r/one@x")
        assert missing.status == 404
        assert "still being made" in missing.text
        store.catch_up()
        assert "still being made" not in site.ask("/r/one@x").text
        assert "still being made" not in site.ask("/r/nosuch@x").text


def test_a_new_mail_comes_by_itself(tmp_path: Path) -> None:
    """The catalog is kept up to date while pages are served, and no request makes it."""
    store = WebStore(configuration(tmp_path))
    store.add(first=patch_mail("<first@x>"))
    store.group()
    with serving(store.config, catch_up=catching_up.COMMAND, seconds=120.0) as site:
        wait_until(lambda: site.ask("/r/first@x").status == 200, "the first one is there", LONG)
        store.add(second=patch_mail("<second@x>"))
        wait_until(lambda: site.ask("/r/second@x").status == 200, "the second one is there", LONG)
