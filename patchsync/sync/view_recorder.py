"""Keeps what each answer of a Patchwork shows of patches, where the store is."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from patchsync.config import Config
from patchsync.errors import PatchsyncError
from patchsync.patchwork.schemas import ListedPatch
from patchsync.patchwork.shown_patch import ShownPatch
from patchsync.store.layout import ContainerPaths
from patchsync.store.patch_views import PatchViews
from patchsync.sync.projects import find_project

log = logging.getLogger(__name__)


class ViewRecorder:
    """For `Client`: writes what it was answered to the files of the projects that are in the store.

    From any thread. What cannot be written is missing on pages, and holds up nothing else.
    """

    def __init__(self, config: Config) -> None:
        """Nothing is read yet."""
        self._config = config
        # Numbers of projects that are not in the store: to find that out again would cost.
        self._elsewhere: set[int] = set()

    def __call__(self, listed: Sequence[ListedPatch], asked_at: float) -> None:
        """Keep what was listed of the patches of one project; `asked_at`: seconds since 1970."""
        if not listed or (number := listed[0].project_id) in self._elsewhere:
            return
        try:
            project = find_project(self._config, str(number))
        except PatchsyncError as error:
            log.warning("what Patchwork shows of project %d is not kept: %s", number, error)
            return
        if project is None:
            self._elsewhere.add(number)
            return
        record_shown(project.paths, [patch.shown for patch in listed], asked_at)


def record_shown(paths: ContainerPaths, shown: Sequence[ShownPatch], seen_at: float) -> None:
    """Keep what was shown of patches of a project; what is in the way is logged."""
    try:
        with PatchViews(paths) as views:
            views.record(shown, seen_at)
    except PatchsyncError as error:
        log.warning("what Patchwork shows is not kept: %s", error)
