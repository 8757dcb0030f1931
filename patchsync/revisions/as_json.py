"""Histories and triage as JSON, the same for `patchsync show --json` and the pages.

docs/revisions.md has the shape. Times are in UTC, as in `2026-01-31T08:54:45Z`, and null where they
are none of the calendar.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from patchsync.config import Config
from patchsync.revisions.compare import PartDiff, SeriesDiff
from patchsync.revisions.links import archive_url, page_url, patchwork_url
from patchsync.revisions.model import (
    PatchHistory,
    PatchInProject,
    PatchMail,
    Reason,
    Series,
    UpstreamCommit,
)
from patchsync.revisions.triage import WaitingPage

# What a mail says may be as long as the mail.
_LONGEST_TEXT = 2000  # characters
_MOST_FILES = 1000


def history_json(
    config: Config, history: PatchHistory, reasons: Sequence[Reason] | None = None
) -> dict[str, Any]:
    """A history; `reasons`: why its revisions are one patch, where that was asked for."""
    content: dict[str, Any] = {
        "asked": history.asked,
        "page": page_url(config, history.asked),
        "revisions": [_revision_json(config, history, mail) for mail in history.revisions],
        "left_out": history.left_out,
        "commits": [_commit_json(commit) for commit in history.commits],
    }
    if reasons is not None:
        content["reasons"] = [reason_json(reason) for reason in reasons]
    return content


def mail_json(config: Config, mail: PatchMail) -> dict[str, Any]:
    """A mail, as it says itself, and the patches that it is."""
    return {
        "message_id": mail.message_id,
        "date": time_json(mail.date),
        "author": {"name": _cut(mail.author_name), "email": _cut(mail.author_address)},
        "subject": _cut(mail.subject),
        "title": _cut(mail.title),
        "version": mail.prefix.version,
        "part": mail.prefix.part,
        "of": mail.prefix.total,
        "files": [_cut(file) for file in mail.files[:_MOST_FILES]],
        "patches": [_patch_json(config, mail, patch) for patch in mail.patches],
        "archive": archive_url(config, mail),
    }


def diff_json(config: Config, diff: PartDiff) -> dict[str, Any]:
    """What changed between two revisions, or of a part of a series; a side that is none is null."""
    return {
        "sign": diff.pair.sign,
        "left": _side_json(config, diff.left),
        "right": _side_json(config, diff.right),
        "remarks": list(diff.remarks),
        "lines": [{"sign": line.sign, "text": line.text} for line in diff.lines],
    }


def series_diff_json(config: Config, diff: SeriesDiff) -> dict[str, Any]:
    """What became of a series."""
    return {
        "left": _series_json(diff.left),
        "right": _series_json(diff.right),
        "remarks": list(diff.remarks),
        "parts": [diff_json(config, part) for part in diff.parts],
    }


def waiting_json(config: Config, page: WaitingPage) -> dict[str, Any]:
    """Patches that wait for somebody; each as a mail, with the patch that it is in the project."""
    return {
        "patches": [
            {
                "patch": _patch_json(config, waiting.mail, waiting.patch),
                "mail": mail_json(config, waiting.mail),
                "later": waiting.later,
                "commits": list(waiting.commits),
            }
            for waiting in page.patches
        ],
        "before": page.before,
    }


def reason_json(reason: Reason) -> dict[str, Any]:
    """Why two are one patch."""
    return {
        "left": reason.left,
        "right": reason.right,
        "rating": reason.rating,
        "verdict": reason.verdict,
    }


def time_json(seconds: float | None) -> str | None:
    """A time in seconds since 1970."""
    if seconds is None:
        return None
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return None


def _side_json(config: Config, side: PatchMail | str | None) -> dict[str, Any] | None:
    if isinstance(side, PatchMail):
        return mail_json(config, side)
    return {"hash": side} if side else None


def _revision_json(config: Config, history: PatchHistory, mail: PatchMail) -> dict[str, Any]:
    before = history.before(mail.message_id)
    copied = history.copy_of(mail.message_id)
    series = history.series.get(mail.series_key)
    return mail_json(config, mail) | {
        "series": _series_json(series) if series else None,
        "previous": before.message_id if before else None,
        "copy_of": copied.message_id if copied else None,
    }


def _series_json(series: Series) -> dict[str, Any]:
    return {
        "key": series.key,
        "title": _cut(series.title),
        "version": series.version,
        "total": series.total,
        "missing": list(series.missing[:_MOST_FILES]),
    }


def _patch_json(config: Config, mail: PatchMail, patch: PatchInProject) -> dict[str, Any]:
    return {
        "id": patch.patch_id,
        "project": patch.project_name,
        "url": patchwork_url(config, mail, patch),
        "gone": patch.gone,
        "state": patch.state,
        "archived": patch.archived,
        "check": patch.check,
        "series": patch.series_id,
        "delegate": patch.delegate,
        "seen_at": time_json(patch.seen_at),
    }


def _commit_json(commit: UpstreamCommit) -> dict[str, Any]:
    return {
        "hash": commit.commit_hash,
        "subject": None if commit.subject is None else _cut(commit.subject),
        "author": commit.author_name,
        "date": time_json(commit.date),
    }


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
