"""A history knows which revision came before another, and which is the same mail once more."""

from __future__ import annotations

from dataclasses import replace

from patchsync.revisions.model import PatchHistory, PatchMail, SubjectPrefix

HOUR = 3600


def posted(
    name: str, hours: float, *, version: int = 1, part: int = 1, total: int = 1, series: str = ""
) -> PatchMail:
    """A revision of "topic"."""
    return PatchMail(
        message_id=f"<{name}@x>",
        date=hours * HOUR,
        author_name="A",
        author_address="a@example.org",
        subject=f"[PATCH v{version} {part}/{total}] topic",
        title="topic",
        prefix=SubjectPrefix(version, part, total),
        series_key=f"<{series or name}@x>",
        files=("a.c",),
        patches=(),
    )


def history(*mails: PatchMail) -> PatchHistory:
    return PatchHistory(asked=mails[0].message_id, revisions=mails, commits=())


def before(found: PatchHistory, name: str) -> str | None:
    mail = found.before(f"<{name}@x>")
    return mail and mail.message_id.strip("<>").removesuffix("@x")


def test_the_one_before() -> None:
    """It is the one of the version before; the first has none, nor has a stranger."""
    found = history(posted("v1", 1), posted("v2", 2, version=2), posted("v3", 3, version=3))
    assert [before(found, name) for name in ("v1", "v2", "v3", "other")] == [None, "v1", "v2", None]


def test_a_notice_is_no_predecessor() -> None:
    """What came without a version between two numbered ones; it follows the one before it."""
    notice = posted("tip", 2.5)
    found = history(posted("v2", 2, version=2), notice, posted("v3", 3, version=3))
    assert [before(found, name) for name in ("tip", "v3")] == ["v2", "v2"]


def test_a_copy_is_no_predecessor() -> None:
    """The same mail on another list, under an id of that list, is told as a copy."""
    first = posted("v1", 1)
    second = posted("v2", 2, version=2)
    found = history(first, second, replace(second, message_id="<v2-copy@x>"))
    assert before(found, "v2-copy") == before(found, "v2") == "v1"
    assert found.copy_of("<v2-copy@x>") is second
    assert found.copy_of("<v2@x>") is None
    assert found.copy_of("<other@x>") is None


def test_other_parts_of_a_series_are_no_predecessors() -> None:
    """Two parts that are alike are one group to PaStA; each is before its own later revision."""
    parts = [
        replace(
            posted(f"v{version}-{part}", version + part / 3600, series=f"v{version}"),
            title=f"part {part}",
            prefix=SubjectPrefix(version, part, 3),
        )
        for version in (1, 2)
        for part in (2, 3)
    ]
    found = history(*parts)
    assert [before(found, mail.message_id.strip("<>").removesuffix("@x")) for mail in parts] == [
        None,
        None,
        "v1-2",
        "v1-3",
    ]
    # By its place where the title is another.
    renamed = history(*parts[:3], replace(parts[3], title="another"))
    assert before(renamed, "v2-3") == "v1-3"


def test_a_part_that_was_sent_again() -> None:
    """Its predecessor is what it was sent in place of, though both are of one series."""
    found = history(
        posted("first", 1, part=2, total=3, series="all"),
        posted("again", 2, part=2, total=3, series="all"),
    )
    assert before(found, "again") == "first"
