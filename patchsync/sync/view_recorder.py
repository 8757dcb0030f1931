"""Keeps what each answer of a Patchwork shows of patches, where the store is.

What cannot be written is missing on pages; it is logged, and holds up nothing else.
"""

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

    From any thread.
    """

    def __init__(self, config: Config) -> None:
        """Nothing is read yet."""
        self._config = config
        # Numbers of projects that are not in the store: to find that out again would cost.
        self._elsewhere: set[int] = set()
        # By project, what is in the way: it is logged once, not for each request.
        self._trouble: dict[int, str] = {}

    def __call__(self, listed: Sequence[ListedPatch], asked_at: float) -> None:
        """Keep what was listed of the patches of one project; `asked_at`: seconds since 1970."""
        if not listed or (number := listed[0].project_id) in self._elsewhere:
            return
        try:
            project = find_project(self._config, str(number))
            if project is None:
                self._elsewhere.add(number)
            else:
                with PatchViews(project.paths) as views:
                    views.record([patch.shown for patch in listed], asked_at)
                    views.record_archive(listed[0].archive_format)
            self._trouble.pop(number, None)
        except PatchsyncError as error:
            if self._trouble.get(number) != str(error):
                _report(error)
            self._trouble[number] = str(error)


def record_shown(paths: ContainerPaths, shown: Sequence[ShownPatch], seen_at: float) -> None:
    """Keep what was shown of patches of a project at a time, in seconds since 1970."""
    try:
        with PatchViews(paths) as views:
            views.record(shown, seen_at)
    except PatchsyncError as error:
        _report(error)


def _report(error: PatchsyncError) -> None:
    log.warning("what Patchwork shows of patches is not kept: %s", error)
