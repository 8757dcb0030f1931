"""What a mail may do to the process that works on it: that one ends, and nothing else does."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import pytest
from analysis_fakes import Store, mail, name, run_here, version

from patchsync.analysis.builtin import child, comparing, linking, mails, pairs, reading
from patchsync.analysis.builtin.cache import CachedPatch, PatchCache
from patchsync.analysis.engine import OnProgress, Stopped
from patchsync.analysis.explain import explain
from patchsync.analysis.mail import parse_mail
from patchsync.analysis.patch import Patch
from patchsync.analysis.quarantine import AnalysisQuarantine
from patchsync.errors import GiveUp, StoreUnavailable, TryAgainLater

HOSTILE = 3
MARK = name(HOSTILE).encode()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two versions of a patch, a hostile mail that would be a third, and another patch."""
    store = Store(tmp_path / "store")
    store.put(version(1), version(2), version(HOSTILE), mail(4))
    return store


@pytest.fixture(autouse=True)
def soon_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """No mail may take long."""
    monkeypatch.setattr(child, "CPU_SECONDS", 0.4)
    monkeypatch.setattr(child, "WAITING_SECONDS", 60.0)
    monkeypatch.setattr(child, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(child, "MEMORY_BYTES", 256 * 2**20)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is ended for its time: the machine may be slow."""
    monkeypatch.setattr(child, "CPU_SECONDS", 60.0)


def quarantined(store: Store) -> dict[str, str]:
    """Which mails are, and why."""
    return {mail.name: mail.reason for mail in AnalysisQuarantine(store.config).quarantined()}


def hostile_does(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Have this happen whenever the hostile mail is parsed."""

    def parse(raws: Sequence[bytes]) -> Patch:
        if MARK in raws[0]:
            what()
        return parse_mail(raws)

    monkeypatch.setattr(mails, "parse_mail", parse)


def takes_for_ever() -> None:
    """Calculates."""
    while True:
        pass


def in_c() -> None:
    """One call that Python cannot interrupt: longer than the world lasts."""
    (1 << 200_000_000) // 3**50_000_000


def crashes() -> None:
    """As a fault in a C library does."""
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), signal.SIGSEGV)


def is_a_fault_of_ours() -> None:
    """As nobody thought of."""
    raise ZeroDivisionError("of a hostile mail")


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (takes_for_ever, "took more than 0.4 s of CPU time"),
        (in_c, "took more than 0.4 s of CPU time"),
        (lambda: bytearray(2**30), "took more than 256 MiB of memory"),
        (crashes, "crashed: Segmentation fault"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed"),
        (is_a_fault_of_ours, "ZeroDivisionError: of a hostile mail"),
    ],
)
def test_a_mail_that_ends_its_process_twice_is_quarantined(
    store: Store, monkeypatch: pytest.MonkeyPatch, what: Callable[[], object], reason: str
) -> None:
    """The others are grouped in the same update, and it is not looked at again."""
    hostile_does(monkeypatch, what)
    done = store.update()
    assert store.groups == ["1 2", "4"]
    assert list(quarantined(store)) == [name(HOSTILE)]
    assert reason in quarantined(store)[name(HOSTILE)]
    assert "quarantined: 1 mail" in done.summary
    assert store.update()[:3] == (0, 0, 0)
    store.put(version(5))
    assert store.update().mails == 1
    assert store.groups == ["1 2 5", "4"]


