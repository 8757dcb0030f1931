"""What changed from one revision of a patch, or version of a series, to another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pygit2 import Mailmap, Repository

from patchsync.analysis.commits import open_repository
from patchsync.analysis.patch import NotAPatch
from patchsync.analysis.settings import read_settings
from patchsync.config import Config
from patchsync.errors import ConfigError, GiveUp, NoPredecessor, PatchTooLarge, UnknownPatch
from patchsync.range_diff.compare import DiffLine, compare
from patchsync.range_diff.pairing import MOST_PATCHES, Pair, arrange
from patchsync.range_diff.patch_text import (
    PatchText,
    read_commit_text,
    read_mail_text,
    read_mailmap,
)
from patchsync.revisions.catalog import Catalog
from patchsync.revisions.history import find_name, history_of, repository_of
from patchsync.revisions.model import PatchHistory, PatchMail, Series, UpstreamCommit
from patchsync.revisions.series_pairing import (
    NOT_GROUPED,
    Pairing,
    current_parts,
    pair_parts,
    pair_ungrouped,
)

# Of all parts of a series together, as mails and as texts; what is beyond is left out.
MOST_BYTES = 64 << 20
MOST_LINES = 500_000
_SAID_BY_SIGN = (("new",), ("dropped",))


@dataclass(frozen=True, kw_only=True, slots=True)
class PartDiff:
    """A patch, and what became of it: what `git range-diff` shows of one."""

    pair: Pair
    # The mails, or the commit's hash; None where there is none on that side
    left: PatchMail | str | None
    right: PatchMail | str | None
    # Empty where the two are equal, or one is alone
    lines: tuple[DiffLine, ...] = ()
    # What is told of it beside
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks, where they say more than the sign does."""
        return () if self.remarks in _SAID_BY_SIGN else self.remarks


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesDiff:
    """What became of a series."""

    left: Series
    right: Series
    # In the order of git: that of the right side, dropped ones where they stood
    parts: tuple[PartDiff, ...]
    # What is told of it beside
    remarks: tuple[str, ...]


def compare_revisions(
    config: Config, catalog: Catalog, left: str, right: str | None = None
) -> PartDiff:
    """What changed between two, each named as for `find_name`.

    Of one alone: since its predecessor in the group; of a commit since the last revision, that is
    what the maintainer changed.

    Raises:
        UnknownPatch: nobody knows one of them.
        NoPredecessor: there is one alone, and nothing was before.
        PatchTooLarge: it would take too long.
        GiveUp: one is no patch; ConfigError: a commit, but no repository.
    """
    if right is None:
        names = predecessor(history_of(config, catalog, left))
    else:
        names = find_name(config, catalog, left), find_name(config, catalog, right)
    mails = catalog.mails(names)
    # What is no mail is a commit: without a repository there is nothing to compare.
    commits = [name for name in names if name not in mails]
    repository = _demanded(config, commits[0]) if commits else repository_of(config)
    mailmap = read_mailmap(repository) if repository else None
    texts = []
    for name in names:
        try:
            texts.append(_read(catalog, mails.get(name), name, repository, mailmap))
        except NotAPatch as reason:
            raise GiveUp(f"{name} is no patch: {reason}") from None
    pair = Pair(texts[0], texts[1], 1, 1)
    sides = [mails.get(name, name) for name in names]
    return PartDiff(pair=pair, left=sides[0], right=sides[1], lines=tuple(compare(*texts)))


def predecessor(history: PatchHistory) -> tuple[str, str]:
    """What was asked for, and before it what it is compared with.

    Raises:
        NoPredecessor: it is the first revision that is known, or a commit of none.
    """
    if mail := history.revision(history.asked):
        if before := history.before(mail.message_id):
            return before.message_id, mail.message_id
        others = [each.message_id for each in history.revisions if each is not mail]
        others += [commit.commit_hash for commit in history.commits]
        than = f"; it can be compared with {', '.join(others[:5])}" if others else ""
        raise NoPredecessor(f"{history.asked} is the first revision that is known{than}")
    for commit in history.commits:
        if commit.commit_hash == history.asked and history.revisions:
            return _last_before(history, commit).message_id, commit.commit_hash
    raise NoPredecessor(f"{history.asked}: no patch is known that became this commit")


