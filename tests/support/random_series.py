"""Series of patches by chance, and what became of them in another revision: as commits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pygit2
from pygit2.enums import FileMode

# name -> content and mode
Tree = dict[str, tuple[bytes, FileMode]]

WORDS = ["alpha", "beta", "gamma", "delta", "é", "漢字", "ﬁ", "tab\tbed", "__init__", "0", "{"]
NAMES = [
    "main.c",
    "docs/read me.md",
    'odd "quoted".txt',
    "tab\tname",
    "umlaut-ä.txt",
    "a b",
    "b/a",
    "run.sh",
    "notes ## ##",
    "image.bin",
    "dos.txt",
    "empty",
]
LATIN_1 = "iso-8859-1"


@dataclass(frozen=True)
class Step:
    """One commit to be: what it does follows from its seeds."""

    seeds: tuple[int, ...]
    title: str
    body: str
    author: str = "A U Thor"
    encoding: str | None = None


def first_tree(random: Random) -> Tree:
    """The files that a series begins with."""
    tree: Tree = {}
    for name in NAMES[:-1]:
        content = b"".join(_line(random) for _ in range(random.randint(15, 60)))
        if name == "image.bin":
            content = bytes(random.randrange(256) for _ in range(300)) + b"\0"
        if name == "dos.txt":
            content = content.replace(b"\n", b"\r\n")
        tree[name] = (content, FileMode.BLOB)
    return tree


def random_steps(random: Random, count: int) -> list[Step]:
    """A series."""
    return [_step(random) for _ in range(count)]


def revised(random: Random, steps: Sequence[Step]) -> list[Step]:
    """The series as its author sent it again: some changed, dropped, new, in another order."""
    again = []
    for step in steps:
        chance = random.random()
        if chance < 0.1:
            continue
        if chance < 0.3:
            step = replace(step, body=_body(random))
        elif chance < 0.6:
            seeds = (*step.seeds[: random.randint(0, len(step.seeds))], random.randrange(10**6))
            step = replace(step, seeds=seeds)
        elif chance < 0.7:
            step = replace(step, title=_title(random))
        again.append(step)
        if random.random() < 0.1:
            again.append(_step(random))
    if len(again) > 1 and random.random() < 0.3:
        at = random.randrange(len(again) - 1)
        again[at], again[at + 1] = again[at + 1], again[at]
    return again or [_step(random)]


def commit_all(
    repository: pygit2.Repository, base: str, tree: Tree, steps: Sequence[Step]
) -> list[str]:
    """The steps as commits upon `base`, whose files are `tree`; their hashes."""
    hashes = []
    for step in steps:
        tree = dict(tree)
        for seed in step.seeds:
            _edit(Random(seed), tree)
        base = commit(repository, tree, step, [base])
        hashes.append(base)
    return hashes


def commit(
    repository: pygit2.Repository, tree: Tree, step: Step, parents: Sequence[str] = ()
) -> str:
    """One commit of all those files."""
    index = pygit2.Index()
    for name, (content, mode) in tree.items():
        index.add(pygit2.IndexEntry(name, repository.create_blob(content), mode))
    author = pygit2.Signature(step.author, "author@example.org", 1_700_000_000, 0)
    text = f"{step.title}\n\n{step.body}" if step.body else f"{step.title}\n"
    encoding = step.encoding or "utf-8"
    made = repository.create_commit(
        None,
        author,
        author,
        text if step.encoding is None else text.encode(encoding, "replace").decode(encoding),
        index.write_tree(repository),
        list(parents),
        *([encoding] if step.encoding else []),
    )
    return str(made)


def folder_with(folder: Path, random: Random) -> tuple[pygit2.Repository, str, Tree]:
    """A new repository with one commit, that commit, and its files."""
    repository = pygit2.init_repository(folder, bare=True)
    tree = first_tree(random)
    return repository, commit(repository, tree, Step((), "Begin", "")), tree


def _step(random: Random) -> Step:
    # Of no edits: an empty commit
    seeds = tuple(random.randrange(10**6) for _ in range(random.choice((0, 1, 1, 1, 2, 3))))
    author = random.choice(("A U Thor", "Ünal Ö.", "Zoë, of Ex. Inc"))
    encoding = LATIN_1 if random.random() < 0.1 else None
    return Step(seeds, _title(random), _body(random), author, encoding)


def _title(random: Random) -> str:
    prefix = random.choice(("", "", "drivers: ", "[media] ", "Re-"))
    words = (random.choice(WORDS).replace("\t", "-") for _ in range(random.choice((2, 5, 20))))
    return prefix + " ".join(["Change", *words])


def _body(random: Random) -> str:
    lines = []
    for _ in range(random.choice((0, 1, 3, 8))):
        line = " ".join(random.choice(WORDS) for _ in range(random.randint(0, 7)))
        lines.append(random.choice(("", "", "\t", "  ", "> ", " ## ")) + line)
    text = re.sub(r"\n\s*\n", "\n\n", "\n".join(["Because of", *lines, "it."])) if lines else ""
    if text and random.random() < 0.5:
        text += "\n\nSigned-off-by: A U Thor <author@example.org>"
    return text and text + "\n"


def _line(random: Random) -> bytes:
    begin = random.choice(("", "", "\t", "int ", "@@ ", " ## ", "-", "+", "#"))
    line = begin + " ".join(random.choice(WORDS) for _ in range(random.randint(0, 4)))
    return line.encode() + random.choice((b"\n", b"\n", b"\n", b" ##\n", b"\xff\n"))


def _edit(random: Random, tree: Tree) -> None:
    """Change one file, as chance has it."""
    names = sorted(tree)
    name = random.choice(names)
    content, mode = tree[name]
    kind = random.random()
    if kind < 0.55:
        lines = content.splitlines(keepends=True) if b"\0" not in content else [content]
        for _ in range(random.randint(1, 3)):
            at = random.randint(0, len(lines))
            lines[at : at + random.randint(0, 3)] = [
                _line(random) for _ in range(random.randint(0, 3))
            ]
        tree[name] = (b"".join(lines), mode)
    elif kind < 0.65:
        tree[name] = (
            content.removesuffix(b"\n") if content.endswith(b"\n") else content + b"\n",
            mode,
        )
    elif kind < 0.73:
        executable = mode == FileMode.BLOB_EXECUTABLE
        tree[name] = (content, FileMode.BLOB if executable else FileMode.BLOB_EXECUTABLE)
    elif kind < 0.8 and len(names) > 3:
        del tree[name]
    elif kind < 0.9:
        # Renamed: as it is, or with a line more
        del tree[name]
        more = random.choice((b"", _line(random)))
        tree[f"moved/{random.randrange(100)} {name.replace('/', '-')}"] = (content + more, mode)
    elif kind < 0.97:
        lines = [_line(random) for _ in range(random.choice((0, 1, 5, 30)))]
        tree[f"new/{random.randrange(100)}"] = (b"".join(lines), FileMode.BLOB)
    else:
        tree[f"link{random.randrange(100)}"] = (b"main.c", FileMode.LINK)
