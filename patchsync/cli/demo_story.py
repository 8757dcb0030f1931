"""What happens in the demo, and what is seen of it."""

from __future__ import annotations

import re
from collections.abc import Callable

import click

from patchsync.cli.demo_watch import Ids, NotSeen, Patchwork, Store, Watch
from standin.process import Control

PROJECT = "sample"
# Its prefix names a place in a series: "[v2,3/5] ..."
IN_SERIES = re.compile(r"\[[^]]*/[^]]*\]")


class Story:
    """Its methods in their order. Each raises NotSeen when what should come does not."""

    def __init__(
        self, store: Store, patchwork: Patchwork, control: Control, watch: Callable[[], Watch]
    ) -> None:
        self._store = store
        self._patchwork = patchwork
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
        group = max(self._sent_alone(), key=lambda each: (len(each) == 2, -len(each)))
        watch = self._watch()
        (new,) = self._control.revise(max(group))
        self._tell(new, "arrives")
        self._follow(watch, new, group)

    def late_one_arrives(self) -> None:
        """A version that Patchwork shows only after the version that followed it."""
        group = min(self._sent_alone(), key=len)
        # It has its id already, but nobody sees it yet.
        (late,) = self._control.revise(max(group), visible=False)
        watch = self._watch()
        (newest,) = self._control.revise(late)
        self._tell(newest, f"arrives; the version before it, {late}, hangs in the server")
        self._follow(watch, newest, group)
        watch = self._watch()
        self._control.commit([late])
        self._tell(late, f"arrives late: the store has {newest}, a higher id, already")
        self._follow(watch, late, group | {newest})
        watch.until(f"the check of {newest} now: ", lambda: self._check(newest))
        self.newest_pair = late, newest

    def patch_is_deleted(self) -> None:
        """The oldest version of what has two others by now."""
        newest = self.newest_pair[1]
        gone = min(self._store.group_of(newest))
        self._tell(gone, "is deleted")
        watch = self._watch()
        self._control.delete([gone])
        watch.until(
            "the store knows it; PaStA keeps the mail",
            lambda: "" if gone in self._store.gone() else None,
        )
        watch.until(f"Patchwork: {newest} is related to ", lambda: self._related(newest))
        watch.until(f"the check of {newest} now: ", lambda: self._check(newest))

    def _tell(self, patch_id: int, what: str) -> None:
        click.echo(f"\nPatch {patch_id} {what}:\n  {self._patchwork.name(patch_id)}")

    def _follow(self, watch: Watch, patch_id: int, group: Ids) -> None:
        """See a new patch on its way: into the store, its group, its relation and its check."""
        watch.until("in PaStA's store", lambda: "" if patch_id in self._store.ids() else None)
        watch.until("in a group with ", lambda: self._grouped(patch_id, group))
        watch.until("Patchwork shows it related to ", lambda: self._related(patch_id))
        watch.until("and the check ", lambda: self._check(patch_id))

    # What `Watch.until` looks at

    def _all_stored(self) -> str | None:
        stored = self._store.ids()
        wanted = self._patchwork.all().keys()
        return f"all {len(wanted)} patches" if wanted <= stored else None

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
        wanted = {group for group in self._store.groups() if len(group) > 1}
        shown = self._patchwork.all()
        there = {entry.related | {number} for number, entry in shown.items() if entry.related}
        checked = {number for number, entry in shown.items() if entry.checked}
        if there != wanted or checked != set().union(*wanted):
            return None
        return f"{len(there)} relations, and a check on each of {len(checked)} patches"

    def _grouped(self, patch_id: int, group: Ids) -> str | None:
        found = self._store.group_of(patch_id)
        return _listed(found - {patch_id}) if group < found else None

    def _related(self, patch_id: int) -> str | None:
        wanted = self._living(patch_id) - {patch_id}
        found = self._patchwork.related(patch_id)
        return _listed(found) if found == wanted else None

    def _check(self, patch_id: int) -> str | None:
        # A check that is older counts fewer or more.
        of_all = f" of {len(self._living(patch_id))};"
        found = self._patchwork.check(patch_id)
        return f"'{found}'" if found and of_all in f"{found};" else None

    def _living(self, patch_id: int) -> Ids:
        """The group of a patch, without those that Patchwork does not have any more."""
        return self._store.group_of(patch_id) - self._store.gone()

    def _sent_alone(self) -> list[Ids]:
        """Groups of one project with patches that came in no series."""
        shown = self._patchwork.all()
        found = [
            group
            for group in self._store.groups()
            if all(
                shown[number].project == PROJECT and not IN_SERIES.match(shown[number].name)
                for number in group
            )
        ]
        if not found:
            raise NotSeen("all sample patches came in series; choose other --patches")
        return found


def _listed(ids: Ids) -> str:
    return ", ".join(map(str, sorted(ids)))