def _last_before(history: PatchHistory, commit: UpstreamCommit) -> PatchMail:
    """The revision that was committed: the last one by then, of one series that of its title."""
    before = [
        mail for mail in history.revisions if commit.date is None or mail.date <= commit.date
    ] or history.revisions
    together = [mail for mail in before if mail.series_key == before[-1].series_key]
    return max(together, key=lambda mail: (mail.title == commit.subject, mail.date))


def compare_series(
    config: Config, catalog: Catalog, name: str, before: str | None = None
) -> SeriesDiff:
    """What became of a series in the one that `name` names; `before`: the earlier one.

    Each is named by one of its patches, as for `find_name`, or by its cover letter's message-id;
    without `before` it is the one that `earlier_series` finds.

    Raises:
        UnknownPatch: nobody knows one of them.
        NoPredecessor: there was none before.
        PatchTooLarge: there are too many parts.
    """
    right = find_series(config, catalog, name)
    left = find_series(config, catalog, before) if before else earlier_series(catalog, right)
    if left is None:
        own = {mail.message_id for mail in right.mails}
        yet = ", to the groups; they do not have it yet" if own == catalog.not_grouped(own) else ""
        raise NoPredecessor(
            f"{right.title!r}, version {right.version}: no series before has a patch of it{yet}"
        )
    parts = [current_parts(series) for series in (left, right)]
    if max(map(len, parts)) > MOST_PATCHES:
        raise PatchTooLarge(f"a series has more than {MOST_PATCHES} patches")
    repository = repository_of(config)
    mailmap = read_mailmap(repository) if repository else None
    # Each side has its own bounds: where one is too large, the first parts of both are compared.
    sides = [_texts(catalog, mails, mailmap) for mails in parts]
    left_texts, right_texts = (texts for texts, _ in sides)
    troubles = sides[0][1] | sides[1][1]
    readable = {
        mail.message_id: text
        for mails, (texts, _) in zip(parts, sides, strict=True)
        for mail, text in zip(mails, texts, strict=True)
        if mail.message_id not in troubles
    }
    pairing, as_git, unpaired = _pairing(catalog, parts[0], parts[1], readable)
    diffs = []
    for pair in arrange(left_texts, right_texts, pairing.became):
        at, to = pair.left_number - 1, pair.right_number - 1
        old = parts[0][at] if pair.left else None
        new = parts[1][to] if pair.right else None
        told = pairing.right_remarks.get(to, ()) if new else pairing.left_remarks[at]
        if old and new and as_git.get(old.message_id) == new.message_id:
            told += (f"{NOT_GROUPED}: paired as git range-diff does",)
        unread = [
            troubles[mail.message_id] for mail in (old, new) if mail and mail.message_id in troubles
        ]
        lines: Sequence[DiffLine] = ()
        if pair.left and pair.right and not unread:
            try:
                lines = compare(pair.left, pair.right)
            except PatchTooLarge as error:
                unread.append(str(error))
        # By their parts: of a series that is not all here git would count what there is.
        numbered = pair._replace(
            left_number=old.prefix.part if old else 0, right_number=new.prefix.part if new else 0
        )
        part = PartDiff(
            pair=numbered, left=old, right=new, lines=tuple(lines), remarks=(*told, *unread)
        )
        diffs.append(part)
    remarks = (*_remarks_on(left, "before"), *_remarks_on(right, "now"), *unpaired)
    return SeriesDiff(left=left, right=right, parts=tuple(diffs), remarks=remarks)


def _pairing(
    catalog: Catalog,
    left: Sequence[PatchMail],
    right: Sequence[PatchMail],
    texts: Mapping[str, PatchText],
) -> tuple[Pairing, Mapping[str, str], tuple[str, ...]]:
    """What became of the parts; which pairs are not of the groups; what is to be told of that."""
    names = [mail.message_id for mail in (*left, *right)]
    ungrouped = catalog.not_grouped(names)
    groups: dict[str, object] = {
        name: group for name, group in catalog.groups_of(names).items() if name not in ungrouped
    }
    try:
        as_git = pair_ungrouped(left, right, groups, texts)
    except PatchTooLarge as error:
        told = f"what is not grouped yet is not paired: {error}"
        return pair_parts(left, right, groups), {}, (told,)
    # As if each of these pairs were a group
    groups |= {name: pair for pair in as_git.items() for name in pair}
    return pair_parts(left, right, groups), as_git, ()


