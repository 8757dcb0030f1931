"""Generated patches: small changes to a made-up kernel, and later versions of them.

All of it follows from the random generator that is handed in: the same seed gives the same mails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

AREAS = (
    ("net: mvneta", "drivers/net/ethernet/marvell", "mvneta"),
    ("arm64: mm", "arch/arm64/mm", "mmu"),
    ("powerpc/pseries", "arch/powerpc/platforms/pseries", "lpar"),
    ("x86/apic", "arch/x86/kernel/apic", "vector"),
    ("pci", "drivers/pci", "probe"),
    ("i2c: imx", "drivers/i2c/busses", "i2c_imx"),
    ("mm: slub", "mm", "slub"),
    ("sched/fair", "kernel/sched", "fair"),
    ("tty: serial", "drivers/tty/serial", "serial_core"),
    ("core: cell", "hypervisor", "cell"),
)
VERBS = ("init", "probe", "remove", "reset", "flush", "map", "unmap", "enable", "disable", "update")
OBJECTS = ("ring", "queue", "page", "chan", "port", "clk", "irq", "timer", "region", "slot")
FIELDS = ("flags", "state", "count", "len", "refs", "mask", "size", "limit", "base", "owner")
ERRORS = ("EINVAL", "ENOMEM", "EBUSY", "ENODEV", "EIO", "ETIMEDOUT")
INTENTS = (
    ("Fix", "leak on error path in", "The error path forgets to release what was taken before."),
    ("Check", "return value of", "A failure went unnoticed and left the device half set up."),
    ("Simplify", "handling of", "No functional change, the same is said in fewer lines."),
    ("Avoid", "overflow in", "The sum can exceed the limit when many requests come at once."),
    ("Add", "support for", "Newer parts have it, older ones ignore the bit."),
    ("Refactor", "loops in", "This prepares the next patch, which needs the index later."),
    ("Remove", "unused code around", "The last user went away a while ago."),
    ("Protect", "access to", "Two contexts may meet here, so take the lock."),
)
LINES = (
    "\tif (!{o}->{f})\n\t\treturn -{e};",
    "\t{o}->{f} = {n};",
    "\t{o}->{f} |= BIT({m});",
    "\tret = {a}_{v}_{o}({o}, {n});",
    "\tfor (i = 0; i < {o}->{f}; i++)\n\t\t{a}_{v}({o}, i);",
    "\tspin_lock(&{o}->{f}_lock);",
    "\tspin_unlock(&{o}->{f}_lock);",
    '\tdev_dbg({o}->dev, "{v} {f} %d\\n", {o}->{f});',
    "\tif ({o}->{f} > {n})\n\t\tgoto out_{v};",
    "\twritel({n}, {o}->base + {u}_{w});",
    "\tkfree({o}->{f});\n\t{o}->{f} = NULL;",
    "\tWARN_ON({o}->{f} == {n});",
)


WORDS: dict[str, tuple[object, ...]] = {
    "o": OBJECTS,
    "f": FIELDS,
    "e": ERRORS,
    "v": VERBS,
    "n": (0, 1, 2, 4, 8, 16, 32, 64, 100, 255, 256, 1000, 4096),
    "m": tuple(range(32)),
    "w": tuple(field.upper() for field in FIELDS),
}
"""What each place of a line may hold; the area stands for itself."""

TEMPLATES = tuple((line, tuple(word for word in WORDS if f"{{{word}}}" in line)) for line in LINES)

REWORDINGS = (
    ("is called with", "can be called with"),
    ("may have\nchanged in the meantime", "may\nhave changed since"),
    ("Read it again under the lock", "So read it once more under the lock"),
    ("where it does not fit", "if it does not fit"),
)
"""How the words of a message change from version to version, to and fro."""


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """A place in a file that changes."""

    line: int
    function: str
    before: tuple[str, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A patch without its mail: subject without prefix, commit message, hunks by file."""

    subject: str
    message: str
    files: tuple[tuple[str, tuple[Hunk, ...]], ...]


def _code(rng: Random, area: str) -> Iterator[str]:
    """Lines of C, without end."""
    while True:
        template, words = rng.choice(TEMPLATES)
        chosen = {word: rng.choice(WORDS[word]) for word in words}
        text = template.format(a=area, u=area.upper(), **chosen)
        yield from text.split("\n")


def _hunk(rng: Random, area: str, line: int) -> Hunk:
    code = _code(rng, area)

    def lines(count: int) -> tuple[str, ...]:
        return tuple(next(code) for _ in range(count))

    return Hunk(
        line=line,
        function=f"static int {area}_{rng.choice(VERBS)}_{rng.choice(OBJECTS)}(struct device *dev)",
        before=lines(3),
        removed=lines(rng.randrange(5)),
        added=lines(rng.randint(2, 9)),
        after=lines(3),
    )