def test_a_mail_that_waits_for_what_never_comes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any CPU time, which the kernel counts."""
    monkeypatch.setattr(child, "WAITING_SECONDS", 1.0)
    hostile_does(monkeypatch, lambda: time.sleep(600))
    store.update()
    assert store.groups == ["1 2", "4"]
    assert quarantined(store) == {name(HOSTILE): "it waited for more than 1 s"}


def test_a_mail_that_is_compared_for_ever(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves the groups as they are without it, and those after it are compared."""
    really = comparing.reaches

    def reaches(*arguments: object) -> bool:
        if HOSTILE in (len(shape.files) for shape in arguments[:2]):  # type: ignore[attr-defined]
            takes_for_ever()
        return really(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(comparing, "reaches", reaches)
    text = "\n".join(f"--- a/{file}\n+++ b/{file}\n@@ -1 +1 @@\n-x\n+y" for file in ("a", "b", "c"))
    store.put(*(mail(number, f"Subject: [PATCH] x\n\ny\n---\n{text}") for number in (5, 6)))
    store.put(version(7))
    store.update()
    assert len(quarantined(store)) == 1
    assert sorted(store.groups) in (["1 2 3 7", "4", "5"], ["1 2 3 7", "4", "6"])


def test_what_failed_once_may_go_through(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, patient: None
) -> None:
    """Who was killed by chance is no worse off, then or later; others do not wait for it."""
    order = tmp_path / "order"

    def parse(raws: Sequence[bytes]) -> Patch:
        first = not order.exists()
        with order.open("ab") as file:
            file.write(raws[0].split(b"Message-Id: ")[1].splitlines()[0] + b"\n")
        if first:
            os.kill(os.getpid(), signal.SIGKILL)
        return parse_mail(raws)

    monkeypatch.setattr(mails, "parse_mail", parse)
    for _ in range(2):
        store.update(rebuild=True)
        assert store.groups == ["1 2 3", "4"]
        read = order.read_text().split()
        assert len(read) == 5
        assert read[0] == read[-1]
        assert AnalysisQuarantine(store.config).read() == {}
        order.unlink()


def test_what_was_done_is_not_done_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, patient: None
) -> None:
    """Whatever ends the process: all but the last seconds is kept."""
    monkeypatch.setattr(reading, "COMMIT_SECONDS", -1)
    read = tmp_path / "read"

    def parse(raws: Sequence[bytes]) -> Patch:
        with read.open("a") as file:
            file.write("mail\n")
        if MARK in raws[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return parse_mail(raws)

    monkeypatch.setattr(mails, "parse_mail", parse)
    store.update()
    assert len(read.read_text().split()) == 3 + 2
    assert store.groups == ["1 2", "4"]


def test_rebuilding_tries_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept may be deleted, and does not forget it; a person may have it forgotten."""
    with monkeypatch.context() as patch:
        hostile_does(patch, is_a_fault_of_ours)
        store.update()
    store.cache.unlink()
    store.update()
    assert store.groups == ["1 2", "4"]
    store.update(rebuild=True)
    assert store.groups == ["1 2 3", "4"]
    assert quarantined(store) == {}


def test_it_is_not_explained(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """That would end the command in the same way."""
    hostile_does(monkeypatch, is_a_fault_of_ours)
    store.update()
    with pytest.raises(GiveUp, match=r"quarantined: .*of a hostile mail.*--rebuild"):
        explain(store.config, name(1), name(HOSTILE))


def test_one_with_a_quarantined_message_id_in_another_project(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not bring it back."""
    with monkeypatch.context() as patch:
        hostile_does(patch, is_a_fault_of_ours)
        store.update()
    store.put(version(HOSTILE), version(9), project=2)
    store.update()
    assert store.groups == ["1 2 9", "4"]


def crashes_when_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hostile mail does, where it is compared with others."""
    really = comparing.Comparer.hopeful

    def hopeful(comparer: comparing.Comparer, patch: CachedPatch, total: float) -> dict[int, float]:
        if patch.name == name(HOSTILE):
            crashes()
        return really(comparer, patch, total)

    monkeypatch.setattr(comparing.Comparer, "hopeful", hopeful)


def test_it_is_quarantined_beside_a_damaged_project(
    store: Store, monkeypatch: pytest.MonkeyPatch, patient: None
) -> None:
    """Whose mails stay as they were, while a mail that was read before goes."""
    store.put(mail(8), project=2)
    store.update(rebuild=True)
    index = store.paths(2).index
    index.write_bytes(b"no line\n" + index.read_bytes())
    crashes_when_compared(monkeypatch)
    store.configure("[analysis.thresholds]\nautoaccept = 0.8\n")
    assert store.update().trouble
    assert store.groups == ["1 2", "4", "8"]
    assert list(quarantined(store)) == [name(HOSTILE)]


def test_a_quarantined_mail_that_fails_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch, patient: None
) -> None:
    """A fault of ours, which ends the update; it is not tried for ever."""
    crashes_when_compared(monkeypatch)
    monkeypatch.setattr(PatchCache, "remove", lambda *_: None)
    with pytest.raises(GiveUp, match=r"though it is quarantined.*--rebuild"):
        store.update()


class Limit(Exception):
    """As Celery's, which comes anywhere."""


@pytest.mark.parametrize("by_signal", [True, False])
def test_a_limit_of_the_task_is_not_the_mails_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch, patient: None, by_signal: bool
) -> None:
    """It ends the update at once, with its process; nothing is noted of the mail."""
    pid = store.folder / "pid"

    def sleep() -> None:
        pid.write_text(str(os.getpid()))
        time.sleep(600)

    hostile_does(monkeypatch, sleep)
    monkeypatch.setattr(reading, "COMMIT_SECONDS", -1)

    def over(number: int, frame: FrameType | None) -> None:
        raise Limit

    def on_progress(what: str, done: int, of: int) -> None:
        if pid.exists():
            if not by_signal:
                raise Stopped
            signal.setitimer(signal.ITIMER_REAL, 0.01)

    before = signal.signal(signal.SIGALRM, over)
    try:
        with pytest.raises((Limit, Stopped)):
            store.update(on_progress)
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert AnalysisQuarantine(store.config).read() == {}
    assert name(HOSTILE) not in store.not_patches()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_is_told_to_end_is_not_the_mails_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """As by a service that is stopped: nothing is noted of it, and the next update goes on."""
    with monkeypatch.context() as patch:
        hostile_does(patch, lambda: os.kill(os.getpid(), number))
        with pytest.raises(TryAgainLater, match="its process was ended"):
            store.update()
    assert AnalysisQuarantine(store.config).read() == {}
    store.update()
    assert store.groups == ["1 2 3", "4"]


