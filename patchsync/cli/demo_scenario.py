"""What happens in the demo, one event after the other, and the waiting until it is seen."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from patchsync.cli.demo_views import Ids, NotSeen, PagesView, PatchworkView, StoreView
from patchsync.cli.output import echo
from standin.process import Control

LOOK_SECONDS = 0.1
PROJECT = "sample"
# Its prefix names a place in a series: "[v2,3/5] ..."
IN_SERIES = re.compile(r"\[[^]]*/[^]]*\]")


class Watch:
    """Waits for what is to be seen, and says how long after the beginning it was."""

    def __init__(self, meanwhile: Callable[[], None], patience: float) -> None:
        """`meanwhile` is called while it waits, for each thing `patience` seconds at most."""
        self.look_after = meanwhile
        self._patience = patience
        self._began = time.monotonic()

    def until(self, what: str, look: Callable[[], str | None]) -> None:
        """Wait until `look` sees something, and print it after `what`.

        Raises:
            NotSeen: patience ran out.
        """
        deadline = time.monotonic() + self._patience
        while (seen := look()) is None:
            if time.monotonic() > deadline:
                raise NotSeen(f"waited {self._patience:g} s in vain: {what}")
            self.look_after()
            time.sleep(LOOK_SECONDS)
        echo(f"  after {time.monotonic() - self._began:4.1f} s  {what}{seen}")


class Scenario:
    """Its methods in their order. Each raises NotSeen when what should come does not."""

    def __init__(
        self,
        store: StoreView,
        patchwork: PatchworkView,
        pages: PagesView,
        control: Control,
        watch: Callable[[], Watch],
    ) -> None:
        """`control`: of the sample Patchwork; `watch` makes one that begins now."""
        self._store = store
        self._patchwork = patchwork
        self._pages = pages
        self._control = control
        self._watch = watch
        self.newest_pair = (0, 0)

    def begins(self) -> None:
        """All patches come into the store, and are grouped."""
        watch = self._watch()
        watch.look_after()
        watch.until("in PaStA's store: ", self._all_stored)
        watch.until("in patch-groups: ", self._all_grouped)

    def first_push(self) -> None:
        """Patchwork shows the groups."""
        watch = self._watch()
        watch.until("Patchwork shows ", self._all_shown)

    def revision_arrives(self) -> None:
        """The next version of a patch that has one already, if there is such a one."""
        group = max(self._sent_alone(), key=lambda group: (len(group) == 2, -len(group)))
        watch = self._watch()
        (new,) = self._control.revise(max(group))
        self._announce(new, "arrives")
        self._follow(watch, new, group)

    def late_one_arrives(self) -> None:
        """A version that Patchwork shows only after the version that followed it."""
        group = min(self._sent_alone(), key=len)
        # It has its id already, but nobody sees it yet.
        (late,) = self._control.revise(max(group), visible=False)
        watch = self._watch()
        (newest,) = self._control.revise(late)
        self._announce(newest, f"arrives; the version before it, {late}, hangs in the server")
        self._follow(watch, newest, group)
        watch = self._watch()
        self._control.commit([late])
        self._announce(late, f"arrives late: the store has {newest}, a higher id, already")
        self._follow(watch, late, group | {newest})
        watch.until(f"the check of {newest} now: ", lambda: self._check(newest, names=late))
        self.newest_pair = late, newest

    def patch_is_deleted(self) -> None:
        """The oldest version of what has two others by now."""
        newest = self.newest_pair[1]
        gone, next_one, *_ = sorted(self._store.group_of(newest))
        self._announce(gone, "is deleted")
        watch = self._watch()
        self._control.delete([gone])
        watch.until(
            "the store knows it; PaStA keeps the mail",
            lambda: "" if gone in self._store.gone() else None,
        )
        watch.until(f"Patchwork: {newest} is related to ", lambda: self._related(newest))
        watch.until(f"the check of {next_one} now: ", lambda: self._check(next_one, forgot=gone))

    def page_shows_it(self) -> None:
        """The page of the newest patch has all of its revisions, the deleted one too."""
        newest = self.newest_pair[1]
        echo(f"\nThe page of patch {newest}:")
        self._watch().until("it has ", lambda: self._on_page(newest))

    def _announce(self, patch_id: int, what: str) -> None:
        echo(f"\nPatch {patch_id} {what}:\n  {self._patchwork.name(patch_id)}")

    def _follow(self, watch: Watch, patch_id: int, group: Ids) -> None:
        """See a new patch on its way: into the store, its group, its relation and its check."""
        watch.until("in PaStA's store", lambda: "" if patch_id in self._store.ids() else None)
        watch.until("in a group with ", lambda: self._grouped(patch_id, group))
        watch.until("Patchwork shows it related to ", lambda: self._related(patch_id))
        watch.until("and the check ", lambda: self._check(patch_id))

    # What `Watch.until` looks at

    def _all_stored(self) -> str | None:
        stored = self._store.ids()
        listed = self._patchwork.all().keys()
        return f"all {len(listed)} patches" if listed <= stored else None

    def _all_grouped(self) -> str | None:
        groups = self._store.groups()
        if set().union(*groups) != self._store.ids():
            return None
        several = [group for group in groups if len(group) > 1]
        return (
            f"{len(groups)} groups; {len(several)} of them have several revisions, "
            f"together {sum(map(len, several))} patches"
        )

    def _all_shown(self) -> str | None:
        groups = {group for group in self._store.groups() if len(group) > 1}
        patches = self._patchwork.all()
        relations = {patch.related | {id_} for id_, patch in patches.items() if patch.related}
        checked = {id_ for id_, patch in patches.items() if patch.checked}
        if relations != groups or checked != set().union(*groups):
            return None
        return f"{len(relations)} relations, and a check on each of {len(checked)} patches"

    def _grouped(self, patch_id: int, others: Ids) -> str | None:
        group = self._store.group_of(patch_id)
        return _joined(group - {patch_id}) if others < group else None

    def _related(self, patch_id: int) -> str | None:
        related = self._patchwork.related(patch_id)
        return _joined(related) if related == self._living(patch_id) - {patch_id} else None

    def _check(self, patch_id: int, *, names: int = 0, forgot: int = 0) -> str | None:
        """Its newest check, once that names one patch, or does not name another any more."""
        check = self._patchwork.check(patch_id)
        named = set(map(int, re.findall(r"\d+", check or "")))
        as_expected = check and forgot not in named and (names in named or not names)
        return f"'{check}'" if as_expected else None

    def _on_page(self, patch_id: int) -> str | None:
        """Its revisions, once they are what its group has."""
        revisions = self._pages.revisions(patch_id)
        if revisions != self._store.group_of(patch_id):
            return None
        return f"{len(revisions)} revisions: {_joined(revisions)}"

    def _living(self, patch_id: int) -> Ids:
        """The group of a patch, without those that Patchwork does not have any more."""
        return self._store.group_of(patch_id) - self._store.gone()

    def _sent_alone(self) -> list[Ids]:
        """Groups of one project with patches that came in no series."""
        patches = self._patchwork.all()
        alone = {
            id_
            for id_, patch in patches.items()
            if patch.project == PROJECT and not IN_SERIES.match(patch.name)
        }
        groups = [group for group in self._store.groups() if group <= alone]
        if not groups:
            raise NotSeen("all sample patches came in series; choose other --patches")
        return groups


def _joined(ids: Ids) -> str:
    return ", ".join(map(str, sorted(ids)))
