"""What is printed of texts that others wrote."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from click.testing import CliRunner

from patchsync.cli import output
from patchsync.cli.main import main
from patchsync.patchwork.foreign_text import visible

CLI = Path(output.__file__).parent
HOSTILE = {
    "\x1b[31mred": r"\x1b[31mred",
    "\x1b]0;a title\x07": r"\x1b]0;a title\x07",
    "\x9b31mred": r"\x9b31mred",
    "[PATCH]\rFAKED": r"[PATCH]\rFAKED",
    "\b\b\b\x7f": r"\x08\x08\x08\x7f",
    "a \u202egnol.exe": r"a \u202egnol.exe",
    "\u2066\u2069\u200f": r"\u2066\u2069\u200f",
    "\ud800": r"\ud800",
    "a\u2028b\x85c\x0b": r"a\u2028b\x85c\x0b",
    "\U000e0041": r"\U000e0041",
}
HARMLESS = ("", "[PATCH v2] größer\n\tals 中文\u3000字 \u00a0 e\u0301 🐧", "\\x1b")


@pytest.mark.parametrize("text", HOSTILE)
def test_what_steers_a_terminal_is_shown_as_an_escape(text: str) -> None:
    """ESC, C1, carriage return, bell, bidi overrides, and what UTF-8 cannot say."""
    assert visible(text) == HOSTILE[text]
    assert all(c.isprintable() for c in visible(text))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_people_write_stays(text: str) -> None:
    """Any alphabet, lines, tabs."""
    assert visible(text) == text


@pytest.mark.parametrize("err", [False, True])
def test_what_is_printed_is_visible(capsys: pytest.CaptureFixture[str], err: bool) -> None:
    """Be it an error or not."""
    output.echo("subject: \x1b[2J", err=err)
    printed = capsys.readouterr()
    assert (printed.err if err else printed.out) == "subject: \\x1b[2J\n"


def test_an_error_of_ours_is_visible(tmp_path: Path) -> None:
    """It repeats what somebody else wrote, here as the name of a file."""
    result = CliRunner().invoke(main, ["-c", str(tmp_path / "\x1b[31m.toml"), "status"])
    assert result.exit_code == 1
    assert r"\x1b[31m.toml: write one" in result.output
    assert "\x1b" not in result.output


def test_nothing_is_printed_in_another_way() -> None:
    """But for a line of push on a terminal, which it erases, coloured lines of a diff, and rich,
    which is given `visible`."""
    others = set()
    for file in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("print", "click.echo", "click.secho", "sys.stdout.write"):
                    others.add((file.name, ast.unparse(node.args[0])))
    assert others == {
        ("output.py", "visible(str(text))"),
        ("output.py", "line"),
        ("push.py", r"f'\r\x1b[K{visible(text)}'"),
    }