def test_a_name_of_any_length() -> None:
    """The store has none that long, but an index may."""

    def work(in_hand: child.InHand, on_progress: OnProgress) -> None:
        in_hand.take("\U0001f600" * 5000)
        raise ZeroDivisionError

    with pytest.raises(child.Failed) as failed:
        child.run_in_child(work, lambda what, done, of: None)
    assert set(failed.value.name) == {"\U0001f600"}
    assert len(failed.value.name) > 998


def test_a_store_that_fails_is_not_the_mails_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is told as it is."""

    def full() -> None:
        raise StoreUnavailable("database or disk is full")

    monkeypatch.setattr(mails.PatchCache, "add", lambda *_: full())
    with pytest.raises(StoreUnavailable, match="disk is full"):
        store.update()
    assert AnalysisQuarantine(store.config).read() == {}


def test_a_process_that_ends_with_no_mail_in_hand(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then there is nobody to blame, and the next update goes on."""
    with monkeypatch.context() as patch:
        patch.setattr(child._InHand, "put_down", lambda _: None)
        patch.setattr(child._InHand, "take", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(TryAgainLater, match="its process was killed"):
            store.update()
    store.update()
    assert store.groups == ["1 2 3", "4"]


def test_with_nothing_new_no_process_is_started(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where false positives or the thresholds are looked at anew."""
    store.update()
    monkeypatch.setattr(os, "fork", is_a_fault_of_ours)
    assert store.update()[:3] == (0, 0, 0)
    store.take_out(name(4))
    store.update()
    assert store.groups == ["1 2 3"]


def test_a_patch_with_many_candidates_is_compared_bit_by_bit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after any of them, the next update goes on there."""
    monkeypatch.setattr("patchsync.analysis.builtin.engine.run_in_child", run_here)
    for module in (linking, pairs):
        monkeypatch.setattr(module, "COMMIT_SECONDS", -1)
    store.put(*(version(number, changed=range(number % 5)) for number in range(5, 12)))
    compared = []
    really = comparing.reaches

    def reaches(*arguments: object) -> bool:
        compared.append(arguments)
        return really(*arguments)  # type: ignore[arg-type]

    def on_progress(what: str, done: int, of: int) -> None:
        if what == "comparing":
            raise Stopped

    monkeypatch.setattr(comparing, "reaches", reaches)
    updates = 0
    while not store.text:
        try:
            store.update(on_progress)
        except Stopped:
            updates += 1
    number = len(compared)
    assert updates > number > 20
    assert store.text == store.from_scratch()
    assert len(compared) == 2 * number