def series_of_changes(rng: Random, count: int) -> list[Change]:
    """New changes that belong together: all in one area."""
    label, folder, area = rng.choice(AREAS)
    changes = []
    for _ in range(count):
        verb, link, reason = rng.choice(INTENTS)
        function = f"{area}_{rng.choice(VERBS)}_{rng.choice(OBJECTS)}"
        names = rng.sample((f"{area}.c", f"{area}_core.c", f"{area}_{rng.choice(OBJECTS)}.c"), k=1)
        if rng.random() < 0.2:
            names.append(f"{area}.h")
        files = []
        for name in names:
            starts = sorted(rng.sample(range(10, 2000, 40), k=rng.choice((1, 1, 2, 3))))
            files.append((f"{folder}/{name}", tuple(_hunk(rng, area, at) for at in starts)))
        changes.append(
            Change(
                subject=f"{label}: {verb} {link} {function}()",
                message=f"{reason}\n\n{_explanation(rng, function)}",
                files=tuple(files),
            )
        )
    return changes


def _explanation(rng: Random, function: str) -> str:
    text = (
        f"{function}() is called with {rng.choice(FIELDS)} set, yet {rng.choice(FIELDS)} may have\n"
        f"changed in the meantime. Read it again under the lock, and give up\n"
        f"with -{rng.choice(ERRORS)} where it does not fit."
    )
    if rng.random() < 0.05:
        # Patchwork does not escape such lines: a reader that splits at "From " loses half a patch.
        sha = f"{rng.getrandbits(160):040x}"
        text += f"\n\nIt was found while looking at\n\nFrom {sha} Mon Sep 17 00:00:00 2001"
    return text


def revised(rng: Random, change: Change) -> Change:
    """A later version: words and some added lines differ, the hunks have moved a little."""
    area = change.files[0][0].rpartition("/")[2].partition(".")[0]
    shift = rng.randrange(-8, 9)
    files = tuple(
        (path, tuple(_revised_hunk(rng, area, hunk, shift) for hunk in hunks))
        for path, hunks in change.files
    )
    return replace(change, message=_reworded(change), files=files)


def touched_up(rng: Random, change: Change) -> Change:
    """A later version with as little as may differ: some words, and a word of one added line."""
    places = [
        (path, at, number)
        for path, hunks in change.files
        for at, hunk in enumerate(hunks)
        for number, line in enumerate(hunk.added)
        if _words_of(line)
    ]
    files = dict(change.files)
    if places:
        path, at, number = rng.choice(places)
        hunks = list(files[path])
        added = list(hunks[at].added)
        added[number] = _with_another_word(rng, added[number])
        hunks[at] = replace(hunks[at], added=tuple(added))
        files[path] = tuple(hunks)
    return replace(change, message=_reworded(change), files=tuple(files.items()))


def _reworded(change: Change) -> str:
    """The message with some other words; which ones follows from the change itself."""
    message = change.message
    for one, other in Random(repr(change)).sample(REWORDINGS, k=2):
        old, new = (one, other) if one in message else (other, one)
        message = message.replace(old, new)
    return message


def _words_of(line: str) -> list[tuple[str, tuple[str, ...]]]:
    """The words of a line that others can stand for, each with those."""
    words = re.findall(r"\w+", line)
    return [(word, kind) for kind in (FIELDS, ERRORS, OBJECTS) for word in words if word in kind]


def _with_another_word(rng: Random, line: str) -> str:
    word, kind = rng.choice(_words_of(line))
    other = rng.choice([each for each in kind if each != word])
    return re.sub(rf"\b{word}\b", other, line)


def _revised_hunk(rng: Random, area: str, hunk: Hunk, shift: int) -> Hunk:
    code = _code(rng, area)
    added = [next(code) if rng.random() < 0.15 else line for line in hunk.added]
    if rng.random() < 0.3:
        added.insert(rng.randrange(len(added) + 1), next(code))
    return replace(hunk, line=max(1, hunk.line + shift), added=tuple(added))


def diff_of(change: Change) -> str:
    """The change as git shows it; what the index lines name follows from the lines."""
    parts = []
    for path, hunks in change.files:
        digest = Random(repr(hunks)).getrandbits(96)
        parts.append(f"diff --git a/{path} b/{path}")
        parts.append(f"index {digest >> 48:012x}..{digest & (1 << 48) - 1:012x} 100644")
        parts += [f"--- a/{path}", f"+++ b/{path}"]
        drift = 0
        for hunk in hunks:
            context = len(hunk.before) + len(hunk.after)
            old, new = context + len(hunk.removed), context + len(hunk.added)
            parts.append(f"@@ -{hunk.line},{old} +{hunk.line + drift},{new} @@ {hunk.function}")
            parts += [f" {line}" for line in hunk.before]
            parts += [f"-{line}" for line in hunk.removed]
            parts += [f"+{line}" for line in hunk.added]
            parts += [f" {line}" for line in hunk.after]
            drift += new - old
    return "\n".join(parts) + "\n"


def diffstat_of(change: Change) -> str:
    """The summary between `---` and the diff."""
    rows, inserted, deleted = [], 0, 0
    for path, hunks in change.files:
        plus = sum(len(hunk.added) for hunk in hunks)
        minus = sum(len(hunk.removed) for hunk in hunks)
        rows.append(f" {path} | {plus + minus} {'+' * plus}{'-' * minus}")
        inserted, deleted = inserted + plus, deleted + minus
    files = "1 file" if len(rows) == 1 else f"{len(rows)} files"
    rows.append(f" {files} changed, {inserted} insertions(+), {deleted} deletions(-)")
    return "\n".join(rows)
