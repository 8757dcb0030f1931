"""What `patchsync import` says where it cannot go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from import_fakes import config_in, mbox_of, project_mbox_of, rendered

from patchsync.cli import importing, main
from patchsync.cli.import_progress import Bar
from patchsync.errors import ServerUnavailable
from patchsync.imports.intake import ImportProgress
from patchsync.imports.judge import Tally

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command, which leaves the signals of this process alone."""
    config = config_in(tmp_path)
    monkeypatch.setattr(importing, "end_as_by_ctrl_c", lambda: None)
    command = ["-c", str(config.source), "import"]
    return lambda *arguments: CliRunner().invoke(main, [*command, *map(str, arguments)])


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    file = tmp_path / "sample.mbox"
    file.write_bytes(mbox_of(rendered(1)))
    return file


def test_a_patchwork_that_is_down(run: Run, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To start again does not help, to do without it does."""
    monkeypatch.setattr(importing, "ProjectMatch", raising(ServerUnavailable("timed out")))
    done = run("--dry-run", archive)
    assert done.exit_code == 1
    assert "Patchwork does not answer" in done.stderr
    assert "timed out; `--offline` does without" in done.stderr
    assert "start it again" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "the same command goes on"), (["--dry-run"], "nothing was written")],
)
def test_an_interruption_is_told(
    run: Run,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    """And what comes of the same command."""
    monkeypatch.setattr(importing, "Supervisor", raising(KeyboardInterrupt()))
    monkeypatch.setattr(importing, "ProjectMatch", raising(KeyboardInterrupt()))
    done = run(*arguments, archive)
    assert done.exit_code == 1
    assert f"Interrupted: {said}" in done.stderr
    assert "Aborted" not in done.stderr


def test_without_an_archive_nothing_is_started(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, no project, no argument: no Redis and no workers for that."""
    monkeypatch.setattr(importing, "Supervisor", raising(AssertionError("it was started")))
    for arguments, said in (
        ([tmp_path / "absent"], "absent"),
        ([], "name an archive"),
        (["--project", "other", tmp_path / "absent"], "other"),
    ):
        done = run(*arguments)
        assert (done.exit_code, said in done.stderr) == (1, True), done


def test_reasons_name_the_project_and_how_many_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where not all are told."""
    faulty = [rendered(n).replace(b"Message-Id", b"Other") for n in range(1, 14)]
    with project_mbox_of(config_in(tmp_path), mbox_of(*faulty)) as mbox:
        mbox.judge(None, bare=False)
        importing._summarize(mbox, Tally(), offline=True)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert len(lines) == importing.NAMED + 1
    assert lines[0].startswith("  sample: patch 1: ")
    assert lines[-1] == "  sample: ... and 3 more"


@pytest.mark.parametrize(("done", "guessed"), [(1, False), (50, True), (100, False)])
def test_the_time_left_is_told_where_it_can_be_guessed(
    capsys: pytest.CaptureFixture[str], done: int, guessed: bool
) -> None:
    """Not at the beginning, and not at the end."""
    with Bar("reading", 100) as bar:
        bar.update(ImportProgress(1, done))
    assert (" s left" in capsys.readouterr().out) is guessed


@pytest.mark.parametrize(("seconds", "lines"), [(-1.0, 7), (3600.0, 0)])
def test_the_pages_of_a_comparison(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    lines: int,
) -> None:
    """A line now and then; none where it is quick."""
    monkeypatch.setattr(importing, "LINE_SECONDS", seconds)
    with project_mbox_of(config_in(tmp_path), mbox_of(rendered(1))) as mbox:
        tell = importing._page_line(mbox.project)
    for page in range(1, 8):
        tell(page, 7)
    assert len(capsys.readouterr().out.splitlines()) == lines


def test_the_last_page_is_told_where_another_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that the comparison is seen to end."""
    monkeypatch.setattr(importing, "LINE_SECONDS", -1.0)
    with project_mbox_of(config_in(tmp_path), mbox_of(rendered(1))) as mbox:
        tell = importing._page_line(mbox.project)
    monkeypatch.setattr(importing, "LINE_SECONDS", 3600.0)
    for page in range(1, 8):
        tell(page, 7)
    told = capsys.readouterr().out.splitlines()
    assert [line.partition("compared with ")[2][:6] for line in told] == ["1 of 7", "7 of 7"]