def find_series(config: Config, catalog: Catalog, text: str) -> Series:
    """The series that a person names: by one of its patches, or by its cover letter.

    Raises:
        UnknownPatch: there is none.
    """
    for key in (text.strip(), f"<{text.strip()}>"):
        if series := catalog.series(key):
            return series
    name = find_name(config, catalog, text)
    if series := catalog.series(name):
        return series
    raise UnknownPatch(f"{text} is a commit, and in no series")


def earlier_series(catalog: Catalog, series: Series) -> Series | None:
    """The version before: the last one before it that has most of the same patches, by the groups.

    Who has less than half of what another one has is none: a part that was sent again by itself.
    Where the groups know of none, it is the last one before it with the same change-id.
    """
    own = {mail.message_id for mail in series.mails}
    groups = catalog.groups_of(own)
    mates = {name for group in groups.values() for name in group.message_ids} - own
    began = min(mail.date for mail in series.mails)
    shared: dict[str, set[object]] = defaultdict(set)
    posted: dict[str, float] = {}
    group_of = {name: group for group in groups.values() for name in group.message_ids}
    for name, mail in catalog.mails(mates).items():
        if mail.date < began and mail.series_key != series.key:
            shared[mail.series_key].add(group_of[name])
            posted[mail.series_key] = max(mail.date, posted.get(mail.series_key, mail.date))
    most = max(map(len, shared.values()), default=0)
    keys = [key for key, common in shared.items() if 2 * len(common) >= most]
    if not keys:
        posted = {
            mail.series_key: mail.date  # They are in order of time.
            for mail in catalog.mails_of_same_change(own)
            if mail.date < began and mail.series_key != series.key
        }
        keys = list(posted)
    return catalog.series(max(keys, key=posted.__getitem__)) if keys else None


def _texts(
    catalog: Catalog, mails: Iterable[PatchMail], mailmap: Mailmap | None
) -> tuple[list[PatchText], dict[str, str]]:
    """What counts of each mail; and of those that cannot be read, by message-id, why."""
    texts, troubles = [], {}
    size = lines = 0
    for mail in mails:
        text = None
        if size > MOST_BYTES or lines > MOST_LINES:
            troubles[mail.message_id] = (
                f"{mail.message_id} is left out: the parts before it have more than"
                f" {MOST_BYTES >> 20} MB or {MOST_LINES:,} lines"
            )
        else:
            raws = catalog.raws(mail.message_id)
            size += sum(map(len, raws))
            try:
                text = read_mail_text(raws, _short_name(mail), mailmap)
                size += len(text.text)
                lines += text.text.count(b"\n")
            except (NotAPatch, PatchTooLarge) as error:
                troubles[mail.message_id] = f"{mail.message_id} cannot be read: {error}"
        texts.append(text or _unread(mail))
    return texts, troubles


def _unread(mail: PatchMail) -> PatchText:
    return PatchText(
        name=_short_name(mail),
        title=mail.title,
        text=mail.message_id.encode(),  # It is equal to no other.
        diff_at=0,
        diff_lines=0,
    )


def _read(
    catalog: Catalog,
    mail: PatchMail | None,
    name: str,
    repository: Repository | None,
    mailmap: Mailmap | None,
) -> PatchText:
    """What counts of a mail, or without one of a commit of the repository. Raises NotAPatch."""
    if mail:
        return read_mail_text(catalog.raws(name), _short_name(mail), mailmap)
    assert repository is not None
    return read_commit_text(repository, name)


def _short_name(mail: PatchMail) -> str:
    return str(mail.patches[0].patch_id) if mail.patches else mail.message_id.strip("<>")


def _demanded(config: Config, name: str) -> Repository:
    repo = read_settings(config).repo
    if repo is None:
        raise ConfigError(f"{name} is a commit; to read it, [analysis] repo has to be set")
    return open_repository(repo)


def _remarks_on(series: Series, when: str) -> tuple[str, ...]:
    """What is told of a series of which not each part is there once."""
    remarks = []
    if missing := series.missing:
        numbers = ", ".join(map(str, missing[:20])) + (" …" if len(missing) > 20 else "")
        remarks.append(f"of {series.total} parts {when} these are not in the store: {numbers}")
    current = {mail.message_id for mail in current_parts(series)}
    again = sorted({mail.prefix.part for mail in series.mails if mail.message_id not in current})
    if again:
        numbers = ", ".join(map(str, again[:20])) + (" …" if len(again) > 20 else "")
        remarks.append(f"sent again {when}, the later one is compared: part {numbers}")
    return tuple(remarks)
