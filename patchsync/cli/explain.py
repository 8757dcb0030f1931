"""`patchsync explain`: why two patches are one, or are not."""

from __future__ import annotations

from collections.abc import Iterator

import click

from patchsync.analysis.explain import Explanation, explain
from patchsync.analysis.lookup import look_up
from patchsync.analysis.patch import FileKey, Patch
from patchsync.cli.output import echo
from patchsync.config import Config, load


@click.command("explain")
@click.argument("left", metavar="ID")
@click.argument("right", metavar="[ID]", required=False)
@click.option("-p", "--project", metavar="P", help="Where to look for the mails; default: in all.")
@click.option("--lines", is_flag=True, help="Show the lines that are compared, too.")
def explain_command(left: str, right: str | None, project: str | None, lines: bool) -> None:
    """Show why two patches are one, or are not.

    How message and diff are rated, each hunk compared, and the thresholds. An ID is a message-id, a
    patchwork id or a commit's hash; one alone is held against the revision before it, as by `diff`.
    Neither store nor groups are changed. The rating is computed anew, as both engines do it;
    whether the two are in one group is what the builtin engine made of it at its last update.
    """
    config = load()
    if right:
        names = [look_up(config, text, project) for text in (left, right)]
    else:
        names = list(_with_predecessor(config, look_up(config, left, project)))
    for line in _text(explain(config, *names), lines=lines):
        echo(line)


def _with_predecessor(config: Config, name: str) -> tuple[str, str]:
    """A mail or commit, and before it the revision that it is compared with."""
    # What two names do without is loaded here.
    from patchsync.cli.reading import open_catalog
    from patchsync.revisions.compare import predecessor
    from patchsync.revisions.history import history_of

    with open_catalog(config) as catalog:
        return predecessor(history_of(config, catalog, name))


def _text(explanation: Explanation, *, lines: bool) -> Iterator[str]:
    """The lines that tell an explanation; `lines`: with those that are compared."""
    limit, rating = explanation.thresholds, explanation.rating
    left, right = explanation.patches
    for name, patch in zip(explanation.names, explanation.patches, strict=True):
        subject = patch.message[0] if patch.message else ""
        yield f"{name}  {patch.author_date:%Y-%m-%d}  {' '.join(subject.split())}"
    yield ""
    yield f"verdict: {explanation.verdict}"
    yield f"groups:  {_groups(explanation)}"
    yield ""
    weight = limit.message_diff_weight
    yield f"lines ratio {rating.lines_ratio:.2f}, at least {limit.diff_lines_ratio:g} is wanted"
    if rating.lines_ratio < limit.diff_lines_ratio:
        return
    yield (
        f"rating {explanation.total:.4f} = {weight:g} x message {rating.message:.2f}"
        f" + {1 - weight:g} x diff {rating.diff:.4f}"
    )
    if lines:
        yield from _both("message", left.message, right.message)
    for file in rating.files:
        score = sum(file.scores) / len(file.scores) if file.scores else None
        yield f"file {_name(file.left, file.right)}: {'-' if score is None else f'{score:.1f}'}"
        for hunk in file.hunks:
            heading = f"@@ {hunk.left}" + (f" | {hunk.right}" if hunk.right != hunk.left else "")
            yield f"  {heading}: {hunk.kind} {hunk.score}"
            if lines:
                ours = left.files[file.left].hunks[hunk.left]
                theirs = right.files[file.right].hunks[hunk.right]
                yield from _both(hunk.kind, getattr(ours, hunk.kind), getattr(theirs, hunk.kind))
    for patch, name in zip(explanation.patches, explanation.names, strict=True):
        yield from _alone(patch, name, explanation)


def _groups(explanation: Explanation) -> str:
    if explanation.together is None:
        return "unknown: the builtin engine has not grouped both yet (`patchsync analyse`)"
    if not explanation.together:
        kept_apart = "; ".join(
            f"{left} is marked as not {right}" for left, right in explanation.false_positives
        )
        return "the two are in different groups" + (f": {kept_apart}" if kept_apart else "")
    by_way_of = f", by way of {', '.join(explanation.between)}" if explanation.between else ""
    return f"the two are in one group{by_way_of}"


def _name(left: FileKey, right: FileKey) -> str:
    name = " -> ".join(left)
    return name if left == right else f"{name} | {' -> '.join(right)}"


def _both(what: str, left: tuple[str, ...], right: tuple[str, ...]) -> Iterator[str]:
    """The lines of both sides, those that both have once."""
    yield f"    {what}:"
    for line in left:
        yield f"    {'  ' if line in right else '1 '}{line}"
    for line in right:
        if line not in left:
            yield f"    2 {line}"


def _alone(patch: Patch, name: str, explanation: Explanation) -> Iterator[str]:
    """What is in one of them alone, and so is not compared."""
    matched = {key for file in explanation.rating.files for key in (file.left, file.right)}
    for key in patch.files:
        if key not in matched:
            yield f"file {' -> '.join(key)}: only in {name}"
